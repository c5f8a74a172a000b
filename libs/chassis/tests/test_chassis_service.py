"""A whole process: it starts, says when it is ready, and leaves nothing undone when it is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import asyncpg
import httpx
import pytest

from chassis.ids import uuid7
from chassis.testing import eventually, read_topic
from stack.ports import free_ports

pytestmark = pytest.mark.integration

REVISION = """
from alembic import op
from chassis.migrations import create_chassis_tables

revision = "0001"
down_revision = None


def upgrade():
    create_chassis_tables(op)
    op.execute("CREATE TABLE heard (number int)")
"""

SERVICE = """
import asyncio
import os
from typing import ClassVar

from sqlalchemy import text

from chassis.consumer import Subscription
from chassis.database import make_engine
from chassis.errors import StartError
from chassis.http import make_app
from chassis.ids import uuid7
from chassis.outbox import Draft, Outbox
from chassis.service import Loop, Service, run
from chassis.settings import PublicSettings, service_config
from schemas.event import Event
from schemas.topics import Topic

TOPIC = Topic(os.environ["TOY_TOPIC"], "toy", "job id", "numbers", ())


class Counted(Event):
    type: ClassVar[str] = "dev.backlot.toy.counted.v1"
    topic: ClassVar[str] = TOPIC.name

    number: int


class Settings(PublicSettings):
    model_config = service_config("TOY_")

    needs_kafka: bool = True
    last_attempt_seconds: float = 0.0
    template: str = "whole"


def build(settings):
    if settings.template == "broken":
        raise StartError(["templates/banner.yaml: line 3: no such field", "templates/logo.yaml: is empty"])
    engine = make_engine(settings.database_url, name="toy")
    outbox = Outbox("/services/toy")
    public = make_app(title="Toy", public=True)
    rounds = []

    async def hear(conn, events):
        await conn.execute(text("INSERT INTO heard VALUES (:n)"), [{"n": event.data.number} for event in events])

    async def count_rounds():
        rounds.append(1)
        return False

    async def count(number):
        async with engine.begin() as conn:
            await outbox.add(conn, [Draft(Counted(number=number), uuid7(), uuid7())])

    @public.post("/numbers/{number}")
    async def say(number: int, slow: float = 0):
        await asyncio.sleep(slow)
        await count(number)
        return {"rounds": len(rounds)}

    class Engine:
        async def start(self):
            self.begun = asyncio.create_task(count(1000))

        async def stop(self):
            await self.begun
            await asyncio.sleep(settings.last_attempt_seconds)
            await count(1001)

    return Service(
        name="toy",
        package="toy_under_test",
        settings=settings,
        engine=engine,
        outbox=outbox,
        internal=make_app(title="Toy, inside", public=False),
        public=public,
        subscriptions=[Subscription(TOPIC, {Counted: hear})],
        topics=[TOPIC],
        loops=[Loop("counting", count_rounds, idle=0.05)],
        resources=[Engine()] if settings.last_attempt_seconds else [],
        needs_kafka=settings.needs_kafka,
    )


run(build, Settings)
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "toy_under_test"
    (folder / "migrations").mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "__main__.py").write_text(SERVICE)
    (folder / "migrations" / "__init__.py").touch()
    (folder / "migrations" / "0001_first.py").write_text(REVISION)
    return tmp_path


@pytest.fixture
def environ(database_url: str, kafka_bootstrap: str) -> dict[str, str]:
    internal, public = free_ports(2)
    return {
        "TOY_DATABASE_URL": database_url,
        "TOY_INTERNAL_PORT": str(internal),
        "TOY_HTTP_PORT": str(public),
        "TOY_TOPIC": f"toy-{uuid7().hex}",
        "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap,
        "BACKLOT_SECRET": "sixteen characters at least",
    }


