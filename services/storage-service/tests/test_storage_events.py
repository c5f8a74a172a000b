"""The whole way over the real Kafka: what the worker says goes in, what this service says comes out."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, create_subprocess_exec
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from confluent_kafka import Consumer, Message, Producer

from schemas.assets import AssetStored, AssetStoreFailed
from schemas.cloudevents import CloudEvent, decode, encode
from schemas.event import Event
from schemas.events import BY_TYPE
from schemas.topics import ASSETS, GENERATIONS
from stack.ports import free_ports
from stack.testing import PostgresServer
from tests.storage_house import PICTURE, SECRET, TOO_WIDE, TRACE, House, completed, event, house_in, migrated_database

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[str]:
    yield from migrated_database(postgres_server)


@pytest.fixture
async def house(database: str, tmp_path: Path) -> AsyncIterator[House]:
    async with house_in(database, tmp_path / "objects") as house:
        yield house


@asynccontextmanager
async def service(database_url: str, objects: Path, kafka: str) -> AsyncIterator[str]:
    """The real process, ready; yields its public origin."""
    public, internal = free_ports(2)
    origin = f"http://127.0.0.1:{public}"
    environment = {
        **os.environ,
        "STORAGE_SERVICE_DATABASE_URL": database_url,
        "STORAGE_SERVICE_HTTP_PORT": str(public),
        "STORAGE_SERVICE_INTERNAL_PORT": str(internal),
        "KAFKA_BOOTSTRAP_SERVERS": kafka,
        "BACKLOT_SECRET": SECRET,
        "BACKLOT_OBJECTS_DIR": str(objects),
        "ASSET_PUBLIC_URL": origin,
    }
    process = await create_subprocess_exec(sys.executable, "-m", "storage_service", env=environment, stdout=DEVNULL)
    try:
        await ready(f"http://127.0.0.1:{internal}/readyz")
        yield origin
    finally:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 25) == 0


async def ready(url: str) -> None:
    async with httpx.AsyncClient() as client, asyncio.timeout(90):
        while True:
            try:
                if (await client.get(url)).status_code == 200:
                    return
            except httpx.ConnectError:
                pass
            await asyncio.sleep(0.1)


def say(kafka: str, events: Sequence[CloudEvent[Event]]) -> None:
    producer = Producer({"bootstrap.servers": kafka})
    for one in events:
        key, value, headers = encode(one)
        producer.produce(GENERATIONS.name, value, key, headers=list(headers))
    assert producer.flush(30) == 0


def heard(kafka: str, jobs: set[UUID]) -> list[CloudEvent[Event]]:
    """What was said of `jobs`, once something was said of each."""
    consumer = Consumer(
        {"bootstrap.servers": kafka, "group.id": f"test-{time.time_ns()}", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([ASSETS.name])
    # The broker is shared with other tests, whose records may have any key.
    keys = {str(job).encode() for job in jobs}
    found: list[CloudEvent[Event]] = []
    try:
        for message in messages(consumer):
            if message.key() in keys:
                found.append(decode(message.headers() or [], message.value(), BY_TYPE))  # type: ignore[arg-type]
            if {one.subject for one in found} == jobs:
                return found
    finally:
        consumer.close()
    raise AssertionError(f"of {jobs} only {found} came")


def messages(consumer: Consumer) -> Iterator[Message]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        message = consumer.poll(0.5)
        if message is None:
            continue
        assert message.error() is None
        yield message


async def test_what_the_worker_made_is_stored_told_and_served(
    house: House, database: str, kafka_bootstrap: str
) -> None:
    good = completed([await house.stage()], visibility="public")
    again = event(good.data)
    bad = completed([await house.stage(sha256="ab" * 32)])
    impossible = completed([await house.stage(b"never", width=TOO_WIDE)])
    async with service(database, house.root, kafka_bootstrap) as origin:
        say(kafka_bootstrap, [good, bad, again, impossible])
        told = await asyncio.to_thread(heard, kafka_bootstrap, {good.subject, bad.subject, impossible.subject})
        [(stored, said)] = [(one, one.data) for one in told if isinstance(one.data, AssetStored)]
        failed = {one.subject for one in told if isinstance(one.data, AssetStoreFailed)}
        assert stored.subject == good.subject
        assert failed == {bad.subject, impossible.subject}
        assert stored.source == "/services/storage-service"
        assert stored.traceparent == TRACE
        async with httpx.AsyncClient() as client:
            assert said.url.startswith(origin)
            assert (await client.get(said.url)).content == PICTURE
