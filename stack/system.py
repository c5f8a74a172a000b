"""The whole system on one machine: Kafka, PostgreSQL, five services; started in order, kept running, ended in order."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Self

from stack import connector, simulator, state
from stack.credentials import Credentials, keep_credentials
from stack.detached import start_detached, stop
from stack.errors import ServerError, StackError, StartRefusedError
from stack.jars import Progress
from stack.kafka import Kafka
from stack.ownership import FolderLock
from stack.plan import KAFKA_SETTING, Plan, home_folder, make_home, make_plan
from stack.ports import LOOPBACK
from stack.postgres import Postgres
from stack.services import CONNECTOR, CONTROLLER_PORT, KAFKA_PORT, POSTGRES_PORT, SERVICES, SIMULATOR_PORT, ServiceSpec
from stack.state import Secrets, StackInfo
from stack.supervision import Keeper, Program, Service, service_command

__all__ = ["StackInfo", "System", "start_detached", "stop"]

_SIGNING = frozenset({"PROVIDER_WORKER_PROVENANCE_CERT", "PROVIDER_WORKER_PROVENANCE_KEY"})


class System:
    """The system over one state folder, owned by this process; an async context manager, or ``start`` and ``stop``.

    ``home``: None is ``BACKLOT_HOME`` or ``.backlot``. ``port``: base port, 0 for free ones, None is ``BACKLOT_PORT``
    or 8700. ``env`` is laid over this process's environment, ``service_env`` (service name → variables) over what that
    service gets. ``wires``: the simulator is started, speaks these modules' wires besides its own, and the worker is
    pointed at it; None: no simulator. ``on_event`` hears one sentence per thing that happens. Start it from the main
    thread: its processes end with the thread that started them.
    """

    def __init__(
        self,
        home: Path | None = None,
        *,
        port: int | None = None,
        env: Mapping[str, str] | None = None,
        service_env: Mapping[str, Mapping[str, str]] | None = None,
        wires: Sequence[str] | None = None,
        on_event: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self._environ = {**os.environ, **(env or {})}
        self.home = (home or home_folder(self._environ)).absolute()
        self.on_event = on_event
        self._port = port
        self._service_env = service_env or {}
        self._wires = wires
        self._lock = FolderLock(self.home)
        self._keepers: dict[str, Keeper] = {}
        self._info: StackInfo | None = None

    @property
    def info(self) -> StackInfo:
        """What ``stack.json`` holds; StackError before the system is ready."""
        if self._info is None:
            raise StackError("The system is not running.")
        return self._info

    @property
    def pids(self) -> dict[str, int]:
        """Name → pid of every process as it is now, the owner under ``supervisor``."""
        return {"supervisor": os.getpid(), **{name: keeper.program.child.pid for name, keeper in self._keepers.items()}}

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Return when everything is ready.

        StartRefusedError lists all that is wrong with ports, settings and files, of every service at once;
        FolderHeldError says who has the folder; ServerError and DownloadError say what did not start and why. After an
        error nothing is left running.
        """
        began = time.monotonic()
        make_home(self.home)
        await self._lock.acquire()
        try:
            await self._start_all()
        except BaseException:
            await self.stop()
            raise
        self.on_event(f"backlot ready in {time.monotonic() - began:.1f} s: {self.info.gateway}")

    async def stop(self) -> None:
        """End the services, the gateway first, then Kafka and PostgreSQL. Harmless when nothing of ours runs."""
        if not self._lock.is_ours:  # the folder may be somebody else's, and what it says too
            return
        state.remove_info(self.home)
        self._info = None
        every = (*SERVICES, CONNECTOR)
        for wave in sorted({spec.wave for spec in every}, reverse=True):
            await self._stop(spec.name for spec in every if spec.wave == wave)
        await self._stop(("kafka", "postgres", simulator.NAME))
        self._lock.release()

    async def _start_all(self) -> None:
        plan = await asyncio.to_thread(make_plan, self.home, self._port, self._environ, wires=self._wires)
        secrets, credentials = await asyncio.to_thread(self._prepare_folder)
        kafka, postgres = self._servers(plan)
        shared = self._shared_env(plan, secrets, credentials, kafka.bootstrap if kafka else str(plan.kafka))
        untried = self._services(plan, shared, postgres).values()
        if plan.problems:
            raise await _explained({"plan": StartRefusedError(plan.problems)}, untried)
        starts = {"kafka": self._start_server("kafka", kafka), "postgres": self._start_server("postgres", postgres)}
        starts |= {one.name: self._start(one.name, one, one.run) for one in self._simulators(plan)}
        if failed := await _failures(starts):
            raise await _explained(failed, untried)
        if postgres is not None:
            await postgres.ensure_databases(_inside(plan))
        # Not before: where the server's socket is, it decides when it starts.
        await self._start_services(self._services(plan, shared, postgres))
        public = {**plan.databases, **({name: postgres.url(name) for name in _inside(plan)} if postgres else {})}
        self._info = StackInfo(
            gateway=_origin(plan.ports[0]),
            assets=shared["ASSET_PUBLIC_URL"],
            api_key=shared["API_GATEWAY_BOOTSTRAP_KEY"],
            kafka=shared[KAFKA_SETTING],
            databases=public,
            processes=self.pids,
            home=str(self.home),
            readiness={spec.name: f"{_origin(plan.ports[spec.internal])}/readyz" for spec in plan.services},
            simulator=plan.simulated.origin if plan.simulated else None,
        )
        self._note_pids()

    def _servers(self, plan: Plan) -> tuple[Kafka | None, Postgres | None]:
        inherit = [self._lock.descriptor]
        kafka = Kafka(
            self.home / "kafka",
            plan.ports[KAFKA_PORT],
            plan.ports[CONTROLLER_PORT],
            log=state.log_file(self.home, "kafka"),
            inherit=inherit,
            progress=self._fetch_progress(),
        )
        postgres = Postgres(
            self.home / "postgres",
            plan.ports[POSTGRES_PORT],
            log=state.log_file(self.home, "postgres"),
            inherit=inherit,
        )
        return kafka if plan.needs_kafka else None, postgres if plan.needs_postgres else None

    def _simulators(self, plan: Plan) -> list[Service]:
        if plan.simulated is None:
            return []
        return [
            simulator.process(
                plan.simulated,
                port=plan.ports[SIMULATOR_PORT],
                home=self.home,
                environ=self._environ,
                log=state.log_file(self.home, simulator.NAME),
                held=self._lock.descriptor,
            )
        ]

    async def _start_server(self, name: str, server: Kafka | Postgres | None) -> None:
        if server is not None:
            await self._start(name, server, server.start)

    def _services(self, plan: Plan, shared: Mapping[str, str], postgres: Postgres | None) -> dict[ServiceSpec, Service]:
        urls = {**plan.databases, **({name: postgres.socket_url(name) for name in _inside(plan)} if postgres else {})}
        return {spec: self._service(spec, plan, shared, urls[spec.package]) for spec in plan.services}

    def _service(self, spec: ServiceSpec, plan: Plan, shared: Mapping[str, str], url: str) -> Service:
        if spec == CONNECTOR:
            shared = connector.told(shared, _origin(plan.ports[0]))
        else:
            shared = connector.kept_from_services(shared)
        if plan.simulated is not None and spec.name == simulator.CUSTOMER:
            shared = simulator.pointed_at(plan.simulated, shared)
        own = {
            f"{spec.prefix}DATABASE_URL": url,
            f"{spec.prefix}INTERNAL_PORT": str(plan.ports[spec.internal]),
            # There is one process of each service here, so the next one may take its predecessor's place at once.
            f"{spec.prefix}CONSUMER_INSTANCE": spec.name,
        }
        if spec.public is not None:
            own[f"{spec.prefix}HTTP_PORT"] = str(plan.ports[spec.public])
        return Service(
            spec.name,
            service_command(spec.package),
            env={**shared, **own, **self._service_env.get(spec.name, {})},
            internal_port=plan.ports[spec.internal],
            log=state.log_file(self.home, spec.name),
            inherit=[self._lock.descriptor],
        )

    async def _start_services(self, services: Mapping[ServiceSpec, Service]) -> None:
        not_ready = {service.name: service for service in services.values()}
        for wave in sorted({spec.wave for spec in services}):
            together = [service for spec, service in services.items() if spec.wave == wave]
            failed = await _failures({one.name: self._start(one.name, one, one.run) for one in together})
            for service in together:
                if service.name not in failed:
                    del not_ready[service.name]
            if failed:
                raise await _explained(failed, not_ready.values())

    async def _start(self, name: str, program: Program, start: Callable[[], Awaitable[None]]) -> None:
        began = time.monotonic()
        keeper = Keeper(name, program, tell=self.on_event, changed=self._note_pids)
        self._keepers[name] = keeper
        await start()
        self.on_event(f"{name} ready in {time.monotonic() - began:.1f} s")
        keeper.keep()

    async def _stop(self, names: Iterable[str]) -> None:
        keepers = [keeper for name in names if (keeper := self._keepers.pop(name, None))]
        await asyncio.gather(*(keeper.stop() for keeper in keepers))

    def _shared_env(self, plan: Plan, secrets: Secrets, credentials: Credentials, bootstrap: str) -> dict[str, str]:
        """What every service is told. Where the environment says something itself, it is right."""
        ours = {
            "BACKLOT_SECRET": secrets.secret,
            "BACKLOT_OBJECTS_DIR": str(self.home / "objects"),
            "ASSET_PUBLIC_URL": _origin(plan.ports[1]),
            "API_GATEWAY_BOOTSTRAP_KEY": secrets.api_key,
            "PROVIDER_WORKER_SANDBOX_DIR": str(self.home / "sandbox"),
            "PROVIDER_WORKER_CALLBACK_URL": _origin(plan.ports[0]),
            "PROVIDER_WORKER_PROVENANCE_CERT": str(credentials.certificate),
            "PROVIDER_WORKER_PROVENANCE_KEY": str(credentials.key),
        }
        fixed = {KAFKA_SETTING: bootstrap}
        fixed |= {f"{spec.package.upper()}_URL": _origin(plan.ports[spec.internal]) for spec in SERVICES}
        if any(self._environ.get(name) for name in _SIGNING):
            # Of a pair of one's own nothing is made up: a key of the house fits no other certificate.
            ours = {name: value for name, value in ours.items() if name not in _SIGNING}
        given = {name: value for name, value in self._environ.items() if value or name not in ours}
        return {**ours, **given, **fixed}

    def _prepare_folder(self) -> tuple[Secrets, Credentials]:
        for name in ("kafka", "postgres", simulator.NAME, CONNECTOR.name, *(spec.name for spec in SERVICES)):
            state.turn_over(state.log_file(self.home, name))
        return state.keep_secrets(self.home), keep_credentials(self.home)

    def _note_pids(self) -> None:
        if self._info is not None:
            self._info = replace(self._info, processes=self.pids)
            state.write_info(self.home, self._info)

    def _fetch_progress(self) -> Progress:
        def tell(done: int, of: int) -> None:
            if done in {0, of}:
                self.on_event(f"kafka: fetched {done} of {of} jars")

        return tell


