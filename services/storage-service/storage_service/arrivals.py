"""What the worker hands over, and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from pydantic import Field

from schemas.event import Part
from schemas.parts import AssetContext, ErrorCode, Lineage, Output

UPLOAD_ITEM = 0
"""The item of what came from no job; items of jobs are numbered from 1."""


@dataclass(frozen=True, slots=True, order=True)
class OutputKey:
    """The natural key of an asset: whatever is repeated, each of these is stored once.

    Of an upload `job_id` is its own id, and `item` is UPLOAD_ITEM.
    """

    job_id: UUID
    item: int
    attempt: int
    output: int

    @property
    def of_upload(self) -> bool:
        return self.item == UPLOAD_ITEM


class Handover(Part):
    """All that is known of an output when it arrives. `late`: its job no longer waits for it."""

    output: Output
    logical_name: str
    context: AssetContext
    lineage: Lineage | None = None
    flags: list[str] = Field(default_factory=list)
    late: bool = False


@dataclass(frozen=True, slots=True)
class Arrival:
    """An output on its way into the store. `epoch` is the fencing token of its lease, `tries` how often it failed."""

    key: OutputKey
    tenant_id: UUID
    asset_id: UUID
    handover: Handover
    traceparent: str | None = None
    epoch: int = 0
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Kept:
    """The bytes are under their hash; `path` is the logical name to be taken, `mime` how they will be served."""

    arrival: Arrival
    path: str
    mime: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The output can not be kept. `message` may be shown; `promoted`: its bytes are under their hash all the same."""

    arrival: Arrival
    code: ErrorCode
    message: str
    promoted: bool = False


@dataclass(frozen=True, slots=True)
class Postponed:
    """It may work in `seconds`."""

    arrival: Arrival
    seconds: float
    reason: str


Outcome = Kept | Refused | Postponed
