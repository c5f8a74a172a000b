"""What providers call back with: kept, checked, applied once, and never more than a reason to look at the job now."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from chassis.path_token import is_path_token
from provider_worker.adapters.interface import ErrorCode as ProviderCode
from provider_worker.adapters.interface import JobRef, ProviderError, WebhookEvent, WebhookRefused
from provider_worker.callbacks import callback_address
from provider_worker.engine import callbacks
from provider_worker.metrics import CALLBACKS, CALLBACKS_REFUSED, CALLBACKS_SWEPT
from provider_worker.routing import Use
from provider_worker.store.callbacks import CallbackDatabase
from schemas.callbacks import callback_parts
from schemas.events import GenerationCompleted, GenerationFailed, GenerationSettled
from schemas.parts import ErrorCode
from tests.worker_builders import PRICE, Home, envelope, home_at, prepared, table
from tests.worker_callers import Studio, at_work, line_of

pytestmark = pytest.mark.integration

TWO = table(Use("painter", "paint-1"), Use("second", "paint-1"))


@pytest.fixture
async def home(database_url: str, tmp_path: Path) -> AsyncIterator[Home]:
    async with home_at(database_url, tmp_path) as home:
        yield home


async def outcomes(home: Home) -> list[str | None]:
    return [row.outcome for row in await home.rows("SELECT outcome FROM callbacks ORDER BY id")]


async def due_again(home: Home) -> None:
    await home.rows("UPDATE callbacks SET next_at = now() WHERE next_at IS NOT NULL")


async def test_a_callback_has_its_job_looked_at_now(home: Home) -> None:
    studio = Studio()
    line = line_of(home, studio)
    attempt = await at_work(home, line)
    studio.done.add("job-1")
    await line.called(attempt=attempt, id="job-1")
    assert len(line.rings) == 1
    await line.here.work()
    assert len(await home.said(GenerationCompleted)) == 1
    assert [ref.data for ref in studio.polls] == [{"address": "kept"}]
    assert await outcomes(home) == ["hinted"]


async def test_what_a_callback_says_is_asked_again(home: Home) -> None:
    studio = Studio()
    line = line_of(home, studio)
    await line.called(attempt=await at_work(home, line), id="job-1", state="succeeded")
    await line.here.work()
    assert len(studio.polls) == 1
    assert not await home.said(GenerationCompleted, GenerationFailed)


async def test_a_callback_brings_back_a_job_whose_answer_was_lost(home: Home) -> None:
    studio = Studio(loses_answers=True)
    line = line_of(home, studio)
    await line.here.hear(envelope(prepared()))
    await line.here.reserve()
    await line.here.work()
    [[attempt, external]] = await home.rows("SELECT attempt_id, external FROM tasks WHERE state = 'polling'")
    assert external is None
    studio.done.add("job-1")

    await line.called(attempt=attempt, id="job-1")
    await line.here.work()

    [made] = await home.said(GenerationCompleted)
    assert (made.attempt, made.billing.amount_micros, len(studio.calls)) == (1, PRICE, 1)
    assert [ref.data for ref in studio.polls] == [{"address": "called"}]
    assert await outcomes(home) == ["linked"]


async def test_a_lost_answer_comes_back_after_its_item_has_failed_and_settles_its_bill(home: Home) -> None:
    studio = Studio(loses_answers=True)
    line = line_of(home, studio)
    await line.here.hear(envelope(prepared()))
    await line.here.reserve()
    await line.here.work()
    [[attempt]] = await home.rows("SELECT attempt_id FROM tasks")
    await home.rows("UPDATE attempts SET intent_at = now() - interval '1 h'")
    for _ in range(50):
        await home.rows("UPDATE tasks SET next_at = now() WHERE state = 'polling'")
        await line.here.work()
    [failed] = await home.said(GenerationFailed)
    assert (failed.code, failed.billing.state) == (ErrorCode.SUBMIT_UNKNOWN, "pending")
    await home.rows("UPDATE attempts SET lookup_at = now() + interval '1 h', flagged_at = now()")
    studio.done.add("job-1")

    await line.called(attempt=attempt, id="job-1")
    assert await outcomes(home) == ["linked"]
    [listed] = await line.here.store.list_bills()
    assert (listed.external_id, listed.needs_operator) == ("job-1", False)
    assert await line.here.bills.step()

    [settled] = await home.said(GenerationSettled)
    assert (settled.billing.state, settled.billing.amount_micros, len(settled.late_outputs)) == ("final", PRICE, 1)
    assert len(studio.calls) == 1


async def test_a_duplicate_changes_nothing(home: Home) -> None:
    studio = Studio()
    line = line_of(home, studio)
    attempt = await at_work(home, line)
    for _ in range(3):
        await line.called(attempt=attempt, id="job-1")
        await line.here.work()
    assert len(studio.polls) == 1
    await line.called(attempt=attempt, id="job-1", delivery="d-2")
    await line.here.work()
    assert len(studio.polls) == 2
    assert await outcomes(home) == ["hinted", "duplicate", "duplicate", "hinted"]


async def test_duplicates_that_come_together_are_applied_once(home: Home) -> None:
    studio = Studio()
    line = line_of(home, studio)
    attempt = await at_work(home, line)
    for _ in range(4):
        await line.comes(attempt=attempt, id="job-1")
    async with home.engine.begin() as conn:
        await conn.execute(text("SELECT id FROM tasks FOR UPDATE"))
        step = asyncio.create_task(line.engine.step())
        await all_wait(home, 4)
    assert await step
    assert sorted(filter(None, await outcomes(home))) == ["duplicate"] * 3 + ["hinted"]


async def all_wait(home: Home, many: int) -> None:
    """Returns when so many transactions wait for a row."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    async with asyncio.timeout(20):
        while True:
            [[found]] = await home.rows(waiting)
            if found >= many:
                return
            await asyncio.sleep(0.01)


