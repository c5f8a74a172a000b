"""Cancel requests and their races, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest

from chassis.ids import uuid7
from provider_worker.adapters.interface import ErrorCode as ProviderCode
from provider_worker.adapters.interface import GenerationRequest, ProviderError, Status
from provider_worker.engine.asking import request_of
from provider_worker.tasks import Pool
from schemas.events import (
    GenerationCancelled,
    GenerationCompleted,
    GenerationFailed,
    GenerationQuoted,
    JobCancelRequested,
)
from schemas.parts import ErrorCode
from tests.worker_builders import PRICE, Home, Painter, envelope, home_at, prepared, refusing, table

pytestmark = pytest.mark.integration

BUSY = ProviderError(ProviderCode.RATE_LIMIT, "too many requests")


@pytest.fixture
async def home(database_url: str, tmp_path: Path) -> AsyncIterator[Home]:
    async with home_at(database_url, tmp_path) as home:
        yield home


def stop(job_id: UUID, reason: str = "user") -> JobCancelRequested:
    return JobCancelRequested(job_id=job_id, reason=reason)


async def test_a_job_stopped_before_its_prompts_is_never_quoted(home: Home) -> None:
    here = home.worker()
    job = prepared(2)
    await here.hear(envelope(stop(job.job_id)))
    await here.hear(envelope(job))
    events = await home.said()
    assert [(type(event), event.item, event.attempt, event.billing.state) for event in events] == [
        (GenerationCancelled, 1, 0, "none"),
        (GenerationCancelled, 2, 0, "none"),
    ]


async def test_a_cancel_request_for_a_job_nobody_knows_changes_nothing(home: Home) -> None:
    here = home.worker()
    await here.hear(envelope(stop(uuid7())))
    assert await home.said() == []


async def test_what_waits_for_its_money_is_cancelled_with_its_quote_open(home: Home) -> None:
    painter = Painter()
    here = home.worker(painter)
    job = prepared(2)
    await here.hear(envelope(job))
    await here.hear(envelope(stop(job.job_id, "deadline")))
    cancelled = await home.said(GenerationCancelled)
    assert [(event.item, event.attempt, event.code) for event in cancelled] == [
        (1, 1, ErrorCode.TIMEOUT),
        (2, 1, ErrorCode.TIMEOUT),
    ]
    await here.reserve()
    await here.work()
    assert not painter.calls


async def test_what_waits_for_a_slot_is_cancelled(home: Home) -> None:
    painter = Painter()
    here = home.worker(painter)
    job = prepared(2)
    await here.hear(envelope(job))
    await here.reserve()
    await here.hear(envelope(stop(job.job_id)))
    await here.work()
    assert len(await home.said(GenerationCancelled)) == 2
    assert not painter.calls


async def test_what_waits_for_its_next_call_is_cancelled(home: Home) -> None:
    painter = Painter()
    painter.answer = refusing(BUSY, 99, painter)
    here = home.worker(painter, routes=table(waits=(30.0,)))
    job = prepared()
    await here.hear(envelope(job))
    await here.reserve()
    await here.work()
    await here.hear(envelope(stop(job.job_id)))
    [cancelled] = await home.said(GenerationCancelled)
    assert (cancelled.attempt, cancelled.billing.state, cancelled.final) == (1, "none", True)
    [attempt] = await home.rows("SELECT outcome, billing FROM attempts")
    assert tuple(attempt) == ("cancelled", "none")


async def test_what_runs_goes_on_to_its_end_and_is_completed(home: Home) -> None:
    painter = Painter()
    under_way, go_on = asyncio.Event(), asyncio.Event()

    async def slow(req: GenerationRequest) -> Status:
        under_way.set()
        await go_on.wait()
        return painter.make(req)

    painter.answer = slow
    here = home.worker(painter)
    job = prepared()
    await here.hear(envelope(job))
    await here.reserve()
    await here.claimer.step(here.tools)
    await under_way.wait()
    await here.hear(envelope(stop(job.job_id)))
    go_on.set()
    await here.work()
    [made] = await home.said(GenerationCompleted)
    assert made.billing.amount_micros == PRICE
    assert not await home.said(GenerationCancelled)


async def test_what_runs_and_is_refused_is_not_called_again_once_it_is_cancelled(home: Home) -> None:
    painter = Painter()
    under_way, go_on = asyncio.Event(), asyncio.Event()

    async def refused(req: GenerationRequest) -> Status:
        under_way.set()
        await go_on.wait()
        raise BUSY

    painter.answer = refused
    here = home.worker(painter)
    job = prepared()
    await here.hear(envelope(job))
    await here.reserve()
    await here.claimer.step(here.tools)
    await under_way.wait()
    await here.hear(envelope(stop(job.job_id)))
    go_on.set()
    await here.work()
    assert len(painter.calls) == 1
    [cancelled] = await home.said(GenerationCancelled)
    assert (cancelled.attempt, cancelled.billing.state) == (1, "none")
    assert not await home.said(GenerationFailed)


async def test_a_paid_failure_of_a_cancelled_job_is_billed_and_not_made_again(home: Home) -> None:
    painter = Painter()
    under_way, go_on = asyncio.Event(), asyncio.Event()

    async def corrupt(req: GenerationRequest) -> Status:
        under_way.set()
        await go_on.wait()
        return painter.make(req, b"broken")

    painter.answer = corrupt
    here = home.worker(painter)
    here.finisher.bad = {b"broken"}
    job = prepared()
    await here.hear(envelope(job))
    await here.reserve()
    await here.claimer.step(here.tools)
    await under_way.wait()
    await here.hear(envelope(stop(job.job_id)))
    go_on.set()
    await here.work()
    [cancelled] = await home.said(GenerationCancelled)
    assert (cancelled.billing.state, cancelled.billing.amount_micros) == ("final", PRICE)
    assert len(await home.said(GenerationQuoted)) == 1


async def test_what_a_vanished_holder_may_have_sent_is_looked_up_before_it_is_cancelled(home: Home) -> None:
    painter = Painter(idempotency="none")
    here = home.worker(painter)
    job = prepared()
    await here.hear(envelope(job))
    await here.reserve()
    [task] = (await here.store.claim([Pool("painter/image", "painter", 5, 60.0)], 1, 30.0)).tasks
    painter.make(request_of(task))
    await home.rows("UPDATE tasks SET lease_until = now() - interval '1 s'")
    await here.upkeep.revive()
    await here.hear(envelope(stop(job.job_id)))
    assert not await home.said(GenerationCancelled)
    await here.finish()
    [made] = await home.said(GenerationCompleted)
    assert made.billing.amount_micros == PRICE
    assert not painter.calls


async def test_what_a_vanished_holder_never_sent_is_cancelled_and_not_sent(home: Home) -> None:
    painter = Painter()
    here = home.worker(painter)
    job = prepared()
    await here.hear(envelope(job))
    await here.reserve()
    await here.store.claim([Pool("painter/image", "painter", 5, 60.0)], 1, 30.0)
    await home.rows("UPDATE tasks SET lease_until = now() - interval '1 s'")
    await here.upkeep.revive()
    await here.hear(envelope(stop(job.job_id)))
    await here.finish()
    [cancelled] = await home.said(GenerationCancelled)
    assert (cancelled.attempt, cancelled.code, cancelled.billing.state) == (1, ErrorCode.CANCELLED, "none")
    assert not painter.calls


async def test_a_cancel_after_the_end_changes_nothing(home: Home) -> None:
    here = home.worker()
    job = prepared()
    await here.hear(envelope(job))
    await here.finish()
    await here.hear(envelope(stop(job.job_id)), envelope(stop(job.job_id, "deadline")))
    assert not await home.said(GenerationCancelled)


async def test_whatever_order_a_cancel_and_the_work_come_in_each_item_ends_once(home: Home) -> None:
    painter = Painter()
    painter.answer = refusing(BUSY, 30, painter)
    here = home.worker(painter, hands=8)
    jobs = [prepared(4) for _ in range(12)]
    await here.hear(*map(envelope, jobs))
    await here.reserve()

    async def cancels() -> None:
        for job in jobs[::2]:
            await here.hear(envelope(stop(job.job_id)))
            await asyncio.sleep(0.005)

    await asyncio.gather(here.finish(), cancels())
    words = await home.last_words()
    assert len(words) == 48
    untouched = {job.job_id for job in jobs[1::2]}
    assert {word for (job_id, _), word in words.items() if job_id in untouched} == {"GenerationCompleted"}
    made = await home.said(GenerationCompleted)
    assert sum(painter.bill.values()) == sum(event.billing.amount_micros for event in made)
