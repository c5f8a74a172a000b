"""The projection on the real database: batches, replays, time, and what is said of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic_core import from_json, to_json

from api_gateway.events import Hearing
from api_gateway.facts import Fact, FactKind
from api_gateway.store.projecting import Heard, project
from api_gateway.store.remembering import Remembered
from api_gateway.store.totals import Shard
from chassis.ids import uuid7
from chassis.outbox import Outbox
from chassis.testing import event_of
from schemas.event import Event
from schemas.events import (
    GenerationCancelled,
    JobCancelled,
    JobCancelRequested,
    JobCompleted,
    JobFailed,
    JobRequested,
    JobSettled,
    PromptsRejected,
)
from schemas.parts import Billing, ErrorCode, Stage
from tests.gateway_fold import facts_in
from tests.gateway_harness import Gateway, gateway_on
from tests.gateway_histories import histories
from tests.gateway_services_model import History
from tests.gateway_stories import completed, completed_picture, prepared, quoted, recorded, reserved, stored

pytestmark = pytest.mark.integration


@pytest.fixture
async def gateway(database_url: str) -> AsyncIterator[Gateway]:
    async with gateway_on(database_url, cancel_patience=0.001) as running:
        yield running


async def shown(gateway: Gateway, job_id: UUID) -> dict[str, object]:
    """Everything a user can see of a job that does not depend on when it was heard."""
    job = (await gateway.client.get(f"/api/v1/jobs/{job_id}", params={"include": "assets"})).json()
    return {name: value for name, value in job.items() if name not in {"id", "version"} and not name.endswith("_at")}


def of_job(told: Event, job_id: UUID, assets: dict[UUID, UUID]) -> Event:
    """The same event about another job and, as in life, other assets; `assets` says which for which."""
    changes: dict[str, object] = {"job_id": job_id}
    if hasattr(told, "asset_id"):
        changes["asset_id"] = assets.setdefault(told.asset_id, uuid7())
    return told.model_copy(update=changes)


async def test_any_order_and_repetition_gives_the_same_rows(gateway: Gateway) -> None:
    """The law of the pure projection holds for its tables as well: 25 histories, each told twice.

    The second time to a process that remembers nothing between two batches.
    """
    forgetful = Hearing(Outbox("/services/api-gateway"), gateway.watch, Remembered(most=0))
    found: list[History] = []

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(history=histories(cancel=False))
    def collect(history: History) -> None:
        found.append(history)

    collect()
    for history in found:
        in_order, shuffled = await gateway.make(), await gateway.make()
        events = [told for told in history.told if isinstance(told, Event)]
        assets: dict[UUID, UUID] = {}
        for event in events:
            await gateway.hear(of_job(event, in_order, assets))
        again = _shuffled(events)
        assets = {}
        for start in range(0, len(again), 3):
            batch = [of_job(event, shuffled, assets) for event in again[start : start + 3]]
            async with gateway.engine.begin() as conn:
                enveloped = [event_of(event, tenant_id=gateway.who.tenant_id) for event in batch]
                await forgetful.hear(conn, enveloped, shard=Shard.OWN)

        first, second = await shown(gateway, in_order), await shown(gateway, shuffled)
        assert _without_ids(first) == _without_ids(second)


def _shuffled(events: list[Event]) -> list[Event]:
    """Backwards, every third event twice: as far from the order of life as can be."""
    return list(reversed(events)) + events[::3]


def _without_ids(value: object) -> object:
    """Nor what follows from ids: the signature of an address is over the asset's."""
    if isinstance(value, str):
        return value.partition("?")[0] if value.startswith("https://") else value
    if isinstance(value, dict):
        hidden = {"asset_id", "id", "job_id", "url", "created_at"}
        return {name: _without_ids(part) for name, part in value.items() if name not in hidden}
    if isinstance(value, list):
        return [_without_ids(part) for part in value]
    return value


async def test_an_asset_is_listed_whatever_is_heard_last(gateway: Gateway) -> None:
    for last in range(7):
        job_id = await gateway.make()
        story = completed_picture(job_id)
        await gateway.hear_all([*story[:last], *story[last + 1 :]])
        await gateway.hear(story[last])

        listed = (await gateway.client.get(f"/api/v1/jobs/{job_id}/assets")).json()
        assert [asset["item"] for asset in listed["items"]] == [1], type(story[last]).__name__


