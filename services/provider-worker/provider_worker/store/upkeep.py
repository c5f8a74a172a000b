"""What time alone changes: leases are renewed or expire, waits end, unanswered quotes are asked again, bytes go.

All by the database's clock; each statement takes only rows that nobody else holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import groupby
from operator import attrgetter
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.outbox import Draft, Outbox
from provider_worker import says
from provider_worker.routing import Offer
from provider_worker.store.rows import job_of
from provider_worker.store.turns import announce
from provider_worker.tasks import Revived

_RENEW = text("""
    UPDATE tasks t SET lease_until = now() + CAST(:lease AS interval)
    FROM unnest(CAST(:ids AS bigint[]), CAST(:epochs AS int[])) u(id, epoch)
    WHERE t.id = u.id AND t.epoch = u.epoch AND t.state IN ('leased', 'staged')
    RETURNING t.id
""")

_HAND_BACK = text("""
    UPDATE tasks t SET state = 'polling', epoch = t.epoch + 1, lease_until = NULL, next_at = now(),
        deadline_at = CASE WHEN t.external IS NOT NULL THEN t.deadline_at END
    FROM unnest(CAST(:ids AS bigint[]), CAST(:epochs AS int[])) u(id, epoch)
    WHERE t.id = u.id AND t.epoch = u.epoch AND t.state IN ('leased', 'staged')
""")

# A new epoch fences the holder whose lease ran out: whatever it still writes is refused. Its slot is kept by whoever
# finds out what became of its call. A job the provider is known to have keeps its deadline; for a call that left no
# trace the time begins anew.
_REVIVE = text("""
    WITH due AS (
        SELECT id FROM tasks WHERE state = 'waiting' AND next_at <= now()
        ORDER BY id LIMIT :most FOR UPDATE SKIP LOCKED),
    expired AS (
        SELECT id FROM tasks WHERE state IN ('leased', 'staged') AND lease_until < now()
        ORDER BY id LIMIT :most FOR UPDATE SKIP LOCKED),
    woken AS (
        UPDATE tasks t SET state = 'ready', next_at = NULL FROM due WHERE t.id = due.id
        RETURNING t.pool, t.tenant_id, false AS expired),
    left_behind AS (
        UPDATE tasks t SET state = 'polling', epoch = t.epoch + 1, lease_until = NULL, next_at = now(),
            deadline_at = CASE WHEN t.external IS NOT NULL THEN t.deadline_at END
        FROM expired WHERE t.id = expired.id
        RETURNING t.pool, t.tenant_id, true AS expired)
    SELECT * FROM woken UNION ALL SELECT * FROM left_behind
""")

_DUE = text("SELECT count(*) FROM (SELECT FROM tasks WHERE state = 'polling' AND next_at <= now() LIMIT :most) d")

# Whoever makes a task ready announces it in the same transaction; this is for what no rule foresaw.
_FORGOTTEN = text("""
    UPDATE turns SET waiting = true FROM (
        SELECT pool, tenant_id FROM turns u WHERE NOT waiting AND EXISTS (
            SELECT FROM tasks t WHERE t.pool = u.pool AND t.tenant_id = u.tenant_id AND t.state = 'ready')
        ORDER BY pool, tenant_id FOR UPDATE SKIP LOCKED) f
    WHERE turns.pool = f.pool AND turns.tenant_id = f.tenant_id
""")

_STALE_QUOTES = text("""
    WITH stale AS (
        SELECT DISTINCT job_id, attempt FROM tasks
        WHERE state = 'quoting' AND quoted_at < now() - CAST(:age AS interval) LIMIT :most),
    locked AS (
        SELECT t.id FROM tasks t JOIN stale s ON t.job_id = s.job_id AND t.attempt = s.attempt
        WHERE t.state = 'quoting' ORDER BY t.id FOR UPDATE OF t),
    asked AS (
        UPDATE tasks t SET quoted_at = now() FROM locked WHERE t.id = locked.id AND t.state = 'quoting'
        RETURNING t.job_id, t.tenant_id, t.item, t.attempt, t.provider, t.model, t.price_micros, t.price_version)
    SELECT asked.*, jobs.context::text, jobs.traceparent FROM asked JOIN jobs USING (job_id)
    ORDER BY job_id, attempt, price_version, item
