"""The whole system over one state folder, with stand-ins for the five services."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import httpx
import psutil
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from stack import state
from stack.errors import FolderHeldError, ServerError, StartRefusedError
from stack.ownership import is_held
from stack.ports import LOOPBACK, is_free
from stack.services import OFFSETS, SERVICES
from stack.state import StackInfo
from stack.system import System, start_detached, stop
from stack.testing import PostgresServer

pytestmark = pytest.mark.integration

STAND_IN = Path(__file__).with_name("standin_service.py")
START = """
import runpy, sys
sys.argv[1:] = ["{prefix}", *sys.argv[1:]]
runpy.run_path("{program}", run_name="__main__")
"""
ECHO_WIRE = """
from simulator.wire import Wire
WIRE = Wire(name="echo", endpoints=(), key_of=lambda request: None, refusal=lambda refused: None)
"""
NAMES = ["api-gateway", "cost-ledger", "kafka", "postgres", "prompt-service", "provider-worker", "storage-service"]


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which ``python -m <service>`` starts a stand-in."""
    folder = tmp_path_factory.mktemp("stand-ins")
    for spec in SERVICES:
        (folder / spec.package).mkdir()
        (folder / spec.package / "__init__.py").touch()
        (folder / spec.package / "__main__.py").write_text(START.format(prefix=spec.prefix, program=STAND_IN))
    return {"PYTHONPATH": os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])}


