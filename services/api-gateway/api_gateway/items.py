"""What one item has come to, from its facts alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, NamedTuple

from api_gateway.facts import Fact, FactKind
from api_gateway.history import COMPLETED, HELD, STAGED, STORED, History, ItemHistory
from api_gateway.outputs import Output, stored
from schemas.parts import ErrorCode, Stage


class ItemStatus(StrEnum):
    """Where an item stands."""

    QUEUED = "queued"
    """It waits for its turn at a provider."""
    PROCESSING = "processing"
    COMPLETED = "completed"
    SKIPPED = "skipped"
    """It was already there, whole (R88)."""
    FAILED = "failed"
    CANCELLED = "cancelled"


class Tally(NamedTuple):
    """How many items of a manifest were made, were there already, and ended without either (R87)."""

    generated: int
    skipped: int
    failed: int


def tally(statuses: Iterable[str]) -> Tally:
    """The items so far; what is open is in none of the numbers."""
    found = Counter(statuses)
    failed = found[ItemStatus.FAILED] + found[ItemStatus.CANCELLED]
    return Tally(found[ItemStatus.COMPLETED], found[ItemStatus.SKIPPED], failed)


DONE = frozenset({ItemStatus.COMPLETED, ItemStatus.SKIPPED})
OPEN = frozenset({ItemStatus.QUEUED, ItemStatus.PROCESSING})


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an item or a job is not completed: a code of R71, a sentence fit to show, and the stage it ended in (R18)."""

    code: str
    message: str
    stage: str | None


@dataclass(frozen=True, slots=True)
class Closing:
    """How items that are still open end when the gateway waits no longer."""

    code: ErrorCode
    message: str

    @property
    def status(self) -> ItemStatus:
        return ItemStatus.CANCELLED if self.code is ErrorCode.CANCELLED else ItemStatus.FAILED


class Redownload(NamedTuple):
    """What became of the last request to fetch again what was paid for; `message` says why it is not here."""

    state: Literal["requested", "fetched", "failed"]
    message: str | None = None


class ItemState(NamedTuple):
    """One item as its users see it. `progress` is 0-100 and never falls as facts are added; amounts are micro-units.

    `outputs` of an item that is not done are what it adopted: late outputs that somebody asked for.
    """

    number: int
    name: str | None
    group: str | None
    path: str | None
    status: ItemStatus
    stage: Stage
    progress: int
    attempt: int
    provider: str | None
    model: str | None
    prompt_version: str | None
    flags: tuple[str, ...]
    lineage: Mapping[str, Any] | None
    warnings: tuple[str, ...]
    outputs: tuple[Output, ...]
    asset_id: str | None
    estimated_micros: int | None
    actual_micros: int | None
    error: Failure | None
    redownload: Redownload | None


def item_state(prepared: Mapping[str, Any], judged: History, known: History, closing: Closing | None) -> ItemState:
    """The state of the item that `prepared` describes.

    Its verdict rests on the facts `judged` when the job was sealed; its money, its further outputs and what became of
    its assets on all that is `known`. Before the job is given up the two are the same.
    """
    number = prepared["number"]
    past = judged.of(number)
    present = past if known is judged else known.of(number)
    end = past.end
    completed = end.body if end is not None and end.kind is FactKind.COMPLETED else None
    provider, model = _route(past)
    stage = _stage(past.progress)
    status, error = _verdict(prepared, past, stage, closing)
    if status is ItemStatus.COMPLETED and end is not None:
        outputs = _outputs(end, present, known)
    else:
        outputs = () if status in DONE | OPEN else _adopted(present, known)
    return ItemState(
        number=number,
        name=prepared["name"],
        group=prepared["group"],
        # Facts that were written before paths were told have none.
        path=prepared.get("path"),
        status=status,
        stage=stage,
        progress=STORED if status in DONE else past.progress,
        attempt=past.attempt,
        provider=provider,
        model=model,
        prompt_version=prepared["prompt_version"],
        flags=tuple(completed["flags"]) if completed else (),
        lineage=completed["lineage"] if completed else None,
        warnings=(*prepared["warnings"], *_differences(present)),
        outputs=outputs,
        asset_id=_asset_id(past, outputs),
        estimated_micros=_estimated(present),
        actual_micros=sum(present.captured.values()) if present.captured else None,
        error=error,
        redownload=_redownload(present, outputs),
    )


