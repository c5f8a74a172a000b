"""The job people see, as a pure function of its facts: any order and any repetition of events gives the same job."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from operator import itemgetter
from typing import Literal, NamedTuple

from api_gateway.facts import Fact
from api_gateway.history import History, read
from api_gateway.items import DONE, OPEN, Closing, Failure, ItemState, item_state
from api_gateway.lifecycle import TERMINAL, Status
from api_gateway.outputs import Output, stored
from schemas.parts import ErrorCode, Stage


class CancelState(StrEnum):
    """What became of a request to stop (R22)."""

    REQUESTED = "cancel_requested"
    CANCELLED = "cancelled"
    ANYWAY = "completed_anyway"


@dataclass(frozen=True, slots=True)
class Cancellation:
    """A request to stop and what it came to. `amount_micros` is None while nobody can say."""

    reason: str
    state: CancelState
    charged: Literal["yes", "no", "unknown"]
    amount_micros: int | None


class JobState(NamedTuple):
    """The whole job. Amounts are micro-units of `currency`; `reserved_micros` is all that was ever held for it.

    `sealed`: its status is final. `settled`: no hold is open and none can come, so its cost is final too.
    """

    status: Status
    stage: Stage | None
    progress: int
    items: tuple[ItemState, ...]
    estimated_micros: int | None
    reserved_micros: int
    actual_micros: int
    currency: str
    settled: bool
    error: Failure | None
    cancellation: Cancellation | None
    late_outputs: tuple[Output, ...]
    warnings: tuple[str, ...]

    @property
    def sealed(self) -> bool:
        return self.status in TERMINAL


def state(facts: Iterable[Fact]) -> JobState:
    """The job that `facts` make. Every slot may come once; their order means nothing."""
    return state_of(read(facts))


def state_of(known: History) -> JobState:
    """The job that all facts of `known` make."""
    judged = _judged(known)
    closing = _closing(known)
    items = _items(judged, known, closing)
    status, error = _verdict(judged, items, closing)
    settled = status in TERMINAL and _settled(known, items)
    actual = sum(sum(item.captured.values()) for item in known.items.values())
    return JobState(
        status=status,
        stage=_stage(items) if status is Status.PROCESSING else None,
        progress=_progress(status, items),
        items=items,
        estimated_micros=_estimated(items),
        reserved_micros=known.reserved_micros,
        actual_micros=actual,
        currency=known.currency,
        settled=settled,
        error=error,
        cancellation=_cancellation(known, status, settled, actual),
        late_outputs=_late_outputs(known, items) if status in TERMINAL else (),
        warnings=_warnings(known),
    )


def _judged(known: History) -> History:
    """What the verdict rests on: all facts, or those that were there when the gateway gave up."""
    if known.given_up is None:
        return known
    slots = {tuple(slot) for slot in known.given_up.body["known"]}
    return read(fact for fact in known.facts.values() if fact.slot[:4] in slots and fact.asset_id is None)


def _closing(known: History) -> Closing | None:
    if known.given_up is None:
        return None
    if _reason(known) == "deadline":
        return Closing(ErrorCode.TIMEOUT, "The deadline passed before this was done")
    return Closing(ErrorCode.CANCELLED, "Cancelled before this was done")


def _reason(known: History) -> str | None:
    return None if known.cancel is None else known.cancel.body["reason"]


def _items(judged: History, known: History, closing: Closing | None) -> tuple[ItemState, ...]:
    """The items as prompt-service numbered them; none while their number is not known."""
    if judged.prepared is None:
        return ()
    prepared = sorted(judged.prepared.body["items"], key=itemgetter("number"))
    if judged is not known:
        return tuple([item_state(item, judged, known, closing) for item in prepared])
    made = known.made
    for item in prepared:
        if item["number"] not in made:
            made[item["number"]] = item_state(item, known, known, None)
    return tuple([made[item["number"]] for item in prepared])


def _verdict(judged: History, items: Sequence[ItemState], closing: Closing | None) -> tuple[Status, Failure | None]:
    if judged.rejected is not None:
        body = judged.rejected.body
        failure = Failure(body["code"], body["message"], Stage.PROMPTING)
        return _ended_empty(failure, _reason(judged))
    if judged.prepared is None:
        if closing is None:
            return (Status.PROCESSING if judged.items else Status.QUEUED), None
        return _ended_empty(Failure(closing.code, closing.message, Stage.PROMPTING), _reason(judged))
    if any(item.status in OPEN for item in items):
        return Status.PROCESSING, None
    return _sealed(judged, items)


def _sealed(judged: History, items: Sequence[ItemState]) -> tuple[Status, Failure | None]:
    done = sum(item.status in DONE for item in items)
    if items and done == len(items):
        return Status.COMPLETED, None
    failure = _first_failure(items)
    if done:
        return Status.PARTIAL, failure
    return _ended_empty(failure, _reason(judged))


def _ended_empty(failure: Failure, reason: str | None) -> tuple[Status, Failure | None]:
    """A job of which nothing was made was cancelled, if its user asked for that, and has failed otherwise."""
    if reason == "user" or failure.code == ErrorCode.CANCELLED:
        return Status.CANCELLED, None
    return Status.FAILED, failure


def _first_failure(items: Sequence[ItemState]) -> Failure:
    """The failure the job shows: a passed deadline first, then what failed, then what was cancelled."""
    errors = [item.error for item in items if item.error is not None]
    if not errors:
        return Failure(ErrorCode.INVALID_REQUEST, "There was nothing to make", Stage.PROMPTING)
    return min(errors, key=lambda error: _GRAVITY.get(error.code, 1))


_GRAVITY = {ErrorCode.TIMEOUT.value: 0, ErrorCode.CANCELLED.value: 2}


def _stage(items: Sequence[ItemState]) -> Stage:
    """The stage of whatever is furthest behind."""
    return min([item.stage for item in items if item.status in OPEN], key=_ORDER.index, default=Stage.PROMPTING)


_ORDER = list(Stage)


def _progress(status: Status, items: Sequence[ItemState]) -> int:
    if status in {Status.COMPLETED, Status.PARTIAL}:
        return 100
    return min(99, sum(item.progress for item in items) // len(items)) if items else 0


def _estimated(items: Sequence[ItemState]) -> int | None:
    quoted = [item.estimated_micros for item in items if item.estimated_micros is not None]
    return sum(quoted) if quoted else None


def _settled(known: History, items: Sequence[ItemState]) -> bool:
    """Every attempt up to an item's last has its hold closed, or was refused one; nothing quoted owes nothing."""
    if known.rejected is not None:
        return True
    numbers = {item.number for item in items} | set(known.items)
    return all(item_settled(known, number) for number in numbers)


