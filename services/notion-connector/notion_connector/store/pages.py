"""Pages as they should stand in Notion, and as they do."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.ids import uuid7
from notion_connector.columns import Types
from notion_connector.showing import JobFacts, Note
from notion_connector.store import jobs, requests

# A lease that runs is left alone: two writers of one page could arrive in the wrong order.
_CHANGE = text("""
INSERT INTO page AS p (page_id, version, changed_at, due_at)
SELECT id, 1, clock_timestamp(), clock_timestamp() FROM unnest(CAST(:pages AS uuid[])) AS changed(id) ORDER BY id
ON CONFLICT (page_id) DO UPDATE SET version = p.version + 1, due_at = clock_timestamp(), failures = 0,
    given_up = false, refused_since = NULL, refusal = NULL,
    changed_at = CASE WHEN p.version > p.written THEN p.changed_at ELSE clock_timestamp() END
""")

_NOTE = text("""
UPDATE page SET note = :note, note_is_error = :error,
    note_after = (SELECT job_id FROM job WHERE page_id = :page AND ours ORDER BY job_id DESC LIMIT 1)
WHERE page_id = :page
""")

_NOTE_OF = text("SELECT note FROM page WHERE page_id = :page")

_CLAIM = text("""
UPDATE page SET claim = :claim, leased_until = clock_timestamp() + make_interval(secs => :lease)
WHERE page_id = (
    SELECT page_id FROM page
    WHERE (version > written OR doubtful_until IS NOT NULL) AND NOT given_up
        AND due_at <= clock_timestamp() AND leased_until <= clock_timestamp()
    ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING page_id, version, version > written AS changed, types, note, note_is_error, note_after, failures, refusal,
    CASE WHEN doubtful_until IS NULL THEN status END AS status
""")

_RENEW = text("""
UPDATE page SET leased_until = clock_timestamp() + make_interval(secs => :lease),
    status = CASE WHEN :with_status THEN NULL ELSE status END
WHERE page_id = :page AND claim = :claim
""")

_RELEASE = text("""
UPDATE page SET due_at = greatest(due_at, clock_timestamp() + make_interval(secs => :seconds)),
    leased_until = '-infinity', claim = NULL, failures = failures + :failures,
    doubtful_until = CASE WHEN :doubtful THEN clock_timestamp() + make_interval(secs => :doubt) ELSE doubtful_until END
WHERE page_id = :page AND claim = :claim
""")

_LEARN = text("UPDATE page SET types = CAST(:types AS jsonb) WHERE page_id = :page AND claim = :claim")

# What was doubtful when it was written is looked at once more when no late write can arrive any longer.
_WRITTEN = text("""
WITH before AS (SELECT written, changed_at FROM page WHERE page_id = :page)
UPDATE page p SET written = :version, written_at = clock_timestamp(), leased_until = '-infinity', claim = NULL,
    status = CASE WHEN p.status = '' THEN NULL ELSE coalesce(:status, p.status) END,
    failures = 0, refused_since = NULL, refusal = NULL,
    doubtful_until = CASE WHEN p.doubtful_until > clock_timestamp() THEN p.doubtful_until END,
    due_at = CASE WHEN p.version > :version THEN clock_timestamp()
        ELSE coalesce(p.doubtful_until, clock_timestamp()) END
FROM before WHERE p.page_id = :page AND p.claim = :claim
RETURNING extract(epoch FROM clock_timestamp() - before.changed_at) AS took
""")

_REFUSED = text("""
UPDATE page SET refused_since = coalesce(refused_since, clock_timestamp()), refusal = :code, types = NULL,
    given_up = clock_timestamp() >= coalesce(refused_since, clock_timestamp()) + make_interval(secs => :patience),
    due_at = clock_timestamp() + make_interval(secs => :seconds), leased_until = '-infinity', claim = NULL,
    failures = failures + 1
WHERE page_id = :page AND claim = :claim
RETURNING given_up
""")


# Empty and not null: a write under way whose answer comes after this does not know the status either.
_FREE = text("UPDATE page SET status = '' WHERE page_id = :page")


@dataclass(frozen=True, slots=True)
class Work:
    """A leased page and all that decides what it shows.

    `changed`: it should show something new; else only a late write has to be looked for. `types`: of its columns, when
    they are known. `refusal`: the code of the last refusal, if it is being refused. `status`: the one of ours that it
    shows, where that is known.
    """

    page_id: UUID
    claim: UUID
    version: int
    changed: bool
    types: Types | None
    job: JobFacts | None
    note: Note | None
    asking: bool
    failures: int
    refusal: str | None
    status: str | None


async def change(conn: AsyncConnection, pages: Collection[UUID]) -> None:
    """These pages should show something else from now on."""
    if pages:
        await conn.execute(_CHANGE, {"pages": sorted(pages)})


async def note(conn: AsyncConnection, page_id: UUID, what: Note | None) -> None:
    """What the page is told of a request that has no job, until there is a newer job; None takes it back."""
    if what is not None and not what.error and (await conn.execute(_NOTE_OF, {"page": page_id})).scalar() == what.text:
        return
    await change(conn, [page_id])
    values = {"page": page_id, "note": what.text if what else None, "error": bool(what and what.error)}
    await conn.execute(_NOTE, values)


async def claim(conn: AsyncConnection, *, lease_seconds: float) -> Work | None:
    """Leases the page that is due the longest."""
    token = uuid7()
    row = (await conn.execute(_CLAIM, {"claim": token, "lease": lease_seconds})).one_or_none()
    if row is None:
        return None
    job = await jobs.newest(conn, row.page_id)
    outdated = job is not None and (row.note_after is None or job.job_id > row.note_after)
    return Work(
        page_id=row.page_id,
        claim=token,
        version=row.version,
        changed=row.changed,
        types=row.types,
        job=job,
        note=None if row.note is None or outdated else Note(row.note, row.note_is_error),
        asking=await requests.asks(conn, row.page_id),
        failures=row.failures,
        refusal=row.refusal,
        status=row.status,
    )


async def free(conn: AsyncConnection, page_id: UUID) -> None:
    """Its user has set the status of the page: what we wrote there before says nothing any more."""
    await conn.execute(_FREE, {"page": page_id})


async def renew(conn: AsyncConnection, work: Work, *, lease_seconds: float, with_status: bool) -> bool:
    """Makes the lease run from now; False when it was lost. `with_status`: a status is about to be sent."""
    values = {"page": work.page_id, "claim": work.claim, "lease": lease_seconds, "with_status": with_status}
    return (await conn.execute(_RENEW, values)).rowcount == 1


async def release(conn: AsyncConnection, work: Work, seconds: float, *, failed: bool, doubt: float = 0.0) -> None:
    """Gives the page back for `seconds`. `doubt`: a write without an answer may arrive for so long."""
    values = {
        "page": work.page_id,
        "claim": work.claim,
        "seconds": seconds,
        "failures": int(failed),
        "doubtful": doubt > 0,
        "doubt": doubt,
    }
    await conn.execute(_RELEASE, values)


async def learn(conn: AsyncConnection, work: Work, types: Types) -> None:
    """Keeps the types of the page's columns."""
    await conn.execute(_LEARN, {"page": work.page_id, "claim": work.claim, "types": json.dumps(dict(types))})


async def finish(conn: AsyncConnection, work: Work, status: str | None) -> float | None:
    """The page shows the version that was leased, and `status` if one was sent; after how many seconds, or None when
    the lease was lost."""
    values = {"page": work.page_id, "claim": work.claim, "version": work.version, "status": status}
    took = (await conn.execute(_WRITTEN, values)).scalar()
    return None if took is None else float(took)


async def refuse(conn: AsyncConnection, work: Work, code: str, seconds: float, *, patience: float) -> bool:
    """Notion refuses the page; whether it was given up, because it has for `patience` seconds."""
    values = {"page": work.page_id, "claim": work.claim, "code": code, "seconds": seconds, "patience": patience}
    return bool((await conn.execute(_REFUSED, values)).scalar())
