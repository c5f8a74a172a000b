"""Jobs that wait to be planned: kept once, leased, and gone with the transaction that writes their plan."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chassis import crash
from chassis.outbox import Draft, Outbox
from provider_worker.planning import Plan, Planning
from provider_worker.store.intake import add_tasks
from provider_worker.store.rows import columns
from schemas.cloudevents import CloudEvent
from schemas.events import PromptsPrepared

_KEEP = text("""
    INSERT INTO plannings (job_id, tenant_id, prepared)
    SELECT * FROM unnest(CAST(:jobs AS uuid[]), CAST(:tenants AS uuid[]), CAST(:prepared AS json[]))
""")

_DUE = text("""
    WITH due AS (
        SELECT job_id FROM plannings WHERE next_at <= now() ORDER BY next_at LIMIT :most FOR UPDATE SKIP LOCKED)
    UPDATE plannings p SET epoch = p.epoch + 1, next_at = now() + CAST(:lease AS interval)
    FROM due JOIN jobs j USING (job_id) WHERE p.job_id = due.job_id
    RETURNING p.job_id, p.tenant_id, p.prepared::text, p.epoch, p.failures, j.traceparent, j.cancel_reason
""")

# The job's row is locked first, as it is by whoever stops the job: he comes before this, and the plan is not the one
# for a stopped job, or after it, and finds the tasks.
_END = text("""
    WITH job AS (
        SELECT job_id FROM jobs
        WHERE job_id = :job AND cancel_reason IS NOT DISTINCT FROM CAST(:cancelled AS text) FOR UPDATE)
    DELETE FROM plannings p USING job WHERE p.job_id = job.job_id AND p.epoch = :epoch
    RETURNING p.job_id
""")

_POSTPONE = text("""
    UPDATE plannings SET next_at = now() + CAST(:wait AS interval), failures = failures + CAST(:failed AS int)
    WHERE job_id = :job AND epoch = :epoch
""")


async def keep(conn: AsyncConnection, events: Sequence[CloudEvent[PromptsPrepared]]) -> None:
    """Has jobs that were just taken in wait to be planned."""
    rows = [(event.data.job_id, event.tenant_id, event.data.model_dump_json()) for event in events]
    await conn.execute(_KEEP, columns(rows, "jobs tenants prepared"))


class PlanningDatabase:
    """The jobs that wait to be planned. Each call is one transaction."""

    def __init__(self, engine: AsyncEngine, outbox: Outbox, price_version: str) -> None:
        self._engine = engine
        self._outbox = outbox
        self._price_version = price_version

    async def due(self, most: int, lease_s: float) -> Sequence[Planning]:
        """Takes what is due; it is due again after `lease_s` seconds if nobody plans it."""
        async with self._engine.begin() as conn:
            found = await conn.execute(_DUE, {"most": most, "lease": timedelta(seconds=lease_s)})
            return [_planning(row) for row in found]

    async def write(self, planning: Planning, plan: Plan) -> bool:
        """Writes the plan in place of the row; False where another has the lease or the job was stopped meanwhile."""
        async with self._engine.begin() as conn:
            held = {"job": planning.job_id, "epoch": planning.epoch, "cancelled": planning.cancelled}
            if (await conn.execute(_END, held)).first() is None:
                return False
            await add_tasks(conn, plan.tasks, self._price_version)
            await self._outbox.add(
                conn,
                [Draft(said, planning.job_id, planning.tenant_id, planning.traceparent) for said in plan.events],
            )
            crash.point("worker.before_plan")
        crash.point("worker.after_plan")
        return True

    async def postpone(self, planning: Planning, seconds: float, *, failed: bool) -> None:
        """Has it taken again later; `failed`: for an error that nobody foresaw."""
        async with self._engine.begin() as conn:
            held = {"job": planning.job_id, "epoch": planning.epoch}
            await conn.execute(_POSTPONE, {**held, "wait": timedelta(seconds=seconds), "failed": failed})


def _planning(row: Row[Any]) -> Planning:
    return Planning(
        prepared=PromptsPrepared.model_validate_json(row.prepared),
        tenant_id=row.tenant_id,
        traceparent=row.traceparent,
        epoch=row.epoch,
        failures=row.failures,
        cancelled=row.cancel_reason,
    )
