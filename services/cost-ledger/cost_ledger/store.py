"""The tables of the ledger, and every SQL statement on them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.ids import uuid7
from cost_ledger.accounts import LEGS, Key, Kind, Transfer, turnovers
from cost_ledger.attempts import CURRENCY, Attempt, Bill, Budget, Refusal
from cost_ledger.ledger import Book, Command, Posting
from cost_ledger.reconciliation import Books


class CapBroken(Exception):
    """A budget would have been overspent: the books of this process and the database disagree. Nothing was written."""


# One order of locking for everybody: two batches that share tenants wait for each other and never deadlock.
_LOCK_BUDGETS = text("""
SELECT id, tenant_id, limit_micros, reserved_micros, captured_micros, told_percent
FROM budget WHERE tenant_id = ANY(CAST(:tenants AS uuid[])) ORDER BY id FOR UPDATE
""")

_WHO_HAS_BUDGETS = text("SELECT tenant_id FROM budget WHERE tenant_id = ANY(CAST(:tenants AS uuid[]))")

_READ_BUDGET = text("""
SELECT id, tenant_id, limit_micros, reserved_micros, captured_micros, told_percent
FROM budget WHERE tenant_id = :tenant
""")

_OPEN_BUDGETS = text("""
INSERT INTO budget (id, tenant_id, currency, period, limit_micros, ceiling_micros)
SELECT id, tenant_id, :currency, 'total', :limit, :limit
FROM unnest(CAST(:ids AS uuid[]), CAST(:tenants AS uuid[])) AS fresh(id, tenant_id)
ON CONFLICT (tenant_id) DO NOTHING
""")

_UPDATE_BUDGETS = text("""
UPDATE budget b SET reserved_micros = b.reserved_micros + d.reserved,
    captured_micros = b.captured_micros + d.captured, told_percent = d.told
FROM unnest(CAST(:ids AS uuid[]), CAST(:reserved AS bigint[]), CAST(:captured AS bigint[]), CAST(:told AS smallint[]))
    AS d(id, reserved, captured, told)
WHERE b.id = d.id AND (d.reserved + d.captured <= 0
    OR b.reserved_micros + b.captured_micros + d.reserved + d.captured <= b.limit_micros)
""")

_UPDATE_LIMIT = text("""
UPDATE budget SET limit_micros = :limit, told_percent = :told,
    ceiling_micros = greatest(:limit, reserved_micros + captured_micros)
WHERE id = :id
""")

_ATTEMPT = (
    "job_id",
    "item",
    "attempt",
    "tenant_id",
    "user_id",
    "decision",
    "quoted_micros",
    "provider",
    "model",
    "refused_by",
    "refused_limit_micros",
    "refused_left_micros",
    "bill",
    "bill_micros",
    "bill_provider",
    "bill_model",
)

_READ_ATTEMPTS = text("""
SELECT job_id, item, attempt, tenant_id, user_id, decision, quoted_micros, provider, model,
    refused_by, refused_limit_micros, refused_left_micros, bill, bill_micros, bill_provider, bill_model
FROM attempt WHERE job_id = ANY(CAST(:jobs AS uuid[])) ORDER BY job_id, item, attempt
""")

_KEEP_ATTEMPTS = text("""
INSERT INTO attempt (job_id, item, attempt, tenant_id, user_id, decision, quoted_micros, provider, model,
    refused_by, refused_limit_micros, refused_left_micros, bill, bill_micros, bill_provider, bill_model)
SELECT * FROM unnest(
    CAST(:job_id AS uuid[]), CAST(:item AS integer[]), CAST(:attempt AS integer[]), CAST(:tenant_id AS uuid[]),
    CAST(:user_id AS uuid[]), CAST(:decision AS text[]), CAST(:quoted_micros AS bigint[]), CAST(:provider AS text[]),
    CAST(:model AS text[]), CAST(:refused_by AS text[]), CAST(:refused_limit_micros AS bigint[]),
    CAST(:refused_left_micros AS bigint[]), CAST(:bill AS text[]), CAST(:bill_micros AS bigint[]),
    CAST(:bill_provider AS text[]), CAST(:bill_model AS text[]))
ON CONFLICT (job_id, item, attempt) DO UPDATE SET
    user_id = excluded.user_id, decision = excluded.decision, quoted_micros = excluded.quoted_micros,
    provider = excluded.provider, model = excluded.model, refused_by = excluded.refused_by,
    refused_limit_micros = excluded.refused_limit_micros, refused_left_micros = excluded.refused_left_micros,
    bill = excluded.bill, bill_micros = excluded.bill_micros, bill_provider = excluded.bill_provider,
    bill_model = excluded.bill_model
""")

_TRANSFER = (
    "job_id",
    "item",
    "attempt",
    "kind",
    "tenant_id",
    "provider",
    "debit_account",
    "credit_account",
    "amount_micros",
)

# Without ON CONFLICT: the same transfer again is a fault that must stop the batch, never be passed over.
_POST_TRANSFERS = text("""
INSERT INTO transfer
    (currency, job_id, item, attempt, kind, tenant_id, provider, debit_account, credit_account, amount_micros)
