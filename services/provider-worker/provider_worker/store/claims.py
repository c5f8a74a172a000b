"""Claims: what is due first, then fair over tenants by turn, within each tenant's cap and each account's limits.

Right over any number of claimers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.outbox import Draft, Outbox
from provider_worker import says
from provider_worker.routing import Account
from provider_worker.store import accounts as account_store
from provider_worker.store.accounts import Room
from provider_worker.store.rows import tasks_of
from provider_worker.tasks import LEFT_TO_OTHERS, Claimed, Pool, Task

MOST_TURNS = 32
"""Of one pool, in one claim."""
UNLISTED_TIMEOUT = timedelta(seconds=60)
"""Of an attempt whose route is gone since it began."""

# Every lookup keeps its slot until it is known what became of the call.
_DUE = text("""
    WITH due AS (
        SELECT id FROM tasks WHERE state = 'polling' AND next_at <= now()
            AND (CAST(:asks AS text[]) IS NULL OR provider = ANY(CAST(:asks AS text[]))
                OR next_at <= now() - CAST(:patience AS interval))
        ORDER BY next_at LIMIT :limit FOR UPDATE SKIP LOCKED),
    leased AS (
        UPDATE tasks t SET state = 'leased', epoch = t.epoch + 1, next_at = NULL,
            lease_until = now() + CAST(:lease AS interval),
            deadline_at = coalesce(t.deadline_at, now() + coalesce((
                SELECT p.timeout FROM unnest(CAST(:pools AS text[]), CAST(:timeouts AS interval[])) p(pool, timeout)
                WHERE p.pool = t.pool), CAST(:unlisted AS interval)))
        FROM due WHERE t.id = due.id
        RETURNING t.*)
    SELECT l.id, l.epoch, l.job_id, l.tenant_id, l.spec::text, l.attempt, l.attempt_id, l.provider, l.model,
        l.price_micros, l.price_version, l.held_micros, l.calls, l.remakes, l.tried, true AS resuming,
        l.cancel_reason, l.external::text, l.staged::text, false AS fresh,
        extract(epoch FROM l.deadline_at - now()) AS time_left, extract(epoch FROM now() - a.intent_at) AS unknown_s,
        a.intent_at, j.context::text, j.traceparent
    FROM leased l JOIN attempts a USING (attempt_id) JOIN jobs j ON j.job_id = l.job_id ORDER BY l.id
""")

_TURNS = text("""
    SELECT p.pool, p.provider, u.tenant_id, coalesce(u.cap, p.cap) AS cap, p.timeout, a.provider IS NOT NULL AS known
    FROM unnest(CAST(:pools AS text[]), CAST(:providers AS text[]), CAST(:caps AS int[]), CAST(:timeouts AS interval[]))
        p(pool, provider, cap, timeout)
    CROSS JOIN LATERAL (
        SELECT tenant_id, cap, served_at FROM turns WHERE turns.pool = p.pool AND waiting
        ORDER BY served_at LIMIT :turns FOR UPDATE SKIP LOCKED) u
    LEFT JOIN accounts a ON a.provider = p.provider
    ORDER BY u.served_at
