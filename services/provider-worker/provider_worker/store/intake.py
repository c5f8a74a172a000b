"""What events change: prompts come, prices are held or refused, jobs are stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from provider_worker.store.rows import columns, context_text
from provider_worker.store.turns import announce
from provider_worker.tasks import CancelReason, NewTask, State, has_not_started
from schemas.cloudevents import CloudEvent
from schemas.events import PromptsPrepared

# Rows are locked in the order of their keys everywhere, so that handlers and engines of several replicas wait for each
# other and never deadlock.
_OPEN_JOBS = text("""
    INSERT INTO jobs (job_id, tenant_id, context, traceparent, prepared_at)
    SELECT u.*, now() FROM unnest(
        CAST(:jobs AS uuid[]), CAST(:tenants AS uuid[]), CAST(:contexts AS json[]), CAST(:traces AS text[])) u
    ON CONFLICT (job_id) DO UPDATE
    SET context = excluded.context, traceparent = excluded.traceparent, prepared_at = now()
    WHERE jobs.prepared_at IS NULL
    RETURNING job_id, cancel_reason
""")

_ADD_TASKS = text("""
    INSERT INTO tasks (job_id, tenant_id, item, spec, pool, state, attempt, attempt_id, provider, model, price_micros,
        held_micros, price_version, quoted_at)
    SELECT u.job_id, u.tenant_id, u.item, u.spec, u.pool, u.state, u.attempt, u.attempt_id, u.provider, u.model,
        u.price, u.price, :price_version, now()
    FROM unnest(CAST(:job AS uuid[]), CAST(:tenant AS uuid[]), CAST(:item AS int[]), CAST(:spec AS json[]),
        CAST(:pool AS text[]), CAST(:state AS text[]), CAST(:attempt AS int[]), CAST(:attempt_id AS uuid[]),
        CAST(:provider AS text[]), CAST(:model AS text[]), CAST(:price AS bigint[]))
        u(job_id, tenant_id, item, spec, pool, state, attempt, attempt_id, provider, model, price)
""")

_HELD = text("""
    WITH held AS (
        SELECT t.id FROM tasks t
        JOIN unnest(CAST(:job AS uuid[]), CAST(:item AS int[]), CAST(:attempt AS int[])) u(job_id, item, attempt)
            ON t.job_id = u.job_id AND t.item = u.item AND t.attempt = u.attempt
        WHERE t.state = 'quoting' ORDER BY t.id FOR UPDATE OF t)
    UPDATE tasks t SET state = 'ready', quoted_at = NULL FROM held
    WHERE t.id = held.id AND t.state = 'quoting'
    RETURNING t.pool, t.tenant_id
""")

_REFUSED = text("""
    WITH refused AS (
        SELECT t.id FROM tasks t
        JOIN unnest(CAST(:job AS uuid[]), CAST(:item AS int[]), CAST(:attempt AS int[])) u(job_id, item, attempt)
            ON t.job_id = u.job_id AND t.item = u.item AND t.attempt = u.attempt
        WHERE t.state = 'quoting' ORDER BY t.id FOR UPDATE OF t)
    UPDATE tasks t SET state = 'failed', quoted_at = NULL FROM refused
    WHERE t.id = refused.id AND t.state = 'quoting'
    RETURNING t.job_id, t.item, t.tenant_id, t.attempt, t.last_code, t.last_message
""")

_STOP_JOBS = text("""
    INSERT INTO jobs (job_id, tenant_id, cancel_reason)
    SELECT * FROM unnest(CAST(:jobs AS uuid[]), CAST(:tenants AS uuid[]), CAST(:reasons AS text[]))
    ON CONFLICT (job_id) DO UPDATE SET cancel_reason = excluded.cancel_reason WHERE jobs.cancel_reason IS NULL
    RETURNING job_id, cancel_reason, prepared_at IS NOT NULL AS prepared
""")

# What waits to be planned is looked at now, whoever holds it.
_LIVE_TASKS = text("""
    WITH hurried AS (
        UPDATE plannings SET next_at = now() WHERE job_id = ANY(CAST(:jobs AS uuid[])))
    SELECT id, job_id, item, tenant_id, attempt, attempt_id, state FROM tasks
    WHERE job_id = ANY(CAST(:jobs AS uuid[])) AND state NOT IN ('completed', 'failed', 'cancelled')
    ORDER BY id FOR UPDATE
