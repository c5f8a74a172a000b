"""Comparing the records of the money with each other. They are written together, so any difference is a fault."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from uuid import UUID

from chassis.telemetry import get_logger
from cost_ledger import metrics
from cost_ledger.accounts import Account

log = get_logger()

PAGE = 500
_BEFORE_ALL = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Books:
    """A tenant's budget, open holds and accounts at one moment, in micro-units.

    `reserved` to `payable` are the balances of its accounts, each with the sign that is usual for it; `oldest_seconds`
    is the age of the oldest open hold.
    """

    tenant_id: UUID
    budget_reserved: int
    budget_captured: int
    debit: int
    credit: int
    reserved: int
    spent: int
    cost: int
    variance: int
    payable: int
    held: int
    holds: int
    pending: int
    oldest_seconds: float


def differences(books: Books) -> list[str]:
    """What does not agree, in words; nothing when all is well."""
    pairs = (
        ("debit and credit", books.debit, books.credit),
        ("the budget's reserved and the open holds", books.budget_reserved, books.held),
        ("the budget's reserved and the account reserved", books.budget_reserved, books.reserved),
        ("the budget's captured and the account spent", books.budget_captured, books.spent),
        ("what the tenant spent and what it cost", books.spent, books.cost),
        ("what is owed and its cost with the variance", books.payable, books.cost + books.variance),
    )
    return [f"{names}: {left} and {right}" for names, left, right in pairs if left != right]


@dataclass(slots=True)
class _Round:
    """What one pass over all tenants has found so far."""

    after: UUID = _BEFORE_ALL
    tenants: int = 0
    differing: int = 0
    holds: int = 0
    pending: int = 0
    oldest_seconds: float = 0.0
    balances: dict[Account, int] = field(default_factory=dict)

    def add(self, books: Books) -> None:
        found = differences(books)
        if found:
            log.error("books_differ", tenant=books.tenant_id, differences=found)
        self.after = books.tenant_id
        self.tenants += 1
        self.differing += bool(found)
        self.holds += books.holds
        self.pending += books.pending
        self.oldest_seconds = max(self.oldest_seconds, books.oldest_seconds)
        for account in (Account.RESERVED, Account.SPENT, Account.COST, Account.VARIANCE, Account.PAYABLE):
            self.balances[account] = self.balances.get(account, 0) + int(getattr(books, account))

    def publish(self) -> None:
        metrics.RECONCILED.set(self.tenants)
        metrics.DIFFERENCES.set(self.differing)
        metrics.HOLDS.labels("open").set(self.holds - self.pending)
        metrics.HOLDS.labels("pending").set(self.pending)
        metrics.OLDEST_HOLD.set(self.oldest_seconds)
        for account, balance in self.balances.items():
            metrics.BALANCE.labels(account).set(balance)


class Reconciler:
    """Goes through all tenants again and again, a page at a time, and publishes what it found after each round.

    `read_page(after, limit)` answers the books of the next tenants in order of their ids.
    """

    def __init__(self, read_page: Callable[[UUID, int], Awaitable[list[Books]]], *, page: int = PAGE) -> None:
        self._read_page = read_page
        self._page = page
        self._round = _Round()

    async def step(self) -> bool:
        """Compares one page; False when the round is complete."""
        page = await self._read_page(self._round.after, self._page)
        for books in page:
            self._round.add(books)
        if len(page) == self._page:
            return True
        self._round.publish()
        self._round = _Round()
        return False