def _verdict(
    prepared: Mapping[str, Any], item: ItemHistory, stage: Stage, closing: Closing | None
) -> tuple[ItemStatus, Failure | None]:
    if prepared["blank"]:
        return ItemStatus.FAILED, Failure(ErrorCode.INVALID_REQUEST, "The prompt is blank", Stage.PROMPTING)
    if item.skipped is not None:
        return ItemStatus.SKIPPED, None
    ended = _ended(item, item.end) if item.end is not None else None
    if ended is not None:
        return ended
    if closing is not None:
        return closing.status, Failure(closing.code, closing.message, stage)
    return (ItemStatus.PROCESSING if item.active else ItemStatus.QUEUED), None


def _ended(item: ItemHistory, end: Fact) -> tuple[ItemStatus, Failure | None] | None:
    """What the item's last event means; None while one of its outputs is neither stored nor lost."""
    if end.kind is not FactKind.COMPLETED:
        body = end.body
        cancelled = end.kind is FactKind.CANCELLED and body["code"] == ErrorCode.CANCELLED
        status = ItemStatus.CANCELLED if cancelled else ItemStatus.FAILED
        return status, Failure(body["code"], body["message"], body["stage"])
    primary = end.body["primary"]
    kept = {fact.output for fact in item.stored if fact.attempt == end.attempt and not fact.body["late"]}
    lost = {fact.output: fact for fact in item.lost if fact.attempt == end.attempt}
    if primary in lost and primary not in kept:
        body = lost[primary].body
        return ItemStatus.FAILED, Failure(body["code"], body["message"], Stage.PERSISTING)
    # Facts that were written before outputs were listed have their primary alone.
    awaited = {primary, *end.body.get("outputs", ())}
    return (ItemStatus.COMPLETED, None) if kept | lost.keys() >= awaited else None


def _outputs(end: Fact, item: ItemHistory, known: History) -> tuple[Output, ...]:
    found = stored(item.stored, known.revisions)
    return tuple(output for output in found if output.attempt == end.attempt and not output.late)


def _adopted(item: ItemHistory, known: History) -> tuple[Output, ...]:
    """What came late for an item and was asked for: of its newest attempt that has a primary output."""
    if not item.asked:
        return ()
    found = stored(item.stored, known.revisions)
    newest = max((output.attempt for output in found if output.role == "primary"), default=None)
    return tuple(output for output in found if output.attempt == newest)


def _redownload(item: ItemHistory, outputs: Sequence[Output]) -> Redownload | None:
    if not item.asked:
        return None
    if outputs:
        return Redownload("fetched")
    answer = item.answers.get(item.asked)
    if answer is None:
        return Redownload("requested")
    if not answer.body["found"]:
        return Redownload("failed", answer.body["evidence"])
    return Redownload("failed", "what was fetched could not be stored") if item.lost_late else Redownload("requested")


def _differences(item: ItemHistory) -> Sequence[str]:
    """In what a skipped item's asset is not what was asked for. Older facts do not say."""
    return () if item.skipped is None else item.skipped.body.get("warnings", ())


def _asset_id(item: ItemHistory, outputs: Sequence[Output]) -> str | None:
    if outputs:
        return str(outputs[0].asset_id)
    return item.skipped.body["asset_id"] if item.skipped is not None else None


def _route(item: ItemHistory) -> tuple[str | None, str | None]:
    if item.route is not None and item.route.attempt == item.attempt:
        return item.route.body["provider"], item.route.body["model"]
    quote = item.quotes.get(item.attempt)
    return (quote.provider, quote.model) if quote else (None, None)


def _stage(progress: int) -> Stage:
    """The stage of R17 that this progress lies in."""
    if progress < HELD:
        return Stage.PROMPTING
    if progress < STAGED:
        return Stage.GENERATING
    return Stage.UPLOADING if progress < COMPLETED else Stage.PERSISTING


def _estimated(item: ItemHistory) -> int | None:
    """The quote of the first attempt: what the item was expected to cost when its work began."""
    return item.quotes[min(item.quotes)].amount_micros if item.quotes else None
