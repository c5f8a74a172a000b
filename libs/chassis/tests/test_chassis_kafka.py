"""Consumers on the real Kafka: what FastStream does by default, and that we are safe from it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, ClassVar

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.record.default_records import DefaultRecordBatchBuilder as RecordBatchBuilder
from aiokafka.record.util import calc_crc32c
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, ConfigResource  # type: ignore[attr-defined]
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chassis.consumer import Subscription
from chassis.database import make_engine
from chassis.errors import Transient
from chassis.ids import uuid7
from chassis.kafka import Consumers, WatchTimes, provision
from chassis.metrics import REGISTRY
from chassis.outbox import Outbox
from chassis.telemetry import configure_logging
from chassis.testing import create_tables, event_of, eventually, reset_tables
from schemas.cloudevents import CloudEvent, encode
from schemas.event import Event
from schemas.topics import DEAD_LETTERS, Topic
from stack.testing import PostgresServer, TopicFactory

pytestmark = pytest.mark.integration

QUICK = WatchTimes(silence=1.0, session=6.0, interval=0.25)
Headers = list[tuple[str, bytes | None]]


@pytest.fixture(autouse=True)
def _json_logs() -> None:
    configure_logging("test")


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[str]:
    """One database for the tests of this file."""
    name = f"test_{uuid7().hex}"
    postgres_server.execute(f"CREATE DATABASE {name} TEMPLATE template0")

    async def fill() -> None:
        engine = make_engine(postgres_server.url(name), name="test")
        await create_tables(engine)
        async with engine.begin() as conn:
            await conn.execute(text("CREATE TABLE written (n serial PRIMARY KEY, number int)"))
        await engine.dispose()

    asyncio.run(fill())
    yield postgres_server.url(name)
    postgres_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    engine = make_engine(database, name="test", pool_size=8)
    await reset_tables(engine, "written")
    yield engine
    await engine.dispose()


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


async def test_events_arrive_and_their_offsets_are_committed(listener: Listener) -> None:
    send(listener.bootstrap, listener.topic, [counted(n) for n in range(50)])
    async with listener.listening() as consumers:
        await listener.has_written(range(50))
        assert consumers.problems() == []
        assert await eventually(listener.committed) == 50


async def test_trap_g1_faststream_alone_loses_a_batch_with_a_header_that_is_no_text(
    kafka_bootstrap: str, kafka_topic: TopicFactory
) -> None:
    """If this fails because nothing is lost any more, FastStream has been mended and our parser can be simpler."""
    topic = kafka_topic("trap")
    broker = KafkaBroker(kafka_bootstrap, ack_policy=AckPolicy.NACK_ON_ERROR, logger=None)
    heard: list[bytes] = []

    subscriber = broker.subscriber(
        topic, group_id=f"g.{topic}", batch=True, auto_offset_reset="earliest", batch_timeout_ms=20
    )

    @subscriber
    async def handle(bodies: list[Any]) -> None:
        heard.extend(bodies)

    async def has_read_the_first_three() -> bool:
        assert subscriber.consumer is not None
        return bool(await subscriber.consumer.position(TopicPartition(topic, 0)) == 3)

    send(kafka_bootstrap, topic, [(b"k", b"1", []), (b"k", b"2", [("note", None)]), (b"k", b"3", [])])
    async with broker:
        await broker.start()
        await eventually(has_read_the_first_three)
        send(kafka_bootstrap, topic, [(b"k", b"4", [])])
        assert await eventually(lambda: committed(kafka_bootstrap, f"g.{topic}", topic)) == 4
    assert len(heard) == 1


async def test_g1_we_lose_nothing_when_headers_are_null_or_no_text(listener: Listener) -> None:
    async with listener.listening():
        for n, broken in enumerate(BROKEN_HEADERS):
            key, value, headers = counted(10 * n + 1)
            strange = (key, value, [*headers, *broken])
            foreign = (b"k", b"no event", broken)
            send(listener.bootstrap, listener.topic, [counted(10 * n), strange, foreign, counted(10 * n + 2)])
        await listener.has_written([0, 1, 2, 10, 11, 12])
        assert await listener.dead_letters() == 2
        assert await eventually(listener.committed) == 8


async def send_unreadable(bootstrap: str, topic: str, partition: int, count: int) -> None:
    """A batch of `count` foreign records, the last with a header whose name is no UTF-8: no library lets us do that."""
    builder = RecordBatchBuilder(2, 0, 0, -1, -1, -1, 1_000_000)
    for number in range(count):
        headers = [("note", b"x")] if number == count - 1 else []
        builder.append(number, int(time.time() * 1000), b"k", b"v", headers)
    raw = bytearray(builder.build())
    raw[raw.index(b"note")] = 0xFF
    raw[17:21] = calc_crc32c(bytes(raw[21:])).to_bytes(4, "big")
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    try:
        batch = producer.create_batch()
        batch.append(timestamp=None, key=b"k", value=b"v")
        batch.close()
        batch._buffer = bytes(raw)
        await (await producer.send_batch(batch, topic, partition=partition))
    finally:
        await producer.stop()


async def test_a_batch_that_cannot_be_unpacked_is_set_aside_and_holds_up_nobody(
    engine: AsyncEngine, kafka_bootstrap: str, kafka_topic: TopicFactory
) -> None:
    topic = kafka_topic("counted", partitions=7)
    listener = Listener(engine, kafka_bootstrap, topic)
    for partition in range(7):
        send(kafka_bootstrap, topic, [counted(10 * partition + n) for n in range(10)], partition=partition)
    await send_unreadable(kafka_bootstrap, topic, 3, 7)
    await send_unreadable(kafka_bootstrap, topic, 3, 1)
    await send_unreadable(kafka_bootstrap, topic, 5, 1)
    send(kafka_bootstrap, topic, [counted(n) for n in range(70, 90)], partition=3)
    async with listener.listening():
        await listener.has_written(range(90), within=40)
        await eventually(lambda: _has_committed(listener, 90 + 7 + 1 + 1), within=20)
        # Those before the unreadable one are foreign too (6); two unreadable neighbours are set aside as one.
        assert await listener.dead_letters() == 6 + 1 + 1


async def test_trap_the_default_policy_of_faststream_loses_what_its_handler_refuses(
    kafka_bootstrap: str, kafka_topic: TopicFactory
) -> None:
    topic = kafka_topic("trap")
    broker = KafkaBroker(kafka_bootstrap, logger=None)
    calls: list[Any] = []

    @broker.subscriber(
        topic, group_id=f"g.{topic}", auto_offset_reset="earliest", auto_commit_interval_ms=100, batch=True
    )
    async def handle(bodies: list[Any]) -> None:
        calls.append(bodies)
        raise ConnectionError("the database is away")

    send(kafka_bootstrap, topic, [(b"k", b"1", [])])
    async with broker:
        await broker.start()
        assert await eventually(lambda: committed(kafka_bootstrap, f"g.{topic}", topic)) == 1
    assert len(calls) == 1


async def test_we_keep_what_our_handler_cannot_take_until_it_can(listener: Listener) -> None:
    away = True

    async def fail(_: list[int]) -> None:
        if away:
            raise Transient("the database is away")

    listener.before_writing = fail
    send(listener.bootstrap, listener.topic, [counted(n) for n in range(20)])
    async with listener.listening():
        await eventually(lambda: _truth(listener.calls >= 3))
        assert await listener.committed() <= 0
        away = False
        await listener.has_written(range(20))
        assert await listener.dead_letters() == 0


async def _has_committed(listener: Listener, offsets: int) -> bool:
    return await listener.committed() == offsets


async def _truth(value: bool) -> bool:
    return value


async def test_trap_g9_faststream_alone_redelivers_without_a_pause(
    kafka_bootstrap: str, kafka_topic: TopicFactory
) -> None:
    topic = kafka_topic("trap")
    broker = KafkaBroker(kafka_bootstrap, ack_policy=AckPolicy.NACK_ON_ERROR, logger=None)
    calls = 0

    @broker.subscriber(topic, group_id=f"g.{topic}", batch=True, auto_offset_reset="earliest", batch_timeout_ms=20)
    async def handle(bodies: list[Any]) -> None:
        nonlocal calls
        calls += 1
        raise ConnectionError("the database is away")

    send(kafka_bootstrap, topic, [(b"k", b"1", [])])
    async with broker:
        await broker.start()
        await eventually(lambda: _truth(calls > 0))
        begun = calls
        await asyncio.sleep(1)
    assert calls - begun > 100


async def test_g9_we_hold_a_batch_back_longer_each_time_before_it_is_redelivered(
    kafka_bootstrap: str, kafka_topic: TopicFactory
) -> None:
    away = make_engine("postgresql://nobody@127.0.0.1:1/nothing", name="test")
    listener = Listener(away, kafka_bootstrap, kafka_topic("counted"))
    held: list[float] = []
    async with listener.listening() as consumers:
        handle = consumers.members[0].handle

        async def timed(records: Any) -> None:
            begun = time.monotonic()
            try:
                await handle(records)
            finally:
                held.append(time.monotonic() - begun)

        put_around(consumers, timed)
        send(listener.bootstrap, listener.topic, [counted(1)])
        await eventually(lambda: _truth(len(held) >= 4), within=20)
        assert await listener.committed() <= 0
    await away.dispose()
    assert held[3] >= 0.4


async def test_g7_a_rebalance_in_the_middle_of_a_batch_loses_nothing_and_applies_nothing_twice(
    listener: Listener,
) -> None:
    """The first member's commit fails because the second has joined; both hold the same records for a while."""
    entered, leave = asyncio.Event(), asyncio.Event()

    async def hold(_: list[int]) -> None:
        if not entered.is_set():
            entered.set()
            await leave.wait()

    listener.before_writing = hold
    failures = REGISTRY.get_sample_value("backlot_consumer_commit_failures_total", {"topic": listener.topic}) or 0
    send(listener.bootstrap, listener.topic, [counted(n) for n in range(40)])
    times = WatchTimes(silence=60, session=6.0, interval=0.3)
    async with listener.listening(times) as first:
        await asyncio.wait_for(entered.wait(), 20)
        async with listener.listening(times) as second:
            await eventually(lambda: _truth(second.problems() == []), within=20)
            leave.set()
            send(listener.bootstrap, listener.topic, [counted(n) for n in range(40, 60)])
            await listener.has_written(range(60))
            assert first.problems() == second.problems() == []
        send(listener.bootstrap, listener.topic, [counted(n) for n in range(60, 80)])
        await listener.has_written(range(80), within=30)
    now = REGISTRY.get_sample_value("backlot_consumer_commit_failures_total", {"topic": listener.topic}) or 0
    assert now > failures


