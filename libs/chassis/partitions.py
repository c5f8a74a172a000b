"""Day partitions of inbox and outbox_published: made ahead, dropped whole.

An insert never fails for want of a partition: days are made a week ahead, and what still finds none falls into the
default partition, from where the day that is made later takes it over.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Protocol
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chassis.ids import uuid7_floor
from chassis.telemetry import get_logger

log = get_logger()

DAYS_AHEAD = 7
# Retention of the topics (7 days) and as long again. Consumers stop taking ids older than this; the partition goes a
# day later, so that a replica whose clock reading is an hour old never takes an id whose inbox row is gone.
INBOX_DAYS = 14
INBOX_GRACE_DAYS = 1
PUBLISHED_DAYS = 1

_LOCK = 0x706172746974696F  # "partitio"


class _Bound(Protocol):
    def __call__(self, day: date) -> str: ...


@dataclass(frozen=True, slots=True)
class _Table:
    name: str
    column: str
    keep_days: int
    bound: _Bound


def _uuid_bound(day: date) -> str:
    return str(uuid7_floor(_midnight(day)))


def _time_bound(day: date) -> str:
    return _midnight(day).isoformat()


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


_TABLES = (
    _Table("inbox", "id", INBOX_DAYS + INBOX_GRACE_DAYS, _uuid_bound),
    _Table("outbox_published", "published_at", PUBLISHED_DAYS, _time_bound),
)


class Partitions:
    """Keeps the day partitions of one database. `horizon` is the oldest event id that may still be applied."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self.horizon = UUID(int=0)

    async def maintain(self) -> bool:
        """Makes the days ahead, drops the days past, moves the horizon; a step of a background loop.

        Replicas take turns; whoever finds the turn taken only reads the clock. Returns False: it never needs to run
        again at once.
        """
        async with self._engine.begin() as conn:
            await conn.execute(text("SET LOCAL lock_timeout = '2s'"))
            today: date = await conn.scalar(text("SELECT (now() AT TIME ZONE 'UTC')::date"))
            self.horizon = uuid7_floor(_midnight(today - timedelta(days=INBOX_DAYS)))
            if await conn.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": _LOCK}):
                for table in _TABLES:
                    await _maintain(conn, table, today)
        return False


async def _maintain(conn: AsyncConnection, table: _Table, today: date) -> None:
    present = await _days(conn, table)
    for ahead in range(-1, DAYS_AHEAD + 1):
        day = today + timedelta(days=ahead)
        if day not in present:
            await _make(conn, table, day)
    oldest = today - timedelta(days=table.keep_days)
    for day in sorted(present):
        if day < oldest:
            await conn.execute(text(f"DROP TABLE {_partition(table, day)}"))
            log.info("partition_dropped", table=table.name, day=str(day))
    await conn.execute(text(f"DELETE FROM {table.name}_default WHERE {table.column} < '{table.bound(oldest)}'"))  # noqa: S608


async def _days(conn: AsyncConnection, table: _Table) -> set[date]:
    rows = await conn.execute(
        text(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
            "WHERE i.inhparent = CAST(:parent AS text)::regclass"
        ),
        {"parent": table.name},
    )
    names = (str(name).removeprefix(table.name + "_") for name in rows.scalars())
    return {datetime.strptime(name, "%Y%m%d").replace(tzinfo=UTC).date() for name in names if name.isdigit()}


async def _make(conn: AsyncConnection, table: _Table, day: date) -> None:
    # Attached, not created in place: CREATE TABLE ... PARTITION OF would lock out every writer of the parent.
    name, low, high = _partition(table, day), table.bound(day), table.bound(day + timedelta(days=1))
    within = f"{table.column} >= '{low}' AND {table.column} < '{high}'"
    # Rows only come, and go all at once with the table: nothing to vacuum, and nobody plans by their statistics.
    await conn.execute(text(f"CREATE TABLE {name} (LIKE {table.name} INCLUDING ALL) WITH (autovacuum_enabled = false)"))
    await conn.execute(text(f"LOCK TABLE {table.name}_default IN ACCESS EXCLUSIVE MODE"))
    await conn.execute(
        text(
            f"WITH moved AS (DELETE FROM {table.name}_default WHERE {within} RETURNING *) "  # noqa: S608
            f"INSERT INTO {name} SELECT * FROM moved"
        )
    )
    await conn.execute(
        text(f"ALTER TABLE {table.name} ATTACH PARTITION {name} FOR VALUES FROM ('{low}') TO ('{high}')")
    )


def _partition(table: _Table, day: date) -> str:
    return f"{table.name}_{day:%Y%m%d}"