@contextlib.asynccontextmanager
async def started(
    package: Path, environ: Mapping[str, str], *arguments: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "toy_under_test",
        *arguments,
        cwd=package,
        env={"PATH": os.environ["PATH"], **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def ended(process: asyncio.subprocess.Process, within: float = 20) -> tuple[int | None, str, str]:
    output, errors = await asyncio.wait_for(process.communicate(), within)
    return process.returncode, output.decode(), errors.decode()


async def answers(client: httpx.AsyncClient, url: str, status: int) -> bool:
    try:
        return (await client.get(url)).status_code == status
    except httpx.TransportError:
        return False


async def test_a_service_becomes_ready_works_and_drains_when_told_to_end(
    package: Path, environ: dict[str, str], kafka_bootstrap: str
) -> None:
    inside, outside = (f"http://127.0.0.1:{environ[port]}" for port in ("TOY_INTERNAL_PORT", "TOY_HTTP_PORT"))
    async with started(package, environ) as process, httpx.AsyncClient() as client:
        await eventually(lambda: answers(client, f"{inside}/readyz", 200), within=30)
        for number in range(20):
            assert (await client.post(f"{outside}/numbers/{number}")).status_code == 200
        assert "backlot_relay_leader 1.0" in (await client.get(f"{inside}/metrics")).text
        in_flight = asyncio.create_task(client.post(f"{outside}/numbers/20?slow=0.5"))
        await eventually(lambda: _in_flight(client, inside))
        process.send_signal(signal.SIGTERM)
        answer = await in_flight
        assert answer.status_code == 200
        assert answer.json()["rounds"] > 1
        code, output, errors = await ended(process)
    assert (code, errors) == (0, "")
    assert '"service_stopped"' in output
    assert len(await read_topic(kafka_bootstrap, environ["TOY_TOPIC"])) == 21
    conn = await asyncpg.connect(environ["TOY_DATABASE_URL"])
    assert await conn.fetchval("SELECT count(*) FROM outbox") == 0
    await conn.close()


async def test_what_an_engine_says_while_it_ends_is_sent_before_the_process_ends(
    package: Path, environ: dict[str, str], kafka_bootstrap: str
) -> None:
    environ |= {"TOY_LAST_ATTEMPT_SECONDS": "0.3"}
    async with started(package, environ) as process, httpx.AsyncClient() as client:
        await eventually(
            lambda: answers(client, f"http://127.0.0.1:{environ['TOY_INTERNAL_PORT']}/readyz", 200), within=30
        )
        process.send_signal(signal.SIGTERM)
        code, _, errors = await ended(process)
    assert (code, errors) == (0, "")
    sent = [json.loads(record.value)["number"] for record in await read_topic(kafka_bootstrap, environ["TOY_TOPIC"])]
    assert sorted(sent) == [1000, 1001]
    conn = await asyncpg.connect(environ["TOY_DATABASE_URL"])
    assert await conn.fetchval("SELECT count(*) FROM outbox") == 0
    await conn.close()


async def _in_flight(client: httpx.AsyncClient, inside: str) -> bool:
    text = (await client.get(f"{inside}/metrics")).text
    return 'backlot_http_requests_in_flight{app="public"} 1.0' in text


async def test_everything_that_prevents_a_start_is_said_at_once_in_words(
    package: Path, environ: dict[str, str]
) -> None:
    async def nobody(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    taken = await asyncio.start_server(nobody, "127.0.0.1", int(environ["TOY_HTTP_PORT"]))
    async with taken, started(package, {**environ, "TOY_TEMPLATE": "broken"}) as process:
        code, _, errors = await ended(process)
    assert code == 2
    assert f"TOY_HTTP_PORT: port {environ['TOY_HTTP_PORT']} of 127.0.0.1 is in use" in errors
    assert "templates/banner.yaml: line 3: no such field" in errors
    assert "templates/logo.yaml: is empty" in errors
    assert "Traceback" not in errors


async def test_what_is_wrong_with_files_is_said_by_a_check_and_a_port_in_use_is_not(
    package: Path, environ: dict[str, str]
) -> None:
    async def nobody(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    taken = await asyncio.start_server(nobody, "127.0.0.1", int(environ["TOY_HTTP_PORT"]))
    async with taken, started(package, {**environ, "TOY_TEMPLATE": "broken"}, "--check-config") as process:
        code, output, errors = await ended(process)
    assert (code, output) == (2, "")
    assert errors.splitlines()[1:] == [
        "  - templates/banner.yaml: line 3: no such field",
        "  - templates/logo.yaml: is empty",
    ]


async def test_the_settings_can_be_checked_without_starting(package: Path, environ: dict[str, str]) -> None:
    async with started(package, environ, "--check-config") as process:
        code, output, _ = await ended(process)
    assert code == 0
    assert f"TOY_HTTP_PORT={environ['TOY_HTTP_PORT']}" in output
    assert "sixteen" not in output


async def test_without_kafka_a_service_that_only_says_is_ready_and_keeps_what_it_says(
    package: Path, environ: dict[str, str]
) -> None:
    environ |= {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "TOY_NEEDS_KAFKA": "false"}
    inside, outside = (f"http://127.0.0.1:{environ[port]}" for port in ("TOY_INTERNAL_PORT", "TOY_HTTP_PORT"))
    async with started(package, environ) as process, httpx.AsyncClient() as client:
        await eventually(lambda: answers(client, f"{inside}/readyz", 200), within=30)
        assert (await client.post(f"{outside}/numbers/1")).status_code == 200
        process.send_signal(signal.SIGTERM)
        code, *_ = await ended(process)
    assert code == 0
    conn = await asyncpg.connect(environ["TOY_DATABASE_URL"])
    assert await conn.fetchval("SELECT count(*) FROM outbox") == 1
    await conn.close()


async def test_without_kafka_a_service_that_hears_is_alive_but_not_ready(
    package: Path, environ: dict[str, str]
) -> None:
    environ |= {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    inside = f"http://127.0.0.1:{environ['TOY_INTERNAL_PORT']}"
    async with started(package, environ), httpx.AsyncClient() as client:
        await eventually(lambda: answers(client, f"{inside}/livez", 200), within=30)
        await eventually(lambda: _lacks(client, inside, [f"{environ['TOY_TOPIC']}: not joined yet"]))


async def _lacks(client: httpx.AsyncClient, inside: str, problems: list[str]) -> bool:
    answer = await client.get(f"{inside}/readyz")
    assert answer.status_code == 503
    return bool(answer.json()["problems"] == problems)


async def test_a_service_that_waits_for_its_database_can_be_ended(package: Path, environ: dict[str, str]) -> None:
    environ |= {"TOY_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"}
    async with started(package, environ) as process:
        assert process.stdout is not None
        assert b"database_not_ready" in await asyncio.wait_for(process.stdout.readline(), 20)
        process.send_signal(signal.SIGTERM)
        code, *_ = await ended(process, within=10)
    assert code == 0


async def test_a_database_that_does_not_exist_is_said_in_words(package: Path, environ: dict[str, str]) -> None:
    environ["TOY_DATABASE_URL"] += "_missing"
    async with started(package, environ) as process:
        code, _, errors = await ended(process)
    assert code == 2
    assert "TOY_DATABASE_URL: the database refuses us" in errors
    assert "does not exist" in errors
