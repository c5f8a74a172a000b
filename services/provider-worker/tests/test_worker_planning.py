"""What becomes of a job's prompts."""

from __future__ import annotations

from itertools import count
from uuid import UUID

from provider_worker.planning import Planner
from provider_worker.tasks import State
from schemas.events import GenerationCancelled, GenerationFailed, GenerationQuoted
from schemas.parts import ErrorCode
from tests.worker_builders import PRICE, TENANT, item, prepared, table

numbers = count(1)
PLANNER = Planner(
    table(), lambda _, wanted: "too wide" if wanted.width > 4096 else PRICE, lambda: UUID(int=next(numbers))
)


def test_a_job_is_one_quote_over_all_its_items() -> None:
    job = prepared(3, max_cost_micros=200_000)
    plan = PLANNER.plan(job, TENANT, None)
    [quote] = plan.events
    assert isinstance(quote, GenerationQuoted)
    assert (quote.attempt, quote.currency, quote.max_cost_micros) == (1, "USD", 200_000)
    assert [(each.number, each.provider, each.amount_micros) for each in quote.items] == [
        (1, "painter", PRICE),
        (2, "painter", PRICE),
        (3, "painter", PRICE),
    ]
    assert [task.state for task in plan.tasks] == [State.QUOTING] * 3
    assert len({task.attempt_id for task in plan.tasks}) == 3


def test_a_blank_item_is_no_task_of_ours() -> None:
    plan = PLANNER.plan(prepared([item(1), item(2, blank=True)]), TENANT, None)
    assert [task.item.number for task in plan.tasks] == [1]


def test_an_item_that_nobody_can_make_fails_before_any_money() -> None:
    plan = PLANNER.plan(prepared([item(1), item(2, width=9000)]), TENANT, None)
    quote, failed = plan.events
    assert isinstance(quote, GenerationQuoted)
    assert [each.number for each in quote.items] == [1]
    assert isinstance(failed, GenerationFailed)
    assert (failed.item, failed.attempt, failed.code, failed.final) == (2, 0, ErrorCode.INVALID_REQUEST, True)
    assert failed.message == "painter: too wide"


def test_a_job_of_unmakeable_items_is_not_quoted() -> None:
    assert all(
        isinstance(event, GenerationFailed) for event in PLANNER.plan(prepared([item(width=9000)]), TENANT, None).events
    )


def test_a_stopped_job_is_cancelled_without_a_quote() -> None:
    plan = PLANNER.plan(prepared(2), TENANT, "user")
    ends = [event for event in plan.events if isinstance(event, GenerationCancelled)]
    assert len(ends) == len(plan.events) == 2
    assert {(event.attempt, event.code, event.billing.state) for event in ends} == {(0, ErrorCode.CANCELLED, "none")}


def test_a_job_stopped_by_its_deadline_has_timed_out() -> None:
    [event] = PLANNER.plan(prepared(1), TENANT, "deadline").events
    assert isinstance(event, GenerationCancelled)
    assert event.code is ErrorCode.TIMEOUT


def test_a_job_that_cannot_be_handled_ends_every_item() -> None:
    plan = PLANNER.refuse(prepared([item(1), item(1), item(2)]), TENANT, "could not be handled")
    ends = [event for event in plan.events if isinstance(event, GenerationFailed)]
    assert [(event.item, event.attempt, event.final) for event in ends] == [(1, 0, True), (2, 0, True)]
