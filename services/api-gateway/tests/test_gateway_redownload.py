"""Asking for what was paid for and never arrived: what is refused, what is said, what the job shows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from api_gateway.http.job_shapes import JobWithAssets
from chassis.ids import uuid7
from schemas.event import Event
from schemas.events import AssetStoreFailed, GenerationFailed, GenerationSettled, JobRedownloadRequested
from schemas.parts import Billing, ErrorCode, Stage
from tests.gateway_harness import Gateway, gateway_on, someone
from tests.gateway_stories import CONTEXT, completed, completed_picture, prepared, quoted, recorded, reserved, stored

pytestmark = pytest.mark.integration

PAID = Billing(state="final", amount_micros=39_000)
GONE = "the provider no longer has the result"


@pytest.fixture
async def gateway(database_url: str) -> AsyncIterator[Gateway]:
    async with gateway_on(database_url) as running:
        yield running


def failed(job_id: UUID, item: int = 1, *, billing: Billing = PAID) -> GenerationFailed:
    return GenerationFailed(
        job_id=job_id,
        item=item,
        attempt=1,
        code=ErrorCode.TEMPORARY,
        message="the download broke off",
        stage=Stage.GENERATING,
        final=True,
        billing=billing,
        provider="sandbox",
        model="s1",
    )


def answer(job_id: UUID, *, item: int = 1, request: int = 1, late: bool = True) -> GenerationSettled:
    return GenerationSettled(
        job_id=job_id,
        item=item,
        attempt=1,
        billing=PAID,
        evidence="the paid result was fetched again" if late else GONE,
        late_outputs=completed(job_id).outputs if late else [],
        asset_context=CONTEXT,
        redownload=request,
    )


async def paid_and_lost(gateway: Gateway, items: int = 1, **body: Any) -> UUID:
    """A job whose items were paid for, and whose results never arrived."""
    job_id = await gateway.make(**body)
    numbers = range(1, items + 1)
    story: list[Event] = [prepared(job_id, items=items), quoted(job_id, *numbers), reserved(job_id, *numbers)]
    for number in numbers:
        story += [failed(job_id, number), recorded(job_id, number)]
    await gateway.hear_all(story)
    return job_id


async def ask(gateway: Gateway, job_id: UUID, status: int = 202, **body: Any) -> dict[str, Any]:
    path = f"/api/v1/jobs/{job_id}/redownload"
    got = await (gateway.client.post(path, json=body) if body else gateway.client.post(path))
    assert got.status_code == status, got.text
    found: dict[str, Any] = got.json()
    return found


async def requests(gateway: Gateway) -> list[tuple[int, int]]:
    """(item, request) of all that provider-worker was asked."""
    said = [event for event in await gateway.said("backlot.jobs") if isinstance(event, JobRedownloadRequested)]
    return [(event.item, event.request) for event in said]


async def test_every_item_that_was_paid_for_and_lost_is_asked_for(gateway: Gateway) -> None:
    job_id = await paid_and_lost(gateway, items=2)

    job = await ask(gateway, job_id)

    assert await requests(gateway) == [(1, 1), (2, 1)]
    JobWithAssets.model_validate(job)
    assert [item["redownload"] for item in job["items"]] == [{"state": "requested", "message": None}] * 2
    assert (job["status"], job["items"][0]["status"]) == ("failed", "failed")


async def test_only_the_named_items_are_asked_for(gateway: Gateway) -> None:
    job_id = await paid_and_lost(gateway, items=3)

    await ask(gateway, job_id, items=[3, 2, 3])

    assert await requests(gateway) == [(3, 1), (2, 1)]


async def test_the_item_shows_what_was_fetched_and_nothing_else_of_the_job_changes(gateway: Gateway) -> None:
    job_id = await paid_and_lost(gateway)
    before = await gateway.job(job_id)
    await ask(gateway, job_id)
    asset_id = uuid7()
    await gateway.hear(answer(job_id), stored(job_id, public=False, late=True, asset_id=asset_id))

    job = await gateway.job(job_id)

    JobWithAssets.model_validate(job)
    [item] = job["items"]
    assert (item["asset_id"], item["redownload"]["state"]) == (str(asset_id), "fetched")
    assert item["url"].startswith(f"https://assets.test/asset/{asset_id}?")
    assert item["error"]["code"] == "TEMPORARY"
    same = ("status", "cost", "error", "completed_at", "progress", "cancellation")
    assert {name: job[name] for name in same} == {name: before[name] for name in same}
    assert (item["cost"], job["late_outputs"]) == (before["items"][0]["cost"], [])
    assets = (await gateway.client.get(f"/api/v1/jobs/{job_id}/assets")).json()["items"]
    assert [(asset["id"], asset["late"], asset["item"]) for asset in assets] == [(str(asset_id), False, 1)]


async def test_what_the_provider_no_longer_has_is_said_and_may_be_asked_for_again(gateway: Gateway) -> None:
    job_id = await paid_and_lost(gateway)
    await ask(gateway, job_id)
    await gateway.hear(answer(job_id, late=False))
    assert (await gateway.job(job_id))["items"][0]["redownload"] == {"state": "failed", "message": GONE}

    job = await ask(gateway, job_id)

    assert job["items"][0]["redownload"]["state"] == "requested"
    assert await requests(gateway) == [(1, 1), (1, 2)]


async def test_a_request_that_is_under_way_is_not_made_twice(gateway: Gateway) -> None:
    job_id = await paid_and_lost(gateway, items=2)
    await ask(gateway, job_id, items=[1])

    await ask(gateway, job_id)

    assert await requests(gateway) == [(1, 1), (2, 1)]


async def test_what_was_fetched_and_could_not_be_stored_is_said(gateway: Gateway) -> None:
    job_id = await paid_and_lost(gateway)
    await ask(gateway, job_id)
    lost = AssetStoreFailed(
        job_id=job_id, item=1, attempt=1, output=0, code=ErrorCode.STORAGE_ERROR, message="no room", late=True
    )
    await gateway.hear(lost, answer(job_id))

    [item] = (await gateway.job(job_id))["items"]

    assert item["redownload"] == {"state": "failed", "message": "what was fetched could not be stored"}


async def test_an_item_whose_output_could_not_be_kept_gets_the_one_that_was_fetched_again(gateway: Gateway) -> None:
    job_id = await gateway.make()
    lost = AssetStoreFailed(job_id=job_id, item=1, attempt=1, output=0, code=ErrorCode.STORAGE_ERROR, message="no room")
    await gateway.hear(prepared(job_id), quoted(job_id), reserved(job_id), completed(job_id), lost, recorded(job_id))
    await ask(gateway, job_id)
    await gateway.hear(answer(job_id), stored(job_id, public=False, late=True))

    job = await gateway.job(job_id)

    assert (job["status"], job["items"][0]["status"]) == ("failed", "failed")
    assert job["items"][0]["asset_id"] is not None


async def test_a_late_output_that_is_here_becomes_the_items_without_a_fetch(gateway: Gateway) -> None:
    job_id = await gateway.make()
    pending = Billing(state="pending")
    asset_id = uuid7()
    await gateway.hear(prepared(job_id), quoted(job_id), reserved(job_id), failed(job_id, billing=pending))
    await gateway.hear(stored(job_id, public=False, late=True, asset_id=asset_id))
    before = await gateway.job(job_id)
    assert ([late["asset_id"] for late in before["late_outputs"]], before["items"][0]["asset_id"]) == (
        [str(asset_id)],
        None,
    )

    job = await ask(gateway, job_id)

    assert await requests(gateway) == []
    assert (job["items"][0]["asset_id"], job["late_outputs"]) == (str(asset_id), [])
    assert job["items"][0]["redownload"]["state"] == "fetched"
    assert job["status"] == "failed"


async def test_where_there_is_nothing_to_fetch_the_sentence_says_why(gateway: Gateway) -> None:
    whole, running, free, open_bill, partial = [await gateway.make() for _ in range(5)]
    await gateway.hear_all(completed_picture(whole))
    await gateway.hear(prepared(running))
    none = Billing(state="none")
    await gateway.hear(prepared(free), quoted(free), reserved(free), failed(free, billing=none))
    await gateway.hear(recorded(free, captured=0))
    pending = Billing(state="pending")
    await gateway.hear(prepared(open_bill), quoted(open_bill), failed(open_bill, billing=pending))
    story = [prepared(partial, items=2, blank=(2,)), *completed_picture(partial)[1:]]
    await gateway.hear_all(story)

    why = {job: (await ask(gateway, job, 409))["detail"] for job in (whole, running, free, open_bill, partial)}

    assert why == {
        whole: "there is nothing to fetch: every item has its asset",
        running: "the job has not ended: what is paid for is still being fetched",
        free: "there is nothing to fetch: nothing was paid for item 1",
        open_bill: "there is nothing to fetch: the bill of item 1 is open; what it brings is fetched by itself",
        partial: "there is nothing to fetch: nothing was paid for item 2",
    }
    named = await ask(gateway, partial, 409, items=[1])
    assert named["detail"] == "there is nothing to fetch: item 1 has its asset"
    assert await requests(gateway) == []


async def test_one_named_item_that_has_nothing_to_fetch_refuses_the_whole_request(gateway: Gateway) -> None:
    job_id = await paid_and_lost(gateway, items=2)
    await ask(gateway, job_id, items=[1])
    await gateway.hear(answer(job_id), stored(job_id, public=False, late=True))

    refused = await ask(gateway, job_id, 409, items=[1, 2])

    assert refused["detail"] == "there is nothing to fetch: item 1 has its asset"
    assert await requests(gateway) == [(1, 1)]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [({"items": [1, 7]}, "/items/1"), ({"items": []}, "/items"), ({"items": [0]}, "/items/0"), ({"item": 1}, "/item")],
)
async def test_a_wrong_body_names_its_field(gateway: Gateway, body: dict[str, Any], pointer: str) -> None:
    job_id = await paid_and_lost(gateway)

    refused = await ask(gateway, job_id, 422, **body)

    assert [error["pointer"] for error in refused["errors"]] == [pointer]
    assert await requests(gateway) == []


async def test_only_the_owner_may_ask_and_a_strangers_job_is_missing(gateway: Gateway) -> None:
    job_id = await paid_and_lost(gateway)
    path = f"/api/v1/jobs/{job_id}/redownload"
    colleague = await gateway.client_of(someone("jobs:write", "tenant:read", tenant_id=gateway.who.tenant_id))
    stranger = await gateway.client_of(someone())
    reader = await gateway.client_of(someone("jobs:read", tenant_id=gateway.who.tenant_id, user_id=gateway.who.user_id))

    found = [(await client.post(path)).status_code for client in (colleague, stranger, reader)]
    missing = await gateway.client.post(f"/api/v1/jobs/{uuid7()}/redownload")

    assert (found, missing.status_code) == ([403, 404, 403], 404)
    assert await requests(gateway) == []


async def test_the_document_says_that_the_body_may_be_left_out(gateway: Gateway) -> None:
    document = (await gateway.client.get("/openapi.json")).json()

    route = document["paths"]["/api/v1/jobs/{job_id}/redownload"]["post"]
    assert route["requestBody"]["required"] is False
    assert document["components"]["schemas"]["RedownloadRequest"]["properties"].keys() == {"items"}
