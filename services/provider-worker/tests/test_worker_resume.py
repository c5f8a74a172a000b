"""A job that resumes: what is there is neither made nor quoted, and nothing of that is lost or done twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from chassis.ids import uuid7
from provider_worker.engine.plannings import MOST_FAILURES
from provider_worker.engine.presence import NamesRefused
from provider_worker.metrics import PRESENCE_UNANSWERED, RESUMED, SKIPPED
from provider_worker.planning import PresentAsset
from schemas.events import (
    GenerationCancelled,
    GenerationCompleted,
    GenerationFailed,
    GenerationQuoted,
    GenerationSkipped,
    JobCancelRequested,
)
from tests.worker_builders import (
    PRICE,
    TENANT,
    TRACE,
    USER,
    Home,
    Painter,
    Worker,
    envelope,
    home_at,
    item,
    prepared,
    said,
)
from tests.worker_names import Names

pytestmark = pytest.mark.integration


@pytest.fixture
async def home(database_url: str, tmp_path: Path) -> AsyncIterator[Home]:
    async with home_at(database_url, tmp_path) as home:
        yield home


def name(number: int) -> str:
    return item(number).logical_name


def there(*numbers: int) -> Names:
    return Names({name(number): PresentAsset(uuid7()) for number in numbers})


async def resumed(here: Worker, items: int | Sequence[Any] = 3) -> UUID:
    job = prepared(items, resume=True)
    await here.hear(envelope(job))
    return job.job_id


async def test_what_is_there_and_is_not_what_was_asked_for_is_skipped_with_a_word(home: Home) -> None:
    wanted = item(1)
    as_asked = PresentAsset(uuid7(), wanted.width, wanted.height, wanted.prompt_sha256)
    smaller = PresentAsset(uuid7(), 32, 32, wanted.prompt_sha256)
    other = PresentAsset(uuid7(), wanted.width, wanted.height, "0" * 64)
    unknown = PresentAsset(uuid7())
    names = Names(dict(zip(map(name, range(1, 5)), (as_asked, smaller, other, unknown), strict=True)))
    here = home.worker(present=names)
    await resumed(here, 4)
    await here.plan()

    said = sorted(await home.said(GenerationSkipped), key=lambda skipped: skipped.item)
    assert [skipped.warnings for skipped in said] == [
        [],
        [f"what is there is 32x32, not {wanted.width}x{wanted.height}"],
        ["what is there was made with another prompt"],
        [],
    ]


async def due(home: Home) -> None:
    """As if every wait and lease were over."""
    await home.rows("UPDATE plannings SET next_at = now()")


async def left(home: Home) -> tuple[int, int]:
    """How many jobs wait to be planned, and how many tasks there are."""
    [row] = await home.rows("SELECT (SELECT count(*) FROM plannings), (SELECT count(*) FROM tasks)")
    return (row[0], row[1])


def numbers(quotes: list[GenerationQuoted]) -> list[list[int]]:
    return [[each.number for each in quote.items] for quote in quotes]


async def test_of_twenty_two_items_with_twelve_present_ten_are_quoted_made_and_paid(home: Home) -> None:
    """R89."""
    names, painter = there(*range(1, 13)), Painter()
    here = home.worker(painter, present=names)
    job_id = await resumed(here, 22)
    assert await home.said() == [], "nothing is quoted before it is known what is there"
    await here.plan()
    await here.finish()

    skipped = await home.said(GenerationSkipped)
    assert {each.item: each.asset_id for each in skipped} == {n: names.there[name(n)].id for n in range(1, 13)}
    assert len(skipped) == 12
    assert numbers(await home.said(GenerationQuoted)) == [list(range(13, 23))]
    words = await home.last_words()
    assert words == {(job_id, number): "GenerationCompleted" for number in range(13, 23)}
    assert sum(painter.bill.values()) == 10 * PRICE
    assert len(names.asked) == 1
    assert await left(home) == (0, 10)


async def test_what_is_said_of_a_resumed_job_carries_its_tenant_and_trace(home: Home) -> None:
    here = home.worker(present=there(1))
    await resumed(here)
    await here.plan()
    events = await said(home.engine)
    assert {(event.tenant_id, event.traceparent) for event in events} == {(TENANT, TRACE)}
    assert len(events) == 2


async def test_where_all_is_there_nothing_is_quoted_and_no_task_is_left(home: Home) -> None:
    here = home.worker(present=there(1, 2, 3))
    await resumed(here)
    await here.plan()
    assert [(type(event), event.item) for event in await home.said()] == [(GenerationSkipped, n) for n in (1, 2, 3)]
    assert await left(home) == (0, 0)


async def test_without_resume_nobody_is_asked_and_everything_is_made(home: Home) -> None:
    """R25."""
    names = there(1, 2)
    here = home.worker(present=names)
    await here.hear(envelope(prepared(2)))
    assert not here.plannings.wake.is_set(), "a job without resume costs the loop nothing"
    await here.plan()
    assert numbers(await home.said(GenerationQuoted)) == [[1, 2]]
    assert names.asked == []


async def test_the_loop_is_woken_once_the_job_is_committed(home: Home) -> None:
    here = home.worker(present=there(1))
    async with home.engine.begin() as conn:
        await here.hears.prompts_prepared(conn, [envelope(prepared(2, resume=True))])
        assert not here.plannings.wake.is_set()
    assert here.plannings.wake.is_set()


async def test_a_blank_item_is_not_asked_for_and_a_job_of_blank_ones_asks_nobody(home: Home) -> None:
    names = there(1, 2)
    here = home.worker(present=names)
    await resumed(here, [item(1, blank=True)])
    assert await left(home) == (0, 0)
    await resumed(here, [item(1, blank=True), item(2)])
    await here.plan()
    assert [(type(event), event.item) for event in await home.said()] == [(GenerationSkipped, 2)]


async def test_an_item_that_nobody_can_make_fails_beside_what_is_there(home: Home) -> None:
    here = home.worker(present=there(1))
    await resumed(here, [item(1), item(2, kind="video")])
    await here.plan()
    events = await home.said()
    assert [(type(event), event.item) for event in events] == [(GenerationSkipped, 1), (GenerationFailed, 2)]


async def test_prompts_that_come_twice_are_planned_once(home: Home) -> None:
    here = home.worker(present=there(1))
    job = prepared(2, resume=True)
    await here.hear(envelope(job), envelope(job))
    await here.hear(envelope(job))
    await here.plan()
    await here.hear(envelope(job))
    await here.plan()
    assert [type(event) for event in await home.said()] == [GenerationSkipped, GenerationQuoted]


async def test_while_storage_service_is_away_the_job_waits_and_costs_nothing(home: Home) -> None:
    names = there(1)
    names.away = 7
    unanswered = PRESENCE_UNANSWERED._value.get()
    here = home.worker(present=names)
    await resumed(here, 2)
    waits = []
    for _ in range(7):
        await here.plan()
        assert (await home.said(), await left(home)) == ([], (1, 0))
        [wait] = await home.rows("SELECT extract(epoch FROM next_at - now()) FROM plannings")
        waits.append(float(wait[0]))
        await due(home)
    assert all(0 < wait <= 10 for wait in waits)
    assert waits[0] < 0.3 < waits[3] < waits[5]
    await here.plan()
    assert [type(event) for event in await home.said()] == [GenerationSkipped, GenerationQuoted]
    assert len(names.asked) == 8
    assert PRESENCE_UNANSWERED._value.get() == unanswered + 7


async def test_a_job_that_waits_for_storage_service_is_cancelled_without_another_question(home: Home) -> None:
    names = there(1)
    names.away = 1
    here = home.worker(present=names)
    job_id = await resumed(here, 2)
    await here.plan()
    await here.hear(envelope(JobCancelRequested(job_id=job_id, reason="deadline")))
    await here.plan()
    events = await home.said()
    assert [(type(event), event.item, event.attempt, event.code, event.billing.state) for event in events] == [
        (GenerationCancelled, 1, 0, "TIMEOUT", "none"),
        (GenerationCancelled, 2, 0, "TIMEOUT", "none"),
    ]
    assert len(names.asked) == 1
    assert (await left(home))[0] == 0


async def test_a_job_stopped_before_its_prompts_is_neither_asked_for_nor_quoted(home: Home) -> None:
    names = there(1)
    here = home.worker(present=names)
    job = prepared(2, resume=True)
    await here.hear(envelope(JobCancelRequested(job_id=job.job_id, reason="user")))
    await here.hear(envelope(job))
    assert [type(event) for event in await home.said()] == [GenerationCancelled] * 2
    assert (await left(home), names.asked) == ((0, 2), [])


async def test_a_job_stopped_while_the_question_is_out_is_never_quoted(home: Home) -> None:
    names = there(1)
    names.hanging = asyncio.Event()
    here = home.worker(present=names)
    job_id = await resumed(here, 2)
    asking = asyncio.create_task(here.plannings.step())
    await names.reached.wait()
    await here.hear(envelope(JobCancelRequested(job_id=job_id, reason="user")))
    names.hanging.set()
    await asking
    assert await home.said() == []
    await here.plan()
    assert [(type(event), event.item) for event in await home.said()] == [
        (GenerationCancelled, 1),
        (GenerationCancelled, 2),
    ]
    assert len(names.asked) == 1


async def test_a_stop_beside_the_plan_comes_before_it_or_finds_its_tasks(home: Home) -> None:
    """Whichever transaction has the job's row first: every item ends once."""
    here = home.worker(present=there(1))
    for _ in range(20):
        job_id = await resumed(here, 2)
        await asyncio.gather(here.plan(), here.hear(envelope(JobCancelRequested(job_id=job_id, reason="user"))))
        await here.plan()
        events = [event for event in await home.said(GenerationSkipped, GenerationCancelled) if event.job_id == job_id]
        assert sorted(event.item for event in events) == [1, 2]
        assert (await left(home))[0] == 0
    assert set((await home.last_words()).values()) == {"GenerationCancelled"}


