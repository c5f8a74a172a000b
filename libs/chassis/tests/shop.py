"""A service of the tests that hears orders, and what its handlers did and set aside."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chassis.consumer import BatchConsumer, Subscription
from chassis.outbox import Draft, Outbox
from chassis.testing import FakeRecord, event_of, record_of
from schemas.cloudevents import CloudEvent
from schemas.event import Event
from schemas.topics import OTHER_PLATFORMS, Topic

ORDERS = Topic("test.orders", "test", "job id", "orders", ())
OUTSIDE = Topic("test.outside", OTHER_PLATFORMS, "job id", "orders of others", ())


class Ordered(Event):
    type: ClassVar[str] = "dev.backlot.test.ordered.v1"
    topic: ClassVar[str] = ORDERS.name

    number: int


class Withdrawn(Event):
    type: ClassVar[str] = "dev.backlot.test.withdrawn.v1"
    topic: ClassVar[str] = ORDERS.name

    number: int


class Browsed(Event):
    """Nobody in these tests hears it."""

    type: ClassVar[str] = "dev.backlot.test.browsed.v1"
    topic: ClassVar[str] = ORDERS.name

    page: str = ""


class AskedFromOutside(Event):
    type: ClassVar[str] = "dev.backlot.test.asked-from-outside.v1"
    topic: ClassVar[str] = OUTSIDE.name

    number: int


class Refused(Event):
    type: ClassVar[str] = "dev.backlot.test.refused.v1"
    topic: ClassVar[str] = "test.refusals"

    number: int


class Shop:
    """Writes down what it is told; breaks on the numbers it is told to break on."""

    def __init__(self, engine: AsyncEngine, topic: Topic = ORDERS) -> None:
        self.engine = engine
        self.outbox = Outbox("/services/shop")
        self.breaks_on: dict[int, Exception] = {}
        self.calls: list[tuple[str, list[int]]] = []
        self.topic = topic
        self.commits = 0
        self.repeats = False

    def consumer(self, **options: Any) -> BatchConsumer:
        hears: dict[type[Event], Any] = {AskedFromOutside: self.on_ordered}
        if self.topic is ORDERS:
            hears = {Ordered: self.on_ordered, Withdrawn: self.on_withdrawn}
        subscription = Subscription(self.topic, hears, on_poison=self.on_poison, after_commit=self.after_commit)
        options = {"longest_backoff": 0.01, **options}
        return BatchConsumer(self.engine, self.outbox, subscription, service="shop", **options)

    def after_commit(self) -> None:
        self.commits += 1

    async def on_ordered(self, conn: AsyncConnection, events: Sequence[CloudEvent[Any]]) -> None:
        await self._write(conn, "ordered", events)

    async def on_withdrawn(self, conn: AsyncConnection, events: Sequence[CloudEvent[Any]]) -> None:
        await self._write(conn, "withdrawn", events)

    async def on_poison(self, conn: AsyncConnection, event: CloudEvent[Event], error: Exception) -> None:
        if isinstance(event.data, Ordered) and event.data.number == 666:
            await conn.execute(text("SELECT 1 / 0"))
        await self.outbox.add(conn, [Draft(Refused(number=0), event.subject, event.tenant_id)])

    async def _write(self, conn: AsyncConnection, what: str, events: Sequence[CloudEvent[Any]]) -> None:
        numbers = [event.data.number for event in events]
        self.calls.append((what, numbers))
        statement = text("INSERT INTO written (what, number) VALUES (:what, :number)")
        await conn.execute(statement, [{"what": what, "number": number} for number in numbers])
        for number in numbers:
            if number in self.breaks_on:
                raise self.breaks_on[number]
        if self.repeats:
            drafts = [Draft(Refused(number=1), e.subject, e.tenant_id, traceparent=e.traceparent) for e in events]
            await self.outbox.add(conn, drafts)

    async def written(self, what: str = "ordered") -> list[int]:
        async with self.engine.connect() as conn:
            statement = text("SELECT number FROM written WHERE what = :what ORDER BY n")
            return list((await conn.execute(statement, {"what": what})).scalars())

    async def said(self, event_type: str) -> list[dict[str, Any]]:
        async with self.engine.connect() as conn:
            found = (await conn.execute(text("SELECT value, headers, key FROM outbox ORDER BY n"))).mappings().all()
        return [
            json.loads(row["value"]) | {"headers_of_it": json.loads(row["headers"]), "key_of_it": row["key"]}
            for row in found
            if json.loads(row["headers"])["ce_type"] == event_type
        ]

    async def dead(self) -> list[dict[str, Any]]:
        return await self.said("dev.backlot.record.dead_lettered.v1")

    async def inbox(self) -> int:
        async with self.engine.connect() as conn:
            return int(await conn.scalar(text("SELECT count(*) FROM inbox")) or 0)


@pytest.fixture
def shop(engine: AsyncEngine) -> Shop:
    return Shop(engine)


def order(number: int, **envelope: Any) -> FakeRecord:
    return record_of(event_of(Ordered(number=number), **envelope), offset=number)
