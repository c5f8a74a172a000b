"""The worker's words: what an item is, where it stands, and which steps it can take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

from provider_worker.routing import Offer
from schemas.event import Event
from schemas.parts import AssetContext, Billing, ErrorCode, Fit, PreparedItem, Route

CancelReason = Literal["user", "deadline"]
Ended = Literal["completed", "failed", "cancelled"]


class State(StrEnum):
    """Where an item's present attempt is."""

    QUOTING = "quoting"
    """The ledger has been asked to hold its price."""
    READY = "ready"
    """It waits for a slot."""
    LEASED = "leased"
    """It has a slot: the provider is being called, or its answer fetched."""
    STAGED = "staged"
    """Its bytes are staged and its slot is free; they are being checked."""
    WAITING = "waiting"
    """The provider refused for now; it waits for its next call without a slot."""
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


def has_not_started(state: State, *, resuming: bool) -> bool:
    """Whether a cancel request may end the attempt: no call of it can be on its way."""
    return state in {State.QUOTING, State.READY, State.WAITING} and not resuming


def cancel_code(reason: CancelReason) -> ErrorCode:
    """A job that was stopped by its deadline has timed out."""
    return ErrorCode.TIMEOUT if reason == "deadline" else ErrorCode.CANCELLED


@dataclass(frozen=True, slots=True)
class Job:
    """What an item needs to know of its job."""

    job_id: UUID
    tenant_id: UUID
    route: Route
    max_cost_micros: int | None
    context: AssetContext
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class NewTask:
    """An item of a job whose prompts have just come; without an offer it has ended before its first attempt."""

    job_id: UUID
    tenant_id: UUID
    item: PreparedItem
    state: State
    attempt: int
    attempt_id: UUID
    offer: Offer | None
    pool: str


@dataclass(frozen=True, slots=True)
class Piece:
    """One output as it was staged; `sha256` in hex over exactly the staged bytes, `size` in bytes."""

    number: int
    role: str
    key: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Staged:
    """What a provider delivered, and the bill it came with. `external_id` is the provider's own name for the job."""

    pieces: tuple[Piece, ...]
    billing: Billing
    external_id: str
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """The primary output as it is handed over: decoded, of the asked size and format, and what that took."""

    piece: Piece
    mime: str
    fit: Fit
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Task:
    """An item under a lease, as it was when it was claimed.

    `attempt_id` is our reference at the provider, `calls` counts the present call too. `time_left` is what remains of
    the attempt's deadline, `unknown_s` how long ago its call was written down at `intent_at`, in seconds. `resuming`
    says that an earlier holder of the lease may have called the provider and left no outcome; `external` (the
    reference to poll) and `staged` are what it left. `cancelled`: its job was stopped meanwhile, so that nothing new is
    sent for it.
    """

    id: int
    epoch: int
    job: Job
    item: PreparedItem
    attempt: int
    attempt_id: UUID
    offer: Offer
    price_version: str
    held_micros: int
    intent_at: datetime
    unknown_s: float
    calls: int
    remakes: int
    tried: frozenset[str]
    time_left: float
    resuming: bool
    cancelled: CancelReason | None = None
    external: Mapping[str, Any] | None = None
    staged: Staged | None = None


@dataclass(frozen=True, slots=True)
class Closing:
    """How an attempt ended, for its row. `lookup_in`: seconds until its open bill is looked up."""

    outcome: Ended
    code: ErrorCode | None
    billing: Billing
    staged: Staged | None = None
    lookup_in: float | None = None


@dataclass(frozen=True, slots=True)
class Keep:
    """Something of the provider's is ours now: the reference to poll, or the bytes, which frees the slot."""

    task: Task
    external: Mapping[str, Any] | None = None
    staged: Staged | None = None


@dataclass(frozen=True, slots=True)
class Park:
    """The slot is free and the attempt goes on after `wait` seconds; with `offer`, at another provider.

    `resuming`: a call may still be out, so the next holder looks before it sends.
    """

    task: Task
    wait: float
    time_left: float
    resuming: bool = False
    offer: Offer | None = None


@dataclass(frozen=True, slots=True)
class Advance:
    """This attempt has ended, and the price of the next one is asked for."""

    task: Task
    offer: Offer
    attempt_id: UUID
    remake: bool
    closing: Closing
    message: str
    events: Sequence[Event]


@dataclass(frozen=True, slots=True)
class Finish:
    """The item's last word."""

    task: Task
    closing: Closing
    events: Sequence[Event]


Step = Keep | Park | Advance | Finish
"""What a holder writes, by compare-and-set on (task, epoch, leased or staged), with its events, or not at all."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Slots that a tenant's tasks share: `cap` of them unless its turn says otherwise. `timeout_s` is an attempt's."""

    name: str
    cap: int
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Claimed:
    """`tenants`: how many that wait were looked at; none means that nothing is ready. `more`: there may be others."""

    tasks: Sequence[Task]
    tenants: int
    more: bool


@dataclass(frozen=True, slots=True)
class Revived:
    """How many tasks became ready because a wait ended, and how many because a lease ran out."""

    woken: int
    expired: int


@dataclass(frozen=True, slots=True)
class OpenBill:
    """An attempt that ended `age_s` seconds ago with its bill unknown; `lookups` counts this one and fences it."""

    task: Task
    lookups: int
    age_s: float


class Written(StrEnum):
    """What became of a `Step`."""

    APPLIED = "applied"
    LOST = "lost"
    """Another holder has the lease, or the item has ended: nothing was written."""
    CANCELLED_BY_USER = "user"
    CANCELLED_BY_DEADLINE = "deadline"
    """A cancel request came first and the step would have left the item unfinished: nothing was written."""