async def test_a_batch_changes_each_of_its_jobs_once(gateway: Gateway) -> None:
    jobs = [await gateway.make() for _ in range(20)]

    await gateway.hear_all([event for job in jobs for event in completed_picture(job)])

    assert (await gateway.run("SELECT DISTINCT version FROM job")).scalars().all() == [2]
    ended = Counter(type(said) for said in await gateway.said("backlot.job-results"))
    assert ended == {JobCompleted: 20, JobSettled: 20}


async def test_a_repeated_event_changes_nothing(gateway: Gateway) -> None:
    job_id = await gateway.make()
    story = completed_picture(job_id)
    await gateway.hear_all(story)
    before = await gateway.job(job_id)

    await gateway.hear_all(story)

    assert await gateway.job(job_id) == before
    assert len(await gateway.said("backlot.job-results")) == 2


async def test_batches_about_the_same_jobs_do_not_lose_each_others_facts(gateway: Gateway) -> None:
    jobs = [await gateway.make() for _ in range(10)]
    stories = [completed_picture(job) for job in jobs]
    batches = [[story[step] for story in stories] for step in range(7)]

    await asyncio.gather(*(gateway.hear_all(batch[:: 1 if index % 2 else -1]) for index, batch in enumerate(batches)))

    found = [await gateway.job(job) for job in jobs]
    assert {job["status"] for job in found} == {"completed"}
    assert all(job["cost"]["settled"] for job in found)
    assert len(await gateway.said("backlot.job-results")) == 20


async def test_totals_follow_every_move(gateway: Gateway) -> None:
    done, failing, waiting = [await gateway.make() for _ in range(3)]
    await gateway.hear_all(completed_picture(done))
    await gateway.hear(PromptsRejected(job_id=failing, code=ErrorCode.INVALID_REQUEST, message="no"))
    await gateway.hear(prepared(waiting))

    counted = await gateway.run("SELECT status, sum(jobs)::int FROM job_total GROUP BY status HAVING sum(jobs) <> 0")
    read = await gateway.run("SELECT status, count(*)::int FROM job GROUP BY status")
    assert sorted(map(tuple, counted.all())) == sorted(map(tuple, read.all()))


async def test_a_contradiction_leaves_a_sealed_job_as_it_was_told(gateway: Gateway) -> None:
    job_id = await gateway.make()
    await gateway.hear_all(completed_picture(job_id))

    await gateway.hear(PromptsRejected(job_id=job_id, code=ErrorCode.INVALID_REQUEST, message="too late"))

    assert (await gateway.job(job_id))["status"] == "completed"
    assert len(await gateway.said("backlot.job-results")) == 2


async def test_traces_of_events_go_on_in_what_is_said_because_of_them(gateway: Gateway) -> None:
    job_id = await gateway.make()
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    rejected = Fact(0, 0, FactKind.REJECTED, 0, {"code": "INVALID_REQUEST", "message": "no"})
    async with gateway.engine.begin() as conn:
        await project(
            conn,
            Outbox("/services/api-gateway"),
            [Heard(job_id, gateway.who.tenant_id, [rejected], trace)],
            Shard.OWN,
            Remembered(),
        )

    headers = (await gateway.run("SELECT headers FROM outbox WHERE topic = 'backlot.job-results'")).scalars().all()
    assert len(headers) == 2
    assert all(trace in text for text in headers)


async def test_a_passed_deadline_asks_the_job_to_stop_once(gateway: Gateway) -> None:
    overdue, patient = await gateway.make(deadline_seconds=1), await gateway.make(deadline_seconds=3600)
    done = await gateway.make(deadline_seconds=1)
    await gateway.hear_all(completed_picture(done))
    await gateway.run("UPDATE job SET deadline_at = deadline_at - interval '2 seconds'")

    await asyncio.gather(*(gateway.sweeper.stop_overdue() for _ in range(3)))

    asked = [said for said in await gateway.said("backlot.jobs") if isinstance(said, JobCancelRequested)]
    assert asked == [JobCancelRequested(job_id=overdue, reason="deadline")]
    assert (await gateway.job(overdue))["cancellation"]["reason"] == "deadline"
    assert (await gateway.job(patient))["cancellation"] is None