""")

_CLOSED_LONG_AGO = text("""
    SELECT a.attempt_id, p.piece ->> 'key' AS key
    FROM (SELECT attempt_id, staged FROM attempts
          WHERE staged IS NOT NULL AND swept_at IS NULL AND closed_at < now() - CAST(:age AS interval)
              AND greatest(closed_at, settled_at, fetched_at) < now() - CAST(:age AS interval)
          ORDER BY closed_at LIMIT :most) a
    CROSS JOIN LATERAL json_array_elements(a.staged -> 'pieces') p(piece)
""")

_SWEPT = text("UPDATE attempts SET swept_at = now() WHERE attempt_id = ANY(CAST(:ids AS uuid[]))")


async def renew(conn: AsyncConnection, leases: Sequence[tuple[int, int]], lease_s: float) -> set[int]:
    """Extends these (task id, epoch); returns the ids that are still held."""
    ids, epochs = zip(*leases, strict=True)
    found = await conn.execute(_RENEW, {"ids": list(ids), "epochs": list(epochs), "lease": timedelta(seconds=lease_s)})
    return set(found.scalars())


async def hand_back(conn: AsyncConnection, leases: Sequence[tuple[int, int]]) -> None:
    """Gives these (task id, epoch) to whoever claims next, who looks before it sends."""
    ids, epochs = zip(*leases, strict=True)
    await conn.execute(_HAND_BACK, {"ids": list(ids), "epochs": list(epochs)})


async def revive(conn: AsyncConnection, most: int = 1000) -> Revived:
    """Makes ready what has waited long enough; what a vanished holder left is due to be looked at."""
    rows = (await conn.execute(_REVIVE, {"most": most})).all()
    await announce(conn, [(row.pool, row.tenant_id) for row in rows if not row.expired])
    expired = sum(row.expired for row in rows)
    due = (await conn.execute(_DUE, {"most": most})).scalar_one()
    return Revived(woken=len(rows) - expired, expired=expired, due=due)


async def announce_forgotten(conn: AsyncConnection) -> int:
    """Turns of tenants that have ready tasks and were not waiting: none, if everything is well."""
    return (await conn.execute(_FORGOTTEN)).rowcount


async def ask_again(conn: AsyncConnection, outbox: Outbox, *, age_s: float, currency: str, most: int = 100) -> int:
    """Says again each quote that nobody has answered for `age_s` seconds: a new event id, the same natural key."""
    rows = (await conn.execute(_STALE_QUOTES, {"age": timedelta(seconds=age_s), "most": most})).all()
    drafts = []
    for _, group in groupby(rows, key=attrgetter("job_id", "attempt", "price_version")):
        items = list(group)
        job = job_of(items[0])
        quote = says.quoted(
            job.job_id,
            job.context.user_id,
            items[0].attempt,
            [(row.item, Offer(row.provider, row.model, row.price_micros)) for row in items],
            currency=currency,
            price_version=items[0].price_version,
            max_cost_micros=job.max_cost_micros,
        )
        drafts.append(Draft(quote, job.job_id, job.tenant_id, job.traceparent))
    await outbox.add(conn, drafts)
    return len(drafts)


async def closed_long_ago(conn: AsyncConnection, *, age_s: float, most: int = 500) -> dict[UUID, list[str]]:
    """Staged keys by attempt, of attempts that ended `age_s` seconds ago."""
    found = await conn.execute(_CLOSED_LONG_AGO, {"age": timedelta(seconds=age_s), "most": most})
    keys: dict[UUID, list[str]] = {}
    for row in found:
        keys.setdefault(row.attempt_id, []).append(row.key)
    return keys


async def mark_swept(conn: AsyncConnection, attempts: Sequence[UUID]) -> None:
    await conn.execute(_SWEPT, {"ids": list(attempts)})
