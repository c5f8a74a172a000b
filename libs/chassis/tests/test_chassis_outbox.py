"""The outbox: events as rows of a transaction, and published ones sent again."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis import replay, tracing
from chassis.errors import Invalid
from chassis.ids import is_uuid7, uuid7
from chassis.outbox import Draft, Outbox
from chassis.tests.chassis_tables import database, engine
from schemas.cloudevents import decode
from schemas.event import Event

__all__ = ["database", "engine"]

pytestmark = pytest.mark.integration

CAUSE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


class Noted(Event):
    type: ClassVar[str] = "dev.backlot.test.noted.v1"
    topic: ClassVar[str] = "test.notes"

    text: str = ""


async def rows(engine: AsyncEngine, table: str = "outbox") -> list[dict[str, object]]:
    async with engine.connect() as conn:
        return [dict(row) for row in (await conn.execute(text(f"SELECT * FROM {table} ORDER BY n"))).mappings()]


async def test_a_row_is_a_record_that_any_consumer_reads(engine: AsyncEngine) -> None:
    job, tenant = uuid7(), uuid7()
    async with engine.begin() as conn:
        await Outbox("/services/notes").add(conn, [Draft(Noted(text="süß"), job, tenant, traceparent=CAUSE)])
    (row,) = await rows(engine)
    headers = json.loads(str(row["headers"]))
    value = row["value"]
    assert isinstance(value, bytes)
    event = decode([(name, text.encode()) for name, text in headers.items()], value, {Noted.type: Noted})
    assert event.data == Noted(text="süß")
    assert (event.subject, event.tenant_id, event.source) == (job, tenant, "/services/notes")
    assert event.traceparent == CAUSE
    assert is_uuid7(event.id)
    assert row["id"] == event.id
    assert row["topic"] == "test.notes"
    assert row["key"] == str(job).encode()


async def test_rows_keep_the_order_they_were_said_in(engine: AsyncEngine) -> None:
    async with engine.begin() as conn:
        await Outbox("/s").add(conn, [Draft(Noted(text=str(n)), uuid7(), uuid7()) for n in range(300)])
    said = [json.loads(bytes(row["value"]))["text"] for row in await rows(engine)]  # type: ignore[call-overload]
    assert said == [str(n) for n in range(300)]


async def test_what_is_rolled_back_was_never_said(engine: AsyncEngine) -> None:
    async with engine.connect() as conn:
        await Outbox("/s").add(conn, [Draft(Noted(), uuid7(), uuid7())])
        await conn.rollback()
    assert await rows(engine) == []


async def test_without_a_cause_of_its_own_an_event_carries_the_context_of_the_request(engine: AsyncEngine) -> None:
    async with engine.begin() as conn:
        with tracing.span("request", traceparent=CAUSE):
            await Outbox("/s").add(conn, [Draft(Noted(), uuid7(), uuid7())])
        await Outbox("/s").add(conn, [Draft(Noted(), uuid7(), uuid7(), traceparent="not a traceparent")])
    first, second = [json.loads(str(row["headers"])) for row in await rows(engine)]
    assert first["traceparent"] == CAUSE
    assert "traceparent" not in second


async def test_an_event_over_1_mib_is_refused_when_its_row_would_be_written(engine: AsyncEngine) -> None:
    async with engine.begin() as conn:
        with pytest.raises(Invalid, match="1048576 are allowed"):
            await Outbox("/s").add(conn, [Draft(Noted(text="x" * 1024 * 1024), uuid7(), uuid7())])
    assert await rows(engine) == []


async def test_the_relay_is_woken_once_the_row_can_be_seen_and_not_before(engine: AsyncEngine) -> None:
    outbox, kicks = Outbox("/s"), 0

    def kick() -> None:
        nonlocal kicks
        kicks += 1

    outbox.wake(kick)
    async with engine.begin() as conn:
        await outbox.add(conn, [Draft(Noted(), uuid7(), uuid7())])
        await outbox.add(conn, [Draft(Noted(), uuid7(), uuid7())])
        await outbox.add(conn, [])
        assert kicks == 0
    assert kicks == 1


async def published(engine: AsyncEngine, topic: str, key: str, minutes_ago: int) -> object:
    event = uuid7()
    async with engine.begin() as conn:
        await conn.execute(
            text(
                "INSERT INTO outbox_published (n, id, topic, key, value, headers, created_at, published_at) "
                "SELECT coalesce(max(n), 0) + 1, :id, :topic, :key, 'v', '{}', now(), "
                "now() - make_interval(mins => :minutes) FROM outbox_published"
            ),
            {"id": event, "topic": topic, "key": key.encode(), "minutes": minutes_ago},
        )
    return event


async def test_published_events_are_sent_again_with_their_ids_in_their_order(
    engine: AsyncEngine, database: str
) -> None:
    await published(engine, "a", "k", 90)
    events = [await published(engine, "a", "k", minutes) for minutes in (50, 40, 30)]
    count = await replay.replay(database, since=datetime.now(UTC) - timedelta(hours=1))
    assert count == 3
    assert [row["id"] for row in await rows(engine)] == events


async def test_a_replay_can_be_narrowed_to_a_topic_and_a_key(engine: AsyncEngine, database: str) -> None:
    since = datetime.now(UTC) - timedelta(hours=1)
    wanted = await published(engine, "a", "one", 5)
    await published(engine, "a", "two", 5)
    await published(engine, "b", "one", 5)
    assert await replay.replay(database, since=since, topic="a", key="one", dry_run=True) == 1
    assert await rows(engine) == []
    assert await replay.replay(database, since=since, topic="a", key="one") == 1
    assert [row["id"] for row in await rows(engine)] == [wanted]


async def test_an_event_that_was_replayed_before_is_sent_once(engine: AsyncEngine, database: str) -> None:
    event = await published(engine, "a", "k", 30)
    conn = await asyncpg.connect(database)
    await conn.execute(
        "INSERT INTO outbox_published "
        "SELECT n + 100, id, topic, key, value, headers, created_at, now() FROM outbox_published"
    )
    await conn.close()
    assert await replay.replay(database, since=datetime.now(UTC) - timedelta(hours=1)) == 1
    assert [row["id"] for row in await rows(engine)] == [event]


@pytest.mark.parametrize("since", ["yesterday", "2026-01-31T10:00:00"])
def test_the_replay_command_wants_a_time_with_a_zone(since: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        replay.main(["--dsn", "postgresql://x/y", "--since", since])
    assert ended.value.code == 2
    assert "time" in capsys.readouterr().err