@pytest.fixture
def outside(stand_ins: dict[str, str], kafka_bootstrap: str, postgres_server: PostgresServer) -> dict[str, str]:
    """An environment in which Kafka and all databases are somebody else's."""
    urls = {f"{spec.prefix}DATABASE_URL": postgres_server.url("postgres") for spec in SERVICES}
    return {**stand_ins, **urls, "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, stand_ins: dict[str, str]) -> Iterator[StackInfo]:
    """A system in the background, for the tests that leave it as it was."""
    home = tmp_path_factory.mktemp("system") / "home"
    yield start_detached(home, port=0, env=stand_ins)
    stop(home)


def environment_of(info: StackInfo, name: str) -> dict[str, str]:
    """What the stand-in of a service sees, asked over HTTP at the address another service was told."""
    base = json.loads(urllib.request.urlopen(internal_url(info, "api-gateway"), timeout=5).read())
    address = internal_url(info, name) if name == "api-gateway" else base[f"{name.upper().replace('-', '_')}_URL"]
    seen: dict[str, str] = json.loads(urllib.request.urlopen(f"{address}/", timeout=5).read())
    return seen


def internal_url(info: StackInfo, name: str) -> str:
    ports = state.read_ports(Path(info.home))
    return f"http://127.0.0.1:{ports[next(spec.internal for spec in SERVICES if spec.name == name)]}"


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(what: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


async def ask(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def test_stack_json_says_where_everything_is_and_only_its_owner_can_read_it(running: StackInfo) -> None:
    file = Path(running.home) / "stack.json"
    noted = json.loads(file.read_text())

    places = {"gateway", "assets", "kafka", "databases", "simulator", "home", "readiness"}
    assert noted.keys() == places | {"api_key", "processes"}
    assert noted["simulator"] is None
    assert sorted(noted["processes"]) == sorted([*NAMES, "supervisor"])
    ready = {name: httpx.get(address, trust_env=False).status_code for name, address in noted["readiness"].items()}
    assert ready == {spec.name: 200 for spec in SERVICES}
    assert all(lives(pid) for pid in noted["processes"].values())
    assert sorted(noted["databases"]) == sorted(spec.package for spec in SERVICES)
    assert noted["api_key"].startswith("bk_")
    assert file.stat().st_mode & 0o777 == 0o600


async def test_every_service_has_a_database_of_its_own(running: StackInfo) -> None:
    for package, url in running.databases.items():
        assert await ask(url, "SELECT current_database()") == package


def test_every_service_is_told_what_it_needs(running: StackInfo) -> None:
    for spec in SERVICES:
        seen = environment_of(running, spec.name)
        assert seen["KAFKA_BOOTSTRAP_SERVERS"] == running.kafka
        assert seen["BACKLOT_SECRET"] == state.keep_secrets(Path(running.home)).secret
        assert seen["ASSET_PUBLIC_URL"] == running.assets
        assert seen["BACKLOT_OBJECTS_DIR"] == str(Path(running.home) / "objects")
        assert seen["API_GATEWAY_BOOTSTRAP_KEY"] == running.api_key
        assert f"/{spec.package}?host=/" in seen[f"{spec.prefix}DATABASE_URL"]
        others = {other.prefix for other in SERVICES if other != spec}
        assert not any(f"{prefix}DATABASE_URL" in seen for prefix in others)
    worker = environment_of(running, "provider-worker")
    assert worker["PROVIDER_WORKER_CALLBACK_URL"] == running.gateway
    provenance = Path(running.home) / "provenance"
    assert worker["PROVIDER_WORKER_PROVENANCE_CERT"] == str(provenance / "certificate.pem")
    assert worker["PROVIDER_WORKER_PROVENANCE_KEY"] == str(provenance / "key.pem")
    assert environment_of(running, "api-gateway")["API_GATEWAY_HTTP_PORT"] == running.gateway.rsplit(":", 1)[1]
    assert environment_of(running, "storage-service")["STORAGE_SERVICE_HTTP_PORT"] == running.assets.rsplit(":", 1)[1]


def test_what_a_service_writes_is_in_its_log(running: StackInfo) -> None:
    lines = (Path(running.home) / "logs" / "cost-ledger.log").read_text().splitlines()

    assert json.loads(lines[0])["event"] == "started"


def test_a_second_start_over_the_same_folder_is_refused_and_told_who_has_it(running: StackInfo) -> None:
    home = Path(running.home)

    with pytest.raises(FolderHeldError, match=f"in use by process {running.processes['supervisor']} "):
        start_detached(home)
    command = [sys.executable, "-m", "stack", "--home", str(home)]
    foreground = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert foreground.returncode == 1
    assert f"in use by process {running.processes['supervisor']} " in foreground.stderr
    assert state.running(home) == running


def test_whatever_is_killed_is_started_again_at_the_same_place_and_noted(running: StackInfo) -> None:
    home = Path(running.home)
    before = running.processes

    for name in NAMES:
        os.kill(before[name], signal.SIGKILL)

    def all_back() -> bool:
        now = state.running(home)
        again = (home / "logs" / "supervisor.log").read_text()
        changed = now is not None and all(now.processes[name] != before[name] for name in NAMES)
        return changed and all(f"{name} ready again" in again for name in NAMES)

    wait_until(all_back, 120)
    after = state.running(home)
    assert after is not None
    assert all(lives(pid) for pid in after.processes.values())
    assert (after.gateway, after.kafka, after.databases) == (running.gateway, running.kafka, running.databases)
    assert environment_of(after, "cost-ledger")["KAFKA_BOOTSTRAP_SERVERS"] == running.kafka


async def test_when_the_owner_is_killed_all_is_gone_and_the_next_start_has_the_same_data(
    running: StackInfo, stand_ins: dict[str, str]
) -> None:
    """The last test that has this system: it leaves another one in its place."""
    home = Path(running.home)
    first = state.running(home)
    assert first is not None
    await ask(first.databases["cost_ledger"], "CREATE TABLE entries AS SELECT 42 AS amount")
    admin = AIOKafkaAdminClient(bootstrap_servers=first.kafka)
    await admin.start()
    await admin.create_topics([NewTopic("jobs", 1, 1)])
    await admin.close()

    os.kill(first.processes["supervisor"], signal.SIGKILL)
    second = await asyncio.to_thread(start_detached, home, port=0, env=stand_ins)
    try:
        assert not any(lives(pid) for pid in first.processes.values())
        assert second.databases == first.databases
        assert second.api_key == first.api_key
        assert await ask(second.databases["cost_ledger"], "SELECT amount FROM entries") == 42
        admin = AIOKafkaAdminClient(bootstrap_servers=second.kafka)
        await admin.start()
        assert "jobs" in await admin.list_topics()
        await admin.close()
    finally:
        stop(home)
    assert not any(lives(pid) for pid in second.processes.values())
    assert not (home / "stack.json").exists()


async def test_with_kafka_and_databases_of_others_only_the_services_are_started(
    tmp_path: Path, outside: dict[str, str]
) -> None:
    heard: list[str] = []
    async with System(tmp_path, port=0, env=outside, on_event=heard.append) as system:
        assert sorted(system.pids) == sorted([*(spec.name for spec in SERVICES), "supervisor"])
        assert system.info.kafka == outside["KAFKA_BOOTSTRAP_SERVERS"]
        assert state.running(tmp_path) == system.info

    assert state.running(tmp_path) is None
    assert heard[-2].startswith("api-gateway ready in ")
    assert heard[-1].startswith("backlot ready in ")


async def test_what_a_caller_gives_one_service_reaches_that_service_alone(
    tmp_path: Path, outside: dict[str, str]
) -> None:
    given = {"provider-worker": {"SANDBOX_DELAY": "0"}}
    async with System(tmp_path, port=0, env=outside, service_env=given) as system:
        worker = await asyncio.to_thread(environment_of, system.info, "provider-worker")
        ledger = await asyncio.to_thread(environment_of, system.info, "cost-ledger")

    assert worker["SANDBOX_DELAY"] == "0"
    assert "SANDBOX_DELAY" not in ledger


async def test_a_certificate_of_ones_own_is_never_paired_with_the_key_of_the_house(
    tmp_path: Path, outside: dict[str, str]
) -> None:
    env = {**outside, "PROVIDER_WORKER_PROVENANCE_CERT": "mine.pem"}
    async with System(tmp_path, port=0, env=env) as system:
        worker = await asyncio.to_thread(environment_of, system.info, "provider-worker")

    assert worker["PROVIDER_WORKER_PROVENANCE_CERT"] == "mine.pem"
    assert "PROVIDER_WORKER_PROVENANCE_KEY" not in worker


async def test_with_the_simulator_the_worker_has_its_keys_alone_and_it_is_kept_running(
    tmp_path: Path, outside: dict[str, str]
) -> None:
    env = {**outside, "FAL_KEY": "real", "PAINTER_TOKEN": "real", "OPENAI_API_URL": "https://api.openai.com/v1"}
    async with System(tmp_path, port=0, env=env, wires=[]) as system:
        url, killed = str(system.info.simulator), system.pids["simulator"]
        worker = await asyncio.to_thread(environment_of, system.info, "provider-worker")
        os.kill(killed, signal.SIGKILL)
        await asyncio.to_thread(wait_until, lambda: system.info.processes["simulator"] != killed)
        await asyncio.to_thread(wait_until, lambda: answers(f"{url}/admin/health"))
        again = system.pids["simulator"]

    assert (worker["FAL_KEY"], worker["FAL_API_URL"]) == ("sim-fal", f"{url}/fal")
    assert worker["OPENAI_API_URL"] == f"{url}/openai/v1"
    assert "PAINTER_TOKEN" not in worker
    assert (tmp_path / "logs" / "simulator.log").exists()
    assert not lives(again)


def test_in_the_background_the_simulator_speaks_the_wires_it_was_given_and_ends_with_its_owner(
    tmp_path: Path, outside: dict[str, str]
) -> None:
    (tmp_path / "echo_wire.py").write_text(ECHO_WIRE)
    env = {**outside, "PYTHONPATH": os.pathsep.join([str(tmp_path), outside["PYTHONPATH"]])}
    info = start_detached(tmp_path / "home", port=0, env=env, wires=["echo_wire"])
    try:
        served = httpx.get(f"{info.simulator}/admin/health", trust_env=False).json()["providers"]
        os.kill(info.processes["supervisor"], signal.SIGKILL)
        wait_until(lambda: not lives(info.processes["simulator"]))
    finally:
        stop(tmp_path / "home")
    assert {"echo", "fal"} <= set(served)


# The gateway among them: it is started when the others are ready, and is to be told of all the same.
BROKEN = {
    name: {"REFUSE_TO_START": "templates are missing"} for name in ("prompt-service", "cost-ledger", "api-gateway")
}
BROKEN_SAY = [f"{name}: templates are missing" for name in BROKEN]


async def test_a_port_in_use_and_all_broken_services_are_told_together_and_nothing_is_started(
    tmp_path: Path, outside: dict[str, str]
) -> None:
    taken = next(base for base in range(15_000, 30_000, 50) if all(is_free(base + offset) for offset in OFFSETS))
    heard: list[str] = []
    with socket.create_server((LOOPBACK, taken)):
        system = System(tmp_path, port=taken, env=outside, service_env=BROKEN, on_event=heard.append)
        with pytest.raises(StartRefusedError) as failed:
            await system.start()

    port, *services = failed.value.problems
    assert port.startswith(f"Port {taken} (api-gateway) is in use by process {os.getpid()} ")
    assert sorted(services) == sorted(BROKEN_SAY)
    assert heard == []
    assert not list((tmp_path / "logs").iterdir())
    assert not is_held(tmp_path)


async def test_a_service_that_fails_for_another_reason_is_told_beside_those_with_wrong_settings(
    tmp_path: Path, outside: dict[str, str]
) -> None:
    (tmp_path / "there").touch()
    given = {**BROKEN, "storage-service": {"REFUSE_WHILE_THERE_IS": str(tmp_path / "there")}}

    with pytest.raises(StartRefusedError) as failed:
        await System(tmp_path, port=0, env=outside, service_env=given).start()

    other, *services = failed.value.problems
    assert other.startswith("storage-service ended with status 1:")
    assert sorted(services) == sorted(BROKEN_SAY)


async def test_a_server_that_does_not_start_is_told_beside_broken_services(
    tmp_path: Path, outside: dict[str, str]
) -> None:
    (tmp_path / "kafka" / "data").mkdir(parents=True)
    (tmp_path / "kafka" / "data" / "letter.txt").write_text("dear reader")
    system = System(tmp_path, port=0, env={**outside, "KAFKA_BOOTSTRAP_SERVERS": ""}, service_env=BROKEN)

    with pytest.raises(StartRefusedError) as failed:
        await system.start()

    server, *services = failed.value.problems
    assert "is in the way" in server
    assert sorted(services) == sorted(BROKEN_SAY)
    assert not is_held(tmp_path)


async def test_services_that_do_not_start_are_all_named_and_nothing_is_left(
    tmp_path: Path, outside: dict[str, str]
) -> None:
    system = System(tmp_path, port=0, env=outside, service_env=BROKEN)

    with pytest.raises(StartRefusedError) as failed:
        await system.start()

    assert sorted(failed.value.problems) == sorted(BROKEN_SAY)
    assert system.pids == {"supervisor": os.getpid()}
    started = json.loads((tmp_path / "logs" / "storage-service.log").read_text().splitlines()[0])
    assert not lives(started["pid"])


def test_a_detached_start_that_fails_says_why_and_leaves_nothing(tmp_path: Path, outside: dict[str, str]) -> None:
    env = {**outside, "REFUSE_TO_START": "no templates here", "COST_LEDGER_DATABASE_URL": "nonsense"}

    with pytest.raises(ServerError, match="COST_LEDGER_DATABASE_URL: it has to look like postgresql://"):
        start_detached(tmp_path, port=0, env=env)

    assert stop(tmp_path) is False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_in_the_foreground_a_signal_ends_it_in_order(
    tmp_path: Path, outside: dict[str, str], number: signal.Signals
) -> None:
    command = [sys.executable, "-m", "stack", "--home", str(tmp_path), "--port", "0"]
    with subprocess.Popen(command, env={**os.environ, **outside}, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        said = next(line for line in owner.stdout if line.startswith("backlot ready in"))
        info = state.running(tmp_path)
        assert info is not None
        assert info.gateway in said
        owner.send_signal(number)
        assert owner.wait(30) == 0

    assert not any(lives(pid) for pid in info.processes.values())
    assert not (tmp_path / "stack.json").exists()
