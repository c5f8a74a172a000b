"""Rows of what the worker handed over: added once, leased, closed behind a fence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from storage_service.arrivals import Arrival, Handover, Kept, Outcome, OutputKey, Postponed, Refused

_ADD = text("""
    INSERT INTO arrivals (job_id, item, attempt, output, tenant_id, asset_id, sha256, size, handover, traceparent)
    SELECT job_id, item, attempt, output, tenant_id, asset_id, sha256, size, CAST(handover AS json), traceparent
    FROM unnest(CAST(:jobs AS uuid[]), CAST(:items AS int[]), CAST(:attempts AS int[]), CAST(:outputs AS int[]),
                CAST(:tenants AS uuid[]), CAST(:assets AS uuid[]), CAST(:hashes AS text[]), CAST(:sizes AS bigint[]),
                CAST(:handovers AS text[]), CAST(:traceparents AS text[]))
         AS u(job_id, item, attempt, output, tenant_id, asset_id, sha256, size, handover, traceparent)
    ON CONFLICT DO NOTHING
""")
_ADDED = (
    "jobs", "items", "attempts", "outputs", "tenants", "assets", "hashes", "sizes", "handovers", "traceparents",
)  # fmt: skip

# What was fetched again is another try at an output that could not be kept.
_REVIVE = text("""
    UPDATE arrivals a
    SET state = 'waiting', due_at = now(), tries = 0, reason = NULL, sha256 = u.sha256, size = u.size,
        handover = CAST(u.handover AS json), traceparent = u.traceparent
    FROM unnest(CAST(:jobs AS uuid[]), CAST(:items AS int[]), CAST(:attempts AS int[]), CAST(:outputs AS int[]),
                CAST(:tenants AS uuid[]), CAST(:assets AS uuid[]), CAST(:hashes AS text[]), CAST(:sizes AS bigint[]),
                CAST(:handovers AS text[]), CAST(:traceparents AS text[]))
         AS u(job_id, item, attempt, output, tenant_id, asset_id, sha256, size, handover, traceparent)
    WHERE (a.job_id, a.item, a.attempt, a.output) = (u.job_id, u.item, u.attempt, u.output)
      AND a.tenant_id = u.tenant_id AND a.state = 'failed'
""")

# One claim takes few large outputs or many small ones. What waits for a sweeper to delete older bytes of the same hash
# is left until it is done.
_CLAIM = text("""
    WITH due AS (
        SELECT job_id, item, attempt, output, size, arrived_at
        FROM arrivals a
        WHERE state = 'waiting' AND due_at <= now()
          AND NOT EXISTS (
              SELECT FROM blobs b
              WHERE b.tenant_id = a.tenant_id AND b.sha256 = a.sha256 AND b.doomed_until IS NOT NULL
          )
        ORDER BY arrived_at
        LIMIT :most
        FOR UPDATE SKIP LOCKED
    ), batch AS (
        SELECT *, sum(size) OVER (ORDER BY arrived_at, job_id, item, attempt, output) - size AS bytes_before FROM due
    )
    UPDATE arrivals a
    SET epoch = a.epoch + 1, due_at = now() + make_interval(secs => :lease)
    FROM batch b
    WHERE (a.job_id, a.item, a.attempt, a.output) = (b.job_id, b.item, b.attempt, b.output)
      AND b.bytes_before < :most_bytes
    RETURNING a.job_id, a.item, a.attempt, a.output, a.tenant_id, a.asset_id, a.epoch, a.tries,
              a.handover::text AS handover, a.traceparent
""")

_RENEW = text("""
    UPDATE arrivals a
    SET due_at = now() + make_interval(secs => :lease)
    FROM unnest(CAST(:jobs AS uuid[]), CAST(:items AS int[]), CAST(:attempts AS int[]), CAST(:outputs AS int[]),
                CAST(:epochs AS int[])) AS u(job_id, item, attempt, output, epoch)
    WHERE a.job_id = u.job_id AND a.item = u.item AND a.attempt = u.attempt AND a.output = u.output
      AND a.epoch = u.epoch AND a.state = 'waiting'
