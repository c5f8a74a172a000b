"""Manifests whose items a language model is asked for: leased rows of `job`, closed behind a fence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.errors import Invalid
from chassis.outbox import Draft, Outbox
from chassis.telemetry import get_logger
from prompt_service.composing.composition import Composition
from prompt_service.composing.turns import Claimed
from prompt_service.manifests import told_by
from prompt_service.preparing import not_prepared, prepare
from prompt_service.store.jobs import JobRow, finish_jobs, state_of
from prompt_service.store.pinned import read_pinned
from prompt_service.store.telling import tell
from prompt_service.store.templates import read_named
from prompt_service.templates import Templates
from schemas.jobs import JobRequested

log = get_logger()

# A tenant with many stories waits behind one with few: whoever has the fewest claimed comes next.
_CLAIM = text("""
WITH busy AS (
    SELECT tenant_id, count(*) AS claimed FROM job
    WHERE state = 'composing' AND epoch > 0 AND due_at > now() GROUP BY tenant_id
), next AS (
    SELECT j.id FROM job j LEFT JOIN busy b USING (tenant_id)
    WHERE j.state = 'composing' AND j.due_at <= now()
    ORDER BY coalesce(b.claimed, 0), j.composing_since LIMIT 1 FOR UPDATE OF j SKIP LOCKED
)
UPDATE job j SET epoch = epoch + 1, due_at = now() + make_interval(secs => :lease)
FROM next WHERE j.id = next.id
RETURNING j.id, j.epoch, j.requested,
    extract(epoch FROM composing_since + make_interval(secs => :patience) - now())::float8 AS left_s
""")

_RENEW = text("""
UPDATE job SET due_at = now() + make_interval(secs => :seconds)
WHERE id = :id AND epoch = :epoch AND state = 'composing' RETURNING id
""")

_LOCK = text("""
SELECT tenant_id, requested, traceparent FROM job
WHERE id = :id AND epoch = :epoch AND state = 'composing' FOR UPDATE
""")


@dataclass(frozen=True, slots=True)
class PostgresStories:
    """See `composing.turns.Stories`. `patience` is in seconds: how long a story may wait for the model at all."""

    engine: AsyncEngine
    outbox: Outbox
    templates: Templates
    patience: float

    async def claim(self, lease_s: float) -> Claimed | None:
        """See `composing.turns.Stories`."""
        async with self.engine.begin() as conn:
            row = (await conn.execute(_CLAIM, {"lease": lease_s, "patience": self.patience})).one_or_none()
        if row is None:
            return None
        manifest = JobRequested.model_validate_json(row.requested).request.manifest
        told = told_by(manifest) if manifest else None
        assert told is not None
        return Claimed(row.id, row.epoch, told, row.left_s)

    async def renew(self, claimed: Claimed, lease_s: float) -> bool:
        """See `composing.turns.Stories`."""
        async with self.engine.begin() as conn:
            return await conn.scalar(_RENEW, {**_fence(claimed), "seconds": lease_s}) is not None

    async def postpone(self, claimed: Claimed, seconds: float) -> None:
        """See `composing.turns.Stories`."""
        await self.renew(claimed, seconds)

    async def finish(self, claimed: Claimed, composition: Composition) -> bool:
        """See `composing.turns.Stories`."""
        try:
            return await self._finish(claimed, composition)
        except Invalid as error:  # what is too large to be said would be composed for ever
            log.error("composition_not_said", job_id=claimed.job_id, error=str(error))
            return await self._finish(claimed, None)

    async def _finish(self, claimed: Claimed, composition: Composition | None) -> bool:
        """Without a `composition` the job is rejected."""
        async with self.engine.begin() as conn:
            row = (await conn.execute(_LOCK, _fence(claimed))).one_or_none()
            if row is None:
                return False
            requested = JobRequested.model_validate_json(row.requested)
            pinned = await read_pinned(conn, [(row.tenant_id, requested)])
            named = await read_named(conn, self.templates, [(row.tenant_id, requested)])
            looks, templates = pinned.looks(row.tenant_id, requested), named.of(row.tenant_id)
            answer = prepare(requested, looks, templates, composition) if composition else not_prepared(claimed.job_id)
            await finish_jobs(conn, [JobRow(claimed.job_id, row.tenant_id, state_of(answer), answer.model_dump_json())])
            await tell(conn, self.outbox, [Draft(answer, claimed.job_id, row.tenant_id, row.traceparent)], named)
        return True


def _fence(claimed: Claimed) -> dict[str, Any]:
    return {"id": claimed.job_id, "epoch": claimed.epoch}
