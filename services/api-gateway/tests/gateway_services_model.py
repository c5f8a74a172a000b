"""A model of the other four services: it makes the histories that the gateway may hear, and knows how they ended.

Who may say what, and when, follows the contract of the events: provider-worker alone numbers attempts, each item has
one final event in its life, the ledger answers every quote whole, a hold is closed by `billing` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from random import Random
from uuid import UUID

from schemas.events import (
    AssetDeleted,
    AssetVisibilityChanged,
    BudgetRefused,
    CostReserved,
    GenerationProgressed,
    GenerationQuoted,
    GenerationSkipped,
    GenerationStarted,
    PromptsPrepared,
    PromptsRejected,
)
from schemas.parts import (
    AssetContext,
    ErrorCode,
    Kind,
    QuotedItem,
)
from tests.gateway_model_events import (
    JOB,
    USER,
    CancelRequested,
    Entry,
    RedownloadRequested,
    asset,
    asset_stored,
    cancelled,
    completed,
    failed,
    prepared_item,
    recorded,
    settled,
    store_failed,
)

PRICE = 40_000


@dataclass(frozen=True, slots=True)
class History:
    """What happened to one job, in the order it happened, and what it came to.

    `ended` says how each item ended (`completed`, `skipped`, `failed` or `cancelled`); it is empty when there were no
    prompts, and then `rejected` says why. `blank` are the items that had none. `captured` is what the provider was
    paid. `redownloads` says of each item that was asked for again whether that was `fetched` or has `failed`.
    """

    told: tuple[Entry, ...]
    ended: dict[int, str]
    blank: frozenset[int]
    rejected: ErrorCode | None
    captured: int
    redownloads: dict[int, str]

    @property
    def cancel(self) -> CancelRequested | None:
        return next((entry for entry in self.told if isinstance(entry, CancelRequested)), None)


@dataclass(slots=True)
class _Item:
    number: int
    blank: bool
    attempt: int = 0
    phase: str = "new"  # new, quoted, ready, running, ended
    previous: tuple[ErrorCode, str] | None = None
    ended: str | None = None
    waiting: set[int] = field(default_factory=set)  # outputs not yet stored
    primary: int | None = None
    wishes: int = 0  # how often its user asks for it again
    asked: int = 0
    paid: int | None = None  # the last attempt that was paid for
    has: bool = False  # a primary output of it is stored


@dataclass(slots=True)
class Services:
    """The services' common state. Every action tells its events and returns."""

    random: Random
    count: int
    blanks: float  # how many of the items have no prompt
    present: float  # how many of the others are there already
    told: list[Entry] = field(default_factory=list)
    items: dict[int, _Item] = field(default_factory=dict)
    prepared: bool = False
    planned: bool = False
    rejected: ErrorCode | None = None
    cancel: str | None = None
    worker_knows: bool = False
    prompts_know: bool = False
    quotes: list[tuple[int, list[int], int]] = field(default_factory=list)
    bills: list[tuple[int, int, int]] = field(default_factory=list)
    pending: list[tuple[int, int]] = field(default_factory=list)
    uploads: list[tuple[int, int, int, bool]] = field(default_factory=list)
    fetches: list[tuple[int, int]] = field(default_factory=list)
    known: set[tuple[int, int, int]] = field(default_factory=set)  # outputs that storage waits for or has
    assets: list[UUID] = field(default_factory=list)
    revisions: dict[UUID, int] = field(default_factory=dict)
    captured: int = 0

    def actions(self) -> Iterator[Callable[[], None]]:
        """All that can happen next, whatever the order of services."""
        if not self.prepared and self.rejected is None:
            yield self.prompts
        if self.prepared and not self.planned:
            yield self.plan
        if self.cancel and not self.prompts_know:
            yield self.prompts_hear
        if self.cancel and not self.worker_knows:
            yield self.worker_hears
        yield from self.money()
        for item in self.items.values():
            if item.phase == "ready":
                yield partial(self.start, item)
            elif item.phase == "running":
                yield partial(self.run, item)
        if self.uploads:
            yield self.store
        if self.pending:
            yield self.settle
        yield from self.redownloads()

    def money(self) -> Iterator[Callable[[], None]]:
        if self.quotes:
            yield self.answer_quote
        if self.bills:
            yield self.record

    def redownloads(self) -> Iterator[Callable[[], None]]:
        if self.fetches:
            yield self.fetch_again
        if not self.open():
            yield from (partial(self.ask_again, item) for item in self.items.values() if self.may_ask(item))

    def may_ask(self, item: _Item) -> bool:
        if item.ended not in {"failed", "cancelled"} or item.asked == item.wishes:
            return False
        adopted, under_way = item.asked and item.has, any(number == item.number for number, _ in self.fetches)
        return not adopted and not under_way and (item.has or item.paid is not None)

    def ask_again(self, item: _Item) -> None:
        item.asked += 1
        self.told.append(RedownloadRequested(item.number, item.asked, fetch=not item.has))
        if not item.has:
            self.fetches.append((item.number, item.asked))

    def fetch_again(self) -> None:
        number, request = self.fetches.pop(0)
        item = self.items[number]
        assert item.paid is not None
        again = item.primary if item.primary is not None and item.paid == item.attempt else 9
        late = None if self.random.random() < 0.4 else again
        self.told.append(settled(number, item.paid, PRICE, late, request))
        if late is not None:
            self.upload(number, item.paid, late, late=True)

    def upload(self, number: int, attempt: int, output_number: int, *, late: bool) -> None:
        """storage-service takes an output once, and again only when it could not keep it."""
        if (number, attempt, output_number) not in self.known:
            self.known.add((number, attempt, output_number))
            self.uploads.append((number, attempt, output_number, late))

    def open(self) -> bool:
        """Whether the gateway cannot have sealed the job yet."""
        if self.rejected is not None:
            return False
        return not self.prepared or any(
            item.ended is None or (item.ended == "completed" and item.waiting) for item in self.items.values()
        )

    def request_cancel(self, reason: str) -> None:
        if self.cancel is None and self.open():
            self.cancel = reason
            self.told.append(CancelRequested(reason))

    def prompts(self) -> None:
        if self.prompts_know:
            self.reject(self.stop_code())
        elif self.random.random() < 0.05:
            self.reject(ErrorCode.INVALID_REQUEST)
        else:
            self.prepare()

    def stop_code(self) -> ErrorCode:
        return ErrorCode.TIMEOUT if self.cancel == "deadline" else ErrorCode.CANCELLED

    def reject(self, code: ErrorCode) -> None:
        self.rejected = code
        self.told.append(PromptsRejected(job_id=JOB, code=code, message="no prompts"))

    def prepare(self) -> None:
        self.prepared = True
        for number in range(1, self.count + 1):
            blank = self.random.random() < self.blanks
            self.items[number] = _Item(number, blank, wishes=self.random.choice([0, 1, 2]))
        for item in self.items.values():
            if item.blank:
                item.phase, item.ended = "ended", "failed"
        items = [prepared_item(item.number, blank=item.blank) for item in self.items.values()]
        context = AssetContext(user_id=USER, kind=Kind.IMAGE)
        self.told.append(PromptsPrepared(job_id=JOB, items=items, asset_context=context))

    def prompts_hear(self) -> None:
        self.prompts_know = True

    def worker_hears(self) -> None:
        self.worker_knows = True
        for item in self.items.values():
            if self.planned and item.phase in {"new", "quoted", "ready"}:
                self.stop(item)

    def stop(self, item: _Item) -> None:
        self.end(item, "cancelled", 0)
        self.told.append(cancelled(item, self.stop_code()))

    def end(self, item: _Item, how: str, bill: int | None) -> None:
        """The item's last event; `bill` is None while nobody knows what it cost."""
        item.phase, item.ended = "ended", how
        self.close(item, bill)

    def close(self, item: _Item, bill: int | None) -> None:
        if item.attempt == 0:
            return
        if bill is None:
            self.pending.append((item.number, item.attempt))
        else:
            self.bills.append((item.number, item.attempt, bill))

    def plan(self) -> None:
        self.planned = True
        waiting = [item for item in self.items.values() if not item.blank]
        if self.worker_knows:
            for item in waiting:
                self.stop(item)
            return
        quoted = []
        for item in waiting:
            if self.random.random() < self.present:
                self.skip(item)
            elif self.random.random() < 0.05:
                self.fail(item, ErrorCode.INVALID_REQUEST, final=True, bill=0)
            else:
                quoted.append(item)
        self.quote(quoted, 1, PRICE)

    def skip(self, item: _Item) -> None:
        item.phase, item.ended = "ended", "skipped"
        self.told.append(GenerationSkipped(job_id=JOB, item=item.number, asset_id=asset(item.number, 0, 0)))

    def quote(self, items: list[_Item], attempt: int, price: int) -> None:
        if not items:
            return
        for item in items:
            item.attempt, item.phase = attempt, "quoted"
        numbers = [item.number for item in items]
        self.quotes.append((attempt, numbers, price))
        quoted = [QuotedItem(number=n, provider=f"p{attempt}", model="m", amount_micros=price) for n in numbers]
        self.told.append(
            GenerationQuoted(job_id=JOB, user_id=USER, attempt=attempt, items=quoted, currency="USD", price_version="1")
        )

    def answer_quote(self) -> None:
        attempt, numbers, price = self.quotes.pop(self.random.randrange(len(self.quotes)))
        common = {"job_id": JOB, "attempt": attempt, "items": numbers, "currency": "USD"}
        if self.random.random() < 0.15:
            self.told.append(
                BudgetRefused(**common, amount_micros=price, cap="budget", limit_micros=price, left_micros=0)
            )
            self.bills = [bill for bill in self.bills if not (bill[0] in numbers and bill[1] == attempt)]
            for number in numbers:
                self.refused(self.items[number])
            return
        self.told.append(CostReserved(**common, amount_micros=price * len(numbers)))
        for number in numbers:
            if self.items[number].phase == "quoted":
                self.items[number].phase = "ready"

    def refused(self, item: _Item) -> None:
        if item.phase != "quoted":
            return  # it was cancelled meanwhile; the refusal closes its attempt
        code, message = item.previous or (ErrorCode.BUDGET_EXCEEDED, "over budget")
        item.phase, item.ended = "ended", "failed"
        self.told.append(failed(item, code, message, final=True, bill=0))

    def start(self, item: _Item) -> None:
        item.phase = "running"
        self.told.append(
            GenerationStarted(
                job_id=JOB, item=item.number, attempt=item.attempt, provider=f"p{item.attempt}", model="m"
            )
        )

    def run(self, item: _Item) -> None:
        chance = self.random.random()
        if chance < 0.25:
            percent = self.random.choice([10, 50, 90, 100])
            self.told.append(GenerationProgressed(job_id=JOB, item=item.number, attempt=item.attempt, progress=percent))
        elif chance < 0.75:
            self.complete(item)
        else:
            self.break_off(item)

    def complete(self, item: _Item) -> None:
        bill = self.random.choice([0, PRICE // 2, PRICE, None])
        numbers = [1, 2] if self.random.random() < 0.2 else [1]
        item.primary, item.waiting = 1, set(numbers)
        for number in numbers:
            self.upload(item.number, item.attempt, number, late=False)
        self.end(item, "completed", bill)
        self.told.append(completed(item, numbers, bill))

    def break_off(self, item: _Item) -> None:
        again = item.attempt < 3 and not self.worker_knows and self.random.random() < 0.5
        if not again:
            bill = self.random.choice([0, PRICE, None])
            code = ErrorCode.SUBMIT_UNKNOWN if bill is None else ErrorCode.CONTENT_POLICY
            self.fail(item, code, final=True, bill=bill)
            return
        # A billed retry at the same price, or a fallback that nobody billed but that costs more.
        bill, price = self.random.choice([(PRICE, PRICE), (PRICE // 2, PRICE), (0, PRICE * 2)])
        item.previous = (ErrorCode.CORRUPT_OUTPUT, "unusable")
        self.told.append(failed(item, *item.previous, final=False, bill=bill))
        self.close(item, bill)
        self.quote([item], item.attempt + 1, price)

    def fail(self, item: _Item, code: ErrorCode, *, final: bool, bill: int | None) -> None:
        self.told.append(failed(item, code, "came to nothing", final=final, bill=bill))
        self.end(item, "failed", bill)

    def record(self) -> None:
        number, attempt, bill = self.bills[0]
        if any(attempt == quoted and number in numbers for quoted, numbers, _ in self.quotes):
            self.answer_quote()  # an outcome that came before its quote waits for the quote
            return
        self.bills.pop(0)
        self.captured += bill
        if bill:
            self.items[number].paid = max(self.items[number].paid or 0, attempt)
        self.told.append(recorded(number, attempt, bill))

    def settle(self) -> None:
        number, attempt = self.pending.pop(0)
        late = self.items[number].ended == "failed" and self.random.random() < 0.5
        self.told.append(settled(number, attempt, PRICE, 9 if late else None))
        self.bills.append((number, attempt, PRICE))
        if late:
            self.upload(number, attempt, 9, late=True)

    def store(self) -> None:
        number, attempt, output_number, late = self.uploads.pop(self.random.randrange(len(self.uploads)))
        item = self.items[number]
        item.waiting.discard(output_number)
        if self.random.random() < 0.15:
            if output_number == item.primary:
                item.ended = "failed"
            self.known.discard((number, attempt, output_number))
            self.told.append(store_failed(number, attempt, output_number, late=late))
            return
        item.has = item.has or output_number != 2
        made = asset_stored(number, attempt, output_number, late=late)
        self.assets.append(made.asset_id)
        self.told.append(made)

    def touch_asset(self) -> None:
        asset_id = self.random.choice(self.assets)
        revision = self.revisions[asset_id] = self.revisions.get(asset_id, 1) + 1
        if self.random.random() < 0.5:
            self.told.append(AssetDeleted(asset_id=asset_id, job_id=JOB, revision=revision))
            self.assets.remove(asset_id)
            return
        public = bool(revision % 2)
        url = f"https://assets.test/asset/{asset_id}?r={revision}"
        self.told.append(
            AssetVisibilityChanged(asset_id=asset_id, job_id=JOB, revision=revision, is_public=public, url=url)
        )