async def test_a_job_that_stopped_in_time_is_not_given_up(gateway: Gateway) -> None:
    job_id = await gateway.make()
    await gateway.client.post(f"/api/v1/jobs/{job_id}/cancel")
    await gateway.hear(PromptsRejected(job_id=job_id, code=ErrorCode.CANCELLED, message="cancelled"))

    await gateway.sweeper.give_up()

    assert [type(said) for said in await gateway.said("backlot.job-results")] == [JobCancelled, JobSettled]


async def test_an_unanswered_request_to_stop_is_sealed_by_the_gateway(gateway: Gateway) -> None:
    job_id = await gateway.make(deadline_seconds=1)
    await gateway.hear_all([prepared(job_id), quoted(job_id), reserved(job_id)])
    await gateway.run("UPDATE job SET deadline_at = now()")
    await gateway.sweeper.stop_overdue()

    await gateway.sweeper.give_up()
    sealed = await gateway.job(job_id)
    await gateway.hear_all([completed(job_id), stored(job_id, public=False), recorded(job_id)])
    late = await gateway.job(job_id)

    assert (sealed["status"], sealed["error"]["code"], sealed["cost"]["settled"]) == ("failed", "TIMEOUT", False)
    assert sealed["error"]["stage"] == "generating"
    assert (late["status"], late["items"][0]["status"]) == ("failed", "failed")
    assert [output["asset_id"] is not None for output in late["late_outputs"]] == [True]
    assert late["cost"] == {
        "estimated": "0.04",
        "reserved": "0.04",
        "actual": "0.039",
        "currency": "USD",
        "settled": True,
    }
    failed, settled = await gateway.said("backlot.job-results")
    assert isinstance(failed, JobFailed)
    assert (failed.settled, settled) == (False, JobSettled(job_id=job_id, cost_micros=39_000, currency="USD"))
    assets = (await gateway.client.get(f"/api/v1/jobs/{job_id}/assets")).json()["items"]
    assert [asset["late"] for asset in assets] == [True]


async def test_a_job_given_up_before_any_quote_is_settled(gateway: Gateway) -> None:
    job_id = await gateway.make()
    await gateway.client.post(f"/api/v1/jobs/{job_id}/cancel")
    await gateway.sweeper.give_up()

    job = await gateway.job(job_id)
    assert (job["status"], job["cost"]["settled"]) == ("cancelled", True)
    assert job["cancellation"] == {"state": "cancelled", "reason": "user", "charged": "no", "amount": "0.00"}

    await gateway.hear_all(
        [
            prepared(job_id),
            GenerationCancelled(
                job_id=job_id, item=1, attempt=0, message="x", stage=Stage.GENERATING, billing=Billing(state="none")
            ),
        ]
    )
    assert (await gateway.job(job_id))["status"] == "cancelled"


async def test_a_job_nobody_answers_is_said_again_less_and_less_often(gateway: Gateway) -> None:
    silent, answered, stopped = [await gateway.make() for _ in range(3)]
    await gateway.hear(prepared(answered))
    await gateway.client.post(f"/api/v1/jobs/{stopped}/cancel")
    await gateway.run("UPDATE job SET requested_at = now() - interval '90 seconds'")
    first = [said for said in await gateway.said() if isinstance(said, JobRequested) and said.job_id == silent]

    await asyncio.gather(*(gateway.sweeper.request_again() for _ in range(3)))

    again = [said for said in await gateway.said() if isinstance(said, JobRequested) and said.job_id == silent]
    assert again == first * 2
    ids = (await gateway.run("SELECT count(DISTINCT id), count(*) FROM outbox WHERE topic = 'backlot.jobs'")).one()
    assert ids[0] == ids[1] == 5
    waits = (await gateway.run("SELECT requests FROM job ORDER BY requests")).scalars().all()
    assert waits == [1, 1, 2]


async def test_a_stale_job_waits_twice_as_long_each_time(database_url: str) -> None:
    async with gateway_on(database_url) as gateway:
        await gateway.make()
        said = []
        for minutes in (0.9, 1.1, 1.1, 2.1, 3.9, 4.1):
            await gateway.run(f"UPDATE job SET requested_at = now() - interval '{minutes} minutes'")
            await gateway.sweeper.request_again()
            said.append(len(await gateway.said("backlot.jobs")))

    assert said == [1, 2, 2, 3, 3, 4]


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_facts_survive_the_way_through_json(data: st.DataObject) -> None:
    history = data.draw(histories())
    for fact in facts_in(history.told):
        assert fact._replace(body=from_json(to_json(fact.body))) == fact
