"""Steps of tasks under a lease: many share one transaction, each is written by compare-and-set or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.outbox import Draft, Outbox
from provider_worker.routing import Account, pool_of
from provider_worker.store import accounts as account_store
from provider_worker.store.rows import columns, reference_text, staged_text
from provider_worker.tasks import Advance, Await, Closing, Finish, Intend, Keep, Park, Step, Task, Written

# The compare: who still holds the lease. Locked in the order of ids, as everywhere.
_LOCK = text("""
    SELECT t.id, t.cancel_reason FROM tasks t
    JOIN unnest(CAST(:ids AS bigint[]), CAST(:epochs AS int[])) u(id, epoch) ON t.id = u.id AND t.epoch = u.epoch
    WHERE t.state IN ('leased', 'staged') ORDER BY t.id FOR UPDATE OF t
""")

_KEEP = text("""
    UPDATE tasks t SET staged = u.staged, state = 'staged'
    FROM unnest(CAST(:ids AS bigint[]), CAST(:staged AS json[])) u(id, staged)
    WHERE t.id = u.id
""")

_INTEND = text("""
    WITH intended AS (
        UPDATE tasks t SET external = u.external
        FROM unnest(CAST(:ids AS bigint[]), CAST(:external AS json[])) u(id, external)
        WHERE t.id = u.id
        RETURNING t.attempt_id)
    UPDATE attempts a SET intent_at = now() FROM intended WHERE a.attempt_id = intended.attempt_id
""")

_TAKEN = text("""
    SELECT EXISTS (
            SELECT FROM tasks WHERE provider = :provider AND external ->> 'id' = :id AND external IS NOT NULL
                AND attempt_id <> :attempt)
        OR EXISTS (
            SELECT FROM attempts WHERE provider = :provider AND external ->> 'id' = :id AND external IS NOT NULL
                AND attempt_id <> :attempt)
""")

# Whoever claimed it before the job was stopped comes again at once and asks the provider to stop.
_AWAIT = text("""
    UPDATE tasks t SET state = 'polling', lease_until = NULL, external = coalesce(u.external, t.external),
        calls = t.calls + CAST(u.counts AS int),
        next_at = CASE WHEN t.cancel_reason IS NOT NULL AND NOT u.knew THEN now() ELSE now() + u.wait END
    FROM unnest(CAST(:ids AS bigint[]), CAST(:wait AS interval[]), CAST(:external AS json[]),
        CAST(:counts AS boolean[]), CAST(:knew AS boolean[])) u(id, wait, external, counts, knew)
    WHERE t.id = u.id
""")

_PARK = text("""
    UPDATE tasks t SET state = 'waiting', lease_until = NULL, deadline_at = NULL, next_at = now() + u.wait,
        time_left = u.time_left, external = NULL, staged = NULL,
        tried = CASE WHEN u.provider IS NULL THEN t.tried ELSE array_append(t.tried, t.provider) END,
        calls = CASE WHEN u.provider IS NULL THEN t.calls - CAST(NOT u.called AS int) ELSE 0 END,
        pool = coalesce(u.pool, t.pool), provider = coalesce(u.provider, t.provider),
        model = coalesce(u.model, t.model), price_micros = coalesce(u.price, t.price_micros)
    FROM unnest(CAST(:ids AS bigint[]), CAST(:wait AS interval[]), CAST(:time_left AS interval[]),
        CAST(:called AS boolean[]), CAST(:provider AS text[]), CAST(:model AS text[]), CAST(:price AS bigint[]),
        CAST(:pool AS text[])) u(id, wait, time_left, called, provider, model, price, pool)
    WHERE t.id = u.id