async def test_two_replicas_ask_once(home: Home) -> None:
    names = there(1)
    one, other = home.worker(present=names), home.worker(present=names)
    for _ in range(10):
        await resumed(one, 2)
    await asyncio.gather(one.plan(), other.plan(), one.plan(), other.plan())
    assert len(names.asked) == 10
    assert len(await home.said(GenerationSkipped)) == len(await home.said(GenerationQuoted)) == 10


async def test_who_was_too_slow_plans_nothing_beside_another(home: Home) -> None:
    """A process that stands still longer than its lease wakes up behind the fence."""
    slow, quick = there(2), there(1)
    slow.hanging, quick.hanging = asyncio.Event(), asyncio.Event()
    one, other = home.worker(present=slow), home.worker(present=quick)
    await resumed(one, 2)
    first = asyncio.create_task(one.plannings.step())
    await slow.reached.wait()
    await due(home)
    second = asyncio.create_task(other.plannings.step())
    await quick.reached.wait()
    slow.hanging.set()
    await first
    assert await home.said() == []
    quick.hanging.set()
    await second
    assert [event.item for event in await home.said(GenerationSkipped)] == [1]
    assert numbers(await home.said(GenerationQuoted)) == [[2]]
    assert await left(home) == (0, 1)


async def test_who_was_too_slow_to_hear_that_there_is_no_answer_hurries_nobody(home: Home) -> None:
    slow, quick = there(1), there(1)
    slow.hanging, slow.away = asyncio.Event(), 1
    quick.hanging = asyncio.Event()
    one, other = home.worker(present=slow), home.worker(present=quick)
    await resumed(one, 2)
    first = asyncio.create_task(one.plannings.step())
    await slow.reached.wait()
    await due(home)
    second = asyncio.create_task(other.plannings.step())
    await quick.reached.wait()
    slow.hanging.set()
    await first
    [row] = await home.rows("SELECT next_at > now() + interval '5 s' FROM plannings")
    assert row[0], "the lease of the other one stands"
    quick.hanging.set()
    await second
    assert len(await home.said(GenerationQuoted)) == 1


