"""Kafka as a child process: nothing that was acknowledged is lost."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from stack.errors import ServerError
from stack.kafka import Kafka
from stack.ownership import is_held
from stack.ports import free_ports

pytestmark = pytest.mark.integration


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Kafka]:
    kafka = Kafka(tmp_path / "kafka", *free_ports(2))
    yield kafka
    await kafka.stop()


async def test_acknowledged_records_are_there_after_the_broker_was_killed(broker: Kafka) -> None:
    half_made = broker.folder / "data.new"
    half_made.mkdir(parents=True)
    (half_made / "meta.properties").write_text("version=1\n")  # an earlier start was killed while it made the folder
    await broker.start()
    assert broker.folder.stat().st_mode & 0o077 == 0, "other users of this machine can read what was sent"
    await create_topic(broker, "jobs", partitions=3)
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap, acks="all") as producer:
        for number in range(500):
            await producer.send("jobs", b"%d" % number, key=b"%d" % number)
        await producer.flush()

    os.kill(broker.child.pid, signal.SIGKILL)
    await broker.child.wait()
    await broker.run()

    assert await read_all(broker, "jobs", 500) == sorted(b"%d" % number for number in range(500))


async def test_a_broker_that_is_still_starting_ends_at_once(broker: Kafka) -> None:
    starting = asyncio.create_task(broker.start())
    await asyncio.wait({starting}, timeout=1.0)
    assert not starting.done()

    began = time.monotonic()
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)

    assert time.monotonic() - began < 5
    assert not is_held(broker.folder)


async def test_something_else_in_the_place_of_the_log_is_left_alone(broker: Kafka) -> None:
    letter = broker.folder / "data" / "letter.txt"
    letter.parent.mkdir(parents=True)
    letter.write_text("dear reader")

    with pytest.raises(ServerError, match="is in the way"):
        await broker.start()

    assert letter.read_text() == "dear reader"


async def test_a_broker_that_cannot_start_says_why(broker: Kafka) -> None:
    broken = Kafka(broker.folder, *free_ports(2), java_options=["-Xmx1m"])

    with pytest.raises(ServerError, match="heap"):
        await broken.start()


async def create_topic(broker: Kafka, name: str, partitions: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, partitions, 1)])
    finally:
        await admin.close()


async def read_all(broker: Kafka, topic: str, count: int) -> list[bytes]:
    values: list[bytes] = []
    async with AIOKafkaConsumer(topic, bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest") as consumer:
        while len(values) < count:
            batches = await consumer.getmany(timeout_ms=1000)
            values += [record.value for records in batches.values() for record in records]
    return sorted(values)
