"""Making, reading, awaiting and stopping jobs over HTTP, on the real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from api_gateway.http.describing import AssetList, Job, JobList, JobWithAssets
from chassis.ids import uuid7
from chassis.testing import eventually
from schemas.jobs import JobCancelRequested, JobRequested
from schemas.parts import ErrorCode
from schemas.prompts import PromptsRejected
from tests.gateway_harness import ASSETS, IMAGE, Gateway, gateway_on, someone
from tests.gateway_stories import completed_picture, prepared

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
    bad = [{"kind": "video", "prompt": "a fox"}, {"kind": "image"}, IMAGE | {"brand_kit_id": str(uuid7())}]

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


async def test_a_finished_picture_is_shown_with_its_url_cost_and_assets(gateway: Gateway) -> None:
    job_id = await gateway.make(visibility="public")
    await gateway.hear_all(completed_picture(job_id, public=True))

    job = await gateway.job(job_id)

    Job.model_validate(job)
    assert (job["status"], job["progress"], job["stage"]) == ("completed", 100, None)
    assert job["cost"] == {
        "estimated": "0.04",
        "reserved": "0.04",
        "actual": "0.039",
        "currency": "USD",
        "settled": True,
    }
    [item] = job["items"]
    assert (item["status"], item["provider"], item["prompt_version"]) == ("completed", "sandbox", "thumbnail@v1.0")
    assert item["url"].startswith(f"{ASSETS}/asset/{item['asset_id']}")
    assert item["cost"] == {"estimated": "0.04", "actual": "0.039"}
    with_assets = (await gateway.client.get(f"/api/v1/jobs/{job_id}", params={"include": "assets"})).json()
    JobWithAssets.model_validate(with_assets)
    listed = (await gateway.client.get(f"/api/v1/jobs/{job_id}/assets")).json()
    AssetList.model_validate(listed)
    assert with_assets["assets"] == listed["items"]
    [asset] = listed["items"]
    assert (asset["width"], asset["height"], asset["mime"], asset["file_size"]) == (1280, 720, "image/png", 1234)
    assert asset["provenance"]["template"] == "thumbnail"


async def test_a_private_picture_is_shown_with_a_signed_url(gateway: Gateway) -> None:
    job_id = await gateway.make()
    await gateway.hear_all(completed_picture(job_id, public=False))

    [item] = (await gateway.job(job_id))["items"]
    [asset] = (await gateway.client.get(f"/api/v1/jobs/{job_id}/assets")).json()["items"]

    for url in (item["url"], item["outputs"][0]["url"], asset["url"]):
        assert url.startswith(f"{ASSETS}/asset/{item['asset_id']}?exp=")
        assert "sig=" in url


async def test_an_asset_address_leads_to_the_bytes(gateway: Gateway) -> None:
    job_id = await gateway.make()
    await gateway.hear_all(completed_picture(job_id, public=False))
    asset_id = (await gateway.job(job_id))["items"][0]["asset_id"]
    nobody = gateway.speaking(None)

    public = await nobody.get(f"/asset/{asset_id}?exp=1&sig=x")
    own = await gateway.client.get(f"/asset/{asset_id}")
    foreign = await (await gateway.client_of(someone())).get(f"/asset/{asset_id}")

    assert [answer.status_code for answer in (public, own, foreign)] == [302, 302, 302]
    assert public.headers["location"] == f"{ASSETS}/asset/{asset_id}?exp=1&sig=x"
    assert "sig=" in own.headers["location"]
    assert foreign.headers["location"] == f"{ASSETS}/asset/{asset_id}"


async def test_a_job_that_did_not_change_is_not_sent_again(gateway: Gateway) -> None:
    job_id = await gateway.make()
    path = f"/api/v1/jobs/{job_id}"
    etag = (await gateway.client.get(path)).headers["etag"]

    same = await gateway.client.get(path, headers={"If-None-Match": f'"0", W/{etag}'})
    await gateway.hear(prepared(job_id))
    changed = await gateway.client.get(path, headers={"If-None-Match": etag})

    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", etag)
    assert changed.status_code == 200
    assert changed.headers["etag"] != etag


async def test_waiting_ends_when_the_job_changes(gateway: Gateway) -> None:
    job_id = await gateway.make()

    waiting = asyncio.create_task(gateway.client.get(f"/api/v1/jobs/{job_id}", params={"wait": 30}))
    await eventually(lambda: _look(gateway.watch.waited_for()))
    await gateway.hear(prepared(job_id))

    answer = await asyncio.wait_for(waiting, 5)
    assert answer.json()["status"] == "processing"
    assert gateway.watch.waited_for() == []


async def test_waiting_ends_when_another_replica_changed_the_job(gateway: Gateway, database_url: str) -> None:
    job_id = await gateway.make()
    etag = (await gateway.client.get(f"/api/v1/jobs/{job_id}")).headers["etag"]
    waiting = asyncio.create_task(
        gateway.client.get(f"/api/v1/jobs/{job_id}", params={"wait": 30}, headers={"If-None-Match": etag})
    )
    await eventually(lambda: _look(gateway.watch.waited_for()))

    async with gateway_on(database_url) as replica:
        await replica.hear(prepared(job_id), tenant_id=gateway.who.tenant_id)
    await eventually(lambda: _looked_for_changes(gateway, waiting))

    answer = await asyncio.wait_for(waiting, 5)
    assert (answer.status_code, answer.json()["status"]) == (200, "processing")


async def test_nobody_waits_for_what_is_already_there(gateway: Gateway) -> None:
    job_id = await gateway.make()
    first = (await gateway.client.get(f"/api/v1/jobs/{job_id}")).headers["etag"]
    await gateway.hear(prepared(job_id))
    path = f"/api/v1/jobs/{job_id}"

    stale = await asyncio.wait_for(
        gateway.client.get(path, params={"wait": 60}, headers={"If-None-Match": first}), timeout=5
    )
    await gateway.hear(PromptsRejected(job_id=job_id, code=ErrorCode.INVALID_REQUEST, message="no such template"))
    ended = await asyncio.wait_for(gateway.client.get(path, params={"wait": 60}), timeout=5)

    assert stale.status_code == 200
    assert ended.json()["status"] == "failed"
    assert "retry-after" not in ended.headers


async def test_a_wait_that_sees_no_change_ends_with_the_job_as_it_is(gateway: Gateway) -> None:
    job_id = await gateway.make()
    path = f"/api/v1/jobs/{job_id}"
    etag = (await gateway.client.get(path)).headers["etag"]

    plain = await gateway.client.get(path, params={"wait": 0.05})
    conditional = await gateway.client.get(path, params={"wait": 0.05}, headers={"If-None-Match": etag})

    assert (plain.status_code, plain.json()["status"]) == (200, "queued")
    assert conditional.status_code == 304


async def test_nobody_is_kept_waiting_when_the_process_ends(gateway: Gateway) -> None:
    job_id = await gateway.make()
    gateway.watch.closing = lambda: True

    answer = await asyncio.wait_for(gateway.client.get(f"/api/v1/jobs/{job_id}", params={"wait": 60}), timeout=5)

    assert answer.json()["status"] == "queued"


async def test_a_job_is_asked_to_stop_once(gateway: Gateway) -> None:
    job_id = await gateway.make()

    first = await gateway.client.post(f"/api/v1/jobs/{job_id}/cancel")
    second = await gateway.client.post(f"/api/v1/jobs/{job_id}/cancel")

    assert (first.status_code, second.status_code) == (202, 202)
    expected = {"state": "cancel_requested", "reason": "user", "charged": "unknown", "amount": None}
    assert first.json()["cancellation"] == second.json()["cancellation"] == expected
    asked = [said for said in await gateway.said("backlot.jobs") if isinstance(said, JobCancelRequested)]
    assert asked == [JobCancelRequested(job_id=job_id, reason="user")]


async def test_a_cancelled_job_says_what_it_cost(gateway: Gateway) -> None:
    job_id = await gateway.make()
    await gateway.client.post(f"/api/v1/jobs/{job_id}/cancel")
    await gateway.hear(PromptsRejected(job_id=job_id, code=ErrorCode.CANCELLED, message="cancelled"))

    job = await gateway.job(job_id)

    assert (job["status"], job["error"]) == ("cancelled", None)
    assert job["cancellation"] == {"state": "cancelled", "reason": "user", "charged": "no", "amount": "0.00"}


async def test_a_job_that_has_ended_cannot_be_cancelled(gateway: Gateway) -> None:
    job_id = await gateway.make()
    await gateway.hear_all(completed_picture(job_id))

    answer = await gateway.client.post(f"/api/v1/jobs/{job_id}/cancel")

    assert (answer.status_code, answer.json()["code"]) == (409, "CONFLICT")
    assert "completed" in answer.json()["detail"]
    assert (await gateway.job(job_id))["cancellation"] is None


async def test_lists_are_newest_first_and_paged(gateway: Gateway) -> None:
    made = [str(await gateway.make()) for _ in range(5)]

    page = (await gateway.client.get("/api/v1/jobs", params={"limit": 2})).json()
    JobList.model_validate(page)
    by_offset = (await gateway.client.get("/api/v1/jobs", params={"limit": 2, "offset": 4})).json()
    by_cursor = (await gateway.client.get("/api/v1/jobs", params={"limit": 2, "cursor": page["next_cursor"]})).json()
    last = (await gateway.client.get("/api/v1/jobs", params={"limit": 2, "cursor": by_cursor["next_cursor"]})).json()
    default = (await gateway.client.get("/api/v1/jobs")).json()
    beyond = (await gateway.client.get("/api/v1/jobs", params={"offset": 50})).json()

    made.reverse()
    assert [item["id"] for item in page["items"]] == made[:2]
    assert [item["id"] for item in by_offset["items"]] == made[4:]
    assert [item["id"] for item in by_cursor["items"]] == made[2:4]
    assert [item["id"] for item in last["items"]] == made[4:]
    assert last["next_cursor"] is None
    assert (page["total"], page["limit"], page["offset"]) == (5, 2, 0)
    assert (default["limit"], default["offset"], len(default["items"])) == (20, 0, 5)
    assert (beyond["total"], beyond["items"]) == (5, [])


async def test_lists_are_filtered_and_counted(gateway: Gateway) -> None:
    plain = await gateway.make(labels={"scene": "1"})
    banner = await gateway.make(asset_type="banner", labels={"scene": "2", "take": "3"})
    done = await gateway.make()
    await gateway.hear_all(completed_picture(done))
    between = (await gateway.job(banner))["created_at"]

    auditor = await gateway.client_of(someone("jobs:read", "tenant:read", tenant_id=gateway.who.tenant_id))

    async def listed(**params: str) -> tuple[list[str], int]:
        answer = await gateway.client.get("/api/v1/jobs", params=params)
        assert (await auditor.get("/api/v1/jobs", params=params)).json() == answer.json()
        assert answer.status_code == 200, answer.text
        return [item["id"] for item in answer.json()["items"]], answer.json()["total"]

    assert await listed(status="completed") == ([str(done)], 1)
    assert await listed(status="queued") == ([str(banner), str(plain)], 2)
    assert await listed(status="failed") == ([], 0)
    assert await listed(kind="image", asset_type="banner") == ([str(banner)], 1)
    assert await listed(**{"label.scene": "2"}) == ([str(banner)], 1)
    assert await listed(**{"label.scene": "2", "label.take": "3"}) == ([str(banner)], 1)
    assert await listed(**{"label.scene": "2", "status": "queued"}) == ([str(banner)], 1)
    assert await listed(**{"label.scene": "2", "created_before": between}) == ([], 0)
    assert await listed(**{"label.scene": "2", "label.take": "4"}) == ([], 0)
    assert await listed(created_after=between) == ([str(done), str(banner)], 2)
    assert await listed(created_before=between, status="queued") == ([str(plain)], 1)


async def _look(answer: object) -> object:
    return answer


async def _looked_for_changes(gateway: Gateway, waiting: asyncio.Task[object]) -> bool:
    await gateway.sweeper.look_for_changes()
    return waiting.done()