@pytest.mark.parametrize("trouble", [NamesRefused("too many names"), ZeroDivisionError("of ours")])
async def test_a_job_that_can_never_be_planned_ends_its_items(home: Home, trouble: Exception) -> None:
    names = there(1)
    names.trouble = trouble
    here = home.worker(present=names)
    await resumed(here, 2)
    for _ in range(MOST_FAILURES):
        await here.plan()
        await due(home)
    failed = await home.said()
    assert [(type(event), event.item, event.attempt, event.code, event.final) for event in failed] == [
        (GenerationFailed, number, 0, "INVALID_REQUEST", True) for number in (1, 2)
    ]
    assert {event.message for event in failed} == {"the job's prompts could not be handled"}
    assert len(names.asked) == (1 if isinstance(trouble, NamesRefused) else MOST_FAILURES)
    assert (await left(home))[0] == 0


async def test_an_outage_is_no_failure_of_the_job(home: Home) -> None:
    """However long it was: the errors that end a job are counted by themselves."""
    names = there(1)
    names.away = 2 * MOST_FAILURES
    here = home.worker(present=names)
    await resumed(here, 2)
    for _ in range(2 * MOST_FAILURES):
        await here.plan()
        await due(home)
    names.trouble = ZeroDivisionError("of ours")
    await here.plan()
    names.trouble = None
    await due(home)
    await here.plan()
    assert [type(event) for event in await home.said()] == [GenerationSkipped, GenerationQuoted]