async def test_a_new_group_hears_what_was_said_before_it_existed_and_a_stopped_one_goes_on(
    listener: Listener,
) -> None:
    send(listener.bootstrap, listener.topic, [counted(1), counted(2)])
    async with listener.listening():
        await listener.has_written([1, 2])
    send(listener.bootstrap, listener.topic, [counted(3)])
    calls = listener.calls
    async with listener.listening():
        await listener.has_written([1, 2, 3])
    assert listener.calls == calls + 1


async def test_a_stop_finishes_and_commits_the_batch_in_hand(listener: Listener) -> None:
    entered = asyncio.Event()

    async def slowly(_: list[int]) -> None:
        entered.set()
        await asyncio.sleep(0.5)

    listener.before_writing = slowly
    send(listener.bootstrap, listener.topic, [counted(n) for n in range(10)], partition=0)
    async with listener.listening():
        await asyncio.wait_for(entered.wait(), 20)
    assert await listener.written() == list(range(10))
    assert await listener.committed() == 10


async def test_a_consumer_waits_for_a_topic_that_is_made_later(engine: AsyncEngine, kafka_bootstrap: str) -> None:
    name = f"later-{id(engine)}"
    listener = Listener(engine, kafka_bootstrap, name)
    async with listener.listening() as consumers:
        assert consumers.problems() == [f"{name}: not joined yet"]
        await provision(kafka_bootstrap, [Topic(name, "test", "job id", "numbers", (), partitions=2)])
        send(kafka_bootstrap, name, [counted(1)])
        await listener.has_written([1], within=30)


