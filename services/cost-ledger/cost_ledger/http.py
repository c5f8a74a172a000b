"""What cost-ledger answers to other services: a tenant's budget, the entries of a job, how the books stand.

Amounts are integer micro-units of USD. Reads go through row-level security.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from fastapi import Depends, FastAPI
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.database import tenant_transaction
from chassis.errors import Forbidden, NotFound
from chassis.http import Context, make_app, require_context
from chassis.outbox import Outbox
from cost_ledger import store
from cost_ledger.accounts import entries
from cost_ledger.attempts import CURRENCY, THRESHOLDS, Attempt, Budget
from cost_ledger.events import draft_of
from cost_ledger.ledger import change_limit
from cost_ledger.reconciliation import Books, differences

MAX_LIMIT = 2**62
WHOLE_TENANT = frozenset({"tenant:read", "admin"})


class BudgetChange(BaseModel):
    """A tenant's new cap. What is already held and spent stays; nothing more is held while it is above the cap."""

    model_config = ConfigDict(extra="forbid", strict=True)

    limit_micros: int = Field(ge=0, le=MAX_LIMIT)
    currency: Literal["USD"] = CURRENCY


class BudgetView(BaseModel):
    """A tenant's cap and what is taken of it."""

    id: UUID
    scope: dict[str, bool] = {"tenant": True}
    period: Literal["total"] = "total"
    currency: str = CURRENCY
    limit_micros: int
    reserved_micros: int
    spent_micros: int
    available_micros: int
    thresholds: list[int] = list(THRESHOLDS)


class AttemptView(BaseModel):
    """What one attempt was quoted, held and came to. `bill` is null until it is known."""

    item: int
    attempt: int
    decision: Literal["granted", "refused"] | None
    bill: Literal["none", "final", "pending"] | None
    provider: str
    model: str
    quoted_micros: int
    held_micros: int
    captured_micros: int
    released_micros: int
    excess_micros: int


class EntryView(BaseModel):
    """One side of a transfer; `provider` is null for the tenant's own accounts."""

    transfer_id: str
    kind: str
    item: int
    attempt: int
    account: str
    provider: str | None
    debit_micros: int
    credit_micros: int
    at: datetime


class LedgerView(BaseModel):
    """All money of a job."""

    job_id: UUID
    currency: str = CURRENCY
    attempts: list[AttemptView]
    entries: list[EntryView]


class ReconciliationView(BaseModel):
    """How a tenant's books stand: `held` in open holds, `captured` for good, all debits and credits of its accounts."""

    currency: str = CURRENCY
    held_micros: int
    captured_micros: int
    variance_micros: int
    payable_micros: int
    debit: int
    credit: int
    open_holds: int
    pending_holds: int
    differences: list[str]


def make(engine: AsyncEngine, outbox: Outbox, *, secret: SecretStr, default_limit: int) -> FastAPI:
    """The internal application. `default_limit` is the budget of a tenant that has none yet."""
    app = make_app(title="cost-ledger", public=False)
    asks: Any = Depends(require_context(secret))

    @app.get("/v1/budgets")
    async def show_budget(context: Context = asks) -> BudgetView:
        async with tenant_transaction(engine, context.tenant_id) as conn:
            budget = await store.read_budget(conn, context.tenant_id)
        return _budget_view(budget or await _first_budget(context.tenant_id))

    @app.put("/v1/budgets")
    async def set_budget(change: BudgetChange, context: Context = asks) -> BudgetView:
        if not context.scopes & {"billing:write", "admin"}:
            raise Forbidden("the scope billing:write is required")
        async with engine.begin() as conn:
            locked = await store.lock_budgets(conn, [context.tenant_id], default_limit=default_limit)
            budget, crossed = change_limit(locked[context.tenant_id], change.limit_micros)
            await store.update_limit(conn, budget)
            await outbox.add(conn, [draft for answer in crossed if (draft := draft_of(answer))])
        return _budget_view(budget)

    @app.get("/v1/ledger")
    async def show_ledger(job_id: UUID, context: Context = asks) -> LedgerView:
        async with tenant_transaction(engine, context.tenant_id) as conn:
            attempts = await store.read_attempts(conn, [job_id])
            posted = await store.read_transfers(conn, context.tenant_id, job_id)
        seen = [attempt for attempt in attempts if _may_see(context, attempt)]
        if not seen:
            raise NotFound("the ledger knows no such job")
        return _ledger_view(job_id, seen, posted)

    @app.get("/v1/reconciliation")
    async def reconcile(context: Context = asks) -> ReconciliationView:
        async with tenant_transaction(engine, context.tenant_id) as conn:
            books = await store.read_books(conn, context.tenant_id)
        return _reconciliation_view(books)

    async def _first_budget(tenant_id: UUID) -> Budget:
        async with engine.begin() as conn:
            return (await store.lock_budgets(conn, [tenant_id], default_limit=default_limit))[tenant_id]

    return app


def _may_see(context: Context, attempt: Attempt) -> bool:
    return attempt.user_id == context.user_id or bool(context.scopes & WHOLE_TENANT)


def _budget_view(budget: Budget) -> BudgetView:
    return BudgetView(
        id=budget.id,
        limit_micros=budget.limit,
        reserved_micros=budget.reserved,
        spent_micros=budget.captured,
        available_micros=budget.left,
    )


def _ledger_view(job_id: UUID, attempts: Sequence[Attempt], posted: Sequence[store.Posted]) -> LedgerView:
    seen = {attempt.key for attempt in attempts}
    shown = [entry for one in posted if one.transfer.key in seen for entry in _entry_views(one)]
    return LedgerView(job_id=job_id, attempts=[_attempt_view(attempt) for attempt in attempts], entries=shown)


def _attempt_view(attempt: Attempt) -> AttemptView:
    return AttemptView(
        item=attempt.key.item,
        attempt=attempt.key.attempt,
        decision=attempt.decision,
        bill=attempt.bill.state if attempt.bill else None,
        provider=attempt.payee,
        model=attempt.used_model,
        quoted_micros=attempt.quoted,
        held_micros=attempt.held,
        captured_micros=attempt.captured,
        released_micros=attempt.released,
        excess_micros=attempt.excess,
    )


def _entry_views(posted: store.Posted) -> list[EntryView]:
    transfer = posted.transfer
    return [
        EntryView(
            transfer_id=transfer.id,
            kind=transfer.kind,
            item=transfer.key.item,
            attempt=transfer.key.attempt,
            account=entry.holder.account,
            provider=entry.holder.provider or None,
            debit_micros=entry.debit,
            credit_micros=entry.credit,
            at=posted.at,
        )
        for entry in entries(transfer)
    ]


def _reconciliation_view(books: Books | None) -> ReconciliationView:
    return ReconciliationView(
        held_micros=books.held if books else 0,
        captured_micros=books.spent if books else 0,
        variance_micros=books.variance if books else 0,
        payable_micros=books.payable if books else 0,
        debit=books.debit if books else 0,
        credit=books.credit if books else 0,
        open_holds=books.holds if books else 0,
        pending_holds=books.pending if books else 0,
        differences=differences(books) if books else [],
    )
