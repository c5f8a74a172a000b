"""Open bills: one lookup at a time, and none that trips over what it finds holds the others up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from chassis.errors import Transient
from provider_worker.adapters.interface import Artifact, ErrorCode, JobRef, ProviderError, Status
from provider_worker.engine import bills
from provider_worker.metrics import UNFORESEEN
from schemas.events import GenerationSettled
from tests.worker_builders import Home, Worker, home_at
from tests.worker_studio import SLOW, Studio, look, sent

pytestmark = pytest.mark.integration

LINK = Artifact("image/png", url="https://studio.example/1.png")


@dataclass
class Gallery(Studio):
    """Its results are fetched from addresses that answer once they are let; `riddles` are jobs it says nonsense of."""

    fetching: asyncio.Event = field(default_factory=asyncio.Event)
    may_end: asyncio.Event = field(default_factory=asyncio.Event)
    riddles: set[str] = field(default_factory=set)

    async def poll(self, ref: JobRef) -> Status:
        if ref.external_id in self.riddles:
            raise ZeroDivisionError
        return await super().poll(ref)

    async def fetch(self, art: Artifact) -> AsyncIterator[bytes]:
        self.fetching.set()
        await self.may_end.wait()
        yield b"picture"


@pytest.fixture
async def home(database_url: str, tmp_path: Path) -> AsyncIterator[Home]:
    async with home_at(database_url, tmp_path) as home:
        yield home


async def timed_out(home: Home, studio: Studio, items: int = 1) -> Worker:
    """Attempts that ended at their deadlines; their bills are open and due."""
    here, _ = await sent(home, studio, items)
    await home.rows("UPDATE tasks SET deadline_at = now()")
    await look(home, here)
    await home.rows("UPDATE attempts SET lookup_at = now()")
    return here


async def open_bill(home: Home) -> Any:
    [row] = await home.rows("""
        SELECT lookup_at > now() AS later, lookup_at < now() + interval '1 minute' AS soon,
            flagged_at IS NOT NULL AS flagged
        FROM attempts WHERE billing = 'pending'
    """)
    return row


def stumbled() -> float:
    value: float = UNFORESEEN.labels("bill")._value.get()
    return value


async def test_a_lookup_that_takes_long_is_left_to_whoever_has_it(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bills, "AGAIN_S", 1.5)
    studio = Gallery()
    here = await timed_out(home, studio)
    studio.done(artifacts=[LINK])
    first = asyncio.create_task(here.bills.step())
    await studio.fetching.wait()
    polls, other = len(studio.polls), home.worker(studio, routes=SLOW)
    [taken] = await home.rows("SELECT lookup_at + interval '3 s' AS then FROM attempts")
    while not await home.rows("SELECT 1 FROM attempts WHERE lookup_at > :then", then=taken.then):
        assert not await other.bills.step()
    assert len(studio.polls) == polls
    studio.may_end.set()
    assert await first
    assert len(await home.said(GenerationSettled)) == 1


@pytest.mark.parametrize(
    "artifacts",
    [[LINK], [Artifact("image/png", data=b"picture"), replace(LINK, role="thumbnail")]],
    ids=["result", "further output"],
)
async def test_a_lookup_that_does_not_end_is_broken_off_and_made_again_later(
    home: Home, monkeypatch: pytest.MonkeyPatch, artifacts: list[Artifact]
) -> None:
    monkeypatch.setattr(bills, "LONGEST_S", 0.2)
    studio = Gallery()
    here = await timed_out(home, studio)
    studio.done(artifacts=artifacts)
    async with asyncio.timeout(10):
        assert await here.bills.step()
    found = await open_bill(home)
    assert (found.later, found.soon, found.flagged) == (True, True, False)
    studio.may_end.set()
    await home.rows("UPDATE attempts SET lookup_at = now()")
    await here.bills.step()
    assert len(await home.said(GenerationSettled)) == 1


async def test_a_bill_that_is_tripped_over_waits_and_hinders_no_other(home: Home) -> None:
    studio, before = Gallery(), stumbled()
    here = await timed_out(home, studio, items=2)
    studio.riddles.add("job-1")
    studio.done(2)
    assert await here.bills.step()
    assert len(await home.said(GenerationSettled)) == 1
    found = await open_bill(home)
    assert (found.later, found.soon, found.flagged) == (True, True, False)
    assert stumbled() == before + 1


async def test_a_bill_that_is_tripped_over_for_a_day_is_an_operators(home: Home) -> None:
    studio = Gallery()
    here = await timed_out(home, studio)
    studio.riddles.add("job-1")
    await home.rows("UPDATE attempts SET closed_at = now() - interval '3 days'")
    await here.bills.step()
    found = await open_bill(home)
    assert (found.later, found.flagged) == (True, True)


async def test_what_no_further_question_answers_is_an_operators_after_five(home: Home) -> None:
    studio = Studio()
    here = await timed_out(home, studio)
    studio.standing["job-1"] = ProviderError(ErrorCode.PROVIDER_ERROR, "it has 2 jobs that may be this one")
    for flagged in (False, False, False, False, True):
        await home.rows("UPDATE attempts SET lookup_at = now()")
        await here.bills.step()
        assert (await open_bill(home)).flagged is flagged


async def test_what_cannot_even_be_put_off_is_told_once_the_others_have_ended(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = Gallery()
    here = await timed_out(home, studio, items=2)
    studio.riddles.add("job-1")
    studio.done(2, artifacts=[LINK])

    async def away(*_: Any, **__: Any) -> None:
        asyncio.get_running_loop().call_later(0.1, studio.may_end.set)
        raise Transient("the database is away")

    monkeypatch.setattr(here.store, "postpone", away)
    with pytest.raises(Transient):
        await here.bills.step()
    assert len(await home.said(GenerationSettled)) == 1