SELECT :currency, * FROM unnest(
    CAST(:job_id AS uuid[]), CAST(:item AS integer[]), CAST(:attempt AS integer[]), CAST(:kind AS text[]),
    CAST(:tenant_id AS uuid[]), CAST(:provider AS text[]), CAST(:debit_account AS text[]),
    CAST(:credit_account AS text[]), CAST(:amount_micros AS bigint[]))
""")

_READ_TRANSFERS = text("""
SELECT job_id, item, attempt, kind, tenant_id, provider, amount_micros, created_at
FROM transfer WHERE job_id = :job AND tenant_id = :tenant ORDER BY created_at, item, attempt, kind
""")

_TURNOVER = ("tenant_id", "account", "provider", "debit_micros", "credit_micros")

_ADD_TURNOVERS = text("""
INSERT INTO account (tenant_id, account, provider, debit_micros, credit_micros)
SELECT * FROM unnest(CAST(:tenant_id AS uuid[]), CAST(:account AS text[]), CAST(:provider AS text[]),
    CAST(:debit_micros AS bigint[]), CAST(:credit_micros AS bigint[]))
ON CONFLICT (tenant_id, account, provider) DO UPDATE SET
    debit_micros = account.debit_micros + excluded.debit_micros,
    credit_micros = account.credit_micros + excluded.credit_micros
""")

_BOOKS = """
SELECT b.tenant_id, b.reserved_micros AS budget_reserved, b.captured_micros AS budget_captured, a.*, h.*
FROM budget b
CROSS JOIN LATERAL (
    SELECT coalesce(sum(debit_micros), 0)::bigint AS debit, coalesce(sum(credit_micros), 0)::bigint AS credit,
        coalesce(sum(credit_micros - debit_micros) FILTER (WHERE account = 'reserved'), 0)::bigint AS reserved,
        coalesce(sum(credit_micros - debit_micros) FILTER (WHERE account = 'spent'), 0)::bigint AS spent,
        coalesce(sum(debit_micros - credit_micros) FILTER (WHERE account = 'cost'), 0)::bigint AS cost,
        coalesce(sum(debit_micros - credit_micros) FILTER (WHERE account = 'variance'), 0)::bigint AS variance,
        coalesce(sum(credit_micros - debit_micros) FILTER (WHERE account = 'payable'), 0)::bigint AS payable
    FROM account WHERE account.tenant_id = b.tenant_id
) a
CROSS JOIN LATERAL (
    SELECT coalesce(sum(attempt.reserved_micros), 0)::bigint AS held, count(*) AS holds,
        count(*) FILTER (WHERE bill = 'pending') AS pending,
        coalesce(extract(epoch FROM now() - min(attempt.created_at)), 0)::float8 AS oldest_seconds
    FROM attempt WHERE attempt.tenant_id = b.tenant_id AND attempt.reserved_micros > 0
) h
"""

_READ_BOOKS = text(_BOOKS + "WHERE b.tenant_id = :tenant")

_READ_BOOKS_PAGE = text(_BOOKS + "WHERE b.tenant_id > :after ORDER BY b.tenant_id LIMIT :limit")


@dataclass(frozen=True, slots=True)
class Posted:
    """A transfer and when its transaction began, by the database's clock."""

    transfer: Transfer
    at: datetime


async def open_book(conn: AsyncConnection, commands: Sequence[Command], *, default_limit: int) -> Book:
    """Locks the budgets that `commands` touch until the transaction ends, and reads all attempts of their jobs.

    A tenant without a budget gets one of `default_limit`.
    """
    budgets = await lock_budgets(conn, {command.tenant_id for command in commands}, default_limit=default_limit)
    attempts = await read_attempts(conn, {command.job_id for command in commands})
    return Book(budgets, {attempt.key: attempt for attempt in attempts})


async def write(conn: AsyncConnection, posting: Posting) -> None:
    """Writes what a batch changed, in the transaction that opened its book. Raises `CapBroken`, writing nothing."""
    await _update_budgets(conn, posting.budgets)
    await _keep_attempts(conn, posting.attempts)
    await _post_transfers(conn, posting.transfers)


async def lock_budgets(conn: AsyncConnection, tenants: Collection[UUID], *, default_limit: int) -> dict[UUID, Budget]:
    """The budgets of `tenants`, by tenant, locked; those that are missing are made with `default_limit`."""
    # All that is missing is made before anything is locked: a batch that waits for another's new budget while it holds
    # a lock that the other wants would wait for ever.
    there = set((await conn.execute(_WHO_HAS_BUDGETS, {"tenants": list(tenants)})).scalars())
    missing = sorted(set(tenants) - there)
    if missing:
        ids = [uuid7() for _ in missing]
        await conn.execute(
            _OPEN_BUDGETS, {"ids": ids, "tenants": missing, "limit": default_limit, "currency": CURRENCY}
        )
    rows = await conn.execute(_LOCK_BUDGETS, {"tenants": list(tenants)})
    return {row.tenant_id: _budget(row) for row in rows}