""")

_STOP_TASKS = text("""
    WITH stopped AS (
        UPDATE tasks t SET cancel_reason = u.reason, state = CASE WHEN u.ends THEN 'cancelled' ELSE t.state END,
            next_at = CASE WHEN t.state = 'polling' THEN now() ELSE t.next_at END
        FROM unnest(CAST(:ids AS bigint[]), CAST(:reasons AS text[]), CAST(:ends AS boolean[])) u(id, reason, ends)
        WHERE t.id = u.id
        RETURNING t.attempt_id, u.ends, u.reason)
    UPDATE attempts a SET outcome = 'cancelled', billing = 'none', amount_micros = 0,
        code = CASE stopped.reason WHEN 'deadline' THEN 'TIMEOUT' ELSE 'CANCELLED' END, closed_at = now()
    FROM stopped WHERE stopped.ends AND a.attempt_id = stopped.attempt_id
""")


@dataclass(frozen=True, slots=True)
class Refused:
    """An item whose price nobody held. `last_code` and `last_message` are those of the attempt before."""

    job_id: UUID
    item: int
    tenant_id: UUID
    attempt: int
    last_code: str | None
    last_message: str | None


@dataclass(frozen=True, slots=True)
class Stopped:
    """An item that had not started and is cancelled now."""

    job_id: UUID
    item: int
    tenant_id: UUID
    attempt: int
    reason: CancelReason


async def open_jobs(
    conn: AsyncConnection, events: Sequence[CloudEvent[PromptsPrepared]]
) -> dict[UUID, CancelReason | None]:
    """Takes in the jobs that are new, with the reason of those that were stopped before; the others are not named."""
    rows = sorted(
        {
            event.data.job_id: (event.data.job_id, event.tenant_id, context_text(event.data), event.traceparent)
            for event in reversed(events)
        }.values(),
        key=itemgetter(0),
    )
    found = await conn.execute(_OPEN_JOBS, columns(rows, "jobs tenants contexts traces"))
    return {row.job_id: row.cancel_reason for row in found}


async def add_tasks(conn: AsyncConnection, tasks: Sequence[NewTask], price_version: str) -> None:
    rows = [_task_row(task) for task in tasks]
    if rows:
        names = "job tenant item spec pool state attempt attempt_id provider model price"
        await conn.execute(_ADD_TASKS, {**columns(rows, names), "price_version": price_version})


def _task_row(task: NewTask) -> tuple[Any, ...]:
    offer = task.offer
    return (
        task.job_id,
        task.tenant_id,
        task.item.number,
        task.item.model_dump_json(exclude_defaults=True),
        task.pool,
        task.state.value,
        task.attempt,
        task.attempt_id,
        offer.provider if offer else None,
        offer.model if offer else None,
        offer.amount_micros if offer else None,
    )


async def make_ready(conn: AsyncConnection, held: Sequence[tuple[UUID, int, int]]) -> bool:
    """The price of these (job, item, attempt) is held. True when a task became ready."""
    found = await conn.execute(_HELD, columns(held, "job item attempt"))
    return await announce(conn, [(row.pool, row.tenant_id) for row in found])


async def refuse(conn: AsyncConnection, refused: Sequence[tuple[UUID, int, int]]) -> list[Refused]:
    """Ends those of these (job, item, attempt) that wait for their price to be held."""
    found = await conn.execute(_REFUSED, columns(refused, "job item attempt"))
    return [Refused(*row) for row in found]


async def stop_jobs(conn: AsyncConnection, stops: Sequence[tuple[UUID, UUID, CancelReason]]) -> list[Stopped]:
    """Stops (job, tenant, reason): ends what has not started, flags what has, remembers jobs not known yet.

    What a provider is at work on is looked at once more at once, so that it can be asked to stop; a job that waits to
    be planned is taken at once, and ends there.
    """
    first = {job: (job, tenant, reason) for job, tenant, reason in reversed(stops)}
    rows = sorted(first.values(), key=itemgetter(0))
    found = await conn.execute(_STOP_JOBS, columns(rows, "jobs tenants reasons"))
    reasons = {row.job_id: row.cancel_reason for row in found if row.prepared}
    if not reasons:
        return []
    tasks = (await conn.execute(_LIVE_TASKS, {"jobs": list(reasons)})).all()
    ends = [has_not_started(State(task.state)) for task in tasks]
    changes = [(task.id, reasons[task.job_id], end) for task, end in zip(tasks, ends, strict=True)]
    if changes:
        await conn.execute(_STOP_TASKS, columns(changes, "ids reasons ends"))
    return [
        Stopped(task.job_id, task.item, task.tenant_id, task.attempt, reasons[task.job_id])
        for task, end in zip(tasks, ends, strict=True)
        if end
    ]