""")

# A statement of its own, because its snapshot must be taken after turns and accounts are locked: in one statement two
# claimers would lease the same task. Slots are counted from rows, never kept as a number. Tasks are skipped where an
# event handler holds them, so a claim waits for nobody. Of what an account has room for, each tenant gets its first
# task before any gets its second.
_CLAIM = text("""
    WITH account AS (
        SELECT a.provider, least(a.calls, CASE WHEN a.concurrency IS NOT NULL THEN greatest(0, a.concurrency - (
            SELECT count(*) FROM tasks s WHERE s.state IN ('leased', 'polling') AND s.pool IN (
                SELECT p.pool FROM unnest(CAST(:all_pools AS text[]), CAST(:all_providers AS text[])) p(pool, provider)
                WHERE p.provider = a.provider))) END) AS room
        FROM unnest(CAST(:accounts AS text[]), CAST(:calls AS int[]), CAST(:concurrency AS int[]))
            a(provider, calls, concurrency)),
    free AS (
        SELECT u.*, greatest(0, u.cap - (
            SELECT count(*) FROM tasks l WHERE l.pool = u.pool AND l.tenant_id = u.tenant_id
                AND l.state IN ('leased', 'polling'))) AS slots
        FROM unnest(CAST(:pools AS text[]), CAST(:tenants AS uuid[]), CAST(:caps AS int[]), CAST(:providers AS text[]),
            CAST(:timeouts AS interval[])) WITH ORDINALITY u(pool, tenant_id, cap, provider, timeout, turn)),
    found AS MATERIALIZED (
        SELECT t.id, f.* FROM free f CROSS JOIN LATERAL (
            SELECT id FROM tasks WHERE tasks.pool = f.pool AND tasks.tenant_id = f.tenant_id AND state = 'ready'
            ORDER BY id LIMIT least(f.slots, :quantum) FOR UPDATE SKIP LOCKED) t),
    within_accounts AS (
        SELECT r.*, row_number() OVER (ORDER BY nth, turn) AS of_all FROM (
            SELECT n.*, row_number() OVER (PARTITION BY provider ORDER BY nth, turn) AS of_account FROM (
                SELECT found.*, row_number() OVER (PARTITION BY pool, tenant_id ORDER BY id) AS nth FROM found) n) r
        LEFT JOIN account USING (provider) WHERE account.room IS NULL OR r.of_account <= account.room),
    pick AS MATERIALIZED (SELECT id, pool, tenant_id, timeout FROM within_accounts WHERE of_all <= :limit),
    turned AS (
        UPDATE turns u SET
            served_at = CASE WHEN p.picked > 0 OR f.slots = 0 THEN clock_timestamp() ELSE u.served_at END,
            waiting = f.slots = 0 OR (
                SELECT count(*) FROM (
                    SELECT FROM tasks t WHERE t.pool = u.pool AND t.tenant_id = u.tenant_id AND t.state = 'ready'
                    LIMIT p.picked + 1) r) > p.picked
        FROM free f CROSS JOIN LATERAL (
            SELECT count(*) AS picked FROM pick WHERE pick.pool = f.pool AND pick.tenant_id = f.tenant_id) p
        WHERE u.pool = f.pool AND u.tenant_id = f.tenant_id),
    leased AS (
        UPDATE tasks t SET state = 'leased', epoch = t.epoch + 1, next_at = NULL, calls = t.calls + 1,
            lease_until = now() + CAST(:lease AS interval), deadline_at = now() + coalesce(t.time_left, p.timeout),
            time_left = NULL
        FROM pick p WHERE t.id = p.id AND t.state = 'ready'
        RETURNING t.*),
    intents AS (
        INSERT INTO attempts (attempt_id, job_id, item, attempt, tenant_id, provider, model, price_micros,
            price_version, calls, request_sha256)
        SELECT attempt_id, job_id, item, attempt, tenant_id, provider, model, price_micros, price_version, calls,
            encode(sha256(convert_to(concat_ws(E'\\n', provider, model, spec), 'UTF8')), 'hex')
        FROM leased
        ON CONFLICT (job_id, item, attempt) DO UPDATE SET provider = excluded.provider, model = excluded.model,
            price_micros = excluded.price_micros, calls = excluded.calls, request_sha256 = excluded.request_sha256,
            intent_at = now()
        RETURNING attempt_id, intent_at, xmax = 0 AS fresh)
    SELECT l.id, l.epoch, l.job_id, l.tenant_id, l.spec::text, l.attempt, l.attempt_id, l.provider, l.model,
        l.price_micros, l.price_version, l.held_micros, l.calls, l.remakes, l.tried, false AS resuming,
        l.cancel_reason, l.external::text, l.staged::text,
        extract(epoch FROM l.deadline_at - now()) AS time_left, 0 AS unknown_s,
        i.intent_at, i.fresh, j.context::text, j.traceparent
    FROM leased l JOIN intents i USING (attempt_id) JOIN jobs j USING (job_id) ORDER BY l.id
