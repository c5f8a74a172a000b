"""Laws of the ledger that hold for any history, in any order, with any repetition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cost_ledger.accounts import Account, Key, Kind, Transfer, entries, turnovers
from cost_ledger.attempts import Bill, Budget
from cost_ledger.ledger import Answer, Book, Command, Crossed, Outcome, Price, Quote, Recorded, Reserved, post

TENANTS = (UUID(int=1), UUID(int=2))
JOBS = {UUID(int=10): TENANTS[0], UUID(int=11): TENANTS[0], UUID(int=12): TENANTS[1]}
USER = UUID(int=99)
LIMIT = 100

# A busy machine is no broken law.
law = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])

amounts = st.integers(min_value=0, max_value=60)
keys = st.builds(Key, st.sampled_from(sorted(JOBS)), st.integers(1, 3), st.integers(0, 2))
bills = st.one_of(
    st.just(Bill("none")),
    st.just(Bill("pending")),
    st.builds(Bill, st.just("final"), amounts, st.sampled_from([None, "other"])),
)
outcomes = st.builds(lambda key, bill: Outcome(JOBS[key.job_id], key, bill), keys, bills)


@st.composite
def quotes(draw: st.DrawFn) -> Quote:
    job = draw(st.sampled_from(sorted(JOBS)))
    items = draw(st.lists(st.integers(1, 3), min_size=1, unique=True))
    prices = tuple(Price(item, "sandbox", "draw-1", draw(amounts)) for item in items)
    max_cost = draw(st.none() | st.integers(0, 120))
    return Quote(JOBS[job], USER, job, draw(st.integers(1, 2)), prices, max_cost)


histories = st.lists(st.one_of(quotes(), outcomes), max_size=25)


@dataclass(frozen=True)
class State:
    """All that is written, after some batches."""

    book: Book
    transfers: tuple[Transfer, ...] = ()
    answers: tuple[Answer, ...] = ()


def opened(limit: int = LIMIT) -> State:
    budgets = {tenant: Budget(UUID(int=tenant.int + 1000), tenant, limit) for tenant in TENANTS}
    return State(Book(budgets, {}))


def after(state: State, commands: Sequence[Command]) -> State:
    posting = post(state.book, commands)
    book = Book(
        {**state.book.budgets, **{now.tenant_id: now for _, now in posting.budgets}},
        {**state.book.attempts, **{attempt.key: attempt for attempt in posting.attempts}},
    )
    said = tuple(answer for _, answer in posting.answers)
    return State(book, (*state.transfers, *posting.transfers), (*state.answers, *said))


def money(state: State) -> tuple[object, ...]:
    """What stands in the books, whatever the order it was written in."""
    return state.book.budgets, dict(state.book.attempts), sorted(state.transfers, key=lambda one: (one.key, one.kind))


def balance(transfers: Sequence[Transfer], account: Account, tenant: UUID | None = None) -> int:
    return sum(
        total.credit - total.debit
        for holder, total in turnovers(transfers).items()
        if holder.account is account and tenant in (None, holder.tenant_id)
    )


@law
@given(histories)
def test_no_budget_is_ever_overspent_however_many_quotes_come(history: list[Command]) -> None:
    state = opened()
    for command in history:
        state = after(state, [command])
        assert all(budget.reserved + budget.captured <= LIMIT for budget in state.book.budgets.values())
        assert all(budget.reserved >= 0 and budget.captured >= 0 for budget in state.book.budgets.values())


@law
@given(histories, st.integers(0, 120))
def test_no_job_ever_holds_and_spends_more_than_its_max_cost(history: list[Command], max_cost: int) -> None:
    state = opened(limit=10_000)
    for command in history:
        state = after(state, [replace(command, max_cost=max_cost) if isinstance(command, Quote) else command])
        for job in JOBS:
            mine = [attempt for attempt in state.book.attempts.values() if attempt.key.job_id == job]
            assert sum(attempt.reserved + attempt.captured for attempt in mine) <= max_cost


def _keys_of(quote: Quote) -> set[Key]:
    return {Key(quote.job_id, price.item, quote.attempt) for price in quote.prices}


@law
@given(histories)
def test_debit_equals_credit_and_every_record_of_the_money_agrees(history: list[Command]) -> None:
    state = after(opened(), history)
    totals = turnovers(state.transfers)
    assert sum(total.debit for total in totals.values()) == sum(total.credit for total in totals.values())
    for tenant, budget in state.book.budgets.items():
        holds = [attempt for attempt in state.book.attempts.values() if attempt.tenant_id == tenant]
        assert balance(state.transfers, Account.RESERVED, tenant) == budget.reserved
        assert budget.reserved == sum(attempt.reserved for attempt in holds)
        assert balance(state.transfers, Account.SPENT, tenant) == budget.captured
        assert balance(state.transfers, Account.AVAILABLE, tenant) == -(budget.reserved + budget.captured)


@law
@given(histories)
def test_what_is_owed_to_providers_is_what_they_billed(history: list[Command]) -> None:
    state = after(opened(), history)
    billed = sum(attempt.bill.owed for attempt in state.book.attempts.values() if attempt.bill and attempt.decision)
    assert balance(state.transfers, Account.PAYABLE) == billed
    assert balance(state.transfers, Account.COST) + balance(state.transfers, Account.VARIANCE) == -billed


@law
@given(histories)
def test_no_more_is_captured_than_was_held_and_the_rest_is_released(history: list[Command]) -> None:
    state = after(opened(), history)
    for attempt in state.book.attempts.values():
        posted = {one.kind: one.amount for one in state.transfers if one.key == attempt.key}
        held = posted.get(Kind.HOLD, 0)
        closed = posted.get(Kind.CAPTURE, 0) + posted.get(Kind.RELEASE, 0)
        assert closed == (held if attempt.closed else 0)


@law
@given(histories)
def test_a_transfer_is_never_posted_twice(history: list[Command]) -> None:
    state = after(opened(), history)
    ids = [transfer.id for transfer in state.transfers]
    assert len(ids) == len(set(ids))
    for transfer in state.transfers:
        debit, credit = entries(transfer)
        assert transfer.amount > 0
        assert (debit.debit, credit.credit) == (transfer.amount, transfer.amount)


@law
@given(histories)
def test_a_batch_comes_to_the_same_as_its_commands_one_by_one(history: list[Command]) -> None:
    alone = opened()
    for command in history:
        alone = after(alone, [command])
    assert after(opened(), history) == alone


@law
@given(histories, st.data())
def test_repetition_changes_nothing(history: list[Command], data: st.DataObject) -> None:
    repeated: list[Command] = []
    for command in history:
        repeated.append(command)
        repeated += data.draw(st.lists(st.sampled_from(repeated), max_size=2))
    assert money(after(opened(), repeated)) == money(after(opened(), history))


@law
@given(histories, st.data())
def test_a_repeated_quote_gets_its_answer_again_while_it_still_matters(
    history: list[Command], data: st.DataObject
) -> None:
    state = after(opened(), history)
    asked = [command for command in history if isinstance(command, Quote)]
    if not asked:
        return
    quote = data.draw(st.sampled_from(asked))
    again = after(state, [quote]).answers[len(state.answers) :]
    attempts = [state.book.attempts[key] for key in _keys_of(quote)]
    told = {Key(quote.job_id, item, quote.attempt) for answer in again for item in answer.items}  # type: ignore[union-attr]
    assert told == {attempt.key for attempt in attempts if attempt.decision == "refused" or not attempt.closed}


@st.composite
def lives(draw: st.DrawFn) -> list[Command]:
    """What a job's attempts really go through: each is quoted once, and has one closing bill at most."""
    commands: list[Command] = []
    for job in sorted(JOBS):
        items = draw(st.integers(1, 3))
        first = [Price(item, "sandbox", "draw-1", draw(amounts)) for item in range(1, items + 1)]
        later = [[replace(price, amount=draw(amounts))] for price in first if draw(st.booleans())]
        for prices in (first, *later):
            attempt = 1 if prices is first else 2
            commands.append(Quote(JOBS[job], USER, job, attempt, tuple(prices)))
            for price in prices:
                key = Key(job, price.item, attempt)
                told = draw(st.lists(st.sampled_from(["pending", "closing"]), unique=True, max_size=2))
                commands += [Outcome(JOBS[job], key, _bill(draw, kind)) for kind in told]
    return commands


