"""Double entry: where money stands, and the transfers that move it. Amounts are integer micro-units.

A transfer takes from its debit account and gives to its credit account, so that each is balanced by its shape. An
account's balance is its credits minus its debits; the balances of all accounts sum to zero.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID


class Key(NamedTuple):
    """An attempt: one submission that may be billed. Items and attempts count from 1."""

    job_id: UUID
    item: int
    attempt: int


class Account(StrEnum):
    """The first three are a tenant's, the others ours with each provider.

    `available` counts down from zero; the budget's limit says how far. What tenants spent is what it cost us, and what
    we owe providers is that cost and the variance: what they billed beyond a hold.
    """

    AVAILABLE = "available"
    RESERVED = "reserved"
    SPENT = "spent"
    COST = "cost"
    VARIANCE = "variance"
    PAYABLE = "payable"


OF_TENANT = frozenset({Account.AVAILABLE, Account.RESERVED, Account.SPENT})


class Kind(StrEnum):
    """Kinds of transfers."""

    HOLD = "hold"
    CAPTURE = "capture"
    RELEASE = "release"
    BILL = "bill"
    EXCESS = "excess"


LEGS: Mapping[Kind, tuple[Account, Account]] = {
    Kind.HOLD: (Account.AVAILABLE, Account.RESERVED),
    Kind.CAPTURE: (Account.RESERVED, Account.SPENT),
    Kind.RELEASE: (Account.RESERVED, Account.AVAILABLE),
    Kind.BILL: (Account.COST, Account.PAYABLE),
    Kind.EXCESS: (Account.VARIANCE, Account.PAYABLE),
}
"""Debit and credit account of each kind."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """One posting, never changed. Attempt and kind are its identity: a second one of the same is refused."""

    key: Key
    kind: Kind
    tenant_id: UUID
    provider: str
    amount: int

    @property
    def id(self) -> str:
        """The same for the same posting, whoever makes it and when."""
        return f"{self.key.job_id}/{self.key.item}/{self.key.attempt}/{self.kind}"


class Holder(NamedTuple):
    """Whose account: a tenant's own, or ours with a provider on that tenant's behalf."""

    tenant_id: UUID
    account: Account
    provider: str


class Entry(NamedTuple):
    """One side of a transfer; one of the two amounts is zero."""

    holder: Holder
    debit: int
    credit: int


class Turnover(NamedTuple):
    """What went through an account."""

    debit: int
    credit: int

    def plus(self, debit: int, credit: int) -> Turnover:
        """With one more posting."""
        return Turnover(self.debit + debit, self.credit + credit)


def transfers(key: Key, tenant_id: UUID, provider: str, amounts: Iterable[tuple[Kind, int]]) -> list[Transfer]:
    """The postings for those of `amounts` that are not zero."""
    return [Transfer(key, kind, tenant_id, provider, amount) for kind, amount in amounts if amount]


def entries(transfer: Transfer) -> tuple[Entry, Entry]:
    """The debit and the credit of a transfer."""
    debited, credited = (_holder(transfer.tenant_id, transfer.provider, account) for account in LEGS[transfer.kind])
    return Entry(debited, transfer.amount, 0), Entry(credited, 0, transfer.amount)


def _holder(tenant_id: UUID, provider: str, account: Account) -> Holder:
    return Holder(tenant_id, account, "" if account in OF_TENANT else provider)


def turnovers(posted: Iterable[Transfer]) -> dict[Holder, Turnover]:
    """What `posted` sends through each account it touches."""
    sums: defaultdict[tuple[UUID, str, Kind], int] = defaultdict(int)
    for transfer in posted:
        sums[transfer.tenant_id, transfer.provider, transfer.kind] += transfer.amount
    totals: defaultdict[Holder, Turnover] = defaultdict(lambda: Turnover(0, 0))
    for (tenant_id, provider, kind), amount in sums.items():
        debited, credited = (_holder(tenant_id, provider, account) for account in LEGS[kind])
        totals[debited] = totals[debited].plus(amount, 0)
        totals[credited] = totals[credited].plus(0, amount)
    return dict(totals)
