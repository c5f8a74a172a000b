"""A job's facts, sorted into drawers in one pass, so that every later question is a look into one of them.

Nothing here may depend on the order of the facts: where two could claim one drawer, a rule says which stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from api_gateway.facts import Fact, FactKind, Slot

CURRENCY = "USD"

PREPARED, QUOTED, HELD, STARTED, STAGED, COMPLETED, STORED = 10, 15, 20, 30, 80, 85, 100
"""How far an item has come, in percent, by the last thing heard of it."""


class Quote(NamedTuple):
    """The route of one attempt and the upper bound of its price, in micro-units."""

    provider: str
    model: str
    amount_micros: int


@dataclass(slots=True)
class ItemHistory:
    """All that is known of one item.

    `end` is the event that ended it, `route` the surest word on who makes it, `attempt` the highest number heard;
    `stored` and `lost` are its outputs; the money is by attempt. `asked` is the number of the last request to fetch
    what was paid for again, `answers` are by that number; `lost_late`: what came of one could not be stored.
    """

    attempt: int = 0
    progress: int = PREPARED
    active: bool = False
    end: Fact | None = None
    skipped: Fact | None = None
    route: Fact | None = None
    stored: list[Fact] = field(default_factory=list)
    lost: list[Fact] = field(default_factory=list)
    quotes: dict[int, Quote] = field(default_factory=dict)
    held: set[int] = field(default_factory=set)
    refused: set[int] = field(default_factory=set)
    captured: dict[int, int] = field(default_factory=dict)
    asked: int = 0
    answers: dict[int, Fact] = field(default_factory=dict)
    lost_late: bool = False

    def reach(self, progress: int, attempt: int) -> None:
        self.progress = max(self.progress, progress)
        self.attempt = max(self.attempt, attempt)


@dataclass(slots=True)
class History:
    """All that is known of a job: its `facts` by slot, and the same in drawers.

    `revisions` has the newest fact about each asset, by its id as text. `made` is for whoever makes something of the
    items: it keeps one thing for each, which is forgotten as soon as anything that is known of the item changes.
    """

    facts: dict[Slot, Fact] = field(default_factory=dict)
    prepared: Fact | None = None
    rejected: Fact | None = None
    cancel: Fact | None = None
    given_up: Fact | None = None
    items: dict[int, ItemHistory] = field(default_factory=dict)
    revisions: dict[str, Fact] = field(default_factory=dict)
    reserved_micros: int = 0
    currency: str = CURRENCY
    made: dict[int, Any] = field(default_factory=dict)

    def add(self, fact: Fact) -> bool:
        """Files `fact`, unless its slot is filled; answers whether it was not."""
        slot = fact.slot
        if slot in self.facts:
            return False
        self.facts[slot] = fact
        _FILING[fact.kind](self, fact)
        return True

    def of(self, item: int) -> ItemHistory:
        """What is known of one item, which may be nothing."""
        return self.items.get(item) or ItemHistory()

    def drawer(self, item: int) -> ItemHistory:
        """Where what is known of one item is to be put."""
        self.made.pop(item, None)
        found = self.items.get(item)
        if found is None:
            found = self.items[item] = ItemHistory()
        return found


def read(facts: Iterable[Fact]) -> History:
    """`facts` in drawers. Where every slot comes once, the result does not depend on their order."""
    history = History()
    for fact in facts:
        history.add(fact)
    return history


def _prepared(history: History, fact: Fact) -> None:
    history.prepared = fact


def _rejected(history: History, fact: Fact) -> None:
    history.rejected = fact


def _cancel(history: History, fact: Fact) -> None:
    history.cancel = fact


def _given_up(history: History, fact: Fact) -> None:
    history.given_up = fact


def _quoted(history: History, fact: Fact) -> None:
    history.currency = fact.body["currency"]
    for number, provider, model, amount in fact.body["items"]:
        item = history.drawer(number)
        item.quotes[fact.attempt] = Quote(provider, model, amount)
        item.reach(QUOTED, fact.attempt)


def _reserved(history: History, fact: Fact) -> None:
    history.reserved_micros += fact.body["amount"]
    for number in fact.body["items"]:
        item = history.drawer(number)
        item.held.add(fact.attempt)
        item.reach(HELD, fact.attempt)


def _refused(history: History, fact: Fact) -> None:
    for number in fact.body["items"]:
        history.drawer(number).refused.add(fact.attempt)


def _recorded(history: History, fact: Fact) -> None:
    history.currency = fact.body["currency"]
    history.drawer(fact.item).captured[fact.attempt] = fact.body["captured"]


def _started(history: History, fact: Fact) -> None:
    item = history.drawer(fact.item)
    item.active = True
    item.reach(STARTED, fact.attempt)
    _route(item, fact)


def _progressed(history: History, fact: Fact) -> None:
    item = history.drawer(fact.item)
    item.active = True
    item.reach(STARTED + (STAGED - STARTED) * fact.output // 100, fact.attempt)


def _completed(history: History, fact: Fact) -> None:
    item = history.drawer(fact.item)
    item.active = True
    item.reach(COMPLETED, fact.attempt)
    _route(item, fact)
    _end(item, fact)


def _failed(history: History, fact: Fact) -> None:
    item = history.drawer(fact.item)
    item.active = True
    item.reach(PREPARED, fact.attempt)
    if fact.body["provider"] is not None:
        _route(item, fact)
    _end(item, fact)


def _cancelled(history: History, fact: Fact) -> None:
    item = history.drawer(fact.item)
    item.reach(PREPARED, fact.attempt)
    _end(item, fact)


def _skipped(history: History, fact: Fact) -> None:
    history.drawer(fact.item).skipped = fact


def _settled(history: History, fact: Fact) -> None:
    history.drawer(fact.item)


def _stored(history: History, fact: Fact) -> None:
    history.drawer(fact.item).stored.append(fact)
    _revise(history, fact.body["asset_id"], fact)


def _store_failed(history: History, fact: Fact) -> None:
    history.drawer(fact.item).lost.append(fact)


def _redownload_requested(history: History, fact: Fact) -> None:
    item = history.drawer(fact.item)
    item.asked = max(item.asked, fact.output)


def _redownloaded(history: History, fact: Fact) -> None:
    answers = history.drawer(fact.item).answers
    known = answers.get(fact.output)
    if known is None or fact.attempt > known.attempt:
        answers[fact.output] = fact


def _late_lost(history: History, fact: Fact) -> None:
    history.drawer(fact.item).lost_late = True


def _revised(history: History, fact: Fact) -> None:
    history.made.clear()
    _revise(history, str(fact.asset_id), fact)


def _revise(history: History, asset_id: str, fact: Fact) -> None:
    known = history.revisions.get(asset_id)
    if known is None or _revision(fact) > _revision(known):
        history.revisions[asset_id] = fact


def _revision(fact: Fact) -> tuple[int, int]:
    return (fact.body["revision"], int(fact.kind))


def _route(item: ItemHistory, fact: Fact) -> None:
    known = item.route
    if known is None or (fact.attempt, fact.kind) > (known.attempt, known.kind):
        item.route = fact


def _end(item: ItemHistory, fact: Fact) -> None:
    """An item has one final event in its life; were there more, a completion would stand, then a failure."""
    if not fact.body["final"]:
        return
    known = item.end
    if known is None or (-fact.kind, fact.attempt) > (-known.kind, known.attempt):
        item.end = fact


# By number, because looking an enum member up in a dict calls Python for its hash, and this runs for every fact.
_FILING: list[Callable[[History, Fact], None]] = [_settled] * (max(FactKind) + 1)
for _kind, _file in {
    FactKind.PREPARED: _prepared,
    FactKind.REJECTED: _rejected,
    FactKind.QUOTED: _quoted,
    FactKind.RESERVED: _reserved,
    FactKind.REFUSED: _refused,
    FactKind.STARTED: _started,
    FactKind.PROGRESSED: _progressed,
    FactKind.COMPLETED: _completed,
    FactKind.FAILED: _failed,
    FactKind.CANCELLED: _cancelled,
    FactKind.SKIPPED: _skipped,
    FactKind.SETTLED: _settled,
    FactKind.STORED: _stored,
    FactKind.STORE_FAILED: _store_failed,
    FactKind.VISIBILITY: _revised,
    FactKind.DELETED: _revised,
    FactKind.RECORDED: _recorded,
    FactKind.CANCEL_REQUESTED: _cancel,
    FactKind.GAVE_UP: _given_up,
    FactKind.REDOWNLOAD_REQUESTED: _redownload_requested,
    FactKind.REDOWNLOADED: _redownloaded,
    FactKind.LATE_LOST: _late_lost,
}.items():
    _FILING[_kind] = _file