""")

_CLOSE = text("""
    UPDATE arrivals a
    SET state = u.state, reason = u.reason, due_at = now() + make_interval(secs => u.seconds),
        tries = a.tries + (u.state = 'waiting')::int,
        handover = CASE WHEN u.state = 'stored' THEN NULL ELSE a.handover END
    FROM unnest(CAST(:jobs AS uuid[]), CAST(:items AS int[]), CAST(:attempts AS int[]), CAST(:outputs AS int[]),
                CAST(:epochs AS int[]), CAST(:states AS text[]), CAST(:reasons AS text[]),
                CAST(:seconds AS double precision[]))
         AS u(job_id, item, attempt, output, epoch, state, reason, seconds)
    WHERE a.job_id = u.job_id AND a.item = u.item AND a.attempt = u.attempt AND a.output = u.output
      AND a.epoch = u.epoch AND a.state = 'waiting'
    RETURNING a.job_id, a.item, a.attempt, a.output
""")


async def add(conn: AsyncConnection, arrivals: Sequence[Arrival]) -> None:
    """Note `arrivals` to be stored; what is known already is left as it is."""
    if arrivals:
        await conn.execute(_ADD, _columns(arrivals))


async def revive(conn: AsyncConnection, arrivals: Sequence[Arrival]) -> None:
    """Of `arrivals`, those that could not be stored before wait to be stored again, under their asset ids."""
    if arrivals:
        await conn.execute(_REVIVE, _columns(arrivals))


def _columns(arrivals: Sequence[Arrival]) -> dict[str, list[Any]]:
    # Sorted, so that two owners of a partition that moved wait for each other and never deadlock.
    rows = sorted((_row(arrival) for arrival in arrivals), key=itemgetter(0, 1, 2, 3))
    return dict(zip(_ADDED, map(list, zip(*rows, strict=True)), strict=True))


async def claim(conn: AsyncConnection, *, most: int, most_bytes: int, lease_s: float) -> list[Arrival]:
    """Lease at most `most` waiting arrivals of together about `most_bytes` for `lease_s` seconds."""
    rows = await conn.execute(_CLAIM, {"most": most, "most_bytes": most_bytes, "lease": lease_s})
    return [_arrival(row) for row in rows]


async def renew(conn: AsyncConnection, arrivals: Sequence[Arrival], lease_s: float) -> None:
    """Let the leases that are still ours run `lease_s` seconds from now."""
    await conn.execute(_RENEW, {**_fence(arrivals), "lease": lease_s})


async def close(conn: AsyncConnection, outcomes: Sequence[Outcome]) -> set[OutputKey]:
    """Write the end, or the postponement, of arrivals whose lease is still ours; returns their keys."""
    closings = [_closing(outcome) for outcome in outcomes]
    states, reasons, seconds = (list(column) for column in zip(*closings, strict=True))
    fence = _fence([outcome.arrival for outcome in outcomes])
    rows = await conn.execute(_CLOSE, {**fence, "states": states, "reasons": reasons, "seconds": seconds})
    return {OutputKey(*row) for row in rows}


def _closing(outcome: Outcome) -> tuple[str, str | None, float]:
    match outcome:
        case Kept():
            return "stored", None, 0.0
        case Refused(_, code, message):
            return "failed", f"{code.value}: {message}", 0.0
        case Postponed(_, seconds, reason):
            return "waiting", reason, seconds


def _row(arrival: Arrival) -> tuple[Any, ...]:
    output = arrival.handover.output
    return (
        *_parts(arrival.key),
        arrival.tenant_id,
        arrival.asset_id,
        output.sha256,
        output.size,
        arrival.handover.model_dump_json(),
        arrival.traceparent,
    )


def _arrival(row: Row[Any]) -> Arrival:
    return Arrival(
        key=OutputKey(row.job_id, row.item, row.attempt, row.output),
        tenant_id=row.tenant_id,
        asset_id=row.asset_id,
        handover=Handover.model_validate_json(row.handover),
        traceparent=row.traceparent,
        epoch=row.epoch,
        tries=row.tries,
    )


def _fence(arrivals: Iterable[Arrival]) -> dict[str, list[Any]]:
    rows = [(*_parts(arrival.key), arrival.epoch) for arrival in arrivals]
    jobs, items, attempts, outputs, epochs = (list(column) for column in zip(*rows, strict=True))
    return {"jobs": jobs, "items": items, "attempts": attempts, "outputs": outputs, "epochs": epochs}


def _parts(key: OutputKey) -> tuple[Any, int, int, int]:
    return key.job_id, key.item, key.attempt, key.output