async def _failures(starts: Mapping[str, Awaitable[None]]) -> dict[str, BaseException]:
    """Wait for all; by its name, the error of each that failed."""
    results = await asyncio.gather(*starts.values(), return_exceptions=True)
    return {name: result for name, result in zip(starts, results, strict=True) if isinstance(result, BaseException)}


def _joined(errors: Sequence[BaseException]) -> BaseException:
    foreign = [error for error in errors if not isinstance(error, StackError)]
    if foreign or len(errors) == 1:
        return [*foreign, *errors][0]
    return ServerError("\n".join(map(str, errors)))


async def _explained(errors: Mapping[str, BaseException], not_ready: Iterable[Service]) -> BaseException:
    """What to raise for ``errors``: with it, whatever is wrong with services that were not tried yet as well.

    They are asked only now. Five more processes cost a good start seconds, and a bad one nothing that is missed. What a
    service says of itself replaces its own error, which is the end of its log.
    """
    if not all(isinstance(error, StackError) for error in errors.values()):
        return _joined(list(errors.values()))
    faults = await _faults(not_ready)
    others = [error for name, error in errors.items() if name not in faults]
    if not faults:
        return _joined(others)
    return StartRefusedError(list(chain(*map(_sentences, others), *faults.values())))


def _sentences(error: BaseException) -> Sequence[str]:
    return error.problems if isinstance(error, StartRefusedError) else [str(error)]


async def _faults(services: Iterable[Service]) -> dict[str, list[str]]:
    """Name → sentences, for each service that has something to complain of."""
    asked = list(services)
    answers = await asyncio.gather(*(service.faults() for service in asked))
    return {service.name: answer for service, answer in zip(asked, answers, strict=True) if answer}


def _inside(plan: Plan) -> list[str]:
    """The services whose databases are on our own server."""
    return [spec.package for spec in plan.services if spec.package not in plan.databases]


def _origin(port: int) -> str:
    return f"http://{LOOPBACK}:{port}"
