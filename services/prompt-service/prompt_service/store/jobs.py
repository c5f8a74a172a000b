"""What every job was told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.prompts import PromptsPrepared, PromptsRejected

State = Literal["prepared", "rejected", "waiting", "composing", "cancelled", "timed_out"]
"""`waiting`: for a kit or capsule; `composing`: for a language model."""

_STATES = text("SELECT id, state FROM job WHERE id = ANY(CAST(:ids AS uuid[]))")

_ADD_JOBS = text("""
INSERT INTO job (id, tenant_id, state, told, requested, traceparent)
SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:tenants AS uuid[]), CAST(:states AS text[]), CAST(:told AS text[]),
    CAST(:requested AS text[]), CAST(:traceparents AS text[]))
ON CONFLICT (id) DO NOTHING RETURNING id
""")

_FINISH_JOBS = text("""
UPDATE job j SET state = u.state, told = u.told, requested = u.requested, composing_since = now(), due_at = now()
FROM unnest(CAST(:ids AS uuid[]), CAST(:states AS text[]), CAST(:told AS text[]), CAST(:requested AS text[]))
    u(id, state, told, requested)
WHERE j.id = u.id
""")

_WAITING = text("""
SELECT id, tenant_id, requested, traceparent, created_at < now() - make_interval(secs => :patience) AS too_long
FROM job WHERE state = 'waiting' ORDER BY created_at LIMIT :limit FOR UPDATE SKIP LOCKED
""")

_STOP_WAITING = text("""
UPDATE job SET state = 'rejected', requested = NULL
WHERE id = ANY(CAST(:ids AS uuid[])) AND state IN ('waiting', 'composing') RETURNING id
""")


@dataclass(frozen=True, slots=True)
class JobRow:
    """What is written of a job: its state, what was told (JSON), or what waits (JSON of JobRequested)."""

    id: UUID
    tenant_id: UUID
    state: State
    told: str | None = None
    requested: str | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A job that waits for its kit or capsule; `too_long` by the database's clock."""

    id: UUID
    tenant_id: UUID
    requested: str
    traceparent: str | None
    too_long: bool


def state_of(answer: PromptsPrepared | PromptsRejected) -> State:
    """How a job stands that was told this."""
    return "prepared" if isinstance(answer, PromptsPrepared) else "rejected"


async def read_states(conn: AsyncConnection, ids: Sequence[UUID]) -> dict[UUID, State]:
    """How the jobs stand that were met before."""
    return {row.id: row.state for row in await conn.execute(_STATES, {"ids": list(ids)})}


async def add_jobs(conn: AsyncConnection, rows: Sequence[JobRow]) -> set[UUID]:
    """Writes jobs not met before; answers the ids that were written."""
    if not rows:
        return set()
    ordered = sorted(rows, key=lambda row: row.id)
    columns = {
        "ids": [row.id for row in ordered],
        "tenants": [row.tenant_id for row in ordered],
        "states": [row.state for row in ordered],
        "told": [row.told for row in ordered],
        "requested": [row.requested for row in ordered],
        "traceparents": [row.traceparent for row in ordered],
    }
    return set((await conn.execute(_ADD_JOBS, columns)).scalars())


async def finish_jobs(conn: AsyncConnection, rows: Sequence[JobRow]) -> None:
    """Writes what became of jobs that waited; of one that waits on, for a language model, what it asks for stays."""
    if rows:
        columns = {
            "ids": [row.id for row in rows],
            "states": [row.state for row in rows],
            "told": [row.told for row in rows],
            "requested": [row.requested for row in rows],
        }
        await conn.execute(_FINISH_JOBS, columns)


async def lock_waiting(conn: AsyncConnection, *, patience: float, limit: int) -> list[Waiting]:
    """Jobs that wait for a kit or capsule, locked; `patience` in seconds."""
    rows = await conn.execute(_WAITING, {"patience": patience, "limit": limit})
    return [Waiting(row.id, row.tenant_id, row.requested, row.traceparent, row.too_long) for row in rows]


async def stop_waiting(conn: AsyncConnection, ids: Sequence[UUID]) -> set[UUID]:
    """Ends the waiting of jobs; answers those that did wait."""
    if not ids:
        return set()
    return set((await conn.execute(_STOP_WAITING, {"ids": sorted(ids)})).scalars())
