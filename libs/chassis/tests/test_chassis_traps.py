"""What FastStream and aiokafka do by default on the real Kafka, and that we are safe from it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.record.default_records import DefaultRecordBatchBuilder as RecordBatchBuilder
from aiokafka.record.util import calc_crc32c
from confluent_kafka import Producer
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.database import make_engine
from chassis.errors import Transient
from chassis.kafka import Consumers, WatchTimes
from chassis.metrics import REGISTRY
from chassis.testing import eventually
from chassis.tests.chassis_tables import _json_logs, database, engine
from chassis.tests.listener import (
    BROKEN_HEADERS,
    QUICK,
    Listener,
    _has_committed,
    _truth,
    committed,
    counted,
    listener,
    put_around,
    rebuilds,
    send,
)
from stack.testing import TopicFactory

# pytest finds fixtures by their names in the module that uses them.
__all__ = ["_json_logs", "database", "engine", "listener"]

pytestmark = pytest.mark.integration


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