""")


async def claim(
    conn: AsyncConnection,
    outbox: Outbox,
    pools: Sequence[Pool],
    accounts: Mapping[str, Account],
    *,
    limit: int,
    lease_s: float,
    asks: Collection[str] | None = None,
) -> Claimed:
    """Leases at most `limit` tasks: those whose provider is to be looked at, then ready ones of `pools`.

    `asks` are the providers that this process can ask; None: any.

    A ready one gets its submit intent and GenerationStarted: nothing may be sent before this is committed. Tenants are
    served by turn, each with an equal share; tasks of a provider whose breaker is open come out `closed`.
    """
    lease = timedelta(seconds=lease_s)
    due = await _due(conn, pools, limit, lease, asks)
    left = limit - len(due)
    if left <= 0:
        return Claimed(due, turns=1, more=True)
    turns = await _turns(conn, pools, left)
    if not turns:
        return Claimed(due, turns=0, more=False)
    limited = {turn.provider for turn in turns if turn.provider in accounts}
    if unknown := limited - {turn.provider for turn in turns if turn.known}:
        await account_store.ensure(conn, sorted(unknown))
    watched = limited | {turn.provider for turn in turns if turn.known}
    rooms = await account_store.lock(conn, sorted(watched), accounts) if watched else {}
    rows = (await conn.execute(_CLAIM, _asked(turns, rooms, pools, left, lease))).all()
    tasks = [replace(task, closed=_closed(rooms, task)) for task in tasks_of(rows)] if rooms else tasks_of(rows)
    await account_store.take(conn, rooms, Counter(task.offer.provider for task in tasks))
    await outbox.add(
        conn,
        [
            Draft(says.started(task), task.job.job_id, task.job.tenant_id, task.job.traceparent)
            for task, row in zip(tasks, rows, strict=True)
            if row.fresh
        ],
    )
    return Claimed([*due, *tasks], turns=len(turns), more=len(turns) >= min(left, MOST_TURNS))


async def _due(
    conn: AsyncConnection, pools: Sequence[Pool], limit: int, lease: timedelta, asks: Collection[str] | None
) -> list[Task]:
    found = await conn.execute(
        _DUE,
        {
            "limit": limit,
            "lease": lease,
            "pools": [pool.name for pool in pools],
            "timeouts": [timedelta(seconds=pool.timeout_s) for pool in pools],
            "unlisted": UNLISTED_TIMEOUT,
            "asks": None if asks is None else sorted(asks),
            "patience": LEFT_TO_OTHERS,
        },
    )
    return tasks_of(found.all())


async def _turns(conn: AsyncConnection, pools: Sequence[Pool], limit: int) -> Sequence[Row[Any]]:
    found = await conn.execute(
        _TURNS,
        {
            "pools": [pool.name for pool in pools],
            "providers": [pool.provider for pool in pools],
            "caps": [pool.cap for pool in pools],
            "timeouts": [timedelta(seconds=pool.timeout_s) for pool in pools],
            "turns": min(limit, MOST_TURNS),
        },
    )
    return found.all()


def _asked(
    turns: Sequence[Row[Any]], rooms: Mapping[str, Room], pools: Sequence[Pool], limit: int, lease: timedelta
) -> dict[str, Any]:
    return {
        "all_pools": [pool.name for pool in pools],
        "all_providers": [pool.provider for pool in pools],
        "accounts": list(rooms),
        "calls": [room.calls for room in rooms.values()],
        "concurrency": [None if room.closed else room.concurrency for room in rooms.values()],
        "pools": [turn.pool for turn in turns],
        "tenants": [turn.tenant_id for turn in turns],
        "caps": [turn.cap for turn in turns],
        "providers": [turn.provider for turn in turns],
        "timeouts": [turn.timeout for turn in turns],
        "quantum": max(1, limit // len(turns)),
        "limit": limit,
        "lease": lease,
    }


def _closed(rooms: Mapping[str, Room], task: Task) -> Any:
    room = rooms.get(task.offer.provider)
    return room.closed if room else None
