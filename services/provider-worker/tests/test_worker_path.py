"""An item's way through the worker, on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from provider_worker.adapters.interface import (
    Artifact,
    GenerationRequest,
    JobRef,
    ProviderError,
    Status,
)
from provider_worker.adapters.interface import (
    ErrorCode as ProviderCode,
)
from provider_worker.routing import Use
from schemas.events import (
    BudgetRefused,
    GenerationCompleted,
    GenerationFailed,
    GenerationQuoted,
    GenerationStarted,
)
from schemas.parts import ErrorCode, Stage
from tests.worker_builders import (
    PRICE,
    TRACE,
    Home,
    Painter,
    envelope,
    home_at,
    item,
    prepared,
    refusing,
    said,
    table,
)

pytestmark = pytest.mark.integration

BUSY = ProviderError(ProviderCode.RATE_LIMIT, "too many requests")
BAD_KEY = ProviderError(ProviderCode.AUTH_ERROR, "the key is not valid")


@pytest.fixture
async def home(database_url: str, tmp_path: Path) -> AsyncIterator[Home]:
    async with home_at(database_url, tmp_path) as home:
        yield home


def refusal(job: object, items: list[int], attempt: int = 1) -> BudgetRefused:
    return BudgetRefused(
        job_id=job.job_id,  # type: ignore[attr-defined]
        attempt=attempt,
        items=items,
        amount_micros=PRICE * len(items),
        currency="USD",
        cap="budget",
        limit_micros=50_000,
        left_micros=10_000,
    )


async def test_a_job_is_quoted_held_made_and_handed_over(home: Home) -> None:
    painter = Painter()
    here = home.worker(painter)
    job = prepared(3)
    await here.hear(envelope(job))
    await here.finish()

    [quote] = await home.said(GenerationQuoted)
    assert [(each.number, each.amount_micros) for each in quote.items] == [(1, PRICE), (2, PRICE), (3, PRICE)]
    assert len(await home.said(GenerationStarted)) == 3
    made = await home.said(GenerationCompleted)
    assert sorted(event.item for event in made) == [1, 2, 3]
    for event in made:
        assert (event.job_id, event.attempt, event.final, event.billing.amount_micros) == (job.job_id, 1, True, PRICE)
        [output] = event.outputs
        assert (output.mime, output.width, output.height, output.size) == ("image/png", 64, 32, 7)
        assert b"".join([chunk async for chunk in home.objects.open(output.staged_key)]) == b"picture"
        assert event.lineage.provider == "painter"
        assert event.asset_context == job.asset_context
    assert sum(painter.bill.values()) == 3 * PRICE


async def test_the_intent_is_written_down_before_the_provider_is_called(home: Home) -> None:
    painter = Painter()
    seen = []

    async def look(req: GenerationRequest) -> Status:
        seen.extend(await home.rows("SELECT attempt_id, provider, request_sha256, outcome FROM attempts"))
        return painter.make(req)

    painter.answer = look
    here = home.worker(painter)
    await here.hear(envelope(prepared()))
    await here.finish()
    [intent] = seen
    assert (str(intent.attempt_id), intent.provider, intent.outcome) == (painter.calls[0], "painter", None)
    assert len(intent.request_sha256) == 64


async def test_the_same_prompts_twice_are_one_job(home: Home) -> None:
    here = home.worker()
    job = prepared(2)
    await here.hear(envelope(job), envelope(job))
    await here.hear(envelope(job))
    await here.finish()
    await here.reserve()
    await here.work()
    assert len(await home.said(GenerationQuoted)) == 1
    assert len(await home.said(GenerationCompleted)) == 2


async def test_a_refused_call_is_repeated_within_the_same_attempt(home: Home) -> None:
    painter = Painter()
    painter.answer = refusing(BUSY, 2, painter)
    here = home.worker(painter)
    await here.hear(envelope(prepared()))
    await here.finish()
    assert len(painter.calls) == 3
    [made] = await home.said(GenerationCompleted)
    assert made.attempt == 1
    assert len(await home.said(GenerationQuoted)) == len(await home.said(GenerationStarted)) == 1


async def test_a_provider_that_goes_on_refusing_is_called_four_times_and_then_the_item_fails(home: Home) -> None:
    painter = Painter()
    painter.answer = refusing(BUSY, 99, painter)
    here = home.worker(painter)
    await here.hear(envelope(prepared()))
    await here.finish()
    assert len(painter.calls) == 4
    [failed] = await home.said(GenerationFailed)
    assert (failed.code, failed.final, failed.billing.state) == (ErrorCode.RATE_LIMIT, True, "none")
    assert (failed.stage, failed.provider) == (Stage.GENERATING, "painter")


async def test_a_fallback_that_costs_no_more_stays_within_the_attempt(home: Home) -> None:
    first, second = Painter("first"), Painter("second", price=30_000)
    first.answer = refusing(BAD_KEY, 99, first)
    here = home.worker(first, second)
    await here.hear(envelope(prepared()))
    await here.finish()
    [made] = await home.said(GenerationCompleted)
    assert (made.attempt, made.lineage.provider, made.billing.amount_micros) == (1, "second", 30_000)
    assert not await home.said(GenerationFailed)


async def test_a_dearer_fallback_asks_for_a_new_quote_and_waits_for_it(home: Home) -> None:
    cheap, dear = Painter("cheap"), Painter("dear", price=90_000)
    cheap.answer = refusing(BAD_KEY, 99, cheap)
    here = home.worker(cheap, dear)
    await here.hear(envelope(prepared()))
    await here.reserve()
    await here.work()

    assert not dear.calls
    [failed] = await home.said(GenerationFailed)
    assert (failed.attempt, failed.final, failed.billing.state) == (1, False, "none")
    second = (await home.said(GenerationQuoted))[1]
    assert (second.attempt, second.items[0].provider, second.items[0].amount_micros) == (2, "dear", 90_000)
    await here.finish()
    [made] = await home.said(GenerationCompleted)
    assert (made.attempt, made.billing.amount_micros) == (2, 90_000)


async def test_a_top_up_that_is_refused_ends_the_item_with_its_own_error(home: Home) -> None:
    cheap, dear = Painter("cheap"), Painter("dear", price=90_000)
    cheap.answer = refusing(BAD_KEY, 99, cheap)
    here = home.worker(cheap, dear)
    job = prepared()
    await here.hear(envelope(job))
    await here.reserve()
    await here.work()
    await here.hear(envelope(refusal(job, [1], attempt=2)))
    last = (await home.said(GenerationFailed))[-1]
    assert (last.attempt, last.code, last.message, last.final) == (
        2,
        ErrorCode.AUTH_ERROR,
        "the key is not valid",
        True,
    )
    assert last.billing.state == "none"


async def test_a_refused_budget_ends_every_item_and_nobody_is_called(home: Home) -> None:
    painter = Painter()
    here = home.worker(painter)
    job = prepared(2)
    await here.hear(envelope(job))
    await here.hear(envelope(refusal(job, [1, 2])))
    await here.work()
    failed = await home.said(GenerationFailed)
    assert [(event.item, event.attempt, event.code, event.final) for event in failed] == [
        (1, 1, ErrorCode.BUDGET_EXCEEDED, True),
        (2, 1, ErrorCode.BUDGET_EXCEEDED, True),
    ]
    assert "0.01 USD of 0.05 USD" in failed[0].message
    assert not painter.calls


async def test_a_corrupt_result_is_made_again_once_on_a_quote_of_its_own(home: Home) -> None:
    painter = Painter()

    async def first_broken(req: GenerationRequest) -> Status:
        return painter.make(req, b"broken" if len(painter.calls) == 1 else b"picture")

    painter.answer = first_broken
    here = home.worker(painter)
    here.finisher.bad = {b"broken"}
    await here.hear(envelope(prepared()))
    await here.finish()
    [failed] = await home.said(GenerationFailed)
    assert (failed.attempt, failed.code, failed.final) == (1, ErrorCode.CORRUPT_OUTPUT, False)
    assert failed.billing.amount_micros == PRICE
    [made] = await home.said(GenerationCompleted)
    assert (made.attempt, made.billing.amount_micros) == (2, PRICE)
    assert sum(painter.bill.values()) == 2 * PRICE
    assert [quote.attempt for quote in await home.said(GenerationQuoted)] == [1, 2]


async def test_a_broken_download_is_fetched_again_and_not_paid_for_again(home: Home) -> None:
    painter = Painter()
    fetched: list[bytes] = [b"broken", b"picture"]

    async def by_address(req: GenerationRequest) -> Status:
        status = painter.make(req)
        return Status(
            "succeeded", status.external_id, artifacts=[Artifact("image/png", url="https://x")], cost=status.cost
        )

    async def fetch(art: Artifact) -> AsyncIterator[bytes]:
        yield fetched.pop(0)

    async def poll(ref: JobRef) -> Status:
        return Status("succeeded", ref.external_id, artifacts=[Artifact("image/png", url="https://y")])

    painter.answer, painter.fetch, painter.poll = by_address, fetch, poll  # type: ignore[method-assign]
    here = home.worker(painter)
    here.finisher.bad = {b"broken"}
    await here.hear(envelope(prepared()))
    await here.finish()
    assert len(await home.said(GenerationCompleted)) == 1
    assert not await home.said(GenerationFailed)
    assert len(painter.calls) == 1


async def test_prompts_that_cannot_be_handled_fail_their_items_once(home: Home) -> None:
    here = home.worker()
    event = envelope(prepared([item(1), item(2), item(3, blank=True)]))
    for _ in range(2):
        async with home.engine.begin() as conn:
            await here.hears.prompts_poisoned(conn, event, ValueError("broken"))
    await here.hear(event)
    failed = await home.said()
    assert [(said.item, said.attempt, said.code, said.final) for said in failed] == [
        (1, 0, ErrorCode.INVALID_REQUEST, True),
        (2, 0, ErrorCode.INVALID_REQUEST, True),
    ]


async def test_every_event_of_a_job_carries_its_trace(home: Home) -> None:
    here = home.worker()
    await here.hear(envelope(prepared()))
    await here.finish()
    assert {event.traceparent for event in await said(home.engine)} == {TRACE}


async def test_offers_are_priced_by_the_table_of_the_day(home: Home) -> None:
    here = home.worker(Painter(price=12_345), routes=table(Use("painter", "paint-2")))
    await here.hear(envelope(prepared()))
    [quote] = await home.said(GenerationQuoted)
    assert (quote.price_version, quote.items[0].model) == ("2026-11-20", "paint-2")
