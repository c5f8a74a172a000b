"""What the ledger knows of an attempt, a budget, and their limits. Amounts are integer micro-units of `CURRENCY`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

from cost_ledger.accounts import Key

CURRENCY: Final = "USD"
THRESHOLDS = (50, 80, 100)
"""Shares of a budget, in percent; reaching one is told once."""

Decision = Literal["granted", "refused"]


@dataclass(frozen=True, slots=True)
class Bill:
    """What an attempt came to. `provider` and `model` say who did it, where that may differ from the quote."""

    state: Literal["none", "final", "pending"]
    amount: int = 0
    provider: str | None = None
    model: str | None = None

    @property
    def closes(self) -> bool:
        """Whether the amount is known, so that the hold can be closed."""
        return self.state != "pending"

    @property
    def owed(self) -> int:
        """What the provider is owed."""
        return self.amount if self.state == "final" else 0


def merge(known: Bill | None, told: Bill) -> Bill:
    """What is known once `told` was heard: the first closing bill stands, a pending one gives way to it."""
    if known is None:
        return told
    if known.closes or not told.closes:
        return known
    return Bill(told.state, told.amount, told.provider or known.provider, told.model or known.model)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Which limit a quote would have passed, and what was left below it."""

    cap: Literal["budget", "max_cost"]
    limit: int
    left: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """The merge of two facts that may come in either order: the decision on its quote, and its bill."""

    key: Key
    tenant_id: UUID
    user_id: UUID | None = None
    decision: Decision | None = None
    quoted: int = 0
    provider: str = ""
    model: str = ""
    refusal: Refusal | None = None
    bill: Bill | None = None

    @property
    def held(self) -> int:
        """What was held for it, whether the hold is still open or not."""
        return self.quoted if self.decision == "granted" else 0

    @property
    def closed(self) -> bool:
        """Whether it came to a known amount."""
        return self.bill is not None and self.bill.closes

    @property
    def reserved(self) -> int:
        """What its open hold takes of the budget."""
        return 0 if self.closed else self.held

    @property
    def captured(self) -> int:
        """What of the hold was spent: never more than was held."""
        return min(self.held, self.bill.owed) if self.bill else 0

    @property
    def released(self) -> int:
        """What of the hold was given back."""
        return self.held - self.captured - self.reserved

    @property
    def excess(self) -> int:
        """What was billed beyond the hold: ours to pay, never the tenant's."""
        return self.bill.owed - self.captured if self.bill else 0

    def billed(self, bill: Bill) -> Attempt:
        """With this bill."""
        return Attempt(
            self.key,
            self.tenant_id,
            self.user_id,
            self.decision,
            self.quoted,
            self.provider,
            self.model,
            self.refusal,
            bill,
        )

    @property
    def payee(self) -> str:
        """The provider that is owed the bill."""
        return (self.bill.provider if self.bill else None) or self.provider

    @property
    def used_model(self) -> str:
        """The model that did the work."""
        return (self.bill.model if self.bill else None) or self.model


@dataclass(frozen=True, slots=True)
class Budget:
    """A tenant's cap and what is taken of it. `told` is the highest threshold that was told, in percent."""

    id: UUID
    tenant_id: UUID
    limit: int
    reserved: int = 0
    captured: int = 0
    told: int = 0

    @property
    def left(self) -> int:
        """What can still be held; zero also where the limit was lowered below what is taken."""
        return max(0, self.limit - self.reserved - self.captured)

    @property
    def reached(self) -> int:
        """The highest threshold that spending has reached, in percent; zero for none."""
        share = self.captured * 100
        if not share or share < THRESHOLDS[0] * self.limit:
            return 0
        return max(percent for percent in THRESHOLDS if share >= percent * self.limit)

    def hold(self, amount: int) -> Budget:
        """With `amount` more reserved."""
        return Budget(self.id, self.tenant_id, self.limit, self.reserved + amount, self.captured, self.told)

    def close(self, held: int, captured: int) -> Budget:
        """With a hold closed, `captured` of it spent."""
        reserved, spent = self.reserved - held, self.captured + captured
        return Budget(self.id, self.tenant_id, self.limit, reserved, spent, self.told)


def refuse(
    budget: Budget, committed: int, amount: int, *, currency: str = CURRENCY, max_cost: int | None = None
) -> Refusal | None:
    """The limit that holding `amount` would pass, if any. `committed` is what the job holds and has spent (R144)."""
    if currency != CURRENCY:
        return Refusal("budget", 0, 0)
    if max_cost is not None and committed + amount > max_cost:
        return Refusal("max_cost", max_cost, max(0, max_cost - committed))
    if amount > budget.left:
        return Refusal("budget", budget.limit, budget.left)
    return None