""")

_ADVANCE = text("""
    UPDATE tasks t SET state = 'quoting', quoted_at = now(), attempt = t.attempt + 1, attempt_id = u.attempt_id,
        lease_until = NULL, deadline_at = NULL, time_left = NULL, external = NULL, staged = NULL,
        calls = 0, remakes = t.remakes + CASE WHEN u.remake THEN 1 ELSE 0 END,
        tried = CASE WHEN u.remake THEN t.tried ELSE array_append(t.tried, t.provider) END, pool = u.pool,
        provider = u.provider, model = u.model, price_micros = u.price, held_micros = u.price,
        price_version = u.price_version, last_code = u.code, last_message = u.message
    FROM unnest(CAST(:ids AS bigint[]), CAST(:attempt_id AS uuid[]), CAST(:remake AS boolean[]), CAST(:pool AS text[]),
        CAST(:provider AS text[]), CAST(:model AS text[]), CAST(:price AS bigint[]), CAST(:price_version AS text[]),
        CAST(:code AS text[]), CAST(:message AS text[]))
        u(id, attempt_id, remake, pool, provider, model, price, price_version, code, message)
    WHERE t.id = u.id
""")

_FINISH = text("""
    UPDATE tasks t SET state = u.state, lease_until = NULL, staged = NULL, external = NULL
    FROM unnest(CAST(:ids AS bigint[]), CAST(:state AS text[])) u(id, state) WHERE t.id = u.id
""")

_CLOSE = text("""
    UPDATE attempts a SET outcome = u.outcome, code = u.code, billing = u.billing, amount_micros = u.amount,
        basis = u.basis, external_id = u.external_id, staged = u.staged, calls = u.calls, closed_at = now(),
        lookup_at = now() + u.lookup_in, external = u.external
    FROM unnest(CAST(:attempts AS uuid[]), CAST(:outcome AS text[]), CAST(:code AS text[]), CAST(:billing AS text[]),
        CAST(:amount AS bigint[]), CAST(:basis AS text[]), CAST(:external_id AS text[]), CAST(:staged AS json[]),
        CAST(:calls AS int[]), CAST(:lookup_in AS interval[]), CAST(:external AS json[]))
        u(attempt_id, outcome, code, billing, amount, basis, external_id, staged, calls, lookup_in, external)
    WHERE a.attempt_id = u.attempt_id
