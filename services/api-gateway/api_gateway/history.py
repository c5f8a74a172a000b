"""A job's facts, sorted into drawers so that one pass answers every later question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from api_gateway.facts import JOB, Fact, FactKind

CURRENCY = "USD"

_REVISED = frozenset({FactKind.STORED, FactKind.VISIBILITY, FactKind.DELETED})
_ENDS = {FactKind.COMPLETED: 3, FactKind.FAILED: 2, FactKind.CANCELLED: 1}


@dataclass(frozen=True, slots=True)
class Quote:
    """The route of one attempt and the upper bound of its price, in micro-units."""

    provider: str
    model: str
    amount_micros: int


@dataclass(slots=True)
class ItemHistory:
    """All that is known of one item: `facts` about itself, and by attempt what was quoted, held, refused, captured."""

    facts: list[Fact] = field(default_factory=list)
    quotes: dict[int, Quote] = field(default_factory=dict)
    held: set[int] = field(default_factory=set)
    refused: set[int] = field(default_factory=set)
    captured: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class History:
    """All that is known of a job. `revisions` has the newest fact about each asset."""

    job: dict[FactKind, Fact] = field(default_factory=dict)
    items: dict[int, ItemHistory] = field(default_factory=dict)
    reserved_micros: int = 0
    currency: str = CURRENCY
    revisions: dict[UUID, Fact] = field(default_factory=dict)

    def of(self, item: int) -> ItemHistory:
        """What is known of one item, which may be nothing."""
        return self.items.get(item) or ItemHistory()

    def drawer(self, item: int) -> ItemHistory:
        """Where what is known of one item is to be put."""
        return self.items.setdefault(item, ItemHistory())


def read(facts: Iterable[Fact]) -> History:
    """`facts` in drawers. The result does not depend on their order, as long as every slot comes once."""
    history = History()
    for fact in facts:
        file = _MONEY.get(fact.kind)
        if file is not None:
            history.currency = fact.body["currency"]
            file(history, fact)
        elif fact.item != JOB:
            history.drawer(fact.item).facts.append(fact)
        elif fact.asset_id is None:
            history.job[fact.kind] = fact
        if fact.kind in _REVISED:
            _keep_newest(history.revisions, fact)
    return history


def _file_quote(history: History, fact: Fact) -> None:
    for number, provider, model, amount in fact.body["items"]:
        history.drawer(number).quotes[fact.attempt] = Quote(provider, model, amount)


def _file_hold(history: History, fact: Fact) -> None:
    history.reserved_micros += fact.body["amount"]
    for number in fact.body["items"]:
        history.drawer(number).held.add(fact.attempt)


def _file_refusal(history: History, fact: Fact) -> None:
    for number in fact.body["items"]:
        history.drawer(number).refused.add(fact.attempt)


def _file_capture(history: History, fact: Fact) -> None:
    history.drawer(fact.item).captured[fact.attempt] = fact.body["captured"]


_MONEY = {
    FactKind.QUOTED: _file_quote,
    FactKind.RESERVED: _file_hold,
    FactKind.REFUSED: _file_refusal,
    FactKind.RECORDED: _file_capture,
}


def _keep_newest(revisions: dict[UUID, Fact], fact: Fact) -> None:
    asset_id = fact.asset_id or UUID(fact.body["asset_id"])
    known = revisions.get(asset_id)
    if known is None or _revision(fact) > _revision(known):
        revisions[asset_id] = fact


def _revision(fact: Fact) -> tuple[int, int]:
    return (fact.body["revision"], int(fact.kind))


def end_of(facts: Iterable[Fact]) -> Fact | None:
    """The event that ended an item, if it has. There is one in its life; were there more, a completion would stand."""
    ends = [fact for fact in facts if fact.kind in _ENDS and fact.body["final"]]
    return max(ends, key=lambda fact: (_ENDS[fact.kind], fact.attempt), default=None)


def prepared_items(history: History) -> Sequence[Mapping[str, Any]] | None:
    """The items as prompt-service numbered them, or None while their number is not known."""
    prepared = history.job.get(FactKind.PREPARED)
    return None if prepared is None else sorted(prepared.body["items"], key=lambda item: item["number"])
