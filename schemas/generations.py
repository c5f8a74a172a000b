"""Events of provider-worker: `backlot.generations`.

An attempt is one submission that may be billed. For each, exactly one of Completed, Failed, Cancelled is said.
Attempt 0 stands for an item that ended before any attempt was quoted.
"""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from pydantic import Field

from schemas.event import Event
from schemas.parts import AssetContext, Billing, ErrorCode, Fit, Lineage, Output, QuotedItem, Stage
from schemas.topics import GENERATIONS


class GenerationQuoted(Event):
    """Route and price of the next attempt of each item. The ledger holds the whole sum, or nothing."""

    type: ClassVar[str] = "dev.backlot.generation.quoted.v1"
    topic: ClassVar[str] = GENERATIONS.name

    job_id: UUID
    user_id: UUID
    attempt: int = Field(ge=1)
    items: list[QuotedItem]
    currency: str
    price_version: str
    max_cost_micros: int | None = None


class ItemEvent(Event):
    """What every event about one item's attempt names."""

    job_id: UUID
    item: int = Field(ge=1)
    attempt: int = Field(ge=0)


class GenerationStarted(ItemEvent):
    """An attempt was claimed and is about to be submitted."""

    type: ClassVar[str] = "dev.backlot.generation.started.v1"
    topic: ClassVar[str] = GENERATIONS.name

    provider: str
    model: str


class GenerationProgressed(ItemEvent):
    """How far the provider says it is; at most one each 10 %."""

    type: ClassVar[str] = "dev.backlot.generation.progressed.v1"
    topic: ClassVar[str] = GENERATIONS.name

    progress: int = Field(ge=0, le=100)


class GenerationSkipped(Event):
    """The item is already there, whole, under its logical name (resume).

    `warnings` say in what it is not what was asked for.
    """

    type: ClassVar[str] = "dev.backlot.generation.skipped.v1"
    topic: ClassVar[str] = GENERATIONS.name

    job_id: UUID
    item: int = Field(ge=1)
    asset_id: UUID
    warnings: list[str] = Field(default_factory=list)


class GenerationCompleted(ItemEvent):
    """Bytes are staged and checked. `fit` is the primary output's, None where the kind has no pixels."""

    type: ClassVar[str] = "dev.backlot.generation.completed.v1"
    topic: ClassVar[str] = GENERATIONS.name

    outputs: list[Output]
    fit: Fit | None = None
    flags: list[str] = Field(default_factory=list)
    final: bool = True
    billing: Billing
    logical_name: str
    lineage: Lineage
    asset_context: AssetContext


class GenerationFailed(ItemEvent):
    """An attempt came to nothing. `final` says that the item has no further one."""

    type: ClassVar[str] = "dev.backlot.generation.failed.v1"
    topic: ClassVar[str] = GENERATIONS.name

    code: ErrorCode
    message: str
    stage: Stage
    final: bool
    billing: Billing
    provider: str | None = None
    model: str | None = None


class GenerationCancelled(ItemEvent):
    """An attempt was stopped by a cancel request or a deadline; always the item's last."""

    type: ClassVar[str] = "dev.backlot.generation.cancelled.v1"
    topic: ClassVar[str] = GENERATIONS.name

    code: ErrorCode = ErrorCode.CANCELLED
    message: str
    stage: Stage
    final: bool = True
    billing: Billing


class GenerationSettled(ItemEvent):
    """What a pending billing came to, with the evidence, and what arrived late.

    With `redownload` it answers the JobRedownloadRequested of that number: `billing` says again what was final already,
    without late outputs `evidence` says why there are none. Attempt 0: no paid result of the item is known.
    """

    type: ClassVar[str] = "dev.backlot.generation.settled.v1"
    topic: ClassVar[str] = GENERATIONS.name

    billing: Billing
    evidence: str
    late_outputs: list[Output] = Field(default_factory=list)
    logical_name: str | None = None
    lineage: Lineage | None = None
    asset_context: AssetContext | None = None
    redownload: int | None = Field(default=None, ge=1)
