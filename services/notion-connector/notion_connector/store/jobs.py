"""Jobs with a page's label, and what is known of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from notion_connector.showing import JobFacts

# What outranks is kept whatever comes first; the cost of a settled job is final.
_MERGE = text("""
INSERT INTO job AS j (job_id, page_id, ours, due_at, rank, state, generated, skipped, failed, error_code, error_message,
    cost_micros)
SELECT f.job_id, f.page_id, CAST(:ours AS boolean), clock_timestamp(), f.rank, f.state, f.generated, f.skipped,
    f.failed, f.error_code, f.error_message, f.cost_micros
FROM unnest(CAST(:job_id AS uuid[]), CAST(:page_id AS uuid[]), CAST(:rank AS smallint[]), CAST(:state AS text[]),
    CAST(:generated AS integer[]), CAST(:skipped AS integer[]), CAST(:failed AS integer[]),
    CAST(:error_code AS text[]), CAST(:error_message AS text[]), CAST(:cost_micros AS bigint[]))
    AS f(job_id, page_id, rank, state, generated, skipped, failed, error_code, error_message, cost_micros)
ORDER BY f.job_id
ON CONFLICT (job_id) DO UPDATE SET
    ours = coalesce(j.ours, excluded.ours),
    rank = greatest(j.rank, excluded.rank),
    state = CASE WHEN excluded.rank > j.rank THEN excluded.state ELSE j.state END,
    generated = CASE WHEN excluded.rank > j.rank THEN excluded.generated ELSE j.generated END,
    skipped = CASE WHEN excluded.rank > j.rank THEN excluded.skipped ELSE j.skipped END,
    failed = CASE WHEN excluded.rank > j.rank THEN excluded.failed ELSE j.failed END,
    error_code = CASE WHEN excluded.rank > j.rank THEN excluded.error_code ELSE j.error_code END,
    error_message = CASE WHEN excluded.rank > j.rank THEN excluded.error_message ELSE j.error_message END,
    cost_micros = CASE WHEN excluded.rank > j.rank AND NOT j.settled THEN excluded.cost_micros ELSE j.cost_micros END
WHERE excluded.rank > j.rank OR j.ours IS NULL
RETURNING page_id, ours
""")

_FIELDS = ("job_id", "page_id", "rank", "state", "generated", "skipped", "failed", "error_code", "error_message")

_SETTLE = text("""
UPDATE job SET cost_micros = s.cost_micros, settled = true
FROM unnest(CAST(:jobs AS uuid[]), CAST(:costs AS bigint[])) AS s(job_id, cost_micros)
WHERE job.job_id = s.job_id AND NOT job.settled RETURNING job.page_id, job.ours
""")

_NEXT_UNKNOWN = text("""
UPDATE job SET due_at = clock_timestamp() + make_interval(secs => :seconds)
WHERE job_id = (SELECT job_id FROM job WHERE ours IS NULL AND due_at <= clock_timestamp()
    ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING job_id
""")

_OURS = text("UPDATE job SET ours = true WHERE job_id = :job AND ours IS NULL RETURNING page_id")
_FORGET = text("DELETE FROM job WHERE job_id = :job AND ours IS NULL")

# Job ids are UUIDv7 of one gateway's making: the greatest is the newest, however late its events come.
_NEWEST = text("SELECT * FROM job WHERE page_id = :page AND ours ORDER BY job_id DESC LIMIT 1")


async def merge(conn: AsyncConnection, facts: Sequence[JobFacts], *, ours: bool | None) -> set[UUID]:
    """Adds what is known of jobs, each named once; the pages of those that are ours and changed by it."""
    if not facts:
        return set()
    columns: dict[str, list[Any]] = {name: [getattr(one, name) for one in facts] for name in (*_FIELDS, "cost_micros")}
    rows = await conn.execute(_MERGE, {**columns, "ours": ours})
    return {row.page_id for row in rows if row.ours}


async def settle(conn: AsyncConnection, costs: Mapping[UUID, int]) -> set[UUID]:
    """Notes the final costs of jobs that are known; the pages of those that are ours."""
    if not costs:
        return set()
    rows = await conn.execute(_SETTLE, {"jobs": list(costs), "costs": list(costs.values())})
    return {row.page_id for row in rows if row.ours}


async def next_unknown(conn: AsyncConnection, *, lease_seconds: float) -> UUID | None:
    """A job of which nobody knows whose it is, and which nobody else looks up for a while."""
    job: UUID | None = (await conn.execute(_NEXT_UNKNOWN, {"seconds": lease_seconds})).scalar()
    return job


async def mark_ours(conn: AsyncConnection, job_id: UUID) -> UUID | None:
    """The job is of our tenant; its page, if that was news."""
    page: UUID | None = (await conn.execute(_OURS, {"job": job_id})).scalar()
    return page


async def forget(conn: AsyncConnection, job_id: UUID) -> None:
    """The job is none of ours."""
    await conn.execute(_FORGET, {"job": job_id})


async def newest(conn: AsyncConnection, page_id: UUID) -> JobFacts | None:
    """What is known of the page's newest job."""
    row = (await conn.execute(_NEWEST, {"page": page_id})).one_or_none()
    if row is None:
        return None
    return JobFacts(**{name: getattr(row, name) for name in JobFacts.__dataclass_fields__})
