"""What a start is going to do, decided before anything starts: settings read, ports chosen, all that is wrong found."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psutil

from stack import ports, state
from stack.connector import started
from stack.errors import ServerError, StackError, StartRefusedError
from stack.java import java
from stack.postgres import programs
from stack.services import CONTROLLER_PORT, KAFKA_PORT, OFFSETS, POSTGRES_PORT, SIMULATOR_PORT, ServiceSpec
from stack.simulator import Simulated, simulated

DEFAULT_PORT = 8700
KAFKA_SETTING = "KAFKA_BOOTSTRAP_SERVERS"
PORT_SETTING = "BACKLOT_PORT"
HOME_SETTING = "BACKLOT_HOME"


@dataclass(frozen=True, slots=True)
class Plan:
    """``ports``: offset (stack/services.py) → port; ``kafka`` and ``databases``: what others run for us.

    ``services``: those that are started. ``problems``: a sentence for everything that speaks against starting it.
    ``simulated``: with which simulator.
    """

    ports: Mapping[int, int]
    kafka: str | None
    databases: Mapping[str, str]
    services: tuple[ServiceSpec, ...]
    problems: tuple[str, ...] = ()
    simulated: Simulated | None = None

    @property
    def needs_kafka(self) -> bool:
        """Whether we run the broker."""
        return self.kafka is None

    @property
    def needs_postgres(self) -> bool:
        """Whether at least one service has no database of its own."""
        return len(self.databases) < len(self.services)


def home_folder(environ: Mapping[str, str]) -> Path:
    """The state folder: ``BACKLOT_HOME``, else ``.backlot`` in the current folder."""
    return Path(environ.get(HOME_SETTING) or ".backlot").expanduser().absolute()


def make_home(home: Path) -> None:
    """Make the state folder, closed to other users; StartRefusedError when it cannot be written."""
    try:
        # Root's server runs as another user, who has to pass through; what is secret in here has a mode of its own.
        home.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        (home / "logs").mkdir(mode=0o700, exist_ok=True)
        (home / "objects").mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StartRefusedError([f"The state folder {home} cannot be made: {error.strerror}."]) from error
    if not os.access(home, os.W_OK | os.X_OK):
        raise StartRefusedError([f"The state folder {home} cannot be written by this user."])


def make_plan(home: Path, port: int | None, environ: Mapping[str, str], *, wires: Sequence[str] | None = None) -> Plan:
    """The plan for a start over ``home``, which is ours already, with every problem there is.

    ``wires``: the simulator is started, and speaks these besides its own; None: without a simulator.
    """
    problems: list[str] = []
    base = _noted(problems, lambda: base_port(port, environ))
    plan = plan_for(_choose_ports(home, DEFAULT_PORT if base is None else base), environ)
    if wires is not None:
        plan = _with_simulator(plan, wires, environ, problems)
    problems += ports_in_use(plan) if base is not None else []
    problems += _missing_programs(plan)
    problems += outside_problems(plan)
    return replace(plan, problems=tuple(problems))


def plan_for(chosen: Mapping[int, int], environ: Mapping[str, str]) -> Plan:
    """The plan with these ports, unchecked."""
    services = started(environ)
    databases = {spec.package: url for spec in services if (url := environ.get(f"{spec.prefix}DATABASE_URL"))}
    return Plan(chosen, environ.get(KAFKA_SETTING) or None, databases, services)


def _with_simulator(plan: Plan, wires: Sequence[str], environ: Mapping[str, str], problems: list[str]) -> Plan:
    try:
        return replace(plan, simulated=simulated(plan.ports[SIMULATOR_PORT], wires, environ))
    except ServerError as error:
        problems.append(str(error))
        return plan


def _noted(problems: list[str], read: Callable[[], int]) -> int | None:
    try:
        return read()
    except ValueError as error:
        problems.append(str(error))
        return None


def base_port(port: int | None, environ: Mapping[str, str]) -> int:
    """The first port, 0 for free ones; ValueError with a sentence when the setting cannot be read."""
    text = str(port) if port is not None else environ.get(PORT_SETTING) or str(DEFAULT_PORT)
    highest = 65_535 - OFFSETS[-1]
    if not text.isascii() or not text.isdigit() or int(text) > highest:
        raise ValueError(f"{PORT_SETTING} is {text!r}: it has to be a number up to {highest}, or 0 for free ports.")
    return int(text)


def _choose_ports(home: Path, base: int) -> dict[int, int]:
    if base != 0:
        return {offset: base + offset for offset in OFFSETS}
    kept = {offset: port for offset, port in state.read_ports(home).items() if ports.is_free(port)}
    lacking = [offset for offset in OFFSETS if offset not in kept]
    chosen = kept | dict(zip(lacking, ports.free_ports(len(lacking)), strict=True))
    state.write_ports(home, chosen)
    return chosen


def ports_in_use(plan: Plan) -> Iterator[str]:
    """A sentence for every port of the plan that somebody listens on."""
    names = {spec.internal: f"{spec.name}, internal" for spec in plan.services}
    names |= {spec.public: spec.name for spec in plan.services if spec.public is not None}
    if plan.needs_kafka:
        names |= {KAFKA_PORT: "kafka", CONTROLLER_PORT: "kafka's controller"}
    if plan.needs_postgres:
        names |= {POSTGRES_PORT: "postgres"}
    if plan.simulated is not None:
        names |= {SIMULATOR_PORT: "simulator"}
    for offset, port in sorted(plan.ports.items()):
        if offset in names and not ports.is_free(port):
            yield f"Port {port} ({names[offset]}) is in use{_listener(port)}. End it, or set {PORT_SETTING}=0."


def _listener(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
                return f" by process {connection.pid} ({psutil.Process(connection.pid).name()})"
    except (psutil.Error, OSError):
        pass  # another user's process: its name is not ours to see
    return ""


def _missing_programs(plan: Plan) -> Iterator[str]:
    wanted = [java] if plan.needs_kafka else []
    wanted += [programs] if plan.needs_postgres else []
    for look_for in wanted:
        try:
            look_for()
        except StackError as error:
            yield str(error)


def outside_problems(plan: Plan) -> Iterator[str]:
    """A sentence for every address of what others run for us that is none, or where nobody answers."""
    for server in plan.kafka.split(",") if plan.kafka else []:
        host, _, port = server.strip().rpartition(":")
        if not host or not port.isdigit():
            yield f"{KAFKA_SETTING} has {server!r}: it has to be host:port, several with commas between."
        elif trouble := _unreachable(host.strip("[]"), int(port)):
            yield f"Kafka at {server} ({KAFKA_SETTING}) cannot be reached: {trouble}."
    for package, url in plan.databases.items():
        if trouble := _database_trouble(url):
            yield f"{package.upper()}_DATABASE_URL: {trouble}."


def _database_trouble(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 5432
    except ValueError as error:
        return f"it is no address ({error})"
    if parts.scheme not in {"postgresql", "postgres"} or len(parts.path) < 2:
        return "it has to look like postgresql://user:password@host:port/database"
    if host is None or "host" in parse_qs(parts.query):  # a unix socket; the service will say it if it is not there
        return None
    trouble = _unreachable(host, port)
    return f"{host}:{port} cannot be reached: {trouble}" if trouble else None


def _unreachable(host: str, port: int) -> str | None:
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError as error:
        return str(error.strerror or error)
    return None
