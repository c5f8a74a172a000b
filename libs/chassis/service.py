"""The life of a service's process: start, ready, drain, end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import asyncpg
import uvloop
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.consumer import Subscription
from chassis.database import migrate
from chassis.errors import StartError
from chassis.halting import HaltLimits
from chassis.health import Health
from chassis.kafka import Consumers, WatchTimes, provision
from chassis.loops import Backoff, Loop, forever, sleep_until
from chassis.metrics import EVENT_LOOP_LAG
from chassis.outbox import Outbox
from chassis.partitions import Partitions
from chassis.relay import Relay
from chassis.servers import HttpServer, listen
from chassis.settings import ProcessSettings, PublicSettings, describe, exit_with, load, variable
from chassis.telemetry import configure_logging, get_logger
from chassis.tracing import setup_tracing, shutdown_tracing
from schemas.topics import DEAD_LETTERS, Topic

__all__ = ["Loop", "Resource", "Running", "Service", "run", "running"]

log = get_logger()

S = TypeVar("S", bound=ProcessSettings)

_PARTITION_INTERVAL = 3600.0
# A batch of events makes thousands of objects that die with it: Python's default of 700 looks at them again
# and again (measured: a fifth of the CPU of a batch).
_GC_THRESHOLDS = (10_000, 10, 10)


class Resource(Protocol):
    """Something with a life of its own: a client, a process pool, an engine."""

    async def start(self) -> None:
        """Called once, in the order given, after the database is migrated."""

    async def stop(self) -> None:
        """Called once, in the opposite order, when consumers, loops and servers have ended; may still say events."""


@dataclass
class Service:
    """Everything a process of a service is made of; `build` in its app.py answers one.

    `topics` are those it owns; they, those it hears and the dead letters are made if they are missing. With
    `needs_kafka` False it is ready without Kafka: what it says waits in the outbox. `resource_seconds` is how long each
    resource may take to stop; a fifth of the time for draining where it is not said.
    """

    name: str
    package: str
    settings: ProcessSettings
    engine: AsyncEngine
    outbox: Outbox
    internal: FastAPI
    public: FastAPI | None = None
    subscriptions: Sequence[Subscription] = ()
    topics: Sequence[Topic] = ()
    loops: Sequence[Loop] = ()
    resources: Sequence[Resource] = ()
    resource_seconds: float | None = None
    needs_kafka: bool = True


@dataclass
class Running:
    """A started service."""

    service: Service
    health: Health
    relay: Relay
    consumers: Consumers
    partitions: Partitions
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    servers: list[HttpServer] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    relay_task: asyncio.Task[None] | None = None
    started: list[Resource] = field(default_factory=list)

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Runs `work` until it ends or the service stops."""
        self.tasks.append(asyncio.create_task(work, name=name))


def run(build: Callable[[S], Service], settings_cls: type[S]) -> None:
    """The whole `__main__` of a service; ends the process.

    With `--check-config` it reads the settings and all files they name, says what is wrong or prints them, and starts
    nothing; a running process of the service is no hindrance.
    """
    settings = load(settings_cls)
    if "--check-config" in sys.argv[1:]:
        asyncio.run(_try_to_build(build, settings))
        sys.stdout.write(describe(settings) + "\n")
        raise SystemExit(0)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(_main(build, settings))
    raise SystemExit(code)


async def _try_to_build(build: Callable[[S], Service], settings: S) -> None:
    try:
        build(settings)
    except StartError as error:
        exit_with(error.problems)


async def _main(build: Callable[[S], Service], settings: S) -> int:
    stop = asyncio.Event()
    _on_signals(stop)
    try:
        service, listeners = _assemble(build, settings)
    except StartError as error:
        exit_with(error.problems)
    configure_logging(service.name, settings.log_level)
    setup_tracing(service.name, str(settings.otlp_endpoint) if settings.otlp_endpoint else None)
    try:
        return await _until_stopped(service, listeners, stop)
    except StartError as error:
        exit_with(error.problems)
    except Exception as error:
        log.critical("start_failed", exc_info=error)
        return 1
    finally:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.to_thread(shutdown_tracing), 5)


def _on_signals(stop: asyncio.Event) -> None:
    def ask() -> None:
        if stop.is_set():
            os._exit(130)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ask)


Listeners = list[tuple[FastAPI, Any]]


def _assemble(build: Callable[[S], Service], settings: S) -> tuple[Service, Listeners]:
    """Builds the service and takes its ports; says everything that is wrong at once."""
    problems: list[str] = []
    ports = {"internal_port": settings.internal_port}
    if isinstance(settings, PublicSettings):
        ports["http_port"] = settings.http_port
    sockets = {}
    for name, port in ports.items():
        try:
            sockets[name] = listen(settings.host, port, variable(type(settings), name))
        except StartError as error:
            problems += error.problems
    try:
        service = build(settings)
    except StartError as error:
        problems += error.problems
    if problems:
        raise StartError(problems)
    apps = [(service.internal, sockets["internal_port"])]
    if service.public is not None:
        apps.insert(0, (service.public, sockets["http_port"]))
    return service, apps


