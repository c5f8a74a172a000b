"""Calls whose outcome is not known at once: lost answers, deadlines, polls, late results and their bills."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from provider_worker.adapters.interface import (
    Artifact,
    Cost,
    GenerationRequest,
    JobRef,
    Outcome,
    ProviderError,
    Status,
)
from provider_worker.adapters.interface import (
    ErrorCode as ProviderCode,
)
from provider_worker.engine import production
from provider_worker.routing import Use
from provider_worker.tasks import Pool
from schemas.events import (
    GenerationCompleted,
    GenerationFailed,
    GenerationSettled,
)
from schemas.parts import ErrorCode
from tests.worker_builders import (
    PRICE,
    Home,
    Painter,
    envelope,
    home_at,
    prepared,
    refusing,
    table,
)

pytestmark = pytest.mark.integration

ROUTE_S = 2.0
POOLS = [Pool("painter/image", "painter", 5, 60.0)]
BUSY = ProviderError(ProviderCode.RATE_LIMIT, "too many requests")
LOST = ProviderError(ProviderCode.TIMEOUT, "no answer", outcome=Outcome.UNKNOWN)


@pytest.fixture
async def home(database_url: str, tmp_path: Path) -> AsyncIterator[Home]:
    async with home_at(database_url, tmp_path) as home:
        yield home


async def test_a_lost_answer_is_looked_up_and_never_paid_for_twice(home: Home) -> None:
    painter = Painter(idempotency="none")

    async def taken_but_lost(req: GenerationRequest) -> Status:
        painter.make(req)
        raise LOST

    painter.answer = taken_but_lost
    here = home.worker(painter)
    await here.hear(envelope(prepared()))
    await here.finish()
    assert len(painter.calls) == 1
    assert sum(painter.bill.values()) == PRICE
    [made] = await home.said(GenerationCompleted)
    assert made.attempt == 1


async def test_a_lost_call_is_sent_again_where_the_provider_knows_our_reference(home: Home) -> None:
    painter = Painter()
    painter.answer = refusing(LOST, 1, painter)
    here = home.worker(painter)
    await here.hear(envelope(prepared()))
    await here.finish()
    assert len(set(painter.calls)) == 1
    assert len(painter.calls) == 2
    assert len(await home.said(GenerationCompleted)) == 1


async def test_a_lost_call_that_nobody_can_find_ends_as_unknown_and_keeps_its_hold(home: Home) -> None:
    painter = Painter(idempotency="none")
    painter.answer = refusing(LOST, 99, painter)
    here = home.worker(painter)
    await here.hear(envelope(prepared()))
    await here.finish(rounds=100)
    assert len(painter.calls) == 1
    [failed] = await home.said(GenerationFailed)
    assert (failed.code, failed.final, failed.billing.state) == (ErrorCode.SUBMIT_UNKNOWN, True, "pending")


async def test_an_attempt_has_the_time_of_its_provider_and_not_its_routes(home: Home) -> None:
    painter = Painter()

    async def never(req: GenerationRequest) -> Status:
        await asyncio.Event().wait()
        raise AssertionError

    painter.answer = never
    here = home.worker(painter, routes=table(Use("painter", "m", timeout_s=0.2)))
    await here.hear(envelope(prepared()))
    await here.finish()
    [failed] = await home.said(GenerationFailed)
    assert (failed.code, "0.2 s" in failed.message) == (ErrorCode.TIMEOUT, True)


async def test_an_attempt_that_goes_on_at_a_slower_provider_has_its_time(home: Home) -> None:
    quick, slow = Painter(name="quick"), Painter(name="slow")
    quick.answer = refusing(ProviderError(ProviderCode.AUTH_ERROR, "no such key"), 1, quick)

    async def slowly(req: GenerationRequest) -> Status:
        await asyncio.sleep(ROUTE_S + 0.5)
        return slow.make(req)

    slow.answer = slowly
    uses = Use("quick", "m"), Use("slow", "m", timeout_s=60.0)
    here = home.worker(quick, slow, routes=table(*uses, timeout_s=ROUTE_S))
    await here.hear(envelope(prepared()))
    await here.finish()
    assert [made.attempt for made in await home.said(GenerationCompleted)] == [1]


async def test_an_attempt_past_its_deadline_times_out_and_its_late_result_is_settled(home: Home) -> None:
    painter = Painter()
    arrived = asyncio.Event()

    async def never(req: GenerationRequest) -> Status:
        arrived.set()
        await asyncio.Event().wait()
        raise AssertionError

    painter.answer = never
    here = home.worker(painter, routes=table(timeout_s=0.2))
    await here.hear(envelope(prepared()))
    await here.finish()
    [failed] = await home.said(GenerationFailed)
    assert (failed.code, failed.final, failed.billing.state) == (ErrorCode.TIMEOUT, True, "pending")
    assert "0.2 s" in failed.message

    reference = painter.calls[0]
    painter.bill[reference] = PRICE
    painter.jobs[reference] = Status(
        "succeeded",
        f"job-{reference}",
        artifacts=[Artifact("image/png", data=b"late")],
        cost=Cost(PRICE, "USD", "reported"),
    )
    await home.rows("UPDATE attempts SET lookup_at = now()")
    assert await here.bills.step()
    [settled] = await home.said(GenerationSettled)
    assert (settled.attempt, settled.billing.state, settled.billing.amount_micros) == (1, "final", PRICE)
    [late] = settled.late_outputs
    assert b"".join([chunk async for chunk in home.objects.open(late.staged_key)]) == b"late"
    assert settled.lineage is not None
    await home.rows("UPDATE attempts SET lookup_at = now()")
    assert not await here.bills.step()


async def test_an_open_bill_for_a_job_the_provider_never_had_is_nothing(home: Home) -> None:
    painter = Painter(idempotency="list_lookup")
    painter.answer = refusing(LOST, 99, painter)
    here = home.worker(painter)
    await here.hear(envelope(prepared()))
    await here.finish(rounds=100)
    await home.rows("UPDATE attempts SET lookup_at = now()")
    await here.bills.step()
    [settled] = await home.said(GenerationSettled)
    assert (settled.billing.state, settled.late_outputs) == ("none", [])
    assert "no job under our reference" in settled.evidence


async def test_an_open_bill_at_a_provider_that_can_be_asked_for_nothing_stays_open(home: Home) -> None:
    """It may have been paid: that nothing is found there proves nothing."""
    painter = Painter(idempotency="none")
    painter.answer = refusing(LOST, 99, painter)
    here = home.worker(painter)
    await here.hear(envelope(prepared()))
    await here.finish(rounds=100)
    await home.rows("UPDATE attempts SET lookup_at = now()")
    await here.bills.step()
    assert not await home.said(GenerationSettled)
    [[billing]] = await home.rows("SELECT billing FROM attempts")
    assert billing == "pending"


async def test_an_item_finished_just_past_its_deadline_is_still_taken(home: Home) -> None:
    painter = Painter()

    async def slow(req: GenerationRequest) -> Status:
        painter.make(req)
        await asyncio.sleep(30)
        raise AssertionError

    painter.answer = slow
    here = home.worker(painter, routes=table(timeout_s=0.2))
    await here.hear(envelope(prepared()))
    await here.finish()
    assert len(await home.said(GenerationCompleted)) == 1
    assert not await home.said(GenerationFailed)


async def test_an_asynchronous_provider_is_polled_and_its_reference_kept_first(home: Home) -> None:
    painter = Painter(idempotency="none")
    polls: list[str | None] = []

    async def queued(req: GenerationRequest) -> JobRef:
        painter.make(req)
        return JobRef("painter", f"job-{req.request_id}", {"queue": "fast"})

    async def poll(ref: JobRef) -> Status:
        [row] = await home.rows("SELECT external ->> 'id' AS id FROM tasks")
        polls.append(row.id)
        if len(polls) < 3:
            return Status("running", ref.external_id, progress=30)
        return painter.jobs[ref.external_id.removeprefix("job-")]

    painter.answer, painter.poll = queued, poll  # type: ignore[method-assign]
    here = home.worker(painter)
    await here.hear(envelope(prepared()))
    await here.finish()
    assert polls == [f"job-{painter.calls[0]}"] * 3
    assert len(await home.said(GenerationCompleted)) == 1


async def test_a_poll_that_fails_is_no_refusal_of_the_job(home: Home) -> None:
    painter = Painter(idempotency="none")
    failures = [BUSY, ProviderError(ProviderCode.TEMPORARY, "502")]

    async def queued(req: GenerationRequest) -> JobRef:
        return JobRef("painter", painter.make(req).external_id)

    async def poll(ref: JobRef) -> Status:
        if failures:
            raise failures.pop()
        return painter.jobs[ref.external_id.removeprefix("job-")]

    painter.answer, painter.poll = queued, poll  # type: ignore[method-assign]
    here = home.worker(painter)
    await here.hear(envelope(prepared()))
    await here.finish()
    assert len(painter.calls) == 1
    assert len(await home.said(GenerationCompleted)) == 1


async def test_an_error_nobody_foresaw_ends_as_a_recorded_state(home: Home) -> None:
    painter = Painter(idempotency="none")

    async def broken(req: GenerationRequest) -> Status:
        raise ZeroDivisionError

    painter.answer = broken
    here = home.worker(painter)
    await here.hear(envelope(prepared()))
    await here.finish(rounds=100)
    [failed] = await home.said(GenerationFailed)
    assert (failed.code, failed.final, failed.billing.state) == (ErrorCode.SUBMIT_UNKNOWN, True, "pending")
    assert len(painter.calls) == 1


async def test_a_provider_that_lost_its_key_hands_its_items_on(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task was quoted there and has not been sent: nothing can be owed for it."""
    both = table(Use("painter", "paint-1"), Use("second", "paint-1"))
    before = home.worker(Painter(), Painter(name="second"), routes=both)
    await before.hear(envelope(prepared()))
    await before.reserve()

    second = Painter(name="second")
    without = home.worker(second, routes=both)
    await without.work()
    assert [row.state for row in await home.rows("SELECT state FROM tasks")] == ["waiting"], "others may have the key"
    assert not await home.rows("SELECT 1 FROM accounts WHERE failures > 0 OR opened_until IS NOT NULL")

    monkeypatch.setattr(production, "LEFT_TO_OTHERS", timedelta(0))
    await home.rows("UPDATE tasks SET next_at = now()")
    await without.upkeep.revive()
    await without.finish()
    [made] = await home.said(GenerationCompleted)
    assert (made.lineage.provider, sum(second.bill.values())) == ("second", PRICE)
    assert not await home.rows("SELECT 1 FROM accounts WHERE failures > 0 OR opened_until IS NOT NULL")


