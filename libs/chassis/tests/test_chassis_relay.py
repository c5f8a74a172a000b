"""The relay on the real Kafka and PostgreSQL: everything committed arrives, in order for each key."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.ids import uuid7
from chassis.metrics import REGISTRY
from chassis.relay import Relay
from chassis.testing import eventually, read_topic
from chassis.tests.chassis_tables import _json_logs, database, engine
from stack.testing import TopicFactory

__all__ = ["_json_logs", "database", "engine"]

pytestmark = pytest.mark.integration

UNREACHABLE = "127.0.0.1:1"


@contextlib.asynccontextmanager
async def relaying(database: str, bootstrap: str, **options: Any) -> AsyncIterator[Relay]:
    relay = Relay(database, bootstrap, service="test", **{"poll": 0.05, **options})
    task = asyncio.create_task(relay.run())
    try:
        yield relay
    finally:
        await relay.stop()
        await asyncio.wait_for(task, 20)


async def say(engine: AsyncEngine, topic: str, rows: Sequence[tuple[str, bytes]]) -> None:
    async with engine.begin() as conn:
        await conn.execute(
            text("INSERT INTO outbox (id, topic, key, value, headers) VALUES (:id, :topic, :key, :value, :headers)"),
            [
                {
                    "id": uuid7(),
                    "topic": topic,
                    "key": key.encode(),
                    "value": value,
                    "headers": json.dumps({"ce_type": "t", "umlaut": "ü"}),
                }
                for key, value in rows
            ],
        )


async def count(engine: AsyncEngine, table: str) -> int:
    async with engine.connect() as conn:
        return int(await conn.scalar(text(f"SELECT count(*) FROM {table}")) or 0)


async def all_sent(engine: AsyncEngine, within: float = 15) -> None:
    async def none_left() -> bool:
        return await count(engine, "outbox") == 0

    await eventually(none_left, within=within)


async def test_rows_arrive_as_they_were_written_and_are_kept_as_published(
    engine: AsyncEngine, database: str, kafka_bootstrap: str, kafka_topic: TopicFactory
) -> None:
    topic = kafka_topic("relay", partitions=3)
    await say(engine, topic, [("job", b"one"), ("job", b"two")])
    async with relaying(database, kafka_bootstrap):
        await all_sent(engine)
    records = await read_topic(kafka_bootstrap, topic)
    assert [(record.key, record.value) for record in records] == [(b"job", b"one"), (b"job", b"two")]
    assert dict(records[0].headers) == {"ce_type": b"t", "umlaut": "ü".encode()}
    assert await count(engine, "outbox_published") == 2


async def test_a_kick_after_the_commit_sends_at_once(
    engine: AsyncEngine, database: str, kafka_bootstrap: str, kafka_topic: TopicFactory
) -> None:
    topic = kafka_topic("relay")
    async with relaying(database, kafka_bootstrap, poll=3600) as relay:
        await eventually(lambda: _truth(relay.leader))
        await say(engine, topic, [("job", b"one")])
        relay.kick()
        await all_sent(engine, within=5)


async def connections(engine: AsyncEngine, wanted: int) -> bool:
    async with engine.connect() as conn:
        statement = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'test-relay' AND query LIKE :asked"
        lock = {"asked": "%pg_try_advisory_lock%"}
        standing_by = int(await conn.scalar(text(statement), lock) or 0)
        return standing_by == wanted - 1


async def _truth(value: bool) -> bool:
    return value


async def test_two_replicas_with_a_leader_that_is_cut_off_lose_nothing_and_keep_each_key_in_order(
    engine: AsyncEngine, database: str, kafka_bootstrap: str, kafka_topic: TopicFactory
) -> None:
    topic = kafka_topic("relay", partitions=4)
    keys, each = [f"key-{n}" for n in range(20)], 60

    async def write(key: str) -> None:
        for n in range(each):
            await say(engine, topic, [(key, str(n).encode())])

    async def cut_off_leaders() -> None:
        for _ in range(4):
            await asyncio.sleep(0.15)
            async with engine.begin() as conn:
                await conn.execute(
                    text(
                        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' "
                        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
                    )
                )

    first = relaying(database, kafka_bootstrap, batch=50)
    second = relaying(database, kafka_bootstrap, batch=50)
    async with first as one, second as other:
        await asyncio.gather(cut_off_leaders(), *(write(key) for key in keys))
        await all_sent(engine)
        assert one.leader != other.leader
    records = await read_topic(kafka_bootstrap, topic)
    for key in keys:
        mine = [int(record.value) for record in records if record.key == key.encode()]
        assert set(mine) == set(range(each))
        first_seen = list(dict.fromkeys(mine))
        assert first_seen == sorted(first_seen)
    assert await count(engine, "outbox_published") == len(keys) * each


async def test_a_standby_passes_its_kicks_on_to_the_leader(
    engine: AsyncEngine, database: str, kafka_bootstrap: str, kafka_topic: TopicFactory
) -> None:
    topic = kafka_topic("relay")
    async with relaying(database, kafka_bootstrap, poll=3600) as leader:
        await eventually(lambda: _truth(leader.leader))
        async with relaying(database, kafka_bootstrap, poll=3600) as standby:
            await eventually(lambda: connections(engine, 2))
            await say(engine, topic, [("job", b"one")])
            standby.kick()
            await all_sent(engine, within=5)
            assert not standby.leader


async def test_a_row_kafka_can_never_take_is_parked_and_holds_up_nobody(
    engine: AsyncEngine, database: str, kafka_bootstrap: str, kafka_topic: TopicFactory
) -> None:
    topic = kafka_topic("relay")
    before = REGISTRY.get_sample_value("backlot_relay_parked_total") or 0
    await say(engine, topic, [("job", b"one"), ("job", b"x" * 5_000_000), ("job", b"two")])
    async with relaying(database, kafka_bootstrap):
        await all_sent(engine)
    assert [record.value for record in await read_topic(kafka_bootstrap, topic)] == [b"one", b"two"]
    assert await count(engine, "outbox_dead") == 1
    assert REGISTRY.get_sample_value("backlot_relay_parked_total") == before + 1


async def test_of_a_batch_kafka_refuses_only_the_guilty_row_is_parked(
    engine: AsyncEngine, database: str, kafka_bootstrap: str, kafka_topic: TopicFactory
) -> None:
    topic = kafka_topic("relay", config={"max.message.bytes": "20000", "compression.type": "uncompressed"})
    innocent = [("job", str(n).encode()) for n in range(10)]
    guilty = ("job", uuid7().hex.encode() + bytes(range(256)) * 200)
    await say(engine, topic, [*innocent[:5], guilty, *innocent[5:]])
    async with relaying(database, kafka_bootstrap):
        await all_sent(engine)
    values = list(dict.fromkeys(record.value for record in await read_topic(kafka_bootstrap, topic)))
    assert values == [value for _, value in innocent]
    async with engine.connect() as conn:
        (error,) = (await conn.execute(text("SELECT error FROM outbox_dead"))).scalars().all()
    assert "MessageSizeTooLarge" in error


async def test_a_missing_topic_keeps_its_own_rows_waiting_and_no_others(
    engine: AsyncEngine, database: str, kafka_bootstrap: str, kafka_topic: TopicFactory
) -> None:
    topic = kafka_topic("relay")
    await say(engine, "nobody-made-this-topic", [("job", b"waits")])
    await say(engine, topic, [("job", b"goes")])

    async def gone() -> bool:
        return await count(engine, "outbox_published") == 1

    async with relaying(database, kafka_bootstrap):
        await eventually(gone, within=10)
    assert [record.value for record in await read_topic(kafka_bootstrap, topic)] == [b"goes"]
    assert await count(engine, "outbox") == 1


async def test_while_kafka_is_away_rows_wait_and_their_age_is_told(
    engine: AsyncEngine, database: str, kafka_topic: TopicFactory
) -> None:
    await say(engine, "any", [("job", b"one")])

    async def old(relay: Relay) -> bool:
        return relay.unsent_age > 0.5 and relay.failures > 0

    async with relaying(database, UNREACHABLE) as relay:
        await eventually(lambda: old(relay))
        assert relay.leader
    assert await count(engine, "outbox") == 1
    assert (REGISTRY.get_sample_value("backlot_relay_unsent_age_seconds") or 0) > 0.5


async def test_a_stop_sends_what_is_there_first(
    engine: AsyncEngine, database: str, kafka_bootstrap: str, kafka_topic: TopicFactory
) -> None:
    topic = kafka_topic("relay")
    async with relaying(database, kafka_bootstrap, poll=3600, batch=10) as relay:
        await eventually(lambda: _truth(relay.leader))
        await say(engine, topic, [("job", str(n).encode()) for n in range(35)])
    assert len(await read_topic(kafka_bootstrap, topic)) == 35
    assert await count(engine, "outbox") == 0


async def test_when_the_database_goes_away_the_relay_comes_back(
    engine: AsyncEngine, database: str, kafka_bootstrap: str, kafka_topic: TopicFactory
) -> None:
    topic = kafka_topic("relay")
    async with relaying(database, kafka_bootstrap) as relay:
        await eventually(lambda: _truth(relay.leader))
        admin = await asyncpg.connect(database)
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = 'test-relay'"
        )
        await admin.close()
        await say(engine, topic, [("job", b"afterwards")])
        await all_sent(engine)
    assert [record.value for record in await read_topic(kafka_bootstrap, topic)] == [b"afterwards"]


async def test_a_row_whose_number_was_taken_long_before_its_commit_is_found(
    engine: AsyncEngine, database: str, kafka_bootstrap: str, kafka_topic: TopicFactory
) -> None:
    topic = kafka_topic("relay")
    statement = text(
        "INSERT INTO outbox (n, id, topic, key, value, headers) OVERRIDING SYSTEM VALUE "
        "VALUES (:n, :id, :topic, 'job', :value, '{}')"
    )
    async with relaying(database, kafka_bootstrap, full_look=0.3):
        for number in (1_000_000, 17):
            async with engine.begin() as conn:
                value = str(number).encode()
                await conn.execute(statement, {"n": number, "id": uuid7(), "topic": topic, "value": value})
            await all_sent(engine)
    assert [record.value for record in await read_topic(kafka_bootstrap, topic)] == [b"1000000", b"17"]
