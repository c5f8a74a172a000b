"""Requests to fetch what was paid for again: kept once, taken when they are due, answered once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chassis.outbox import Draft, Outbox
from provider_worker.store.bills import PAST_ATTEMPT
from provider_worker.store.rows import columns, job_of, staged_text, task_of
from provider_worker.tasks import PaidAttempt, Redownload, Staged
from schemas.cloudevents import CloudEvent
from schemas.events import GenerationSettled, JobRedownloadRequested
from schemas.parts import Billing

_KEEP = text("""
    INSERT INTO redownloads (job_id, item, request, tenant_id, traceparent)
    SELECT * FROM unnest(CAST(:job AS uuid[]), CAST(:item AS int[]), CAST(:request AS int[]), CAST(:tenant AS uuid[]),
        CAST(:trace AS text[]))
    ON CONFLICT DO NOTHING
""")

# Whoever pays for a further attempt gave the one before it up: the last one that was paid for is what an item can
# still get. While its bill is open, `bills` looks for its result.
_DUE = text(f"""
    WITH due AS (
        SELECT job_id, item, request FROM redownloads WHERE next_at <= now()
        ORDER BY next_at LIMIT :most FOR UPDATE SKIP LOCKED),
    taken AS (
        UPDATE redownloads r SET tries = r.tries + 1, next_at = now() + CAST(:again AS interval) FROM due
        WHERE (r.job_id, r.item, r.request) = (due.job_id, due.item, due.request)
        RETURNING r.*)
    SELECT taken.job_id AS of_job, taken.item AS of_item, taken.request, taken.tenant_id AS of_tenant,
        taken.traceparent AS asked_by, taken.tries AS asked_times, paid.*
    FROM taken LEFT JOIN LATERAL (
        SELECT {PAST_ATTEMPT}, CASE WHEN a.swept_at IS NULL THEN a.staged::text END AS staged,
            a.amount_micros, a.basis
        FROM attempts a JOIN tasks t USING (job_id, item) JOIN jobs j ON j.job_id = a.job_id
        WHERE a.job_id = taken.job_id AND a.item = taken.item AND a.tenant_id = taken.tenant_id
            AND a.billing = 'final' AND a.amount_micros > 0
        ORDER BY a.attempt DESC LIMIT 1) paid ON true
""")  # noqa: S608 - a list of columns

_ANSWER = text("""
    UPDATE redownloads SET next_at = NULL, answered_at = now(), evidence = :evidence
    WHERE job_id = :job AND item = :item AND request = :request AND tries = :tries AND next_at IS NOT NULL
    RETURNING request
""")

_HANDED_OVER = text("""
    UPDATE attempts SET staged = CAST(:staged AS json), swept_at = NULL, fetched_at = now()
    WHERE attempt_id = :attempt
""")

_POSTPONE = text("""
    UPDATE redownloads SET next_at = now() + CAST(:wait AS interval)
    WHERE job_id = :job AND item = :item AND request = :request AND tries = :tries AND next_at IS NOT NULL
""")


async def keep(conn: AsyncConnection, events: Sequence[CloudEvent[JobRedownloadRequested]]) -> None:
    """Writes down what was asked for; a request that is known already changes nothing."""
    rows = [
        (event.data.job_id, event.data.item, event.data.request, event.tenant_id, event.traceparent) for event in events
    ]
    if rows:
        await conn.execute(_KEEP, columns(rows, "job item request tenant trace"))


class RedownloadDatabase:
    """The requests that were kept. Each call is one transaction."""

    def __init__(self, engine: AsyncEngine, outbox: Outbox) -> None:
        self._engine = engine
        self._outbox = outbox

    async def due(self, most: int, again_in_s: float) -> Sequence[Redownload]:
        """Takes what is due; it is due again after `again_in_s` seconds if nobody answers it."""
        async with self._engine.begin() as conn:
            found = await conn.execute(_DUE, {"most": most, "again": timedelta(seconds=again_in_s)})
            return [_redownload(row) for row in found]

    async def answer(self, asked: Redownload, event: GenerationSettled, staged: Staged | None) -> bool:
        """Says the answer and keeps what was staged for it; False where a later try has it."""
        async with self._engine.begin() as conn:
            answered = await conn.execute(_ANSWER, {**_key(asked), "evidence": event.evidence})
            if answered.first() is None:
                return False
            if staged is not None and asked.paid is not None:
                change = {"attempt": asked.paid.task.attempt_id, "staged": staged_text(staged)}
                await conn.execute(_HANDED_OVER, change)
            await self._outbox.add(conn, [Draft(event, asked.job_id, asked.tenant_id, asked.traceparent)])
            return True

    async def postpone(self, asked: Redownload, seconds: float) -> None:
        """Tries it again later."""
        async with self._engine.begin() as conn:
            await conn.execute(_POSTPONE, {**_key(asked), "wait": timedelta(seconds=seconds)})


def _key(asked: Redownload) -> dict[str, Any]:
    return {"job": asked.job_id, "item": asked.item, "request": asked.request, "tries": asked.tries}


def _redownload(row: Row[Any]) -> Redownload:
    return Redownload(
        job_id=row.of_job,
        tenant_id=row.of_tenant,
        item=row.of_item,
        request=row.request,
        traceparent=row.asked_by,
        tries=row.asked_times,
        paid=None if row.attempt_id is None else _paid(row),
    )


def _paid(row: Row[Any]) -> PaidAttempt:
    billing = Billing(state="final", amount_micros=row.amount_micros, basis=row.basis)
    return PaidAttempt(task_of(row, job_of(row)), billing)