def _bill(draw: st.DrawFn, kind: str) -> Bill:
    if kind == "pending":
        return Bill("pending", provider="other")
    return draw(st.sampled_from([Bill("none", provider="other"), Bill("final", draw(amounts), "other")]))


@law
@given(lives(), st.data())
def test_the_order_of_quotes_and_outcomes_does_not_change_the_final_state(
    life: list[Command], data: st.DataObject
) -> None:
    enough = sum(price.amount for command in life if isinstance(command, Quote) for price in command.prices)
    shuffled = data.draw(st.permutations(life))
    assert money(after(opened(enough), shuffled)) == money(after(opened(enough), life))


@law
@given(lives(), st.data())
def test_every_closed_hold_is_recorded_once(life: list[Command], data: st.DataObject) -> None:
    state = after(opened(10_000), data.draw(st.permutations([*life, *life])))
    recorded = [answer.key for answer in state.answers if isinstance(answer, Recorded)]
    closed = [key for key, attempt in state.book.attempts.items() if attempt.decision and attempt.closed]
    assert sorted(recorded) == sorted(closed)


@law
@given(histories)
def test_a_threshold_is_told_once_and_in_order(history: list[Command]) -> None:
    state = after(opened(), history)
    for tenant, budget in state.book.budgets.items():
        told = [
            answer.percent for answer in state.answers if isinstance(answer, Crossed) and answer.tenant_id == tenant
        ]
        assert told == [share for share in (50, 80, 100) if budget.captured * 100 >= share * LIMIT]


@law
@given(histories)
def test_nothing_is_refused_that_fits_after_everything_was_released(history: list[Command]) -> None:
    state = after(opened(), history)
    open_holds = [attempt for attempt in state.book.attempts.values() if attempt.reserved]
    released = after(state, [Outcome(one.tenant_id, one.key, Bill("none")) for one in open_holds])
    for tenant, budget in released.book.budgets.items():
        job = UUID(int=500 + tenant.int)
        asked = Quote(tenant, USER, job, 1, (Price(1, "sandbox", "draw-1", LIMIT - budget.captured),))
        assert isinstance(after(released, [asked]).answers[-1], Reserved)
