"""What goes wrong at a provider, what is stopped and what is too dear: how it ends, and what it has cost."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import httpx
import pytest

from tests import kafka_client
from tests.running import Live, ended, make, small, submit, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

PRICE = 40_000


@pytest.fixture(autouse=True)
async def the_books_agree(live: Live) -> Any:
    """Whatever a test does: afterwards the ledger says what the sandbox's own bill says, and nothing is held."""
    yield
    await live.books_agree()


async def test_a_picture_costs_what_the_provider_was_paid(live: Live, owner: httpx.AsyncClient) -> None:
    job = await make(owner, small(count=2))

    assert job["cost"] == {
        "estimated": "0.08",
        "reserved": "0.08",
        "actual": "0.08",
        "currency": "USD",
        "settled": True,
    }
    assert [item["cost"] for item in job["items"]] == [{"estimated": "0.04", "actual": "0.04"}] * 2
    assert await live.paid(job["id"]) == await live.captured(job["id"]) == 2 * PRICE


async def test_a_prompt_against_the_policy_fails_and_costs_nothing(live: Live, owner: httpx.AsyncClient) -> None:
    job = await make(owner, small("a fox [[sim:policy]]"))

    failed_with(job, "CONTENT_POLICY")
    assert "refused" in job["error_message"]
    assert await live.paid(job["id"]) == await live.captured(job["id"]) == 0


async def test_a_provider_that_fails_is_not_paid(live: Live, owner: httpx.AsyncClient) -> None:
    job = await make(owner, small("a fox [[sim:fail]]"))

    failed_with(job, "PROVIDER_ERROR")
    assert await live.paid(job["id"]) == await live.captured(job["id"]) == 0