async def test_prompts_that_a_handler_cannot_take_end_the_job_as_any_other(home: Home) -> None:
    names = there(1)
    here = home.worker(present=names)
    async with home.engine.begin() as conn:
        await here.hears.prompts_poisoned(conn, envelope(prepared(2, resume=True)), ValueError("of ours"))
    await here.plan()
    assert [type(event) for event in await home.said()] == [GenerationFailed] * 2
    assert names.asked == []


async def test_what_became_of_a_job_is_counted_and_told_in_one_line(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    planned, skipped = RESUMED.labels("planned")._value.get(), SKIPPED._value.get()
    here = home.worker(present=there(1, 2))
    job_id = await resumed(here)
    await here.plan()
    assert (RESUMED.labels("planned")._value.get(), SKIPPED._value.get()) == (planned + 1, skipped + 2)
    [line] = [line for line in capsys.readouterr().out.splitlines() if "job_planned" in line]
    for fact in (str(job_id), str(TENANT), TRACE[3:35], "planned", "skipped", "quoted"):
        assert fact in line


async def test_the_question_is_on_behalf_of_the_jobs_tenant_and_user(home: Home) -> None:
    names = there(1)
    here = home.worker(present=names)
    await resumed(here, 2)
    await here.plan()
    [asked] = names.asked
    assert (asked.tenant_id, asked.prepared.asset_context.user_id) == (TENANT, USER)


async def test_a_skipped_item_stays_skipped_beside_one_that_is_cancelled_later(home: Home) -> None:
    here = home.worker(present=there(1))
    job_id = await resumed(here, 2)
    await here.plan()
    await here.hear(envelope(JobCancelRequested(job_id=job_id, reason="user")))
    assert [event.item for event in await home.said(GenerationCancelled)] == [2]
    assert await home.said(GenerationCompleted) == []
