"""What one batch comes to, case by case, without a server."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from cost_ledger.accounts import Key
from cost_ledger.attempts import Bill, Budget, Refusal
from cost_ledger.ledger import (
    Answer,
    Book,
    Command,
    Contradicted,
    Crossed,
    Outcome,
    Price,
    Quote,
    Recorded,
    Refused,
    Reserved,
    Unheld,
    change_limit,
    post,
)

TENANT, USER, JOB = UUID(int=1), UUID(int=2), UUID(int=3)
BUDGET = Budget(UUID(int=4), TENANT, limit=100)


def quote(amount: int, *, item: int = 1, attempt: int = 1, max_cost: int | None = None) -> Quote:
    return Quote(TENANT, USER, JOB, attempt, (Price(item, "sandbox", "draw-1", amount),), max_cost)


def outcome(bill: Bill, *, item: int = 1, attempt: int = 1) -> Outcome:
    return Outcome(TENANT, Key(JOB, item, attempt), bill)


def said(*commands: Command, budget: Budget = BUDGET) -> list[Answer]:
    return [answer for _, answer in post(Book({TENANT: budget}, {}), commands).answers]


def test_a_quote_that_fills_the_budget_to_the_last_micro_unit_is_held() -> None:
    assert said(quote(100)) == [Reserved(TENANT, JOB, 1, (1,), 100)]


def test_a_quote_one_micro_unit_above_the_budget_is_refused() -> None:
    assert said(quote(101)) == [Refused(TENANT, JOB, 1, (1,), 101, "USD", Refusal("budget", 100, 100))]


def test_a_quote_is_refused_whole_though_some_of_its_items_would_fit() -> None:
    both = replace(quote(60), prices=(*quote(60).prices, *quote(60, item=2).prices))
    assert [type(answer) for answer in said(both, quote(60, item=3))] == [Refused, Reserved]


def test_what_an_attempt_gave_back_no_longer_counts_against_its_jobs_max_cost() -> None:
    first, retry = quote(60, max_cost=60), quote(60, attempt=2, max_cost=60)
    answers = said(first, outcome(Bill("none")), retry)
    assert [type(answer) for answer in answers] == [Reserved, Recorded, Reserved]


def test_what_an_attempt_spent_goes_on_counting_against_its_jobs_max_cost() -> None:
    first, retry = quote(60, max_cost=70), quote(60, attempt=2, max_cost=70)
    answers = said(first, outcome(Bill("final", 20)), retry)
    assert answers[-1] == Refused(TENANT, JOB, 2, (1,), 60, "USD", Refusal("max_cost", 70, 50))


def test_a_pending_bill_goes_on_counting_in_full() -> None:
    first, retry = quote(60, max_cost=70), quote(20, attempt=2, max_cost=70)
    assert isinstance(said(first, outcome(Bill("pending")), retry)[-1], Refused)


def test_a_free_attempt_is_held_and_recorded_like_any_other_without_a_transfer() -> None:
    posting = post(Book({TENANT: BUDGET}, {}), [quote(0), outcome(Bill("final", 0))])
    assert [type(answer) for _, answer in posting.answers] == [Reserved, Recorded]
    assert posting.transfers == []


def test_a_bill_for_a_refused_quote_is_variance_and_named() -> None:
    answers = said(quote(101), outcome(Bill("final", 7, "other")))
    assert answers[-1] == Unheld(Key(JOB, 1, 1), 7, "other")


def test_a_second_bill_of_another_amount_is_named_and_the_first_stands() -> None:
    answers = said(quote(50), outcome(Bill("final", 40)), outcome(Bill("final", 50)))
    assert answers[-1] == Contradicted(Key(JOB, 1, 1), stands=40, told=50)


def test_one_capture_can_cross_several_thresholds() -> None:
    answers = said(quote(85), outcome(Bill("final", 85)))
    assert [answer.percent for answer in answers if isinstance(answer, Crossed)] == [50, 80]


def test_a_raised_limit_warns_again_when_its_own_thresholds_are_reached() -> None:
    spent = replace(BUDGET, captured=60, told=50)
    raised, crossed = change_limit(spent, 200)
    assert (raised.told, crossed) == (0, [])
    answers = said(quote(40), outcome(Bill("final", 40)), budget=raised)
    assert [answer.percent for answer in answers if isinstance(answer, Crossed)] == [50]


def test_a_limit_of_nothing_refuses_everything_that_costs() -> None:
    closed, crossed = change_limit(BUDGET, 0)
    assert crossed == []
    assert [type(answer) for answer in said(quote(1), quote(0, item=2), budget=closed)] == [Refused, Reserved]
