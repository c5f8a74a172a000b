"""A consumer of the tests on the real Kafka, and what it has heard and committed."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, ClassVar

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from confluent_kafka import Producer
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chassis.consumer import Subscription
from chassis.kafka import Consumers, WatchTimes
from chassis.metrics import REGISTRY
from chassis.outbox import Outbox
from chassis.testing import event_of, eventually
from schemas.cloudevents import CloudEvent, encode
from schemas.event import Event
from schemas.topics import DEAD_LETTERS, Topic
from stack.testing import TopicFactory

QUICK = WatchTimes(silence=1.0, session=6.0, interval=0.25)
Headers = list[tuple[str, bytes | None]]


class Counted(Event):
    type: ClassVar[str] = "dev.backlot.test.counted.v1"
    topic: ClassVar[str] = "test.counted"

    number: int


class Listener:
    """A service that writes down the numbers it hears."""

    def __init__(self, engine: AsyncEngine, bootstrap: str, topic: str) -> None:
        self.engine, self.bootstrap, self.topic = engine, bootstrap, topic
        self.calls = 0
        self.before_writing: Any = None

    async def on_counted(self, conn: AsyncConnection, events: Sequence[CloudEvent[Counted]]) -> None:
        self.calls += 1
        if self.before_writing is not None:
            await self.before_writing([event.data.number for event in events])
        await conn.execute(
            text("INSERT INTO written (number) VALUES (:n)"), [{"n": event.data.number} for event in events]
        )

    def consumers(self, times: WatchTimes = QUICK) -> Consumers:
        topic = Topic(self.topic, "test", "job id", "numbers", ())
        return Consumers(
            self.bootstrap,
            [Subscription(topic, {Counted: self.on_counted})],
            service="listener",
            engine=self.engine,
            outbox=Outbox("/services/listener"),
            times=times,
            drain_seconds=5,
        )

    @contextlib.asynccontextmanager
    async def listening(self, times: WatchTimes = QUICK) -> AsyncIterator[Consumers]:
        consumers = self.consumers(times)
        await consumers.start()
        try:
            yield consumers
        finally:
            await consumers.stop()

    async def written(self) -> list[int]:
        async with self.engine.connect() as conn:
            return list((await conn.execute(text("SELECT number FROM written ORDER BY n"))).scalars())

    async def has_written(self, numbers: Sequence[int], within: float = 20) -> None:
        async def all_there() -> bool:
            return sorted(await self.written()) == sorted(numbers)

        try:
            await eventually(all_there, within=within)
        except AssertionError:
            raise AssertionError(f"{sorted(await self.written())} instead of {sorted(numbers)}") from None

    async def dead_letters(self) -> int:
        async with self.engine.connect() as conn:
            statement = text("SELECT count(*) FROM outbox WHERE topic = :topic")
            return int(await conn.scalar(statement, {"topic": DEAD_LETTERS.name}) or 0)

    async def committed(self) -> int:
        return await committed(self.bootstrap, f"listener.{self.topic}", self.topic)


def put_around(consumers: Consumers, call: Any) -> None:
    """Has `call` called with each batch in place of the consumer, which it knows how to reach."""
    member = consumers.members[0]
    inner = member.handle

    class Around:
        __call__ = staticmethod(call)

        def __getattr__(self, name: str) -> Any:
            return getattr(inner, name)

    member.handle = Around()  # type: ignore[assignment]


async def committed(bootstrap: str, group: str, topic: str) -> int:
    """The sum of the group's committed offsets."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        offsets = await admin.list_consumer_group_offsets(group)
        return sum(found.offset for partition, found in offsets.items() if partition.topic == topic)
    finally:
        await admin.close()


@pytest.fixture
def listener(engine: AsyncEngine, kafka_bootstrap: str, kafka_topic: TopicFactory) -> Listener:
    return Listener(engine, kafka_bootstrap, kafka_topic("counted", partitions=2))


def counted(number: int) -> tuple[bytes, bytes, Headers]:
    key, value, headers = encode(event_of(Counted(number=number)))
    return key, value, [(name, raw) for name, raw in headers]


def send(bootstrap: str, topic: str, records: Sequence[tuple[bytes, bytes | None, Headers]], **where: int) -> None:
    """With librdkafka, which lets headers be null or no text."""
    producer = Producer({"bootstrap.servers": bootstrap})
    for key, value, headers in records:
        producer.produce(topic, key=key, value=value, headers=headers, **where)  # type: ignore[arg-type]
    assert producer.flush(20) == 0


BROKEN_HEADERS: list[Headers] = [[("note", None)], [("note", b"\xff\xfe")]]


async def _has_committed(listener: Listener, offsets: int) -> bool:
    return await listener.committed() == offsets


async def _truth(value: bool) -> bool:
    return value


def rebuilds(topic: str) -> float:
    return REGISTRY.get_sample_value("backlot_consumer_rebuilds_total", {"topic": topic}) or 0