def item_settled(known: History, number: int) -> bool:
    """Whether all that was ever held for an item is closed."""
    item = known.of(number)
    if item.end is None:
        return not item.quotes
    return all(attempt in item.captured or attempt in item.refused for attempt in range(1, item.end.attempt + 1))


def _cancellation(known: History, status: Status, settled: bool, actual: int) -> Cancellation | None:
    reason = _reason(known)
    if reason is None:
        return None
    charged: Literal["yes", "no", "unknown"] = "yes" if actual else "no" if settled else "unknown"
    return Cancellation(reason, _cancel_state(status), charged, None if charged == "unknown" else actual)


def _cancel_state(status: Status) -> CancelState:
    if status not in TERMINAL:
        return CancelState.REQUESTED
    return CancelState.ANYWAY if status is Status.COMPLETED else CancelState.CANCELLED


def _late_outputs(known: History, items: Sequence[ItemState]) -> tuple[Output, ...]:
    """What was stored for items that had ended otherwise by then, or was found by settling a bill; what an item has
    adopted is its own."""
    shown = {str(output.asset_id) for item in items for output in item.outputs}
    found: list[Output] = []
    for number in sorted(known.items):
        late = [fact for fact in known.items[number].stored if fact.body["asset_id"] not in shown]
        found += stored(late, known.revisions)
    return tuple(found)


def _warnings(known: History) -> tuple[str, ...]:
    return () if known.prepared is None else tuple(known.prepared.body["warnings"])
