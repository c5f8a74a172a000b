"""For tests of services: records as Kafka hands them over, the chassis tables, waiting until a thing is true."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

from aiokafka import AIOKafkaConsumer
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.ids import uuid7
from chassis.migrations import create_chassis_tables
from schemas.cloudevents import CloudEvent, encode
from schemas.event import Event

E = TypeVar("E", bound=Event)
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class FakeRecord:
    """A Kafka record that never was in Kafka."""

    topic: str
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    key: bytes | None = None
    partition: int = 0
    offset: int = 0
    timestamp: int = 0


def event_of(
    data: E,
    *,
    subject: UUID | None = None,
    tenant_id: UUID | None = None,
    id: UUID | None = None,  # noqa: A002 - as the envelope calls it
    traceparent: str | None = None,
) -> CloudEvent[E]:
    """`data` in an envelope; what is not given is made up."""
    return CloudEvent(
        id=id or uuid7(),
        source="/services/test",
        subject=subject or uuid7(),
        tenant_id=tenant_id or uuid7(),
        time=datetime.now(UTC),
        data=data,
        traceparent=traceparent,
    )


def record_of(event: CloudEvent[Event], *, offset: int = 0, partition: int = 0) -> FakeRecord:
    """The record that carries `event`."""
    key, value, headers = encode(event)
    return FakeRecord(event.data.topic, value, tuple(headers), key, partition, offset, int(time.time() * 1000))


async def create_tables(engine: AsyncEngine) -> None:
    """Inbox and outbox without a service's migrations."""

    def create(connection: Connection) -> None:
        create_chassis_tables(Operations(MigrationContext.configure(connection)))

    async with engine.begin() as conn:
        await conn.run_sync(create)


async def eventually(look: Callable[[], Awaitable[R]], *, within: float = 10.0, every: float = 0.02) -> R:
    """The first true answer of `look`. Raises AssertionError with the last answer after `within` seconds."""
    deadline = time.monotonic() + within
    answer: Any = await look()
    while not answer:
        if time.monotonic() > deadline:
            raise AssertionError(f"still {answer!r} after {within:g} s")
        await asyncio.sleep(every)
        answer = await look()
    found: R = answer
    return found


async def read_topic(bootstrap: str, topic: str) -> list[Any]:
    """Every record in `topic` now, partition by partition, as aiokafka gives them."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        records: list[Any] = []
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):
            for some in (await consumer.getmany(timeout_ms=500)).values():
                records += some
        return sorted(records, key=lambda record: (record.partition, record.offset))
    finally:
        await consumer.stop()


async def reset_tables(engine: AsyncEngine, *more: str) -> None:
    """Empties the chassis tables and `more` between tests that share a database."""
    tables = ", ".join(("inbox", "outbox", "outbox_published", "outbox_dead", *more))
    async with engine.begin() as conn:
        await conn.execute(text(f"TRUNCATE {tables} RESTART IDENTITY"))
