"""Consumers on the real Kafka: what FastStream does by default, and that we are safe from it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from confluent_kafka.admin import AdminClient, ConfigResource  # type: ignore[attr-defined]
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.errors import Transient
from chassis.kafka import provision
from chassis.testing import eventually
from chassis.tests.chassis_tables import _json_logs, database, engine
from chassis.tests.listener import (
    Listener,
    _truth,
    counted,
    listener,
    put_around,
    send,
)
from schemas.topics import DEAD_LETTERS, Topic

# pytest finds fixtures by their names in the module that uses them.
__all__ = ["_json_logs", "database", "engine", "listener"]

pytestmark = pytest.mark.integration


async def test_events_arrive_and_their_offsets_are_committed(listener: Listener) -> None:
    send(listener.bootstrap, listener.topic, [counted(n) for n in range(50)])
    async with listener.listening() as consumers:
        await listener.has_written(range(50))
        assert consumers.problems() == []
        assert await eventually(listener.committed) == 50


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
