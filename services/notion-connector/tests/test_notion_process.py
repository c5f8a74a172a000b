"""The real process on the real Kafka and PostgreSQL: from a page to a manifest and back, in five seconds."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process, create_subprocess_exec
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import asyncpg
import httpx
import pytest
from confluent_kafka import Producer

from chassis.ids import uuid7
from chassis.testing import event_of, eventually
from schemas.cloudevents import encode
from schemas.event import Event
from stack.ports import free_ports
from tests.connector_house import accepted, completed, failed
from tests.gateway_stub import API_KEY, GatewayStub, gateway_stub
from tests.notion_stub import TOKEN, NotionStub, Page, notion_stub

pytestmark = pytest.mark.integration

KILLED = 137


@dataclass
class World:
    """What the process sees of the world, and what it is told at its start."""

    notion: NotionStub
    gateway: GatewayStub
    producer: Producer
    environment: dict[str, str]
    log: Path

    def say(self, *events: Event) -> None:
        """On Kafka, as the gateway says it; returns when the broker has it."""
        for event in events:
            key, value, headers = encode(event_of(event, subject=event.job_id))  # type: ignore[attr-defined]
            self.producer.produce(event.topic, value, key, headers=dict(headers))
        assert self.producer.flush(20) == 0

    async def start(self, **more: str) -> Process:
        with self.log.open("ab") as log:
            command = (sys.executable, "-m", "notion_connector")
            return await create_subprocess_exec(*command, env={**self.environment, **more}, stdout=log, stderr=log)

    @asynccontextmanager
    async def running(self, **more: str) -> AsyncIterator[Process]:
        """The process from its readiness to its orderly end."""
        process = await self.start(**more)
        try:
            await self.ready(process, int(more.get("NOTION_CONNECTOR_INTERNAL_PORT", self.port)))
            yield process
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            code = await asyncio.wait_for(process.wait(), 30)
        assert code == 0, self.log.read_text()[-2000:]

    @property
    def port(self) -> int:
        return int(self.environment["NOTION_CONNECTOR_INTERNAL_PORT"])

    async def ready(self, process: Process, port: int) -> None:
        async with asyncio.timeout(60), httpx.AsyncClient(trust_env=False) as client:
            while process.returncode is None:
                try:
                    if (await client.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200:
                        return
                except httpx.HTTPError:
                    pass
                await asyncio.sleep(0.05)
        raise AssertionError(self.log.read_text()[-2000:])

    def job_of(self, page: Page) -> UUID:
        return next(job for body, job in self.gateway.jobs.values() if body["labels"]["notion_page_id"] == page.id)


@pytest.fixture
async def world(database_url: str, kafka_bootstrap: str, tmp_path: Path) -> AsyncIterator[World]:
    async with notion_stub() as notion, gateway_stub() as gateway:
        environment = {
            "PATH": os.environ["PATH"],
            "NOTION_CONNECTOR_DATABASE_URL": database_url,
            "NOTION_CONNECTOR_INTERNAL_PORT": str(free_ports(1)[0]),
            "NOTION_CONNECTOR_NOTION_URL": notion.url,
            "NOTION_CONNECTOR_GATEWAY_URL": gateway.url,
            "NOTION_CONNECTOR_API_KEY": API_KEY,
            "NOTION_CONNECTOR_POLL_SECONDS": "0.5",
            "NOTION_TOKEN": TOKEN,
            "NOTION_DATABASE_ID": notion.database_id,
            "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap,
        }
        yield World(notion, gateway, Producer({"bootstrap.servers": kafka_bootstrap}), environment, tmp_path / "log")


async def shows(page: Page, status: str, *, within: float = 20) -> None:
    async def look() -> bool:
        return page.status == status

    await eventually(look, within=within)


async def test_a_page_goes_the_whole_way_and_its_end_stands_there_within_five_seconds(world: World) -> None:
    page = world.notion.add(Project="whole-way")
    async with world.running():
        await shows(page, "Generating Assets")
        job = world.job_of(page)
        said = time.monotonic()
        world.say(accepted(job, page), completed(job, page))
        await shows(page, "Assets Ready", within=5)
        assert time.monotonic() - said < 5
    assert page.statuses == ["Generating Assets", "Assets Ready"]
    assert page.values["Total Cost"] == 1.496
    assert len(world.gateway.asked) == 1
    log = world.log.read_text()
    assert TOKEN not in log
    assert API_KEY not in log


async def test_pages_that_end_while_one_hangs_are_written_within_five_seconds(world: World) -> None:
    """Notion does not answer for the first of them."""
    pages = [world.notion.add(Status="Draft") for _ in range(4)]
    world.notion.faults.append("hang")
    jobs = [uuid7() for _ in pages]
    world.gateway.known.update(jobs)
    async with world.running(NOTION_CONNECTOR_POLL_SECONDS="60"):
        world.say(*[completed(job, page) for job, page in zip(jobs, pages, strict=True)])

        async def look() -> bool:
            return sum(page.status == "Assets Ready" for page in pages) == 3

        await eventually(look, within=5)
        world.notion.released.set()
        for page in pages:
            await shows(page, "Assets Ready")


@pytest.mark.parametrize("step", ["before_submit", "after_submit"])
async def test_a_kill_around_the_submission_neither_loses_nor_doubles_it(world: World, step: str) -> None:
    page = world.notion.add(Project=step.replace("_", "-"))
    doomed = await world.start(BACKLOT_CRASH_AT=f"notion.{step}")
    assert await asyncio.wait_for(doomed.wait(), 60) == KILLED, world.log.read_text()[-2000:]
    assert len(world.gateway.jobs) == (step == "after_submit")
    page.values["Topic"], page.edited = "Edited meanwhile", "2026-07-01T12:09:00.000Z"
    await expire_leases(world)
    async with world.running():
        await shows(page, "Generating Assets")
        world.say(failed(world.job_of(page), page))
        await shows(page, "Asset Error")
    assert len(world.gateway.jobs) == 1
    assert len(set(world.gateway.asked)) == 1


async def test_what_was_said_while_it_was_down_stands_in_the_page_after_a_restart(world: World) -> None:
    page, job = world.notion.add(Status="Draft"), uuid7()
    world.gateway.known.add(job)
    killed = await world.start()
    await world.ready(killed, world.port)
    world.say(accepted(job, page))
    await shows(page, "Generating Assets")
    killed.kill()
    await killed.wait()
    world.say(completed(job, page))
    async with world.running():
        await shows(page, "Assets Ready", within=40)


async def test_two_processes_submit_once_and_keep_one_pace(world: World) -> None:
    pages = [world.notion.add(Project=f"two-{number}") for number in range(4)]
    other = {"NOTION_CONNECTOR_INTERNAL_PORT": str(free_ports(1)[0]), "NOTION_CONNECTOR_POLL_SECONDS": "2"}
    async with world.running(NOTION_CONNECTOR_POLL_SECONDS="2"), world.running(**other):
        for page in pages:
            await shows(page, "Generating Assets", within=40)
        world.say(*[completed(world.job_of(page), page) for page in pages])
        for page in pages:
            await shows(page, "Assets Ready", within=40)
    assert len(world.gateway.asked) == len(world.gateway.jobs) == 4
    assert 429 not in {status for *_, status in world.notion.seen}
    assert all(page.statuses == ["Generating Assets", "Assets Ready"] for page in pages)


async def test_without_a_token_it_does_not_start_and_says_what_is_missing(world: World) -> None:
    given = {name: text for name, text in world.environment.items() if not name.startswith("NOTION_TOKEN")}
    command = (sys.executable, "-m", "notion_connector", "--check-config")
    process = await create_subprocess_exec(*command, env=given, stdout=DEVNULL, stderr=PIPE)
    _, said = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 2
    assert b"NOTION_TOKEN is not set" in said


async def test_the_settings_are_told_without_their_secrets(world: World) -> None:
    command = (sys.executable, "-m", "notion_connector", "--check-config")
    process = await create_subprocess_exec(*command, env=world.environment, stdout=PIPE)
    said, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    assert b"NOTION_TOKEN=***" in said
    assert TOKEN.encode() not in said
    assert API_KEY.encode() not in said
    assert b"BACKLOT_SECRET" not in said


async def expire_leases(world: World) -> None:
    """As if the killed process had been gone for a minute."""
    conn = await asyncpg.connect(world.environment["NOTION_CONNECTOR_DATABASE_URL"])
    try:
        await conn.execute("UPDATE request SET leased_until = '-infinity'")
    finally:
        await conn.close()
