"""The worker's words: what an item is, where it stands, and which steps it can take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

from provider_worker.routing import Offer
from schemas.event import Event
from schemas.parts import AssetContext, Billing, ErrorCode, Fit, Marking, PreparedItem, Route

CancelReason = Literal["user", "deadline"]
Ended = Literal["completed", "failed", "cancelled"]

LEFT_TO_OTHERS = timedelta(minutes=2)
"""How long a task waits for a process that can ask its provider: replicas differ while they are replaced."""


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
    POLLING = "polling"
    """A call may be out, or the provider is at work: it keeps its slot, and is looked at when `next_at` comes."""
    WAITING = "waiting"
    """The provider refused for now; it waits for its next call without a slot."""
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


def has_not_started(state: State) -> bool:
    """Whether a cancel request may end the attempt: no call of it can be on its way."""
    return state in {State.QUOTING, State.READY, State.WAITING}


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
class Made:
    """An output as it is handed over: decoded, and what is true of it. Pixels and seconds where the kind has them.

    `content_sha256` is of the bytes before they were signed.
    """

    piece: Piece
    mime: str
    content_sha256: str
    width: int | None = None
    height: int | None = None
    duration_s: float | None = None
    marking: Marking | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """All outputs that can be handed over, the primary first, and what that took.

    `fit` is the primary's, None where the kind has no pixels. `flags` say what a user should know: in what the primary
    is not quite what was asked for, and which further outputs were dropped.
    """

    outputs: tuple[Made, ...]
    fit: Fit | None = None
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reference:
    """The provider's job, as it is kept between looks at it.

    `external_id` None: the submit of `phase` was written down, and its answer is not known. `plan` is what was sent
    in this phase where it is not the first, `spent_micros` what the phases before it cost. `untold` counts questions
    in a row that told nothing, `progress` is what was said last, in percent. `begun`: it was seen at work. `stopping`:
    the provider was asked to stop.
    """

    external_id: str | None
    data: Mapping[str, Any] = field(default_factory=dict)
    phase: int = 1
    plan: Mapping[str, Any] | None = None
    spent_micros: int = 0
    untold: int = 0
    progress: int = 0
    begun: bool = False
    stopping: bool = False


@dataclass(frozen=True, slots=True)
class Closed:
    """Why nothing is sent to a provider for now: its breaker is open for `seconds` more."""

    code: ErrorCode
    message: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Task:
    """An item under a lease, as it was when it was claimed.

    `attempt_id` is our reference at the provider, `calls` counts the present call too. `time_left` is what remains of
    the attempt's deadline, `unknown_s` how long ago its call was written down at `intent_at`, in seconds. `resuming`
    says that an earlier holder of the lease may have called the provider; `external` and `staged` are what it left.
    `cancelled`: its job was stopped meanwhile, so that nothing new is sent for it. `closed`: its provider's breaker is
    open, so that nothing is sent now.
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
    external: Reference | None = None
    staged: Staged | None = None
    closed: Closed | None = None


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
    """The bytes are ours now, which frees the slot."""

    task: Task
    staged: Staged


@dataclass(frozen=True, slots=True)
class Intend:
    """Another phase of the attempt is about to be submitted, or the first after what it builds on was read.

    `reference` has its plan, if it is another phase's, and no id yet.
    """

    task: Task
    reference: Reference


@dataclass(frozen=True, slots=True)
class Await:
    """The slot is kept, the lease is not: the provider is looked at after `wait` seconds, sooner if the job is stopped.

    Without `reference` what is known of the provider's job stays as it was. `counts`: as a call, where the next look
    may send again.
    """

    task: Task
    wait: float
    reference: Reference | None = None
    counts: bool = False
    events: Sequence[Event] = ()


@dataclass(frozen=True, slots=True)
class Park:
    """The slot is free and the attempt goes on after `wait` seconds; with `offer`, at another provider.

    `time_left` None: nothing of the attempt's time was used. `called` False: the provider was not called either.
    """

    task: Task
    wait: float
    time_left: float | None
    offer: Offer | None = None
    called: bool = True


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


Step = Keep | Intend | Await | Park | Advance | Finish
"""What a holder writes, by compare-and-set on (task, epoch, leased or staged), with its events, or not at all."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Slots that a tenant's tasks share: `cap` of them unless its turn says otherwise. `timeout_s` is an attempt's."""

    name: str
    provider: str
    cap: int
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Claimed:
    """`turns`: how many that wait were looked at; none means that nothing is ready. `more`: there may be others."""

    tasks: Sequence[Task]
    turns: int
    more: bool


@dataclass(frozen=True, slots=True)
class Revived:
    """How many tasks became ready because a wait ended, how many leases ran out, how many looks are due."""

    woken: int
    expired: int
    due: int


@dataclass(frozen=True, slots=True)
class OpenBill:
    """An attempt that ended `age_s` seconds ago with its bill unknown; `lookups` counts this one and fences it."""

    task: Task
    lookups: int
    age_s: float


@dataclass(frozen=True, slots=True)
class PaidAttempt:
    """An attempt that has ended and was paid for. Its task has what is still staged of it."""

    task: Task
    billing: Billing


@dataclass(frozen=True, slots=True)
class Redownload:
    """Request number `request` to fetch an item's paid result again; `tries` counts this one and fences it.

    `paid` None: no attempt of the item is known to have been paid for.
    """

    job_id: UUID
    tenant_id: UUID
    item: int
    request: int
    traceparent: str | None
    tries: int
    paid: PaidAttempt | None


@dataclass(frozen=True, slots=True)
class ListedBill:
    """An open bill as an operator sees it. `needs_operator`: its provider can be asked for nothing."""

    attempt_id: UUID
    job_id: UUID
    item: int
    attempt: int
    tenant_id: UUID
    provider: str
    model: str
    code: str | None
    quoted_micros: int
    external_id: str | None
    lookups: int
    age_s: float
    needs_operator: bool


@dataclass(frozen=True, slots=True)
class SettledBill:
    """What an attempt came to. `evidence`: who or what says so, where it was settled after the attempt had ended."""

    billing: Billing
    evidence: str | None


@dataclass(frozen=True, slots=True)
class CountedBills:
    """Open bills of one provider for one reason; the oldest is `oldest_s` seconds old."""

    provider: str
    code: str
    bills: int
    oldest_s: float
    needs_operator: bool


class Written(StrEnum):
    """What became of a `Step`."""

    APPLIED = "applied"
    LOST = "lost"
    """Another holder has the lease, or the item has ended: nothing was written."""
    TOO_EARLY = "too early"
    """The provider's account has no call left for the moment: nothing was written."""
    CANCELLED_BY_USER = "user"
    CANCELLED_BY_DEADLINE = "deadline"
    """A cancel request came first and the step would have left the item unfinished: nothing was written."""
