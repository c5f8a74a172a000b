"""Answers that no adapter expects, delays that nobody can wait for, phases that come too late: nothing paid is lost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from provider_worker.adapters.interface import Cost, GenerationRequest, JobRef, Outcome, ProviderError, Status
from provider_worker.adapters.interface import ErrorCode as ProviderCode
from schemas.events import GenerationCancelled, GenerationCompleted, GenerationFailed, JobCancelRequested
from schemas.parts import ErrorCode
from tests.worker_builders import PRICE, Home, Painter, Worker, envelope, home_at, prepared, table
from tests.worker_studio import Studio, look, sent

pytestmark = pytest.mark.integration

PREVIEW, REFINED = 15_000, 25_000
FULL = ProviderError(ProviderCode.RATE_LIMIT, "too many jobs", scope="queue", outcome=Outcome.REJECTED)
FAR_FUTURE_S = 2.5e11


@pytest.fixture
async def home(database_url: str, tmp_path: Path) -> AsyncIterator[Home]:
    async with home_at(database_url, tmp_path) as home:
        yield home


async def first_phase_done(home: Home, studio: Studio) -> tuple[Worker, Any]:
    here, job = await sent(home, studio)
    studio.done(1, artifacts=(), next_phase={"mode": "refine"}, cost=Cost(PREVIEW, "USD", "reported"))
    return here, job


def refuses_phases(studio: Studio, times: int, error: ProviderError = FULL) -> None:
    submit, left = studio.submit, [error] * times

    async def refusing(req: GenerationRequest, plan: Mapping[str, Any]) -> JobRef | Status:
        if plan.get("mode") and left:
            raise replace(left.pop())
        return await submit(req, plan)

    studio.submit = refusing  # type: ignore[method-assign]


async def wait_s(home: Home) -> float:
    [row] = await home.rows("SELECT extract(epoch FROM next_at - now()) AS s FROM tasks")
    return float(row.s)


async def test_a_full_queue_before_the_second_phase_pays_no_first_phase_again(home: Home) -> None:
    studio = Studio()
    here, _ = await first_phase_done(home, studio)
    refuses_phases(studio, times=6)
    for _ in range(7):
        await look(home, here)
    assert [plan.get("mode") for plan in studio.submits] == [None, "refine"]
    studio.done(2, cost=Cost(REFINED, "USD", "reported"))
    await look(home, here)
    [made] = await home.said(GenerationCompleted)
    assert made.billing.amount_micros == PREVIEW + REFINED


async def test_a_job_stopped_while_its_second_phase_waits_for_room_pays_for_the_first(home: Home) -> None:
    studio = Studio()
    here, job = await first_phase_done(home, studio)
    refuses_phases(studio, times=99)
    for _ in range(5):
        await look(home, here)
    await here.hear(envelope(JobCancelRequested(job_id=job.job_id, reason="user")))
    await here.work()
    [cancelled] = await home.said(GenerationCancelled)
    assert (cancelled.billing.state, cancelled.billing.amount_micros) == ("final", PREVIEW)


async def test_a_first_phase_that_is_done_at_the_deadline_is_a_timeout_that_is_billed(home: Home) -> None:
    studio = Studio()
    here, _ = await first_phase_done(home, studio)
    await home.rows("UPDATE tasks SET deadline_at = now()")
    await look(home, here)
    [failed] = await home.said(GenerationFailed)
    assert (failed.code, failed.billing.state, failed.billing.amount_micros) == (ErrorCode.TIMEOUT, "final", PREVIEW)
    assert len(studio.submits) == 1


@pytest.mark.parametrize("odd", [{"progress": "55%"}, {"progress": [55]}])
async def test_an_odd_answer_about_a_job_is_asked_for_again_however_old_the_job_is(
    home: Home, odd: dict[str, Any]
) -> None:
    studio = Studio(idempotency="none")
    here, _ = await sent(home, studio)
    await home.rows("UPDATE attempts SET intent_at = now() - interval '10 minutes'")
    studio.standing["job-1"] = Status("running", "job-1", **odd)
    await look(home, here)
    studio.done()
    await look(home, here)
    assert len(await home.said(GenerationCompleted)) == 1


async def test_an_adapter_that_breaks_at_every_answer_ends_with_what_broke_and_an_open_bill(home: Home) -> None:
    studio = Studio(idempotency="none")
    here, _ = await sent(home, studio)

    async def broken(ref: JobRef) -> Status:
        raise TypeError("'NoneType' object is not subscriptable")

    studio.poll = broken  # type: ignore[method-assign]
    for _ in range(5):
        await look(home, here)
    [failed] = await home.said(GenerationFailed)
    assert (failed.code, failed.billing.state) == (ErrorCode.PROVIDER_ERROR, "pending")
    assert "cannot read (TypeError)" in failed.message


async def test_a_job_its_provider_has_lost_is_no_fault_of_the_request(home: Home) -> None:
    studio = Studio(idempotency="none")
    here, _ = await sent(home, studio)
    studio.standing["job-1"] = ProviderError(ProviderCode.INVALID_REQUEST, "no such job")
    for _ in range(5):
        await look(home, here)
    [failed] = await home.said(GenerationFailed)
    assert (failed.code, failed.billing.state) == (ErrorCode.PROVIDER_ERROR, "pending")


async def test_a_delay_beyond_the_deadline_ends_with_the_deadline(home: Home) -> None:
    studio = Studio()
    here, _ = await sent(home, studio)
    studio.standing["job-1"] = ProviderError(ProviderCode.RATE_LIMIT, "later", retry_after=FAR_FUTURE_S)
    await look(home, here)
    assert 0 < await wait_s(home) <= 60


async def test_a_full_queue_is_asked_again_within_minutes_whatever_it_says(home: Home) -> None:
    painter = Painter()

    async def full(req: GenerationRequest) -> Status:
        raise replace(FULL, retry_after=FAR_FUTURE_S)

    painter.answer = full
    here = home.worker(painter)
    await here.hear(envelope(prepared()))
    await here.reserve()
    await here.work()
    assert 0 < await wait_s(home) <= 1.2 * 300


async def test_a_lost_answer_stays_unknown_though_the_deadline_came_first(home: Home) -> None:
    painter = Painter(idempotency="none")

    async def lost(req: GenerationRequest) -> Status:
        raise ProviderError(ProviderCode.TIMEOUT, "no answer", outcome=Outcome.UNKNOWN)

    painter.answer = lost
    here = home.worker(painter, routes=replace(table(timeout_s=5.0), unknown_grace_s=60.0))
    await here.hear(envelope(prepared()))
    await here.reserve()
    await here.work()
    await home.rows("UPDATE tasks SET deadline_at = now()")
    await look(home, here)
    assert not await home.said(GenerationFailed), "its callback may still come"
    await home.rows("UPDATE attempts SET intent_at = now() - interval '2 minutes'")
    await look(home, here)
    [failed] = await home.said(GenerationFailed)
    assert (failed.code, failed.billing.state) == (ErrorCode.SUBMIT_UNKNOWN, "pending")


async def test_calls_that_hang_open_the_breaker_and_never_close_it(home: Home) -> None:
    painter = Painter(idempotency="none")

    async def hangs(req: GenerationRequest) -> Status:
        raise TimeoutError

    painter.answer = hangs
    here = home.worker(painter, routes=table(per_tenant=50))
    await here.hear(envelope(prepared(5)))
    await here.reserve()
    await here.work()
    [row] = await home.rows("SELECT failures, opened_until > now() AS is_open FROM accounts")
    assert (row.failures, row.is_open) == (5, True)
    assert PRICE not in painter.bill.values()