async def test_an_event_that_is_heard_twice_is_kept_once(home: Home) -> None:
    studio = Studio()
    line = line_of(home, studio)
    event = await line.comes(attempt=await at_work(home, line), id="job-1")
    await line.hears(event, event)
    assert len(await outcomes(home)) == 1


async def test_a_callback_that_comes_before_its_submits_answer_waits_for_it(home: Home) -> None:
    """A provider may be faster than its own answer."""
    studio = Studio()
    line = line_of(home, studio)
    attempt = await at_work(home, line)
    await home.rows("UPDATE tasks SET state = 'leased', external = NULL, next_at = NULL")
    await line.called(attempt=attempt, id="job-1")
    assert await outcomes(home) == [None]
    [task] = await home.rows("SELECT external, next_at FROM tasks")
    assert (task.external, task.next_at) == (None, None)
    assert not line.rings

    await home.rows("UPDATE tasks SET state = 'polling', next_at = now() + interval '300 s'")
    await due_again(home)
    await line.engine.step()
    assert await outcomes(home) == ["linked"]


async def test_a_callback_that_can_never_be_told_is_given_up(home: Home) -> None:
    studio = Studio()
    line = line_of(home, studio)
    attempt = await at_work(home, line)
    await home.rows("UPDATE tasks SET state = 'leased'")
    await line.comes(attempt=attempt, id="job-1")
    await home.rows("UPDATE callbacks SET kept_at = now() - interval '2 h'")
    await line.engine.step()
    assert await outcomes(home) == ["busy"]


async def test_a_callback_after_the_end_is_late(home: Home) -> None:
    studio = Studio()
    line = line_of(home, studio)
    attempt = await at_work(home, line)
    studio.done.add("job-1")
    await line.called(attempt=attempt, id="job-1")
    await line.here.work()
    await line.called(attempt=attempt, id="job-1", delivery="d-2")
    await line.here.work()
    assert await outcomes(home) == ["hinted", "late"]
    assert len(await home.said(GenerationCompleted)) == 1
    assert len(line.rings) == 1


async def test_a_callback_of_a_provider_that_has_been_left_changes_nothing(home: Home) -> None:
    painter, second = Studio(), Studio(name="second")
    line = line_of(home, painter, second, routes=TWO)
    attempt = await at_work(home, line)
    await line.called("second", attempt, id="job-9")
    [task] = await home.rows("SELECT external ->> 'id' AS id, next_at > now() + interval '10 s' AS later FROM tasks")
    assert (task.id, task.later) == ("job-1", True)
    assert await outcomes(home) == ["elsewhere"]


