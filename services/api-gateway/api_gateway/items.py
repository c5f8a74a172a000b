"""What one item has come to, from its facts alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from api_gateway.facts import Fact, FactKind
from api_gateway.history import History, ItemHistory, end_of
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


@dataclass(frozen=True, slots=True)
class ItemState:
    """One item as its users see it. `progress` is 0-100 and never falls as facts are added; amounts are micro-units."""

    number: int
    name: str | None
    group: str | None
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


_PREPARED, _QUOTED, _HELD, _STARTED, _STAGED, _COMPLETED, _STORED = 10, 15, 20, 30, 80, 85, 100


def item_state(prepared: Mapping[str, Any], judged: History, known: History, closing: Closing | None) -> ItemState:
    """The state of the item that `prepared` describes.

    Its verdict rests on the facts `judged` when the job was sealed; its money, its further outputs and what became of
    its assets on all that is `known`. Before the job is given up the two are the same.
    """
    number = prepared["number"]
    past, present = judged.of(number), known.of(number)
    end = end_of(past.facts)
    attempt = max([fact.attempt for fact in past.facts] + list(past.quotes), default=0)
    provider, model = _route(attempt, past)
    progress = _progress(past)
    status, error = _verdict(prepared, past.facts, end, _stage(progress), closing)
    completed = end.body if end is not None and end.kind is FactKind.COMPLETED else None
    outputs = _outputs(end, present, known) if status is ItemStatus.COMPLETED else ()
    return ItemState(
        number=number,
        name=prepared["name"],
        group=prepared["group"],
        status=status,
        stage=_stage(progress),
        progress=_STORED if status in DONE else progress,
        attempt=attempt,
        provider=provider,
        model=model,
        prompt_version=prepared["prompt_version"],
        flags=tuple(completed["flags"]) if completed else (),
        lineage=completed["lineage"] if completed else None,
        warnings=tuple(prepared["warnings"]),
        outputs=outputs,
        asset_id=_asset_id(past.facts, outputs),
        estimated_micros=_estimated(present),
        actual_micros=sum(present.captured.values()) if present.captured else None,
        error=error,
    )


def _verdict(
    prepared: Mapping[str, Any], facts: Sequence[Fact], end: Fact | None, stage: Stage, closing: Closing | None
) -> tuple[ItemStatus, Failure | None]:
    if prepared["blank"]:
        return ItemStatus.FAILED, Failure(ErrorCode.INVALID_REQUEST, "The prompt is blank", Stage.PROMPTING)
    if any(fact.kind is FactKind.SKIPPED for fact in facts):
        return ItemStatus.SKIPPED, None
    if end is not None and end.kind is FactKind.COMPLETED:
        found = _stored_or_not(facts, end)
        if found is not None:
            return found
    elif end is not None:
        cancelled = end.kind is FactKind.CANCELLED and end.body["code"] == ErrorCode.CANCELLED
        failure = Failure(end.body["code"], end.body["message"], end.body["stage"])
        return (ItemStatus.CANCELLED if cancelled else ItemStatus.FAILED), failure
    if closing is not None:
        return closing.status, Failure(closing.code, closing.message, stage)
    started = any(fact.kind is not FactKind.RECORDED for fact in facts)
    return (ItemStatus.PROCESSING if started else ItemStatus.QUEUED), None


def _stored_or_not(facts: Sequence[Fact], end: Fact) -> tuple[ItemStatus, Failure | None] | None:
    slot = (end.attempt, end.body["primary"])
    primary = {fact.kind: fact for fact in facts if (fact.attempt, fact.output) == slot}
    if FactKind.STORED in primary:
        return ItemStatus.COMPLETED, None
    lost = primary.get(FactKind.STORE_FAILED)
    if lost is None:
        return None
    return ItemStatus.FAILED, Failure(lost.body["code"], lost.body["message"], Stage.PERSISTING)


def _outputs(end: Fact | None, item: ItemHistory, known: History) -> tuple[Output, ...]:
    attempt = end.attempt if end is not None else None
    found = stored(item.facts, known.revisions)
    return tuple(output for output in found if output.attempt == attempt and not output.late)


def _asset_id(facts: Sequence[Fact], outputs: Sequence[Output]) -> str | None:
    if outputs:
        return str(outputs[0].asset_id)
    return next((fact.body["asset_id"] for fact in facts if fact.kind is FactKind.SKIPPED), None)


def _route(attempt: int, item: ItemHistory) -> tuple[str | None, str | None]:
    named = [fact for fact in item.facts if fact.attempt == attempt and fact.body.get("provider")]
    if named:
        surest = max(named, key=lambda fact: fact.kind)
        return surest.body["provider"], surest.body["model"]
    quote = item.quotes.get(attempt)
    return (quote.provider, quote.model) if quote else (None, None)


def _progress(item: ItemHistory) -> int:
    """How far the item has come; a fact more never makes it less."""
    money = _HELD if item.held else _QUOTED if item.quotes else _PREPARED
    return max([money, *map(_reached, item.facts)])


def _reached(fact: Fact) -> int:
    if fact.kind is FactKind.PROGRESSED:
        return _STARTED + (_STAGED - _STARTED) * fact.output // 100
    return _REACHED.get(fact.kind, 0)


_REACHED = {FactKind.STARTED: _STARTED, FactKind.COMPLETED: _COMPLETED}


def _stage(progress: int) -> Stage:
    """The stage of R17 that this progress lies in."""
    if progress < _HELD:
        return Stage.PROMPTING
    if progress < _STAGED:
        return Stage.GENERATING
    return Stage.UPLOADING if progress < _COMPLETED else Stage.PERSISTING


def _estimated(item: ItemHistory) -> int | None:
    """The quote of the first attempt: what the item was expected to cost when its work began."""
    return item.quotes[min(item.quotes)].amount_micros if item.quotes else None
