"""Jobs that a provider works on for a while: looked at by schedule, in phases, stopped when asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from provider_worker.adapters.interface import (
    Cost,
    GenerationRequest,
    JobRef,
    Outcome,
    ProviderError,
    Status,
)
from provider_worker.adapters.interface import ErrorCode as ProviderCode
from provider_worker.routing import Account
from schemas.events import (
    GenerationCancelled,
    GenerationCompleted,
    GenerationFailed,
    GenerationProgressed,
    GenerationSettled,
    GenerationStarted,
    JobCancelRequested,
)
from schemas.parts import ErrorCode
from tests.worker_builders import PRICE, Home, Worker, envelope, home_at, prepared
from tests.worker_studio import SLOW, Studio, look, sent

pytestmark = pytest.mark.integration

PREVIEW, REFINED = 15_000, 25_000
BUSY = ProviderError(ProviderCode.TEMPORARY, "try later", outcome=Outcome.REJECTED)


@pytest.fixture
async def home(database_url: str, tmp_path: Path) -> AsyncIterator[Home]:
    async with home_at(database_url, tmp_path) as home:
        yield home


async def state_of(home: Home) -> str:
    [row] = await home.rows("SELECT state FROM tasks")
    return str(row.state)


async def test_between_two_looks_a_job_holds_its_slot_and_nobodys_hands(home: Home) -> None:
    studio = Studio()
    here, _ = await sent(home, studio, items=8)
    assert len(studio.calls) == 5
    assert not len(here.leases)
    assert not studio.polls
    rows = await home.rows("SELECT external::text AS external FROM tasks WHERE state = 'polling'")
    assert len(rows) == 5
    for number in range(1, 9):
        studio.done(number)
    await look(home, here)
    assert len(studio.calls) == 8


async def test_a_job_is_looked_at_when_it_is_due_and_not_before(home: Home) -> None:
    studio = Studio()
    here, _ = await sent(home, studio)
    await here.work()
    assert not studio.polls
    [row] = await home.rows("SELECT extract(epoch FROM next_at - now()) AS seconds FROM tasks")
    assert 25 < row.seconds < 40
    assert not (await here.store.revive()).due
    await look(home, here)
    assert len(studio.polls) == 1


async def test_progress_is_said_once_for_each_ten_percent(home: Home) -> None:
    studio = Studio()
    here, _ = await sent(home, studio)
    for percent in (3, 12, 17, 40, 38, 99):
        studio.standing["job-1"] = Status("running", "job-1", progress=percent)
        await look(home, here)
    studio.done()
    await look(home, here)
    assert [said.progress for said in await home.said(GenerationProgressed)] == [10, 40, 90]
    assert len(await home.said(GenerationCompleted)) == 1
    assert len(await home.said(GenerationStarted)) == 1


async def test_another_worker_goes_on_where_one_was_killed(home: Home) -> None:
    studio = Studio()
    await sent(home, studio)
    studio.done()
    await look(home, home.worker(studio, routes=SLOW))
    assert len(await home.said(GenerationCompleted)) == 1
    assert len(studio.calls) == 1


async def test_a_state_nobody_knows_is_asked_about_again_and_then_given_up_with_its_bill_open(home: Home) -> None:
    studio = Studio()
    here, _ = await sent(home, studio)
    studio.standing["job-1"] = ProviderError(ProviderCode.PROVIDER_ERROR, "painter says 'pondering' of a job")
    for _ in range(4):
        await look(home, here)
    assert await state_of(home) == "polling"
    await look(home, here)
    [failed] = await home.said(GenerationFailed)
    assert (failed.code, failed.billing.state) == (ErrorCode.PROVIDER_ERROR, "pending")
    assert "pondering" in failed.message
    assert len(studio.polls) == 5


async def test_a_provider_that_is_away_for_long_loses_no_job(home: Home) -> None:
    studio = Studio()
    here, _ = await sent(home, studio)
    studio.standing["job-1"] = BUSY
    for _ in range(12):
        await look(home, here)
    studio.done()
    await look(home, here)
    assert len(await home.said(GenerationCompleted)) == 1


async def test_the_bill_of_a_job_that_timed_out_is_asked_for_by_its_own_name(home: Home) -> None:
    studio = Studio(idempotency="none")
    here, _ = await sent(home, studio)
    await home.rows("UPDATE tasks SET deadline_at = now()")
    await look(home, here)
    [failed] = await home.said(GenerationFailed)
    assert (failed.code, failed.billing.state) == (ErrorCode.TIMEOUT, "pending")
    assert studio.stopped == ["job-1"]
    studio.done()
    await home.rows("UPDATE attempts SET lookup_at = now()")
    await here.bills.step()
    [settled] = await home.said(GenerationSettled)
    assert settled.billing.amount_micros == PRICE
    assert len(settled.late_outputs) == 1


async def test_what_the_deadline_stops_is_billed_as_far_as_it_came(home: Home) -> None:
    studio = Studio(stops=True)
    here, _ = await sent(home, studio)
    await home.rows("UPDATE tasks SET deadline_at = now()")
    await look(home, here)
    [failed] = await home.said(GenerationFailed)
    assert (failed.code, failed.billing.state, failed.billing.amount_micros) == (ErrorCode.TIMEOUT, "final", 7_000)


def stop(job_id: Any) -> JobCancelRequested:
    return JobCancelRequested(job_id=job_id, reason="user")


async def test_a_cancelled_job_is_stopped_at_its_provider_at_once_and_costs_what_that_says(home: Home) -> None:
    studio = Studio(stops=True)
    here, job = await sent(home, studio)
    await home.rows("UPDATE tasks SET next_at = now() + interval '1 hour'")
    await here.hear(envelope(stop(job.job_id)))
    await here.work()
    [cancelled] = await home.said(GenerationCancelled)
    assert (cancelled.billing.state, cancelled.billing.amount_micros) == ("final", 7_000)
    assert studio.stopped == ["job-1"]


async def test_what_cannot_be_stopped_is_waited_for_and_delivered(home: Home) -> None:
    studio = Studio()
    here, job = await sent(home, studio)
    await here.hear(envelope(stop(job.job_id)))
    await here.work()
    for _ in range(3):
        await look(home, here)
    assert studio.stopped == ["job-1"]
    assert await state_of(home) == "polling"
    studio.done()
    await look(home, here)
    assert len(await home.said(GenerationCompleted)) == 1


async def test_a_cancel_that_comes_while_the_job_is_submitted_stops_it_right_after(home: Home) -> None:
    studio = Studio(stops=True)
    here = home.worker(studio, routes=SLOW)
    job = prepared()
    await here.hear(envelope(job))
    await here.reserve()
    submit = studio.submit

    async def meanwhile(req: GenerationRequest, plan: Mapping[str, Any]) -> JobRef | Status:
        ref = await submit(req, plan)
        await here.hear(envelope(stop(job.job_id)))
        return ref

    studio.submit = meanwhile  # type: ignore[method-assign]
    await here.work()
    [cancelled] = await home.said(GenerationCancelled)
    assert cancelled.billing.amount_micros == 7_000


async def two_phases(home: Home, studio: Studio) -> Worker:
    """The first phase is done and paid for."""
    here, _ = await sent(home, studio)
    studio.done(1, artifacts=(), next_phase={"mode": "refine"}, cost=Cost(PREVIEW, "USD", "reported"))
    return here


async def test_a_second_phase_is_submitted_once_and_both_are_billed(home: Home) -> None:
    studio = Studio()
    here = await two_phases(home, studio)
    await look(home, here)
    assert [plan.get("mode") for plan in studio.submits] == [None, "refine"]
    studio.done(2, cost=Cost(REFINED, "USD", "reported"))
    await look(home, here)
    [made] = await home.said(GenerationCompleted)
    assert made.billing.amount_micros == PREVIEW + REFINED
    assert len(studio.submits) == 2


async def test_a_second_phase_that_is_refused_for_now_is_tried_again_without_the_first(home: Home) -> None:
    studio = Studio()
    here = await two_phases(home, studio)
    submit, refusals = studio.submit, [BUSY, BUSY]

    async def refusing(req: GenerationRequest, plan: Mapping[str, Any]) -> JobRef | Status:
        if plan.get("mode") and refusals:
            raise refusals.pop()
        return await submit(req, plan)

    studio.submit = refusing  # type: ignore[method-assign]
    for _ in range(3):
        await look(home, here)
    studio.done(2, cost=Cost(REFINED, "USD", "reported"))
    await look(home, here)
    [made] = await home.said(GenerationCompleted)
    assert made.billing.amount_micros == PREVIEW + REFINED
    assert [plan.get("mode") for plan in studio.submits] == [None, "refine"]


async def test_a_second_phase_that_is_refused_for_good_bills_the_first(home: Home) -> None:
    studio = Studio()
    here = await two_phases(home, studio)

    async def no(req: GenerationRequest, plan: Mapping[str, Any]) -> JobRef | Status:
        raise ProviderError(ProviderCode.CONTENT_POLICY, "not this")

    studio.submit = no  # type: ignore[method-assign]
    await look(home, here)
    [failed] = await home.said(GenerationFailed)
    assert (failed.code, failed.billing.state, failed.billing.amount_micros) == (
        ErrorCode.CONTENT_POLICY,
        "final",
        PREVIEW,
    )


async def test_a_second_phase_whose_answer_was_lost_is_looked_for_by_its_own_plan(home: Home) -> None:
    studio = Studio(idempotency="list_lookup")
    here = await two_phases(home, studio)
    submit, looked_for = studio.submit, []

    async def lost(req: GenerationRequest, plan: Mapping[str, Any]) -> JobRef | Status:
        await submit(req, plan)
        raise ProviderError(ProviderCode.TIMEOUT, "no answer", outcome=Outcome.UNKNOWN)

    async def find(req: GenerationRequest, plan: Mapping[str, Any], since: Any) -> JobRef | None:
        looked_for.append(plan)
        return JobRef(studio.name, "job-2") if plan.get("mode") == "refine" else None

    studio.submit, studio.find = lost, find  # type: ignore[method-assign]
    await home.rows("UPDATE attempts SET intent_at = now() - interval '1 hour'")
    await look(home, here)
    studio.done(2, cost=Cost(REFINED, "USD", "reported"))
    await look(home, here)
    [made] = await home.said(GenerationCompleted)
    assert made.billing.amount_micros == PREVIEW + REFINED
    assert looked_for == [{"mode": "refine"}]
    assert len(studio.submits) == 2


async def test_a_lost_second_phase_that_is_found_nowhere_settles_what_the_first_cost(home: Home) -> None:
    studio = Studio(idempotency="list_lookup")
    here = await two_phases(home, studio)

    async def lost(req: GenerationRequest, plan: Mapping[str, Any]) -> JobRef | Status:
        raise ProviderError(ProviderCode.TIMEOUT, "no answer", outcome=Outcome.UNKNOWN)

    studio.submit = lost  # type: ignore[method-assign]
    await look(home, here)
    await home.rows("UPDATE attempts SET intent_at = now() - interval '1 minute'")
    await look(home, here)
    [failed] = await home.said(GenerationFailed)
    assert (failed.code, failed.billing.state) == (ErrorCode.SUBMIT_UNKNOWN, "pending")
    await home.rows("UPDATE attempts SET lookup_at = now()")
    await here.bills.step()
    [settled] = await home.said(GenerationSettled)
    assert (settled.billing.state, settled.billing.amount_micros) == ("final", PREVIEW)


async def test_a_job_stopped_between_its_phases_pays_the_first_and_sends_no_other(home: Home) -> None:
    studio = Studio()
    here = await two_phases(home, studio)
    [row] = await home.rows("SELECT job_id FROM tasks")
    await here.hear(envelope(stop(row.job_id)))
    await here.work()
    [cancelled] = await home.said(GenerationCancelled)
    assert cancelled.billing.amount_micros == PREVIEW
    assert len(studio.submits) == 1


async def test_a_second_phase_waits_for_the_accounts_next_call(home: Home) -> None:
    studio = Studio()
    limited = replace(SLOW, accounts={"painter": Account(burst=1.0, per_s=0.001)})
    here, _ = await sent(home, studio, routes=limited)
    studio.done(1, artifacts=(), next_phase={"mode": "refine"}, cost=Cost(PREVIEW, "USD", "reported"))
    await look(home, here)
    assert len(studio.submits) == 1
    await home.rows("UPDATE accounts SET tokens = 1")
    await look(home, here)
    assert len(studio.submits) == 2


async def test_one_job_at_a_provider_is_never_taken_for_that_of_two_attempts(home: Home) -> None:
    """Two equal requests whose answers were lost: a list can show one of them, and not whose it is."""
    studio = Studio(idempotency="list_lookup")

    async def lost(req: GenerationRequest, plan: Mapping[str, Any]) -> JobRef | Status:
        raise ProviderError(ProviderCode.TIMEOUT, "no answer", outcome=Outcome.UNKNOWN)

    async def find(req: GenerationRequest, plan: Mapping[str, Any], since: Any) -> JobRef | None:
        return JobRef(studio.name, "job-1")

    studio.submit, studio.find = lost, find  # type: ignore[method-assign]
    studio.standing["job-1"] = Status("running", "job-1")
    here, _ = await sent(home, studio, items=2, routes=replace(SLOW, unknown_grace_s=50.0))
    for _ in range(2):
        await look(home, here)
    kept = await home.rows("SELECT external ->> 'id' AS id FROM tasks WHERE external IS NOT NULL")
    assert [row.id for row in kept] == ["job-1"]
    studio.done()
    for _ in range(2):
        await look(home, here)
    assert len(await home.said(GenerationCompleted)) == 1
    await home.rows("UPDATE attempts SET intent_at = now() - interval '1 minute'")
    await look(home, here)
    [failed] = await home.said(GenerationFailed)
    assert (failed.code, failed.billing.state) == (ErrorCode.SUBMIT_UNKNOWN, "pending")


async def test_what_a_provider_is_at_work_on_counts_against_its_account(home: Home) -> None:
    studio = Studio()
    limited = replace(SLOW, accounts={"painter": Account(concurrency=2)})
    here, _ = await sent(home, studio, items=5, routes=limited)
    await here.work()
    assert len(studio.submits) == 2
    studio.done(1)
    await look(home, here)
    assert len(studio.submits) == 3


async def test_an_answer_about_an_old_job_closes_no_breaker(home: Home) -> None:
    studio = Studio()
    here, _ = await sent(home, studio)
    for _ in range(5):
        await here.store.provider_failed("painter", ErrorCode.TEMPORARY, "painter is down", None)
    await here.health.refresh()
    await look(home, here)
    assert len(studio.polls) == 1
    await here.health.refresh()
    assert here.health.is_closed("painter")