async def test_what_may_have_been_sent_to_a_provider_without_its_key_stays_unknown(home: Home) -> None:
    both = table(Use("painter", "paint-1"), Use("second", "paint-1"))
    before = home.worker(Painter(), Painter(name="second"), routes=both)
    await before.hear(envelope(prepared()))
    await before.reserve()
    await before.store.claim(POOLS, 1, 30.0)
    await home.rows("UPDATE tasks SET lease_until = now() - interval '1 s'")

    second = Painter(name="second")
    without = home.worker(second, routes=both)
    await without.upkeep.revive()
    [before_it] = await home.rows("SELECT state, epoch FROM tasks")
    await without.work()
    assert await home.rows("SELECT state, epoch FROM tasks") == [before_it], "who has the key looks at it"

    for past in ("deadline_at = now() + interval '1 minute'", "deadline_at = now()"):
        await home.rows(f"UPDATE tasks SET next_at = now() - interval '3 minutes', {past}")
        assert not await home.said(GenerationFailed), "its time is not over"
        await without.work()
    await home.rows("UPDATE attempts SET intent_at = now() - interval '1 minute'")
    await home.rows("UPDATE tasks SET next_at = now() - interval '3 minutes'")
    await without.work()
    [failed] = await home.said(GenerationFailed)
    assert (failed.code, failed.billing.state, failed.final) == (ErrorCode.SUBMIT_UNKNOWN, "pending", True)
    assert not second.bill
