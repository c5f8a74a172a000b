"""Claims: fair over tenants by turn, within each tenant's cap, right over any number of claimers."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.outbox import Draft, Outbox
from provider_worker import says
from provider_worker.store.rows import tasks_of
from provider_worker.tasks import Claimed, Pool

MOST_TURNS = 32

_TURNS = text("""
    SELECT tenant_id, coalesce(cap, :cap) AS cap FROM turns WHERE pool = :pool AND waiting
    ORDER BY served_at LIMIT :turns FOR UPDATE SKIP LOCKED
""")

# A statement of its own, because its snapshot must be taken after the turns are locked: in one statement two claimers
# would lease the same task. Slots are counted from leased rows, never kept as a number. Tasks are skipped where an
# event handler holds them, so a claim waits for nobody.
_CLAIM = text("""
    WITH free AS (
        SELECT u.tenant_id, greatest(0, u.cap - (
            SELECT count(*) FROM tasks l WHERE l.pool = :pool AND l.tenant_id = u.tenant_id AND l.state = 'leased'
                AND l.lease_until > now())) AS slots
        FROM unnest(CAST(:tenants AS uuid[]), CAST(:caps AS int[])) u(tenant_id, cap)),
    pick AS MATERIALIZED (
        SELECT t.* FROM free f CROSS JOIN LATERAL (
            SELECT id, tenant_id, resuming FROM tasks
            WHERE pool = :pool AND tenant_id = f.tenant_id AND state = 'ready'
            ORDER BY id LIMIT least(f.slots, :quantum) FOR UPDATE SKIP LOCKED) t),
    turned AS (
        UPDATE turns u SET served_at = clock_timestamp(), waiting = f.slots = 0 OR (
            SELECT count(*) FROM (
                SELECT FROM tasks t WHERE t.pool = :pool AND t.tenant_id = u.tenant_id AND t.state = 'ready'
                LIMIT p.picked + 1) r) > p.picked
        FROM free f CROSS JOIN LATERAL (SELECT count(*) AS picked FROM pick WHERE pick.tenant_id = f.tenant_id) p
        WHERE u.pool = :pool AND u.tenant_id = f.tenant_id),
    leased AS (
        UPDATE tasks t SET state = 'leased', epoch = t.epoch + 1, resuming = false, next_at = NULL,
            lease_until = now() + CAST(:lease AS interval),
            time_left = coalesce(t.time_left, CAST(:timeout AS interval)),
            calls = t.calls + CASE WHEN p.resuming THEN 0 ELSE 1 END
        FROM pick p WHERE t.id = p.id AND t.state = 'ready'
        RETURNING t.*, p.resuming AS resumed),
    intents AS (
        INSERT INTO attempts (attempt_id, job_id, item, attempt, tenant_id, provider, model, price_micros,
            price_version, calls, intent_at, request_sha256)
        SELECT attempt_id, job_id, item, attempt, tenant_id, provider, model, price_micros, price_version, calls,
            CASE WHEN resumed THEN '-infinity' ELSE now() END,
            encode(sha256(convert_to(concat_ws(E'\\n', provider, model, spec), 'UTF8')), 'hex')
        FROM leased
        ON CONFLICT (job_id, item, attempt) DO UPDATE SET provider = excluded.provider, model = excluded.model,
            price_micros = excluded.price_micros, calls = excluded.calls, request_sha256 = excluded.request_sha256,
            intent_at = greatest(attempts.intent_at, excluded.intent_at)
        RETURNING attempt_id, intent_at, xmax = 0 AS fresh)
    SELECT l.id, l.epoch, l.job_id, l.tenant_id, l.spec::text, l.attempt, l.attempt_id, l.provider, l.model,
        l.price_micros, l.price_version, l.held_micros, l.calls, l.remakes, l.tried, l.resumed AS resuming,
        l.cancel_reason, l.external::text, l.staged::text,
        extract(epoch FROM l.time_left) AS time_left, extract(epoch FROM now() - i.intent_at) AS unknown_s,
        i.intent_at, i.fresh, j.context::text, j.traceparent
    FROM leased l JOIN intents i USING (attempt_id) JOIN jobs j USING (job_id) ORDER BY l.id
""")


async def claim(conn: AsyncConnection, outbox: Outbox, pool: Pool, *, limit: int, lease_s: float) -> Claimed:
    """Leases at most `limit` ready tasks of `pool`, each with its submit intent and GenerationStarted.

    Tenants are served by turn, each with an equal share of `limit`. Nothing may be sent before this is committed.
    """
    wanted = min(limit, MOST_TURNS)
    turns = (await conn.execute(_TURNS, {"pool": pool.name, "cap": pool.cap, "turns": wanted})).all()
    if not turns:
        return Claimed([], tenants=0, more=False)
    found = await conn.execute(
        _CLAIM,
        {
            "pool": pool.name,
            "tenants": [turn.tenant_id for turn in turns],
            "caps": [turn.cap for turn in turns],
            "quantum": limit // len(turns),
            "lease": timedelta(seconds=lease_s),
            "timeout": timedelta(seconds=pool.timeout_s),
        },
    )
    rows = found.all()
    tasks = tasks_of(rows)
    drafts = [
        Draft(says.started(task), task.job.job_id, task.job.tenant_id, task.job.traceparent)
        for task, row in zip(tasks, rows, strict=True)
        if row.fresh
    ]
    await outbox.add(conn, drafts)
    return Claimed(tasks, tenants=len(turns), more=len(turns) == wanted)
