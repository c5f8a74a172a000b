"""Jobs that time has passed over, by the database's clock."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.outbox import Draft, Outbox
from schemas.jobs import JobCancelRequested, JobRequested
from schemas.parts import JobSpec, VersionRef

# Skipping locked rows: a job that is being changed right now is looked at again in the next round.
_OVERDUE = text(
    "SELECT id FROM job WHERE deadline_at <= now() AND cancel_requested_at IS NULL AND completed_at IS NULL "
    "ORDER BY deadline_at LIMIT :limit FOR UPDATE SKIP LOCKED"
)
_GIVEN_UP = text(
    "SELECT id FROM job WHERE cancel_requested_at <= now() - make_interval(secs => :patience) "
    "AND completed_at IS NULL ORDER BY cancel_requested_at LIMIT :limit FOR UPDATE SKIP LOCKED"
)
# Each time a job is requested again it waits twice as long for the next, up to an hour: a service that is down for a
# day must not find its topic full of repetitions.
_UNANSWERED = text(
    "UPDATE job SET requested_at = now(), requests = job.requests + 1 FROM (SELECT id FROM job "
    "WHERE status = 'queued' AND cancel_requested_at IS NULL AND requested_at <= now() - make_interval(secs => "
    "least(3600, CAST(:patience AS float8) * power(2, least(requests, 12) - 1))) "
    "ORDER BY requested_at LIMIT :limit FOR UPDATE SKIP LOCKED) AS stale "
    "WHERE job.id = stale.id RETURNING job.id, tenant_id, user_id, request, brand_kit_id, brand_kit_version, "
    "style_capsule_id, style_capsule_version, max_cost_micros, traceparent"
)
_TENANTS = text("SELECT id, tenant_id FROM job WHERE id = ANY(:ids)")


async def overdue(conn: AsyncConnection, limit: int) -> list[UUID]:
    """Jobs past their deadline that nobody asked to stop yet; locked."""
    return list((await conn.execute(_OVERDUE, {"limit": limit})).scalars())


async def unanswered_cancels(conn: AsyncConnection, patience: float, limit: int) -> list[UUID]:
    """Jobs that were asked to stop `patience` seconds ago and have not ended; locked."""
    return list((await conn.execute(_GIVEN_UP, {"patience": patience, "limit": limit})).scalars())


async def request_again(conn: AsyncConnection, outbox: Outbox, patience: float, limit: int) -> int:
    """Says JobRequested again, under a new id, for jobs nobody has answered (R35); answers how many."""
    rows = (await conn.execute(_UNANSWERED, {"patience": patience, "limit": limit})).all()
    drafts = []
    for job_id, tenant_id, user_id, request, kit, kit_version, capsule, capsule_version, max_cost, traceparent in rows:
        event = JobRequested(
            job_id=job_id,
            user_id=user_id,
            request=JobSpec.model_validate(request),
            brand_kit=VersionRef(id=kit, version=kit_version) if kit else None,
            style_capsule=VersionRef(id=capsule, version=capsule_version) if capsule else None,
            max_cost_micros=max_cost,
        )
        drafts.append(Draft(event, job_id, tenant_id, traceparent=traceparent))
    await outbox.add(conn, drafts)
    return len(rows)


async def say_cancel(conn: AsyncConnection, outbox: Outbox, ids: Sequence[UUID], reason: str) -> None:
    """Says JobCancelRequested for each of `ids`."""
    if not ids:
        return
    rows = (await conn.execute(_TENANTS, {"ids": list(ids)})).all()
    drafts = [
        Draft(JobCancelRequested.model_validate({"job_id": job_id, "reason": reason}), job_id, tenant_id)
        for job_id, tenant_id in rows
    ]
    await outbox.add(conn, drafts)
