"""What pages ask for: noticed, fixed before it is sent, idle when it has its answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.ids import uuid7

_CLOCK = text("SELECT clock_timestamp()")

# A page still shows the asking status until our answer to it is written: what was read before that is no new request.
# `idle_since` says the same once more, for a reader whose statement began before the answer was committed.
_NOTICE = text("""
INSERT INTO request AS r (page_id, round, stage, due_at)
SELECT seen.id, 1, 'noticed', clock_timestamp()
FROM (SELECT DISTINCT unnest(CAST(:pages AS uuid[])) AS id) AS seen
WHERE NOT EXISTS (SELECT FROM page p WHERE p.page_id = seen.id AND (p.version > p.written OR p.written_at >= :seen_at))
ORDER BY seen.id
ON CONFLICT (page_id) DO UPDATE SET stage = 'noticed', round = r.round + 1, due_at = clock_timestamp(), failures = 0
WHERE r.stage = 'idle' AND r.idle_since < :seen_at
RETURNING page_id
""")

_CLAIM = text("""
UPDATE request SET claim = :claim, leased_until = clock_timestamp() + make_interval(secs => :lease)
WHERE page_id = (
    SELECT page_id FROM request
    WHERE stage <> 'idle' AND due_at <= clock_timestamp() AND leased_until <= clock_timestamp()
    ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING page_id, round, stage, body, idempotency_key, failures
""")

_FIX = text("""
UPDATE request SET stage = 'fixed', revision = :revision, body = :body, idempotency_key = :key, channel = :channel,
    project = :project
WHERE page_id = :page AND claim = :claim AND stage = 'noticed'
""")

_END = text("""
UPDATE request SET stage = 'idle', idle_since = clock_timestamp(), leased_until = '-infinity', claim = NULL,
    failures = 0
WHERE page_id = :page AND claim = :claim
""")

_POSTPONE = text("""
UPDATE request SET stage = :stage, due_at = clock_timestamp() + make_interval(secs => :seconds),
    failures = failures + 1, leased_until = '-infinity', claim = NULL
WHERE page_id = :page AND claim = :claim
""")

_WAKE = text("""
UPDATE request r SET due_at = clock_timestamp()
FROM (SELECT DISTINCT unnest(CAST(:channels AS text[])) AS channel, unnest(CAST(:projects AS text[])) AS project) ended
WHERE r.stage = 'noticed' AND r.due_at > clock_timestamp() AND (r.channel, r.project) = (ended.channel, ended.project)
""")

_ASKS = text("SELECT EXISTS (SELECT FROM request WHERE page_id = :page AND stage <> 'idle')")


@dataclass(frozen=True, slots=True)
class Request:
    """A leased request. `body` and `idempotency_key` are there once it is fixed: it may have been sent already."""

    page_id: UUID
    claim: UUID
    round: int
    failures: int
    body: str | None
    idempotency_key: str | None


@dataclass(frozen=True, slots=True)
class Fixed:
    """What is sent, and `revision`, the page's own, that it was read at."""

    revision: str
    body: str
    idempotency_key: str
    channel: str
    project: str


async def clock(conn: AsyncConnection) -> datetime:
    """The database's time."""
    found: datetime = (await conn.execute(_CLOCK)).scalar_one()
    return found


async def notice(conn: AsyncConnection, pages: Sequence[UUID], seen_at: datetime) -> int:
    """Takes up the requests of pages that were read as asking at `seen_at` or later; how many of them are new."""
    if not pages:
        return 0
    return len((await conn.execute(_NOTICE, {"pages": list(pages), "seen_at": seen_at})).all())


async def claim(conn: AsyncConnection, *, lease_seconds: float) -> Request | None:
    """Leases the request that is due the longest."""
    token = uuid7()
    row = (await conn.execute(_CLAIM, {"claim": token, "lease": lease_seconds})).one_or_none()
    if row is None:
        return None
    fixed = row.stage == "fixed"
    return Request(
        row.page_id,
        token,
        row.round,
        row.failures,
        row.body if fixed else None,
        row.idempotency_key if fixed else None,
    )


async def fix(conn: AsyncConnection, request: Request, what: Fixed) -> bool:
    """Writes down what is about to be sent; False when the lease was lost."""
    values = {
        "page": request.page_id,
        "claim": request.claim,
        "revision": what.revision,
        "body": what.body,
        "key": what.idempotency_key,
        "channel": what.channel,
        "project": what.project,
    }
    return (await conn.execute(_FIX, values)).rowcount == 1


async def end(conn: AsyncConnection, request: Request) -> bool:
    """The request has its answer; False when the lease was lost, and whoever has it now will get the same answer."""
    return (await conn.execute(_END, {"page": request.page_id, "claim": request.claim})).rowcount == 1


async def postpone(conn: AsyncConnection, request: Request, seconds: float, *, anew: bool) -> bool:
    """Tried again later. `anew`: nothing came of what was sent, so that the page is read again; else it is sent again
    as it was. False when the lease was lost."""
    stage = "noticed" if anew else "fixed"
    values = {"page": request.page_id, "claim": request.claim, "stage": stage, "seconds": seconds}
    return (await conn.execute(_POSTPONE, values)).rowcount == 1


async def wake(conn: AsyncConnection, ended: Sequence[tuple[str, str]]) -> None:
    """Requests that wait for a manifest of these channels and projects to end are tried again now."""
    if ended:
        channels, projects = zip(*ended, strict=True)
        await conn.execute(_WAKE, {"channels": list(channels), "projects": list(projects)})


async def asks(conn: AsyncConnection, page_id: UUID) -> bool:
    """Whether the page has a request without an answer."""
    return bool((await conn.execute(_ASKS, {"page": page_id})).scalar_one())