async def test_a_job_of_which_one_item_fails_is_partial_and_costs_what_was_made(
    live: Live, owner: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    job = await make(owner, small("a fox [[sim:fail8]]", count=3, seed=7))

    assert (job["status"], job["error"]["code"], job["progress"]) == ("partial", "PROVIDER_ERROR", 100)
    assert [item["status"] for item in job["items"]] == ["completed", "failed", "completed"]
    failed = job["items"][1]
    assert (failed["error"]["code"], failed["outputs"], failed["url"]) == ("PROVIDER_ERROR", [], None)
    for item in (job["items"][0], job["items"][2]):
        answer = await stranger.get(item["url"])
        assert hashlib.sha256(answer.content).hexdigest() == item["outputs"][0]["sha256"]
    assert [item["cost"]["actual"] for item in job["items"]] == ["0.04", "0.00", "0.04"]
    assert job["cost"]["actual"] == "0.08"
    assert await live.paid(job["id"]) == await live.captured(job["id"]) == 2 * PRICE
    await live.all_told()
    told = [
        record
        for record in kafka_client.read(live.info.kafka, ["backlot.job-results"])
        if record.key == job["id"].encode()
    ]
    assert [record.texts["ce_type"] for record in told] == ["dev.backlot.job.partial.v1", "dev.backlot.job.settled.v1"]
    assert [asset["item"] for asset in json.loads(told[0].value or b"")["assets"]] == [1, 3]


async def test_a_provider_that_is_away_for_a_moment_is_asked_again_in_the_same_paid_attempt(
    live: Live, owner: httpx.AsyncClient
) -> None:
    job = await make(owner, small("a fox [[sim:http500x2]]"))

    completed_once(job)
    assert await live.paid(job["id"]) == await live.captured(job["id"]) == PRICE


async def test_bytes_that_are_no_picture_are_not_passed_on_though_they_were_paid(
    live: Live, owner: httpx.AsyncClient
) -> None:
    job = await make(owner, small("a fox [[sim:corrupt]]"))

    failed_with(job, "CORRUPT_OUTPUT", "uploading")
    paid = await live.paid(job["id"])
    assert paid == await live.captured(job["id"]) == job["items"][0]["attempt"] * PRICE > 0
    assert float(job["cost"]["actual"]) * 1_000_000 == pytest.approx(paid)


async def test_an_answer_that_got_lost_on_its_way_is_found_and_paid_once(live: Live, owner: httpx.AsyncClient) -> None:
    job = await make(owner, small("a fox [[sim:drop_after_accept]]"))

    completed_once(job)
    assert await live.paid(job["id"]) == await live.captured(job["id"]) == PRICE


async def test_a_job_may_cost_exactly_what_it_costs(live: Live, owner: httpx.AsyncClient) -> None:
    job = await make(owner, small(count=2, max_cost="0.08"))

    assert job["status"] == "completed"
    assert await live.captured(job["id"]) == 2 * PRICE


async def test_a_job_that_may_cost_too_little_fails_before_anything_is_spent(
    live: Live, owner: httpx.AsyncClient
) -> None:
    job = await make(owner, small(count=2, max_cost="0.079999"))

    failed_with(job, "BUDGET_EXCEEDED")
    assert (job["cost"]["reserved"], job["cost"]["actual"]) == ("0.00", "0.00")
    assert await live.paid(job["id"]) == await live.captured(job["id"]) == 0


async def test_a_job_that_is_stopped_at_once_says_truly_what_came_of_it(live: Live, owner: httpx.AsyncClient) -> None:
    job = await submit(owner, small("a fox"))
    asked = await owner.post(f"/api/v1/jobs/{job['id']}/cancel")
    assert asked.status_code == 202
    assert asked.json()["cancellation"]["state"] == "cancel_requested"

    job = await ended(owner, job["id"])
    assert job["cancellation"]["state"] in {"cancelled", "completed_anyway"}
    assert (job["status"] == "cancelled") == (job["cancellation"]["state"] == "cancelled")
    assert job["cancellation"]["charged"] == ("no" if job["status"] == "cancelled" else "yes")
    assert await live.paid(job["id"]) == await live.captured(job["id"]) == (job["status"] == "completed") * PRICE


async def test_a_job_that_waits_for_its_provider_is_stopped_and_what_was_held_is_given_back(
    live: Live, owner: httpx.AsyncClient
) -> None:
    job = await submit(owner, small("a fox [[sim:http500x3]]"))

    async def is_held() -> bool:
        return bool((await owner.get(f"/api/v1/jobs/{job['id']}")).json()["stage"] == "generating")

    await until(is_held, "the job does not reach its provider")
    await owner.post(f"/api/v1/jobs/{job['id']}/cancel")
    job = await ended(owner, job["id"])

    assert job["status"] == "cancelled"
    assert job["cancellation"] == {"state": "cancelled", "reason": "user", "charged": "no", "amount": "0.00"}
    assert [(item["status"], item["error"]["code"]) for item in job["items"]] == [("cancelled", "CANCELLED")]
    assert await live.paid(job["id"]) == await live.captured(job["id"]) == 0


async def test_what_has_ended_cannot_be_stopped(owner: httpx.AsyncClient) -> None:
    job = await make(owner, small())
    refused = await owner.post(f"/api/v1/jobs/{job['id']}/cancel")

    assert (refused.status_code, refused.json()["code"]) == (409, "CONFLICT")
    later = (await owner.get(f"/api/v1/jobs/{job['id']}")).json()
    assert unsigned(later) == unsigned(job)


async def test_a_job_that_is_not_made_in_time_ends_at_its_deadline(live: Live, owner: httpx.AsyncClient) -> None:
    job = await make(owner, small("a fox [[sim:http500x4]]", deadline_seconds=4))

    failed_with(job, "TIMEOUT")
    assert await live.paid(job["id"]) == await live.captured(job["id"])


def unsigned(job: dict[str, Any]) -> str:
    """The job without the signatures of its addresses, which live from each answer on."""
    return re.sub(r"exp=\d+&sig=[\w.-]+", "", json.dumps(job))


def failed_with(job: dict[str, Any], code: str, stage: str = "generating") -> None:
    """Job and items failed in that stage; there is nothing to download."""
    assert (job["status"], job["error"]["code"], job["error"]["stage"]) == ("failed", code, stage)
    assert job["error_message"]
    for item in job["items"]:
        assert (item["status"], item["error"]["code"], item["error"]["stage"]) == ("failed", code, stage)
        assert (item["outputs"], item["asset_id"], item["url"]) == ([], None, None)


def completed_once(job: dict[str, Any]) -> None:
    """The job has its picture, from its first attempt."""
    assert (job["status"], job["progress"], job["error"]) == ("completed", 100, None)
    assert [(item["status"], item["attempt"]) for item in job["items"]] == [("completed", 1)]
    assert job["cost"]["actual"] == "0.04"
