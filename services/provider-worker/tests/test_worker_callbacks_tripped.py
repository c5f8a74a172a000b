"""Callbacks that are tripped over: they hold nobody up, are tried ever more seldom, and are given up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from provider_worker.adapters.interface import WebhookEvent
from provider_worker.callbacks import Callback, Outcome
from provider_worker.metrics import CALLBACKS_REFUSED, UNFORESEEN
from provider_worker.store.callbacks import CallbackDatabase
from schemas.events import GenerationFailed
from tests.worker_builders import Home, envelope, home_at, prepared
from tests.worker_callers import Line, Studio, at_work, line_of

pytestmark = pytest.mark.integration


@pytest.fixture
async def home(database_url: str, tmp_path: Path) -> AsyncIterator[Home]:
    async with home_at(database_url, tmp_path) as home:
        yield home


async def outcomes(home: Home) -> list[str | None]:
    return [row.outcome for row in await home.rows("SELECT outcome FROM callbacks ORDER BY id")]


def counted(counter: Any, *labels: str) -> float:
    value: float = counter.labels(*labels)._value.get()
    return value


@pytest.mark.parametrize(
    "said",
    [
        {"id": "".join(map(str, range(5000)))},
        {"id": "job-1", "delivery": "d\x00"},
        {"id": "job-1", "delivery": "d-\ud800"},
        {"id": "job-1", "delivery": "".join(map(str, range(5000)))},
    ],
    ids=["too long", "delivery with NUL", "delivery of half a character", "delivery too long"],
)
async def test_a_name_that_nothing_can_keep_is_refused_at_once_and_hinders_no_other(
    home: Home, said: dict[str, str]
) -> None:
    studio = Studio(loses_answers=True)
    line = line_of(home, studio)
    await line.here.hear(envelope(prepared()))
    await line.here.reserve()
    await line.here.work()
    [[attempt]] = await home.rows("SELECT attempt_id FROM tasks WHERE external IS NULL")
    await line.comes(attempt=attempt, **said)
    await line.comes(attempt=attempt, id="job-1", delivery="d-2")
    await line.engine.step()
    assert await outcomes(home) == ["refused", "linked"]


async def two_of_one_job(home: Home) -> tuple[Line, Studio, UUID]:
    """One item's job has a name; the answer to another's submit was lost. That one's attempt."""
    studio = Studio()
    line = line_of(home, studio)
    await at_work(home, line)
    studio.loses_answers = True
    await line.here.hear(envelope(prepared()))
    await line.here.reserve()
    await line.here.work()
    [[attempt]] = await home.rows("SELECT attempt_id FROM tasks WHERE external IS NULL")
    return line, studio, attempt


async def test_a_name_that_another_task_has_is_no_link_and_the_provider_is_asked(home: Home) -> None:
    line, _, attempt = await two_of_one_job(home)
    await line.called(attempt=attempt, id="job-1")
    assert await outcomes(home) == ["hinted"]
    [task] = await home.rows("SELECT external, next_at <= now() AS due FROM tasks WHERE attempt_id = :id", id=attempt)
    assert (task.external, task.due) == (None, True)


async def test_the_bill_of_one_attempt_is_never_settled_by_the_job_of_another(home: Home) -> None:
    line, _, attempt = await two_of_one_job(home)
    await home.rows("UPDATE attempts SET intent_at = now() - interval '1 h' WHERE attempt_id = :id", id=attempt)
    for _ in range(50):
        await home.rows("UPDATE tasks SET next_at = now() WHERE state = 'polling' AND attempt_id = :id", id=attempt)
        await line.here.work()
    assert len(await home.said(GenerationFailed)) == 1
    await line.called(attempt=attempt, id="job-1")
    assert await outcomes(home) == ["hinted"]
    [bill] = await home.rows(
        "SELECT external, lookup_at <= now() AS due FROM attempts WHERE attempt_id = :id", id=attempt
    )
    assert (bill.external, bill.due) == (None, True)


class Tripping(CallbackDatabase):
    async def apply(self, callback: Callback, event: WebhookEvent) -> Outcome:
        if event.delivery_id == "bad":
            raise ZeroDivisionError
        return await super().apply(callback, event)


async def tripping(home: Home) -> tuple[Line, UUID]:
    line = line_of(home, Studio())
    line.engine = replace(line.engine, store=Tripping(home.engine))
    return line, await at_work(home, line)


async def test_a_callback_that_is_tripped_over_waits_and_hinders_no_other(home: Home) -> None:
    line, attempt = await tripping(home)
    before = counted(UNFORESEEN, "callback")
    await line.comes(attempt=attempt, id="job-1", delivery="bad")
    await line.comes(attempt=attempt, id="job-1")
    assert await line.engine.step()
    assert await outcomes(home) == [None, "hinted"]
    assert len(line.rings) == 1
    assert counted(UNFORESEEN, "callback") == before + 1
    await home.rows("UPDATE callbacks SET next_at = now(), tries = 9 WHERE done_at IS NULL")
    await line.engine.step()
    [row] = await home.rows(
        "SELECT next_at > now() + interval '1 minute' AS seldom FROM callbacks WHERE done_at IS NULL"
    )
    assert row.seldom


async def test_a_callback_that_is_tripped_over_for_long_is_given_up(home: Home) -> None:
    line, attempt = await tripping(home)
    before = counted(CALLBACKS_REFUSED, "painter", "malformed")
    await line.comes(attempt=attempt, id="job-1", delivery="bad")
    await home.rows("UPDATE callbacks SET kept_at = now() - interval '2 h'")
    await line.engine.step()
    assert await outcomes(home) == ["refused"]
    assert counted(CALLBACKS_REFUSED, "painter", "malformed") == before + 1


async def test_a_database_that_has_been_away_for_long_costs_no_callback(home: Home) -> None:
    line, attempt = await tripping(home)

    class Locked(CallbackDatabase):
        async def apply(self, callback: Callback, event: WebhookEvent) -> Outcome:
            raise TimeoutError

    line.engine = replace(line.engine, store=Locked(home.engine))
    await line.comes(attempt=attempt, id="job-1")
    await home.rows("UPDATE callbacks SET kept_at = now() - interval '2 h'")
    await line.engine.step()
    assert await outcomes(home) == [None]
