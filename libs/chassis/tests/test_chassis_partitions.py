"""Day partitions: made ahead, dropped whole, and no insert lost at the edges."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.database import make_engine
from chassis.ids import uuid7, uuid7_floor
from chassis.inbox import claim
from chassis.partitions import Partitions
from chassis.testing import create_tables

pytestmark = pytest.mark.integration


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = make_engine(database_url, name="test", pool_size=2)
    await create_tables(engine)
    yield engine
    await engine.dispose()


async def partitions(engine: AsyncEngine, table: str) -> list[str]:
    async with engine.connect() as conn:
        rows = await conn.execute(
            text("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = CAST(:t AS text)::regclass"),
            {"t": table},
        )
        return sorted(rows.scalars())


async def today(engine: AsyncEngine) -> date:
    async with engine.connect() as conn:
        found: date = await conn.scalar(text("SELECT (now() AT TIME ZONE 'UTC')::date"))
        return found


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


async def test_a_week_of_days_is_made_ahead(engine: AsyncEngine) -> None:
    await Partitions(engine).maintain()
    now = await today(engine)
    for table in ("inbox", "outbox_published"):
        present = await partitions(engine, table)
        for ahead in range(8):
            assert f"{table}_{now + timedelta(days=ahead):%Y%m%d}" in present


async def test_an_event_goes_to_the_day_its_id_was_made_on(engine: AsyncEngine) -> None:
    await Partitions(engine).maintain()
    async with engine.begin() as conn:
        await claim(conn, "orders", [uuid7()])
        assert await conn.scalar(text("SELECT count(*) FROM inbox_default")) == 0
        assert await conn.scalar(text("SELECT count(*) FROM inbox")) == 1


async def test_an_insert_on_a_day_nobody_made_is_kept_and_still_known_when_the_day_is_made(
    engine: AsyncEngine,
) -> None:
    event = uuid7()
    async with engine.begin() as conn:
        assert await claim(conn, "orders", [event]) == {event}
        await conn.execute(
            text("INSERT INTO outbox_published VALUES (1, :id, 't', '', '', '{}', now(), now())"), {"id": event}
        )
    await Partitions(engine).maintain()
    async with engine.begin() as conn:
        assert await claim(conn, "orders", [event]) == set()
        assert await conn.scalar(text("SELECT count(*) FROM inbox_default")) == 0
        assert await conn.scalar(text("SELECT count(*) FROM outbox_published")) == 1
        assert await conn.scalar(text("SELECT count(*) FROM outbox_published_default")) == 0


async def test_days_past_are_dropped_whole_and_younger_ones_stay(engine: AsyncEngine) -> None:
    keeper = Partitions(engine)
    await keeper.maintain()
    now = await today(engine)
    old, kept = now - timedelta(days=16), now - timedelta(days=15)
    async with engine.begin() as conn:
        for day in (old, kept):
            low, high = uuid7_floor(midnight(day)), uuid7_floor(midnight(day + timedelta(days=1)))
            await conn.execute(
                text(f"CREATE TABLE inbox_{day:%Y%m%d} PARTITION OF inbox FOR VALUES FROM ('{low}') TO ('{high}')")
            )
    await keeper.maintain()
    present = await partitions(engine, "inbox")
    assert f"inbox_{old:%Y%m%d}" not in present
    assert f"inbox_{kept:%Y%m%d}" in present


async def test_published_rows_stay_for_a_day_after_their_own(engine: AsyncEngine) -> None:
    now = await today(engine)
    async with engine.begin() as conn:
        for days in (1, 2):
            moment = midnight(now - timedelta(days=days)) + timedelta(hours=23)
            await conn.execute(
                text("INSERT INTO outbox_published VALUES (:n, gen_random_uuid(), 't', '', '', '{}', now(), :moment)"),
                {"n": days, "moment": moment},
            )
    await Partitions(engine).maintain()
    async with engine.connect() as conn:
        assert (await conn.execute(text("SELECT n FROM outbox_published"))).scalars().all() == [1]


async def test_the_horizon_is_two_weeks_back_and_older_than_any_partition_in_use(engine: AsyncEngine) -> None:
    keeper = Partitions(engine)
    await keeper.maintain()
    assert keeper.horizon == uuid7_floor(midnight(await today(engine) - timedelta(days=14)))


async def test_replicas_that_maintain_at_once_do_not_disturb_each_other(engine: AsyncEngine, database_url: str) -> None:
    other = make_engine(database_url, name="other", pool_size=2)
    holder = await asyncpg.connect(database_url)
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute("SELECT pg_advisory_xact_lock($1)", 0x706172746974696F)
    second = Partitions(other)
    await second.maintain()
    assert second.horizon.int > 0
    assert await partitions(engine, "inbox") == ["inbox_default"]
    await transaction.rollback()
    await holder.close()
    await second.maintain()
    assert len(await partitions(engine, "inbox")) > 7
    await other.dispose()


async def test_maintaining_again_changes_nothing(engine: AsyncEngine) -> None:
    keeper = Partitions(engine)
    await keeper.maintain()
    before = await partitions(engine, "inbox")
    await keeper.maintain()
    assert await partitions(engine, "inbox") == before
