"""Open bills: attempts that ended while their cost was unknown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from provider_worker.store.rows import job_of, staged_text, task_of
from provider_worker.tasks import CountedBills, ListedBill, OpenBill, SettledBill, Staged
from schemas.parts import Billing

AGAIN_S = 60.0


PAST_ATTEMPT = """
    t.id, t.epoch, a.job_id, a.tenant_id, t.spec::text, a.attempt, a.attempt_id, a.provider, a.model,
    a.price_micros, a.price_version, a.price_micros AS held_micros, a.intent_at, 0 AS unknown_s, a.calls,
    t.remakes, t.tried, 0 AS time_left, true AS resuming, t.cancel_reason,
    a.external::text, j.context::text, j.traceparent
"""
"""Columns of `rows.task_of` for an attempt that has ended: its own provider and reference, because the task may have
gone on since."""

# A lookup counts itself, so that of two that overlap only the later one can settle.
_TAKE = """
    WITH chosen AS ({chosen}),
    taken AS (
        UPDATE attempts a SET lookups = a.lookups + 1, lookup_at = now() + CAST(:again AS interval)
        FROM chosen WHERE a.attempt_id = chosen.attempt_id
        RETURNING a.*)
    SELECT {columns}, NULL AS staged, a.lookups, extract(epoch FROM now() - a.closed_at) AS age_s
    FROM taken a JOIN tasks t USING (job_id, item) JOIN jobs j ON j.job_id = a.job_id
"""

_DUE = text(
    _TAKE.format(
        columns=PAST_ATTEMPT,
        chosen="""SELECT attempt_id FROM attempts WHERE billing = 'pending' AND lookup_at <= now()
            ORDER BY lookup_at LIMIT :most FOR UPDATE SKIP LOCKED""",
    )
)

# Waits for whoever has it: an operator's word is not passed over.
_THIS = text(
    _TAKE.format(
        columns=PAST_ATTEMPT,
        chosen="SELECT attempt_id FROM attempts WHERE billing = 'pending' AND attempt_id = :attempt FOR UPDATE",
    )
)

_SETTLED = text("""
    SELECT billing, amount_micros, basis, evidence FROM attempts
    WHERE attempt_id = :attempt AND billing IS NOT NULL AND billing <> 'pending'
""")

_LIST = text("""
    SELECT attempt_id, job_id, item, attempt, tenant_id, provider, model, code, price_micros AS quoted_micros,
        external_id, lookups, extract(epoch FROM now() - closed_at)::float8 AS age_s,
        flagged_at IS NOT NULL AS needs_operator
    FROM attempts WHERE billing = 'pending' ORDER BY closed_at
""")

_COUNT = text("""
    SELECT provider, code, flagged_at IS NOT NULL AS needs_operator, count(*) AS bills,
        max(extract(epoch FROM now() - closed_at))::float8 AS oldest_s
    FROM attempts WHERE billing = 'pending' GROUP BY 1, 2, 3
""")

_SETTLE = text("""
    UPDATE attempts SET billing = :billing, amount_micros = :amount, basis = :basis, evidence = :evidence,
        external_id = coalesce(CAST(:external_id AS text), external_id),
        staged = coalesce(CAST(:staged AS json), staged), settled_at = now(), lookup_at = NULL
    WHERE attempt_id = :attempt AND billing = 'pending' AND lookups = :lookups
    RETURNING attempt_id
""")

_POSTPONE = text("""
    UPDATE attempts SET lookup_at = now() + CAST(:wait AS interval),
        flagged_at = CASE WHEN :flagged THEN coalesce(flagged_at, now()) ELSE flagged_at END
    WHERE attempt_id = :attempt AND billing = 'pending' AND lookups = :lookups
""")


async def due(conn: AsyncConnection, most: int, again_in_s: float) -> Sequence[OpenBill]:
    """Takes bills whose lookup is due; they are due again after `again_in_s` seconds if nobody settles them."""
    return _bills(await conn.execute(_DUE, {"most": most, "again": timedelta(seconds=again_in_s)}))


async def taken(conn: AsyncConnection, attempt_id: UUID) -> OpenBill | None:
    """Takes one open bill, due or not; whoever is looking it up cannot settle it any more."""
    found = _bills(await conn.execute(_THIS, {"again": timedelta(seconds=AGAIN_S), "attempt": attempt_id}))
    return found[0] if found else None


def _bills(found: Iterable[Row[Any]]) -> list[OpenBill]:
    return [OpenBill(task_of(row, job_of(row)), row.lookups, float(row.age_s)) for row in found]


async def settled(conn: AsyncConnection, attempt_id: UUID) -> SettledBill | None:
    """What an attempt came to; None where that is not known, or there is no such attempt."""
    row = (await conn.execute(_SETTLED, {"attempt": attempt_id})).one_or_none()
    if row is None:
        return None
    billing = Billing(state=row.billing, amount_micros=row.amount_micros or 0, basis=row.basis)
    return SettledBill(billing, row.evidence)


async def listed(conn: AsyncConnection) -> list[ListedBill]:
    """Every open bill, the oldest first."""
    return [ListedBill(**row._mapping) for row in await conn.execute(_LIST)]


async def counted(conn: AsyncConnection) -> list[CountedBills]:
    """Open bills by provider and code."""
    return [
        CountedBills(row.provider, row.code, row.bills, row.oldest_s, row.needs_operator)
        for row in await conn.execute(_COUNT)
    ]


async def settle(conn: AsyncConnection, bill: OpenBill, billing: Billing, evidence: str, staged: Staged | None) -> bool:
    """Closes the bill; False where a later lookup has it."""
    found = await conn.execute(
        _SETTLE,
        {
            "attempt": bill.task.attempt_id,
            "lookups": bill.lookups,
            "billing": billing.state,
            "amount": billing.amount_micros,
            "basis": billing.basis,
            "evidence": evidence,
            "external_id": staged.external_id if staged else None,
            "staged": staged_text(staged),
        },
    )
    return found.first() is not None


async def postpone(conn: AsyncConnection, bill: OpenBill, seconds: float, *, flagged: bool) -> None:
    """Looks it up later; `flagged`: an operator has to settle it."""
    await conn.execute(
        _POSTPONE,
        {
            "attempt": bill.task.attempt_id,
            "lookups": bill.lookups,
            "wait": timedelta(seconds=seconds),
            "flagged": flagged,
        },
    )
