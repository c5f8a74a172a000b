"""Events of cost-ledger: `backlot.costs`. Amounts are integer micro-units of the currency."""

from __future__ import annotations

from typing import ClassVar, Literal
from uuid import UUID

from pydantic import Field

from schemas.event import Event
from schemas.topics import COSTS


class CostReserved(Event):
    """The whole quote is held."""

    type: ClassVar[str] = "dev.backlot.cost.reserved.v1"
    topic: ClassVar[str] = COSTS.name

    job_id: UUID
    attempt: int = Field(ge=1)
    items: list[int]
    amount_micros: int = Field(ge=0)
    currency: str


class BudgetRefused(Event):
    """Nothing of the quote is held: `cap` is the limit it would have passed, `left_micros` what is left below it."""

    type: ClassVar[str] = "dev.backlot.cost.budget_refused.v1"
    topic: ClassVar[str] = COSTS.name

    job_id: UUID
    attempt: int = Field(ge=1)
    items: list[int]
    amount_micros: int = Field(ge=0)
    currency: str
    cap: Literal["budget", "max_cost"]
    limit_micros: int
    left_micros: int


class CostRecorded(Event):
    """An attempt's hold is closed: what of it was captured and what was released."""

    type: ClassVar[str] = "dev.backlot.cost.recorded.v1"
    topic: ClassVar[str] = COSTS.name

    job_id: UUID
    item: int = Field(ge=1)
    attempt: int = Field(ge=1)
    captured_micros: int = Field(ge=0)
    released_micros: int = Field(ge=0)
    excess_micros: int = Field(default=0, ge=0)
    currency: str
    provider: str
    model: str


class BudgetThresholdCrossed(Event):
    """Spending passed a share of its budget."""

    type: ClassVar[str] = "dev.backlot.cost.budget_threshold_crossed.v1"
    topic: ClassVar[str] = COSTS.name

    budget_id: UUID
    percent: int
    spent_micros: int
    limit_micros: int
    currency: str