async def test_a_name_that_is_known_is_not_changed_by_a_callback(home: Home) -> None:
    studio = Studio()
    line = line_of(home, studio)
    attempt = await at_work(home, line)
    studio.done.add("job-1")
    await line.called(attempt=attempt, id="somebody-elses")
    await line.here.work()
    assert [ref.external_id for ref in studio.polls] == ["job-1"]


async def test_the_job_of_one_phase_is_never_taken_for_the_next_ones(home: Home) -> None:
    """The address is the attempt's: a late word of the first phase may come while the second's answer is lost."""
    studio = Studio()
    line = line_of(home, studio)
    attempt = await at_work(home, line)
    second = json.dumps({"id": None, "data": {}, "phase": 2, "plan": {}, "spent": 15_000})
    await home.rows("UPDATE tasks SET external = CAST(:second AS json)", second=second)
    await line.called(attempt=attempt, id="job-1")
    [[external, due]] = await home.rows("SELECT external ->> 'id', next_at <= now() FROM tasks")
    assert (external, due) == (None, True)
    assert await outcomes(home) == ["hinted"]


async def test_a_callback_to_an_accounts_address_is_told_by_the_providers_name_or_ours(home: Home) -> None:
    studio = Studio()
    line = line_of(home, studio)
    attempt = await at_work(home, line)
    await line.called(id="job-1")
    await line.called(reference=str(attempt), delivery="d-2")
    await line.called(reference="not ours", delivery="d-3", id="job-1")
    assert await outcomes(home) == ["hinted"] * 3


async def test_a_job_that_nobody_knows_is_waited_for_and_then_left(home: Home) -> None:
    studio = Studio()
    line = line_of(home, studio)
    attempt = await at_work(home, line)
    await line.called(id="job-7")
    await line.called(attempt=uuid4(), id="job-1", delivery="d-2")
    await line.called(delivery="d-3")
    assert await outcomes(home) == [None] * 3
    await home.rows("UPDATE tasks SET external = json_build_object('id', 'job-7')")
    await due_again(home)
    await line.engine.step()
    assert await outcomes(home) == ["hinted", None, None]
    await home.rows("UPDATE callbacks SET kept_at = now() - interval '2 minutes'")
    await due_again(home)
    await line.engine.step()
    assert await outcomes(home) == ["hinted", "unknown_job", "unknown_job"]
    assert attempt


def counted(counter: Any, *labels: str) -> float:
    value: float = counter.labels(*labels)._value.get() if labels else counter._value.get()
    return value


async def test_a_callback_that_is_not_believed_changes_nothing_and_is_counted(home: Home) -> None:
    studio = Studio(refuses=WebhookRefused("bad_signature"))
    line = line_of(home, studio)
    attempt = await at_work(home, line)
    before = counted(CALLBACKS_REFUSED, "painter", "bad_signature")
    await line.called(attempt=attempt, id="job-1")
    [task] = await home.rows("SELECT next_at > now() + interval '10 s' AS later FROM tasks")
    assert task.later
    assert not line.rings
    assert await outcomes(home) == ["refused"]
    assert counted(CALLBACKS_REFUSED, "painter", "bad_signature") == before + 1

    studio.refuses = None
    await line.called(attempt=attempt, id="job-1")
    assert await outcomes(home) == ["refused", "hinted"], "a forged one must not keep the true one out"


async def test_a_callback_whose_keys_cannot_be_had_is_checked_later(home: Home) -> None:
    studio = Studio(refuses=ProviderError(ProviderCode.TEMPORARY, "away"))
    line = line_of(home, studio)
    attempt = await at_work(home, line)
    event = await line.comes(attempt=attempt, id="job-1")
    await line.engine.step()
    assert await outcomes(home) == [None]
    studio.refuses = None
    await due_again(home)
    await line.engine.step()
    assert await outcomes(home) == ["hinted"]
    assert set(studio.seen) == {event.time}, "its age is measured against when it came"

    studio.refuses = ProviderError(ProviderCode.TEMPORARY, "away")
    await line.comes(attempt=attempt, id="job-1", delivery="d-2")
    await home.rows("UPDATE callbacks SET kept_at = now() - interval '2 h' WHERE done_at IS NULL")
    await line.engine.step()
    assert await outcomes(home) == ["hinted", "refused"]


