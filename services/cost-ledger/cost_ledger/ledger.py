"""Posting a batch: which quotes are held under the caps, and what each outcome does to its hold. Values only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias
from uuid import UUID

from chassis.errors import Invalid
from cost_ledger.accounts import Key, Kind, Transfer, transfers
from cost_ledger.attempts import CURRENCY, THRESHOLDS, Attempt, Bill, Budget, Refusal, merge, refuse


@dataclass(frozen=True, slots=True)
class Price:
    """The upper bound of one item's next attempt."""

    item: int
    provider: str
    model: str
    amount: int


@dataclass(frozen=True, slots=True)
class Quote:
    """The next attempt of some items of a job: held whole, or not at all."""

    tenant_id: UUID
    user_id: UUID
    job_id: UUID
    attempt: int
    prices: tuple[Price, ...]
    max_cost: int | None = None
    currency: str = CURRENCY


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attempt came to, as told. Attempt 0 stands for an item that was never quoted: no money is in it."""

    tenant_id: UUID
    key: Key
    bill: Bill

    @property
    def job_id(self) -> UUID:
        """Whose attempt it is."""
        return self.key.job_id


Command: TypeAlias = Quote | Outcome


@dataclass(frozen=True, slots=True)
class Reserved:
    """The whole quote is held."""

    tenant_id: UUID
    job_id: UUID
    attempt: int
    items: tuple[int, ...]
    amount: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing of the quote is held."""

    tenant_id: UUID
    job_id: UUID
    attempt: int
    items: tuple[int, ...]
    amount: int
    currency: str
    refusal: Refusal


@dataclass(frozen=True, slots=True)
class Recorded:
    """A hold is closed. `excess` was billed beyond it."""

    tenant_id: UUID
    key: Key
    captured: int
    released: int
    excess: int
    provider: str
    model: str


@dataclass(frozen=True, slots=True)
class Crossed:
    """Spending reached a share of its budget."""

    tenant_id: UUID
    budget_id: UUID
    percent: int
    spent: int
    limit: int


@dataclass(frozen=True, slots=True)
class Unheld:
    """A provider billed an attempt whose quote was refused: all of it is variance."""

    key: Key
    excess: int
    provider: str


@dataclass(frozen=True, slots=True)
class Contradicted:
    """A second bill of another amount came for a closed attempt. The first stands."""

    key: Key
    stands: int
    told: int


Answer: TypeAlias = Reserved | Refused | Recorded | Crossed | Unheld | Contradicted


@dataclass(frozen=True, slots=True)
class Book:
    """All that a batch may touch: each tenant's budget, and every known attempt of each job."""

    budgets: Mapping[UUID, Budget]
    attempts: Mapping[Key, Attempt]


@dataclass(frozen=True, slots=True)
class Posting:
    """What a batch changes and what it says; each answer names the command that caused it by its place."""

    attempts: Sequence[Attempt]
    budgets: Sequence[tuple[Budget, Budget]]
    transfers: Sequence[Transfer]
    answers: Sequence[tuple[int, Answer]]


class ForeignJob(Invalid):
    """A command names a job that belongs to another tenant."""


def post(book: Book, commands: Sequence[Command]) -> Posting:
    """Applies `commands` in the order they came: what one frees, the next can hold.

    A batch comes to the same as its commands one by one. A repeated quote changes nothing and gets its answer again, so
    that whoever lost it can go on; a repeated outcome changes nothing and says nothing. Raises `ForeignJob` for a
    command on another tenant's job.
    """
    _check_owners(book, commands)
    desk = _Desk(book)
    for place, command in enumerate(commands):
        answers = desk.quote(command) if isinstance(command, Quote) else desk.outcome(command)
        desk.answers.extend((place, answer) for answer in answers)
    before = book.budgets
    return Posting(
        attempts=[desk.attempts[key] for key in desk.touched],
        budgets=[(before[tenant], now) for tenant, now in desk.budgets.items() if now != before[tenant]],
        transfers=desk.transfers,
        answers=desk.answers,
    )


def change_limit(budget: Budget, limit: int) -> tuple[Budget, list[Crossed]]:
    """`budget` under another limit, and the thresholds that spending has thereby reached.

    A higher limit arms again the thresholds that spending is now below.
    """
    changed = replace(budget, limit=limit)
    return replace(changed, told=changed.reached), _crossed(changed)


