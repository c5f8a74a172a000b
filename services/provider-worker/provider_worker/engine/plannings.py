"""Jobs that resume are planned once it is known what of them is there: that is neither made nor quoted (R88, R89)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from chassis import crash
from chassis.database import is_transient
from chassis.telemetry import get_logger
from chassis.tracing import span
from provider_worker import metrics
from provider_worker.engine.presence import NamesRefused, PresenceUnknown, Present
from provider_worker.engine.side_by_side import side_by_side
from provider_worker.planning import Plan, Planner, Planning
from schemas.events import GenerationQuoted, GenerationSkipped

log = get_logger()

MOST = 20
LEASE_S = 10.0
"""A job whose holder died is taken by another one after this; a question takes 2 s at most."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 10.0
MOST_FAILURES = 5
"""So many errors that nobody foresaw end a job's items, as they do in a handler."""

_REFUSED = "the job's prompts could not be handled"


class PlanningStore(Protocol):
    """See `store.plannings.PlanningDatabase`."""

    async def due(self, most: int, lease_s: float) -> Sequence[Planning]: ...

    async def write(self, planning: Planning, plan: Plan) -> bool: ...

    async def postpone(self, planning: Planning, seconds: float, *, failed: bool) -> None: ...


@dataclass(frozen=True, slots=True)
class Plannings:
    """Asks what is there, once for each job, and plans the rest. `wake`: jobs have come."""

    store: PlanningStore
    planner: Planner
    present: Present
    wake: asyncio.Event

    async def step(self) -> bool:
        """Plans what is due; True when there was something."""
        found = await self.store.due(MOST, LEASE_S)
        await side_by_side(self._look_at(planning) for planning in found)
        return bool(found)

    async def _look_at(self, planning: Planning) -> None:
        try:
            with span("plan", traceparent=planning.traceparent, attributes=_attributes(planning)):
                await self._planned(planning)
        except PresenceUnknown as error:
            metrics.PRESENCE_UNANSWERED.inc()
            log.warning("presence_not_answered", reason=str(error), tries=planning.epoch, **_facts(planning))
            await self._postpone(planning, failed=False)
        except Exception as error:
            await self._unexpected(planning, error)

    async def _planned(self, planning: Planning) -> None:
        if planning.cancelled is not None:
            plan = self.planner.plan(planning.prepared, planning.tenant_id, planning.cancelled)
            await self._write(planning, plan, "cancelled")
            return
        crash.point("worker.before_presence")
        try:
            present = await self.present(planning)
        except NamesRefused as error:
            await self._refuse(planning, error)
            return
        crash.point("worker.after_presence")
        await self._write(planning, self.planner.plan(planning.prepared, planning.tenant_id, None, present), "planned")

    async def _write(self, planning: Planning, plan: Plan, outcome: str) -> None:
        if not await self.store.write(planning, plan):
            metrics.FENCED.inc()
            log.info("planning_not_held", **_facts(planning))
            return
        skipped = sum(isinstance(said, GenerationSkipped) for said in plan.events)
        quoted = sum(len(said.items) for said in plan.events if isinstance(said, GenerationQuoted))
        metrics.RESUMED.labels(outcome).inc()
        metrics.SKIPPED.inc(skipped)
        log.info("job_planned", outcome=outcome, skipped=skipped, quoted=quoted, **_facts(planning))

    async def _unexpected(self, planning: Planning, error: Exception) -> None:
        metrics.UNFORESEEN.labels("planning").inc()
        log.error("planning_unexpected_error", tries=planning.epoch, exc_info=error, **_facts(planning))
        # A database that is away says nothing about the job.
        if planning.failures + 1 < MOST_FAILURES or is_transient(error):
            await self._postpone(planning, failed=not is_transient(error))
        else:
            await self._refuse(planning, error)

    async def _refuse(self, planning: Planning, error: Exception) -> None:
        """So that nobody waits for a job that cannot be planned."""
        log.error("prompts_not_handled", error=str(error), **_facts(planning))
        await self._write(planning, self.planner.refuse(planning.prepared, planning.tenant_id, _REFUSED), "refused")

    async def _postpone(self, planning: Planning, *, failed: bool) -> None:
        seconds = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(planning.epoch - 1, 10))
        await self.store.postpone(planning, seconds, failed=failed)


def _attributes(planning: Planning) -> dict[str, str]:
    return {"backlot.job_id": str(planning.job_id), "backlot.tenant_id": str(planning.tenant_id)}


def _facts(planning: Planning) -> dict[str, Any]:
    trace = planning.traceparent
    job_id, tenant = str(planning.job_id), str(planning.tenant_id)
    return {"job_id": job_id, "tenant": tenant, "trace_id": trace[3:35] if trace else None}
