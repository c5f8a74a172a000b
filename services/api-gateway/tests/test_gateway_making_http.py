"""Making jobs over HTTP, on the real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from api_gateway.http.job_shapes import Job
from chassis.ids import uuid7
from schemas.jobs import JobRequested
from tests.gateway_harness import IMAGE, Gateway, gateway_on, someone
from tests.gateway_stories import prepared

pytestmark = pytest.mark.integration


@pytest.fixture
async def gateway(database_url: str) -> AsyncIterator[Gateway]:
    async with gateway_on(database_url) as running:
        yield running


async def test_a_job_is_accepted_with_its_event_in_one_commit(gateway: Gateway) -> None:
    answer = await gateway.client.post("/api/v1/jobs", json=IMAGE | {"labels": {"scene": "12"}, "max_cost": "0.50"})

    assert answer.status_code == 202, answer.text
    job = answer.json()
    Job.model_validate(job)
    assert (job["status"], job["progress"], job["labels"]) == ("queued", 0, {"scene": "12"})
    assert answer.headers["location"] == f"/api/v1/jobs/{job['id']}"
    assert answer.headers["etag"] == '"1"'
    assert answer.headers["retry-after"] == "1"
    assert await gateway.job(UUID(job["id"])) == job
    [said] = await gateway.said("backlot.jobs")
    assert isinstance(said, JobRequested)
    assert (said.job_id, said.max_cost_micros) == (UUID(job["id"]), 500_000)
    assert said.request.prompt == IMAGE["prompt"]


async def test_the_short_form_makes_the_same_job_as_the_long_one(gateway: Gateway) -> None:
    kit = (await gateway.client.post("/api/v1/brand-kits", json={"name": "Neon", "tone": "bold"})).json()
    short = {"asset_type": "thumbnail", "brand_kit_id": kit["id"], "custom_prompt": "finals night"}
    key = {"Idempotency-Key": "one click"}

    first = await gateway.client.post("/api/v1/generate", json=short, headers=key)
    long = {"asset_type": "thumbnail", "brand_kit_id": kit["id"], "prompt": "finals night", "width": 1280}
    second = await gateway.client.post("/api/v1/jobs", json=long, headers=key)

    assert (first.status_code, second.status_code) == (202, 202), second.text
    assert first.json() == second.json()
    assert first.json()["asset_type"] == "thumbnail"
    [said] = await gateway.said("backlot.jobs")
    assert isinstance(said, JobRequested)
    assert (said.request.width, said.request.height) == (1280, 720)


async def test_a_kit_that_was_just_made_is_used_at_once_and_pinned(gateway: Gateway) -> None:
    kit = (await gateway.client.post("/api/v1/brand-kits", json={"name": "Neon", "tone": "bold"})).json()
    await gateway.client.put(f"/api/v1/brand-kits/{kit['id']}", json={"name": "Neon", "tone": "calm"})
    gateway.prompts.away = True

    job = await gateway.make(asset_type="banner", brand_kit_id=kit["id"])

    [said] = await gateway.said("backlot.jobs")
    assert isinstance(said, JobRequested)
    assert said.brand_kit is not None
    assert (said.job_id, said.brand_kit.id, said.brand_kit.version) == (job, UUID(kit["id"]), 2)


async def test_a_kit_this_gateway_never_saw_is_asked_for_once(gateway: Gateway) -> None:
    kit_id = uuid7()
    gateway.prompts.kits[gateway.who.tenant_id, kit_id] = {"id": str(kit_id), "version": 3, "name": "Old"}

    await gateway.make(asset_type="banner", brand_kit_id=str(kit_id))
    await gateway.make(asset_type="banner", brand_kit_id=str(kit_id))

    assert gateway.prompts.asked == 1
    pinned = [
        said.brand_kit.version for said in await gateway.said() if isinstance(said, JobRequested) and said.brand_kit
    ]
    assert pinned == [3, 3]


async def test_an_unknown_kit_is_not_found_and_another_tenants_is_unknown(gateway: Gateway) -> None:
    foreign = uuid7()
    gateway.prompts.kits[uuid7(), foreign] = {"id": str(foreign), "version": 1}

    for kit_id in (uuid7(), foreign):
        answer = await gateway.client.post(
            "/api/v1/generate", json={"asset_type": "banner", "brand_kit_id": str(kit_id)}
        )
        assert answer.status_code == 404
        assert answer.json()["code"] == "NOT_FOUND"
        assert [error["pointer"] for error in answer.json()["errors"]] == ["/brand_kit_id"]
    assert await gateway.said() == []


async def test_an_unknown_kit_names_the_service_that_is_away(gateway: Gateway) -> None:
    gateway.prompts.away = True

    answer = await gateway.client.post("/api/v1/generate", json={"asset_type": "banner", "brand_kit_id": str(uuid7())})

    assert (answer.status_code, answer.json()["code"]) == (503, "UNAVAILABLE")
    assert "prompt-service" in answer.json()["detail"]
    assert "retry-after" in answer.headers


async def test_a_deleted_kit_cannot_be_used_any_more(gateway: Gateway) -> None:
    kit = (await gateway.client.post("/api/v1/brand-kits", json={"name": "Neon", "tone": "bold"})).json()
    assert (await gateway.client.delete(f"/api/v1/brand-kits/{kit['id']}")).status_code == 204

    answer = await gateway.client.post("/api/v1/generate", json={"asset_type": "banner", "brand_kit_id": kit["id"]})

    assert answer.status_code == 404


async def test_what_is_wrong_with_a_kit_is_told_in_prompt_services_words(gateway: Gateway) -> None:
    answer = await gateway.client.post("/api/v1/brand-kits", json={"tone": "bold"})

    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"pointer": "/name", "detail": "is required"}]


async def test_many_jobs_are_made_in_one_commit_and_each_is_answered(gateway: Gateway) -> None:
    bad = [{"kind": "hologram", "prompt": "a fox"}, {"kind": "image"}, IMAGE | {"brand_kit_id": str(uuid7())}]

    answer = await gateway.client.post("/api/v1/jobs/bulk", json={"jobs": [IMAGE] * 497 + bad})

    assert answer.status_code == 202, answer.text
    body = answer.json()
    assert (body["accepted"], body["refused"]) == (497, 3)
    assert [item["index"] for item in body["items"]] == list(range(500))
    refusals = [
        (item["status"], item["error"]["code"], item["error"]["errors"][0]["pointer"]) for item in body["items"][497:]
    ]
    assert refusals == [
        (422, "INVALID_REQUEST", "/kind"),
        (422, "INVALID_REQUEST", "/prompt"),
        (404, "NOT_FOUND", "/brand_kit_id"),
    ]
    commits = await gateway.run("SELECT count(*), count(DISTINCT xmin::text), count(DISTINCT created_at) FROM job")
    assert commits.one() == (497, 1, 1)
    assert len(await gateway.said("backlot.jobs")) == 497


async def test_a_repeated_bulk_request_gets_the_same_jobs(gateway: Gateway) -> None:
    key = {"Idempotency-Key": "batch 7"}
    kit_id = uuid7()
    gateway.prompts.kits[gateway.who.tenant_id, kit_id] = {"id": str(kit_id), "version": 1}
    jobs = {"jobs": [IMAGE, IMAGE | {"count": 2}, {"asset_type": "banner", "brand_kit_id": str(kit_id)}]}

    first = (await gateway.client.post("/api/v1/jobs/bulk", json=jobs, headers=key)).json()
    second = (await gateway.client.post("/api/v1/jobs/bulk", json=jobs, headers=key)).json()
    other = (await gateway.client.post("/api/v1/jobs/bulk", json={"jobs": [IMAGE, IMAGE]}, headers=key)).json()

    assert first == second
    assert first["accepted"] == 3
    assert [item["status"] for item in other["items"]] == [202, 409]
    assert len(await gateway.said("backlot.jobs")) == 3


async def test_the_same_key_with_the_same_body_is_the_same_job(gateway: Gateway) -> None:
    key = {"Idempotency-Key": "action 1"}

    first = await gateway.client.post("/api/v1/jobs", json=IMAGE, headers=key)
    await gateway.hear(prepared(UUID(first.json()["id"])))
    second = await gateway.client.post("/api/v1/jobs", json={**IMAGE, "count": 1, "labels": {}}, headers=key)

    assert second.status_code == 202
    assert second.json()["id"] == first.json()["id"]
    assert second.json()["status"] == "processing"
    assert second.headers["idempotency-replayed"] == "true"
    assert len(await gateway.said("backlot.jobs")) == 1


async def test_the_same_key_with_another_body_is_refused(gateway: Gateway) -> None:
    key = {"Idempotency-Key": "action 1"}
    await gateway.client.post("/api/v1/jobs", json=IMAGE, headers=key)

    answer = await gateway.client.post("/api/v1/jobs", json=IMAGE | {"seed": 7}, headers=key)

    assert (answer.status_code, answer.json()["code"]) == (409, "IDEMPOTENCY_MISMATCH")
    assert answer.json()["errors"][0]["pointer"] == "/header/Idempotency-Key"
    assert len(await gateway.said("backlot.jobs")) == 1


async def test_fifty_at_once_with_one_key_are_one_job(gateway: Gateway) -> None:
    key = {"Idempotency-Key": "impatient"}

    answers = await asyncio.gather(*(gateway.client.post("/api/v1/jobs", json=IMAGE, headers=key) for _ in range(50)))

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(await gateway.said("backlot.jobs")) == 1


async def test_two_gateways_racing_for_one_key_make_one_job(gateway: Gateway, database_url: str) -> None:
    async with gateway_on(database_url) as replica:
        other = await replica.client_of(gateway.who)
        clients = [gateway.client, other] * 10
        key = {"Idempotency-Key": "racing"}
        answers = await asyncio.gather(*(client.post("/api/v1/jobs", json=IMAGE, headers=key) for client in clients))

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(await gateway.said("backlot.jobs")) == 1


async def test_a_key_belongs_to_its_tenant_and_its_user(gateway: Gateway) -> None:
    key = {"Idempotency-Key": "shared"}
    stranger = await gateway.client_of(someone())
    colleague = await gateway.client_of(someone(tenant_id=gateway.who.tenant_id))

    mine = await gateway.client.post("/api/v1/jobs", json=IMAGE, headers=key)
    theirs = await stranger.post("/api/v1/jobs", json=IMAGE, headers=key)
    his = await colleague.post("/api/v1/jobs", json=IMAGE, headers=key)

    assert (mine.status_code, theirs.status_code, his.status_code) == (202, 202, 409)
    assert mine.json()["id"] != theirs.json()["id"]


async def test_a_job_that_could_not_be_made_does_not_use_up_its_key(gateway: Gateway) -> None:
    key = {"Idempotency-Key": "again"}
    kit_id = uuid7()
    body = {"asset_type": "banner", "brand_kit_id": str(kit_id)}
    assert (await gateway.client.post("/api/v1/generate", json=body, headers=key)).status_code == 404

    gateway.prompts.kits[gateway.who.tenant_id, kit_id] = {"id": str(kit_id), "version": 1}

    assert (await gateway.client.post("/api/v1/generate", json=body, headers=key)).status_code == 202
