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


def transfers(key: Key, tenant_id: UUID, provider: str, amounts: Iterable[tuple[Kind, int]]) -> list[Transfer]:
    """The postings for those of `amounts` that are not zero."""
    return [Transfer(key, kind, tenant_id, provider, amount) for kind, amount in amounts if amount]


def entries(transfer: Transfer) -> tuple[Entry, Entry]:
    """The debit and the credit of a transfer."""
    debited, credited = LEGS[transfer.kind]
    return (
        Entry(_holder(transfer, debited), transfer.amount, 0),
        Entry(_holder(transfer, credited), 0, transfer.amount),
    )


def _holder(transfer: Transfer, account: Account) -> Holder:
    return Holder(transfer.tenant_id, account, "" if account in OF_TENANT else transfer.provider)


def turnovers(posted: Iterable[Transfer]) -> dict[Holder, Turnover]:
    """What `posted` sends through each account it touches."""
    totals: defaultdict[Holder, Turnover] = defaultdict(lambda: Turnover(0, 0))
    for transfer in posted:
        for holder, debit, credit in entries(transfer):
            total = totals[holder]
            totals[holder] = Turnover(total.debit + debit, total.credit + credit)
    return dict(totals)
