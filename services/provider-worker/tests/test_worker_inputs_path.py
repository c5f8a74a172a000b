"""What an item builds on is read right before its provider is called, or nothing is sent and nothing is paid."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from media import Checker
from provider_worker.adapters.interface import (
    ErrorCode,
    GenerationRequest,
    InputMedia,
    JobRef,
    Op,
    Outcome,
    ProviderError,
    Status,
)
from schemas.events import (
    GenerationCancelled,
    GenerationCompleted,
    GenerationFailed,
    GenerationQuoted,
    JobCancelRequested,
)
from schemas.parts import Kind
from tests.worker_builders import TENANT, Home, Painter, Worker, envelope, home_at
from tests.worker_shelf import ASSET, OWN, PICTURE, Seeing, Shelf, built_on, inputs_from

pytestmark = pytest.mark.integration


@pytest.fixture
async def checker() -> AsyncIterator[Checker]:
    made = Checker()
    yield made
    await made.close()


@pytest.fixture
async def home(database_url: str, tmp_path: Path) -> AsyncIterator[Home]:
    async with home_at(database_url, tmp_path) as home:
        yield home


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


async def test_an_asset_is_read_for_its_tenant_and_reaches_the_provider(
    home: Home, shelf: Shelf, checker: Checker
) -> None:
    painter = Seeing(idempotency="none")
    async with inputs_from(shelf, checker) as inputs:
        here = home.worker(painter, inputs=inputs.held)
        await built_on(here, OWN, OWN.model_copy(update={"role": "style"}))
        await here.finish()

    [request] = painter.seen
    assert request.op is Op.EDIT_IMAGE
    assert list(request.inputs) == [InputMedia(role, "image/png", PICTURE) for role in ("reference", "style")]
    assert shelf.reads == [(TENANT, ASSET)] * 2
    [made] = await home.said(GenerationCompleted)
    assert made.billing.amount_micros == painter.price


async def test_an_asset_that_is_gone_ends_the_item_before_anything_is_paid(
    home: Home, shelf: Shelf, checker: Checker
) -> None:
    painter, other = Painter(), Painter("other")
    shelf.assets.clear()
    async with inputs_from(shelf, checker) as inputs:
        here = home.worker(painter, other, inputs=inputs.held)
        await built_on(here, OWN)
        await here.finish()

    [failed] = await home.said(GenerationFailed)
    assert (failed.code, failed.message) == ("INVALID_REQUEST", "input 1 (reference): the asset is gone")
    assert (failed.final, failed.billing.state, painter.calls, other.calls) == (True, "none", [], [])
    assert await home.rows("SELECT 1 FROM accounts WHERE failures > 0") == []


async def test_while_storage_service_is_away_the_item_waits_and_is_made_once(
    home: Home, shelf: Shelf, checker: Checker
) -> None:
    painter = Seeing(idempotency="none")
    shelf.away = 4
    async with inputs_from(shelf, checker) as inputs:
        here = home.worker(painter, inputs=inputs.held)
        await built_on(here, OWN)
        for _ in range(4):
            await here.reserve()
            await here.work()
            assert painter.calls == []
            [(state, calls)] = await home.rows("SELECT state, calls FROM tasks")
            assert (state, calls) == ("waiting", 0)
            await home.rows("UPDATE tasks SET next_at = now()")
            await here.upkeep.revive()
        await here.finish()

    assert len(painter.calls) == 1
    [made] = await home.said(GenerationCompleted)
    assert made.attempt == 1
    assert await home.said(GenerationFailed) == []


async def test_a_job_that_is_stopped_while_its_inputs_are_awaited_costs_nothing(
    home: Home, shelf: Shelf, checker: Checker
) -> None:
    painter = Painter()
    shelf.hangs = True
    async with inputs_from(shelf, checker) as inputs:
        here = home.worker(painter, inputs=inputs.held)
        job_id = await built_on(here, OWN)
        await here.reserve()
        working = asyncio.create_task(here.work())
        await shelf.reading.wait()
        await here.hear(envelope(JobCancelRequested(job_id=job_id, reason="user")))
        shelf.hangs = False
        await _killed(home, here, working)
        await here.finish()

    [cancelled] = await home.said(GenerationCancelled)
    assert (cancelled.billing.state, painter.calls) == ("none", [])


async def _killed(home: Home, here: Worker, working: asyncio.Task[None]) -> None:
    """As if the process had died, and its leases had run out."""
    for held in list(here.leases._held.values()):
        held.work.cancel()
    await working
    await home.rows("UPDATE tasks SET lease_until = now() - interval '1 second' WHERE state = 'leased'")
    await here.upkeep.revive()


async def test_a_worker_that_dies_while_it_reads_has_sent_nothing(home: Home, shelf: Shelf, checker: Checker) -> None:
    """Its provider could be asked for nothing: without another intent nobody could tell that."""
    painter = Painter(idempotency="none")
    shelf.hangs = True
    async with inputs_from(shelf, checker) as inputs:
        here = home.worker(painter, inputs=inputs.held)
        await built_on(here, OWN)
        await here.reserve()
        working = asyncio.create_task(here.work())
        await shelf.reading.wait()
        shelf.hangs = False
        await _killed(home, here, working)
        await here.finish()

    assert len(painter.calls) == 1
    assert [event.attempt for event in await home.said(GenerationCompleted)] == [1]


async def test_what_was_sent_with_inputs_and_may_be_there_is_not_sent_again(
    home: Home, shelf: Shelf, checker: Checker
) -> None:
    async def lost(req: GenerationRequest) -> JobRef | Status:
        raise ProviderError(ErrorCode.TIMEOUT, "no answer", outcome=Outcome.UNKNOWN)

    painter = Painter(idempotency="none", answer=lost)
    async with inputs_from(shelf, checker) as inputs:
        here = home.worker(painter, inputs=inputs.held)
        await built_on(here, OWN)
        await here.finish(rounds=60)

    [failed] = await home.said(GenerationFailed)
    assert (failed.code, failed.billing.state) == ("SUBMIT_UNKNOWN", "pending")
    assert len(painter.calls) == 1


async def test_what_no_provider_makes_of_such_inputs_is_refused_before_it_is_quoted(home: Home) -> None:
    class TextAlone(Painter):
        def plan(self, req: GenerationRequest) -> Any:
            if req.op is not Op.TEXT_TO_IMAGE:
                raise ProviderError(ErrorCode.INVALID_REQUEST, f"no {req.op} here", outcome=Outcome.NOT_SENT)
            return {}

    here = home.worker(TextAlone())
    await built_on(here, OWN)
    await built_on(here, OWN, kind=Kind.IMAGE, number=2)

    failed = await home.said(GenerationFailed)
    assert [(event.code, event.message, event.attempt) for event in failed] == [
        ("INVALID_REQUEST", "painter: no edit_image here", 0)
    ] * 2
    assert await home.said(GenerationQuoted) == []