async def test_a_foreign_transaction_that_is_open_or_undone_is_no_deafness(listener: Listener) -> None:
    """Offsets of transaction markers carry no records: they must not look like records that nobody handles."""
    producer = Producer({"bootstrap.servers": listener.bootstrap, "transactional.id": f"t-{listener.topic}"})
    producer.init_transactions(20)
    for number, end in ((1, producer.commit_transaction), (2, producer.abort_transaction)):
        producer.begin_transaction()
        key, value, headers = counted(number)
        producer.produce(listener.topic, key=key, value=value, headers=headers, partition=0)  # type: ignore[arg-type]
        producer.flush(20)
        end(20)
    async with listener.listening() as consumers:
        await listener.has_written([1])
        await asyncio.sleep(QUICK.silence + 3 * QUICK.interval)
        assert rebuilds(listener.topic) == 0
        assert not consumers.given_up.done()
        assert REGISTRY.get_sample_value("backlot_consumer_lag", {"topic": listener.topic}) == 0


def rebuilds(topic: str) -> float:
    return REGISTRY.get_sample_value("backlot_consumer_rebuilds_total", {"topic": topic}) or 0


def make_deaf(consumers: Consumers) -> None:
    """As aiokafka members have been seen: connected, assigned, heartbeating, reading nothing."""
    client = consumers.members[0].client
    assert client is not None
    client.pause(*client.assignment())