async def read_budget(conn: AsyncConnection, tenant_id: UUID) -> Budget | None:
    """A tenant's budget, if it has one by now."""
    row = (await conn.execute(_READ_BUDGET, {"tenant": tenant_id})).first()
    return _budget(row) if row else None


async def update_limit(conn: AsyncConnection, budget: Budget) -> None:
    """Writes the limit and the told threshold of a locked budget."""
    await conn.execute(_UPDATE_LIMIT, {"id": budget.id, "limit": budget.limit, "told": budget.told})


async def _update_budgets(conn: AsyncConnection, changes: Sequence[tuple[Budget, Budget]]) -> None:
    if not changes:
        return
    done = await conn.execute(
        _UPDATE_BUDGETS,
        {
            "ids": [now.id for _, now in changes],
            "reserved": [now.reserved - before.reserved for before, now in changes],
            "captured": [now.captured - before.captured for before, now in changes],
            "told": [now.told for _, now in changes],
        },
    )
    if done.rowcount != len(changes):
        raise CapBroken(f"{len(changes) - done.rowcount} of {len(changes)} budgets would pass their limit")


async def read_attempts(conn: AsyncConnection, jobs: Collection[UUID]) -> list[Attempt]:
    """Every known attempt of `jobs`, in order."""
    rows = await conn.execute(_READ_ATTEMPTS, {"jobs": list(jobs)})
    return [_attempt(row) for row in rows]


async def _keep_attempts(conn: AsyncConnection, attempts: Sequence[Attempt]) -> None:
    if attempts:
        await conn.execute(_KEEP_ATTEMPTS, _columns(_ATTEMPT, (_attempt_row(attempt) for attempt in attempts)))


async def _post_transfers(conn: AsyncConnection, posted: Sequence[Transfer]) -> None:
    if not posted:
        return
    columns = _columns(_TRANSFER, (_transfer_row(transfer) for transfer in posted))
    await conn.execute(_POST_TRANSFERS, {**columns, "currency": CURRENCY})
    totals = ((*holder, *turnover) for holder, turnover in sorted(turnovers(posted).items()))
    await conn.execute(_ADD_TURNOVERS, _columns(_TURNOVER, totals))


async def read_transfers(conn: AsyncConnection, tenant_id: UUID, job_id: UUID) -> list[Posted]:
    """The transfers of a tenant's job, oldest first."""
    rows = await conn.execute(_READ_TRANSFERS, {"job": job_id, "tenant": tenant_id})
    return [
        Posted(
            Transfer(
                Key(row.job_id, row.item, row.attempt), Kind(row.kind), row.tenant_id, row.provider, row.amount_micros
            ),
            row.created_at,
        )
        for row in rows
    ]


async def read_books(conn: AsyncConnection, tenant_id: UUID) -> Books | None:
    """A tenant's books, if it has a budget by now."""
    row = (await conn.execute(_READ_BOOKS, {"tenant": tenant_id})).first()
    return _books(row) if row else None


async def read_books_page(conn: AsyncConnection, *, after: UUID, limit: int) -> list[Books]:
    """The books of the next `limit` tenants after `after`, in order; each tenant's are of one moment."""
    return [_books(row) for row in await conn.execute(_READ_BOOKS_PAGE, {"after": after, "limit": limit})]


def _columns(names: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> Mapping[str, list[Any]]:
    """Rows as one array for each column, as unnest wants them."""
    return {name: list(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)}


def _budget(row: Row[Any]) -> Budget:
    return Budget(
        id=row.id,
        tenant_id=row.tenant_id,
        limit=row.limit_micros,
        reserved=row.reserved_micros,
        captured=row.captured_micros,
        told=row.told_percent,
    )


def _books(row: Row[Any]) -> Books:
    return Books(**row._mapping)


def _attempt(row: Row[Any]) -> Attempt:
    # Unpacked: attribute access on five hundred rows costs more than the query.
    values: tuple[Any, ...] = tuple(row)
    job, item, attempt, tenant, user, decision, quoted, provider, model, cap, limit, left, *bill = values
    refusal = Refusal(cap, limit, left) if cap else None
    known = Bill(*bill) if bill[0] else None
    return Attempt(Key(job, item, attempt), tenant, user, decision, quoted, provider, model, refusal, known)


def _attempt_row(attempt: Attempt) -> tuple[Any, ...]:
    refusal, bill = attempt.refusal, attempt.bill
    return (
        *attempt.key,
        attempt.tenant_id,
        attempt.user_id,
        attempt.decision,
        attempt.quoted,
        attempt.provider,
        attempt.model,
        *((refusal.cap, refusal.limit, refusal.left) if refusal else (None, None, None)),
        *((bill.state, bill.amount, bill.provider, bill.model) if bill else (None, None, None, None)),
    )


def _transfer_row(transfer: Transfer) -> tuple[Any, ...]:
    key, kind = transfer.key, transfer.kind
    return (*key, kind, transfer.tenant_id, transfer.provider, *LEGS[kind], transfer.amount)