class _Desk:
    """A batch at work: the book's values as they are after the commands so far."""

    __slots__ = ("answers", "attempts", "budgets", "committed", "touched", "transfers")

    def __init__(self, book: Book) -> None:
        self.budgets = dict(book.budgets)
        self.attempts = dict(book.attempts)
        self.committed = _committed(book.attempts.values())
        self.touched: dict[Key, None] = {}
        self.transfers: list[Transfer] = []
        self.answers: list[tuple[int, Answer]] = []

    def quote(self, quote: Quote) -> list[Answer]:
        fresh: list[tuple[Key, Price]] = []
        decided: list[Attempt] = []
        for price in quote.prices:
            key = Key(quote.job_id, price.item, quote.attempt)
            known = self.attempts.get(key)
            if known is None or known.decision is None:
                fresh.append((key, price))
            else:
                decided.append(known)
        return [*_again(quote, decided), *self._decide(quote, fresh)]

    def outcome(self, outcome: Outcome) -> list[Answer]:
        if outcome.key.attempt == 0:
            return []
        known = self.attempts.get(outcome.key) or Attempt(outcome.key, outcome.tenant_id)
        bill = merge(known.bill, outcome.bill)
        if bill is known.bill:
            return _contradiction(known, outcome.bill)
        billed = known.billed(bill)
        self._keep(billed)
        return self._close(billed) if bill.closes else []

    def _decide(self, quote: Quote, fresh: Sequence[tuple[Key, Price]]) -> list[Answer]:
        if not fresh:
            return []
        amount = sum(price.amount for _, price in fresh)
        budget = self.budgets[quote.tenant_id]
        committed = self.committed[quote.job_id]
        refusal = refuse(budget, committed, amount, currency=quote.currency, max_cost=quote.max_cost)
        attempts = [_decided(quote, key, price, refusal, self.attempts.get(key)) for key, price in fresh]
        items = tuple(key.item for key, _ in fresh)
        answer: Answer
        if refusal is None:
            self.budgets[quote.tenant_id] = budget.hold(amount)
            self.committed[quote.job_id] = committed + amount
            answer = Reserved(quote.tenant_id, quote.job_id, quote.attempt, items, amount)
        else:
            answer = Refused(quote.tenant_id, quote.job_id, quote.attempt, items, amount, quote.currency, refusal)
        return [answer, *(early for attempt in attempts for early in self._begin(attempt))]

    def _begin(self, attempt: Attempt) -> list[Answer]:
        """Holds for an attempt what was granted, and applies the outcome that came before its quote."""
        self._keep(attempt)
        self._post(attempt, attempt.provider, (Kind.HOLD, attempt.held))
        return self._close(attempt) if attempt.closed else []

    def _close(self, attempt: Attempt) -> list[Answer]:
        if attempt.decision is None:
            return []
        captured, released, excess, payee = attempt.captured, attempt.released, attempt.excess, attempt.payee
        moved = ((Kind.CAPTURE, captured), (Kind.RELEASE, released), (Kind.BILL, captured), (Kind.EXCESS, excess))
        self._post(attempt, payee, *moved)
        if attempt.decision == "refused":
            return [Unheld(attempt.key, excess, payee)] if excess else []
        self.committed[attempt.key.job_id] -= released
        budget = self.budgets[attempt.tenant_id].close(attempt.held, captured)
        crossed = _crossed(budget)
        self.budgets[attempt.tenant_id] = replace(budget, told=crossed[-1].percent) if crossed else budget
        recorded = Recorded(attempt.tenant_id, attempt.key, captured, released, excess, payee, attempt.used_model)
        return [recorded, *crossed]

    def _keep(self, attempt: Attempt) -> None:
        self.attempts[attempt.key] = attempt
        self.touched[attempt.key] = None

    def _post(self, attempt: Attempt, provider: str, *amounts: tuple[Kind, int]) -> None:
        self.transfers += transfers(attempt.key, attempt.tenant_id, provider, amounts)


def _check_owners(book: Book, commands: Sequence[Command]) -> None:
    owners = {attempt.key.job_id: attempt.tenant_id for attempt in book.attempts.values()}
    if any(owners.setdefault(command.job_id, command.tenant_id) != command.tenant_id for command in commands):
        raise ForeignJob("the job belongs to another tenant")


def _committed(attempts: Iterable[Attempt]) -> defaultdict[UUID, int]:
    """What each job holds and has spent: what its `max_cost` is measured against."""
    totals: defaultdict[UUID, int] = defaultdict(int)
    for attempt in attempts:
        totals[attempt.key.job_id] += attempt.reserved + attempt.captured
    return totals


def _decided(quote: Quote, key: Key, price: Price, refusal: Refusal | None, known: Attempt | None) -> Attempt:
    return Attempt(
        key,
        quote.tenant_id,
        quote.user_id,
        "refused" if refusal else "granted",
        price.amount,
        price.provider,
        price.model,
        refusal,
        known.bill if known else None,
    )


def _again(quote: Quote, decided: Sequence[Attempt]) -> list[Answer]:
    """The answers a repeated quote got before, as far as they still matter to the one who asks."""
    if not decided:
        return []
    answers: list[Answer] = []
    held = [attempt for attempt in decided if attempt.decision == "granted" and not attempt.closed]
    if held:
        items, amount = _sum(held)
        answers.append(Reserved(quote.tenant_id, quote.job_id, quote.attempt, items, amount))
    refused = [attempt for attempt in decided if attempt.refusal]
    if refused and refused[0].refusal:
        items, amount = _sum(refused)
        refusal = refused[0].refusal
        answers.append(Refused(quote.tenant_id, quote.job_id, quote.attempt, items, amount, quote.currency, refusal))
    return answers


def _sum(attempts: Sequence[Attempt]) -> tuple[tuple[int, ...], int]:
    return tuple(attempt.key.item for attempt in attempts), sum(attempt.quoted for attempt in attempts)


def _contradiction(attempt: Attempt, told: Bill) -> list[Answer]:
    stands = attempt.bill.owed if attempt.bill else 0
    return [Contradicted(attempt.key, stands, told.owed)] if told.closes and told.owed != stands else []


def _crossed(budget: Budget) -> list[Crossed]:
    """The thresholds that were reached and not yet told."""
    reached = budget.reached
    if reached <= budget.told:
        return []
    return [
        Crossed(budget.tenant_id, budget.id, percent, budget.captured, budget.limit)
        for percent in THRESHOLDS
        if budget.told < percent <= reached
    ]