""")


async def write(
    conn: AsyncConnection,
    outbox: Outbox,
    steps: Sequence[Step],
    price_version: str,
    accounts: Mapping[str, Account],
) -> list[Written]:
    """Writes the steps of at most one per task with their events; says for each what became of it."""
    ids = {"ids": [step.task.id for step in steps], "epochs": [step.task.epoch for step in steps]}
    held = {row.id: row.cancel_reason for row in await conn.execute(_LOCK, ids)}
    answers = [_answer(step, held) for step in steps]
    for at, step in enumerate(steps):
        if isinstance(step, Intend) and answers[at] is Written.APPLIED:
            answers[at] = await _token(conn, step, accounts)
    applied = [step for step, answer in zip(steps, answers, strict=True) if answer is Written.APPLIED]
    await _keep(conn, [step for step in applied if isinstance(step, Keep)])
    await _intend(conn, [step for step in applied if isinstance(step, Intend)])
    await _await(conn, [step for step in applied if isinstance(step, Await)])
    await _park(conn, [step for step in applied if isinstance(step, Park)])
    await _advance(conn, [step for step in applied if isinstance(step, Advance)], price_version)
    await _finish(conn, [step for step in applied if isinstance(step, Finish)])
    await _close(conn, [(step.task, step.closing) for step in applied if isinstance(step, Advance | Finish)])
    await outbox.add(conn, list(_drafts(applied)))
    return answers


async def is_taken(conn: AsyncConnection, provider: str, external_id: str, attempt_id: UUID) -> bool:
    """Whether the provider's job of this name is another attempt's."""
    return bool(await conn.scalar(_TAKEN, {"provider": provider, "id": external_id, "attempt": attempt_id}))


def _answer(step: Step, held: dict[int, str | None]) -> Written:
    if step.task.id not in held:
        return Written.LOST
    reason = held[step.task.id]
    if reason is not None and isinstance(step, Intend | Park | Advance):
        return Written(reason)
    return Written.APPLIED


async def _token(conn: AsyncConnection, step: Intend, accounts: Mapping[str, Account]) -> Written:
    """Another phase is another call on the account; that of the first was taken with its claim."""
    if step.reference.phase == 1:
        return Written.APPLIED
    taken = await account_store.take_one(conn, step.task.offer.provider, accounts)
    return Written.APPLIED if taken else Written.TOO_EARLY


async def _keep(conn: AsyncConnection, steps: Sequence[Keep]) -> None:
    if steps:
        await conn.execute(_KEEP, columns([(step.task.id, staged_text(step.staged)) for step in steps], "ids staged"))


async def _intend(conn: AsyncConnection, steps: Sequence[Intend]) -> None:
    if steps:
        rows = [(step.task.id, reference_text(step.reference)) for step in steps]
        await conn.execute(_INTEND, columns(rows, "ids external"))


async def _await(conn: AsyncConnection, steps: Sequence[Await]) -> None:
    rows = [
        (
            step.task.id,
            timedelta(seconds=step.wait),
            reference_text(step.reference),
            step.counts,
            step.task.cancelled is not None,
        )
        for step in steps
    ]
    if rows:
        await conn.execute(_AWAIT, columns(rows, "ids wait external counts knew"))


async def _park(conn: AsyncConnection, steps: Sequence[Park]) -> None:
    if steps:
        names = "ids wait time_left called provider model price pool"
        await conn.execute(_PARK, columns([_park_row(step) for step in steps], names))


def _park_row(step: Park) -> tuple[Any, ...]:
    offer = step.offer
    move = (offer.provider, offer.model, offer.amount_micros) if offer else (None, None, None)
    pool = pool_of(offer.provider, step.task.item.kind) if offer else None
    return (
        step.task.id,
        timedelta(seconds=step.wait),
        None if step.time_left is None else timedelta(seconds=step.time_left),
        step.called,
        *move,
        pool,
    )


async def _advance(conn: AsyncConnection, steps: Sequence[Advance], price_version: str) -> None:
    if steps:
        names = "ids attempt_id remake pool provider model price price_version code message"
        await conn.execute(_ADVANCE, columns([_advance_row(step, price_version) for step in steps], names))


def _advance_row(step: Advance, price_version: str) -> tuple[Any, ...]:
    return (
        step.task.id,
        step.attempt_id,
        step.remake,
        pool_of(step.offer.provider, step.task.item.kind),
        step.offer.provider,
        step.offer.model,
        step.offer.amount_micros,
        price_version,
        step.closing.code,
        step.message,
    )


async def _finish(conn: AsyncConnection, steps: Sequence[Finish]) -> None:
    rows = [(step.task.id, step.closing.outcome) for step in steps]
    if rows:
        await conn.execute(_FINISH, columns(rows, "ids state"))


async def _close(conn: AsyncConnection, closings: Sequence[tuple[Task, Closing]]) -> None:
    if closings:
        names = "attempts outcome code billing amount basis external_id staged calls lookup_in external"
        await conn.execute(_CLOSE, columns([_closing_row(task, closing) for task, closing in closings], names))


def _closing_row(task: Task, closing: Closing) -> tuple[Any, ...]:
    return (
        task.attempt_id,
        closing.outcome,
        closing.code,
        closing.billing.state,
        closing.billing.amount_micros,
        closing.billing.basis,
        closing.staged.external_id if closing.staged else task.external and task.external.external_id,
        staged_text(closing.staged),
        task.calls,
        None if closing.lookup_in is None else timedelta(seconds=closing.lookup_in),
        reference_text(task.external),
    )


def _drafts(steps: Sequence[Step]) -> Iterable[Draft]:
    for step in steps:
        if isinstance(step, Await | Advance | Finish):
            job = step.task.job
            for event in step.events:
                yield Draft(event, job.job_id, job.tenant_id, job.traceparent)