async def _until_stopped(service: Service, listeners: Listeners, stop: asyncio.Event) -> int:
    starting = asyncio.create_task(_start(service, listeners))
    asked = asyncio.create_task(stop.wait())
    await asyncio.wait({starting, asked}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.wait({starting})
        return 0
    live = await starting
    given_up = live.consumers.given_up
    try:
        ends: set[asyncio.Future[Any]] = {asked, given_up}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        asked.cancel()
        await _drain(live)
    return 1 if given_up.done() else 0


@contextlib.asynccontextmanager
async def running(service: Service, listeners: Listeners | None = None) -> AsyncIterator[Running]:
    """The started service, drained at the end: for tests that want one inside their own process."""
    live = await _start(service, listeners or [])
    try:
        yield live
    finally:
        await _drain(live)


async def _start(service: Service, listeners: Listeners) -> Running:
    settings = service.settings
    live = _wire(service)
    try:
        await _ready_database(live)
        for resource in service.resources:
            await resource.start()
            live.started.append(resource)
        for app, listener in listeners:
            server = HttpServer(app, listener, drain_seconds=settings.drain_seconds / 2)
            await server.start()
            live.servers.append(server)
    except BaseException:
        await _drain(live)
        raise
    _begin(live)
    # The thousands of objects made by imports never die: without this every full collection walks them all, which
    # stops the event loop for tens of milliseconds.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    live.health.starting = False
    log.info("service_started", service=service.name)
    return live


async def _ready_database(live: Running) -> None:
    settings = live.service.settings
    try:
        await migrate(settings.database_url, live.service.package)
    except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError) as error:
        raise StartError([f"{variable(type(settings), 'database_url')}: the database refuses us: {error}"]) from error
    except OSError as error:
        # Not a setting to mend first of all: whoever supervises this process is to start it again.
        log.critical("database_unreachable", error=str(error))
        raise SystemExit(1) from error
    try:
        await live.partitions.maintain()
    except Exception as error:
        # The default partitions take what comes until the loop has made the days.
        log.warning("partitions_not_made", error=repr(error))


def _wire(service: Service) -> Running:
    settings = service.settings
    health = Health()
    health.starting = True
    health.needs_database(service.engine)
    for app in (service.internal, service.public):
        if app is not None:
            app.state.health = health
    relay = Relay(settings.database_url, settings.kafka_bootstrap_servers, service=service.name)
    service.outbox.wake(relay.kick)
    partitions = Partitions(service.engine)
    consumers = Consumers(
        settings.kafka_bootstrap_servers,
        service.subscriptions,
        service=service.name,
        engine=service.engine,
        outbox=service.outbox,
        horizon=lambda: partitions.horizon,
        times=WatchTimes(silence=settings.consumer_silence_seconds, session=settings.consumer_session_seconds),
        limits=HaltLimits(enabled=not settings.dead_letter_without_limit),
        drain_seconds=settings.drain_seconds / 2,
        instance=settings.consumer_instance,
    )
    health.live_when(lambda: [consumers.given_up.result()] if consumers.given_up.done() else [])
    if service.needs_kafka:
        health.ready_when(consumers.problems)
    return Running(service, health, relay, consumers, partitions)


def _begin(live: Running) -> None:
    live.relay_task = asyncio.create_task(live.relay.run(), name="relay")
    live.spawn("kafka", _join_kafka(live))
    live.spawn("event-loop-lag", _watch_event_loop(live.stopping))
    partitions = Loop("partitions", live.partitions.maintain, idle=_PARTITION_INTERVAL)
    for loop in (partitions, *live.service.loops):
        live.spawn(loop.name, forever(loop.name, loop.step, idle=loop.idle, wake=loop.wake, stopping=live.stopping))


async def _join_kafka(live: Running) -> None:
    """Makes the topics and starts the consumers as soon as Kafka answers."""
    service = live.service
    wanted = {topic.name: topic for topic in service.topics}
    wanted |= {subscription.topic.name: subscription.topic for subscription in service.subscriptions}
    wanted[DEAD_LETTERS.name] = DEAD_LETTERS
    backoff = Backoff(longest=5.0)
    while not live.stopping.is_set():
        try:
            await provision(service.settings.kafka_bootstrap_servers, wanted.values())
            break
        except Exception as error:
            wait = backoff.next()
            log.warning("kafka_not_ready", error=repr(error), retry_in=round(wait, 2))
            await sleep_until(wait, live.stopping)
    if not live.stopping.is_set():
        await live.consumers.start()


async def _watch_event_loop(stopping: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + 1.0
        if await sleep_until(1.0, stopping):
            return
        EVENT_LOOP_LAG.set(max(0.0, loop.time() - due))


async def _drain(live: Running) -> None:
    """Stops hearing and claiming, closes the doors, lets resources finish, sends all that was said by then, closes."""
    live.health.draining = True
    live.stopping.set()
    seconds = live.service.settings.drain_seconds
    log.info("service_drains", service=live.service.name)
    public = live.servers[:-1]
    ending = [live.consumers.stop(), _finish(live.tasks, seconds / 2), *(server.stop() for server in public)]
    await _within(seconds * 2 / 3, asyncio.gather(*ending), "work in flight")
    for server in live.servers[-1:]:
        await _within(seconds / 5, server.stop(), "the internal server")
    for resource in reversed(live.started):
        await _within(live.service.resource_seconds or seconds / 5, resource.stop(), type(resource).__name__)
    if live.relay_task is not None:
        # After everybody who writes events: what an engine says last would wait for the next start otherwise.
        await live.relay.stop()
        await _within(seconds / 5, live.relay_task, "the relay")
    await live.service.engine.dispose()
    log.info("service_stopped", service=live.service.name)


async def _finish(tasks: Sequence[asyncio.Task[None]], seconds: float) -> None:
    """Lets loops end their step; what is not done in time is cancelled (its transaction rolls back)."""
    if not tasks:
        return
    _, pending = await asyncio.wait(tasks, timeout=seconds)
    for task in pending:
        log.warning("task_cancelled", task=task.get_name())
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _within(seconds: float, work: Any, what: str) -> None:
    try:
        await asyncio.wait_for(work, seconds)
    except Exception as error:
        log.warning("drain_incomplete", what=what, error=repr(error))