async def test_what_an_adapter_trips_over_is_refused_and_holds_nobody_up(home: Home) -> None:
    studio = Studio()
    line = line_of(home, studio)
    attempt = await at_work(home, line)
    await line.comes("tripping", attempt)
    await line.comes(attempt=attempt, id="job-1")
    await line.comes("gone", attempt)
    await replace(line.engine, providers={"painter": studio, "tripping": _Tripping()}).step()
    assert await outcomes(home) == ["refused", "hinted", "refused"]


class _Tripping(Studio):
    async def parse_webhook(self, headers: Mapping[str, str], body: bytes, received_at: datetime) -> WebhookEvent:
        raise KeyError("id")


async def test_whoever_took_too_long_over_a_callback_writes_nothing(home: Home) -> None:
    studio = Studio()
    line = line_of(home, studio)
    attempt = await at_work(home, line)
    await line.comes(attempt=attempt, id="job-1")
    store = CallbackDatabase(home.engine)
    [slow] = await store.due(5, 60.0)
    assert await store.due(5, 60.0) == [], "it is somebody's"
    await due_again(home)
    [quick] = await store.due(5, 60.0)
    said = WebhookEvent("d-1", JobRef("painter", "job-1"))
    assert await store.apply(slow, said) == "fenced"
    assert await store.apply(quick, said) == "hinted"
    assert await store.apply(quick, said) == "fenced"


async def test_what_is_done_is_emptied_and_in_time_forgotten(home: Home) -> None:
    studio = Studio()
    line = line_of(home, studio)
    attempt = await at_work(home, line)
    await line.called(attempt=attempt, id="job-1")
    await line.comes(attempt=attempt, id="job-1", delivery="d-2")
    [[body]] = await home.rows("SELECT body FROM callbacks WHERE done_at IS NOT NULL")
    assert body is None
    before = counted(CALLBACKS_SWEPT)
    assert not await line.engine.sweep()
    await home.rows("UPDATE callbacks SET done_at = now() - interval '25 h' WHERE done_at IS NOT NULL")
    assert await line.engine.sweep()
    assert counted(CALLBACKS_SWEPT) == before + 1
    assert await outcomes(home) == [None]


async def test_what_was_believed_is_counted_with_its_signature(home: Home) -> None:
    studio = Studio()
    line = line_of(home, studio)
    before = counted(CALLBACKS, "painter", "verified", "hinted")
    await line.called(attempt=await at_work(home, line), id="job-1")
    assert counted(CALLBACKS, "painter", "verified", "hinted") == before + 1


def test_a_callback_is_tried_again_ever_more_seldom() -> None:
    assert callbacks.FIRST_WAIT_S < callbacks.LONGEST_WAIT_S < callbacks.UNKNOWN_S < callbacks.PATIENCE_S


SECRET = "a secret of at least sixteen characters"


@pytest.mark.parametrize("base", ["https://backlot.example", "https://backlot.example/"])
def test_an_address_carries_provider_attempt_and_a_token_of_both(base: str) -> None:
    attempt = uuid4()
    address = callback_address(base, SECRET, "fal", attempt)
    start, _, token = address.rpartition("/")
    assert start == f"https://backlot.example/api/webhooks/fal/{attempt}"
    assert is_path_token(SECRET, token, *callback_parts("fal", str(attempt)))
    assert callback_address(base, SECRET, "fal", attempt) == address


def test_an_accounts_address_names_no_attempt() -> None:
    address = callback_address("http://127.0.0.1:8700", SECRET, "my painter")
    start, _, token = address.rpartition("/")
    assert start == "http://127.0.0.1:8700/api/webhooks/my%20painter"
    assert is_path_token(SECRET, token, *callback_parts("my painter"))