async def test_a_deaf_consumer_is_rebuilt_and_hears_again(listener: Listener) -> None:
    async with listener.listening() as consumers:
        send(listener.bootstrap, listener.topic, [counted(1)])
        await listener.has_written([1])
        make_deaf(consumers)
        send(listener.bootstrap, listener.topic, [counted(n) for n in range(2, 30)])
        await listener.has_written(range(1, 30))
        assert rebuilds(listener.topic) == 1
        assert not consumers.given_up.done()


async def test_a_consumer_that_stays_deaf_is_given_up(listener: Listener) -> None:
    async with listener.listening() as consumers:
        await eventually(lambda: _truth(consumers.problems() == []))
        member = consumers.members[0]

        async def deaf_from_birth() -> None:
            await start()
            make_deaf(consumers)

        start, member.start = member.start, deaf_from_birth  # type: ignore[method-assign]
        make_deaf(consumers)
        send(listener.bootstrap, listener.topic, [counted(n) for n in range(20)])
        reason = await asyncio.wait_for(asyncio.shield(consumers.given_up), 30)
        assert "none was handled" in reason
        assert rebuilds(listener.topic) == 1


async def test_a_consumer_that_backs_off_is_not_taken_for_deaf(listener: Listener) -> None:
    async def fail(_: list[int]) -> None:
        raise Transient("the database is away")

    listener.before_writing = fail
    send(listener.bootstrap, listener.topic, [counted(1)])
    async with listener.listening():
        await eventually(lambda: _truth(listener.calls >= 6), within=20)
        send(listener.bootstrap, listener.topic, [counted(2), counted(3)])
        await eventually(lambda: _truth(listener.calls >= 7), within=20)
        assert rebuilds(listener.topic) == 0


async def test_records_that_come_after_a_long_silence_are_waited_for_as_long_as_any_others(
    listener: Listener,
) -> None:
    async with listener.listening() as consumers:
        await eventually(lambda: _truth(consumers.problems() == []))
        await asyncio.sleep(QUICK.silence + QUICK.interval)
        make_deaf(consumers)
        send(listener.bootstrap, listener.topic, [counted(1)])
        await asyncio.sleep(2 * QUICK.interval)
        client = consumers.members[0].client
        assert client is not None
        client.resume(*client.assignment())
        await listener.has_written([1])
        assert rebuilds(listener.topic) == 0


async def test_a_failure_nobody_foresaw_commits_nothing(listener: Listener) -> None:
    async with listener.listening() as consumers:
        handle, failures = consumers.members[0].handle, 0

        async def fail_first(records: Any) -> None:
            nonlocal failures
            failures += 1
            if failures <= 2:
                raise KeyError("a bug in the consumer itself")
            await handle(records)

        put_around(consumers, fail_first)
        send(listener.bootstrap, listener.topic, [counted(1), counted(2)], partition=0)
        await listener.has_written([1, 2])


async def test_topics_are_made_as_the_table_says_and_left_alone_afterwards(kafka_bootstrap: str) -> None:
    topic = Topic("provisioned", "test", "job id", "x", (), partitions=5, retention_days=3)
    await provision(kafka_bootstrap, [topic, DEAD_LETTERS])
    await provision(kafka_bootstrap, [topic, DEAD_LETTERS])
    producer = AIOKafkaProducer(bootstrap_servers=kafka_bootstrap)
    await producer.start()
    try:
        assert len(await producer.partitions_for(topic.name)) == 5
    finally:
        await producer.stop()
    configs = await topic_configs(kafka_bootstrap, topic.name)
    assert configs["retention.ms"] == str(3 * 24 * 3600 * 1000)
    assert int(configs["max.message.bytes"]) >= 1024 * 1024
    assert int((await topic_configs(kafka_bootstrap, DEAD_LETTERS.name))["max.message.bytes"]) > 3 * 1024 * 1024


async def topic_configs(bootstrap: str, topic: str) -> dict[str, str]:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    (found,) = admin.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, topic)]).values()
    return {name: entry.value for name, entry in found.result(20).items()}
