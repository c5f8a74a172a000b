"""Reading, awaiting, listing and stopping jobs over HTTP, on the real database."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from api_gateway.http.job_shapes import AssetList, Job, JobList, JobWithAssets
from chassis.ids import uuid7, uuid7_floor
from chassis.testing import eventually
from schemas.assets import AssetDeleted
from schemas.jobs import JobCancelRequested
from schemas.parts import ErrorCode
from schemas.prompts import PromptsRejected
from tests.gateway_harness import ASSETS, Gateway, gateway_on, someone
from tests.gateway_stories import completed, completed_picture, prepared, quoted, recorded, reserved, stored

pytestmark = pytest.mark.integration


@pytest.fixture
async def gateway(database_url: str) -> AsyncIterator[Gateway]:
    async with gateway_on(database_url) as running:
        yield running


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


async def test_a_thumbnail_is_shown_with_its_picture_and_nowhere_else(gateway: Gateway) -> None:
    job_id, small = await gateway.make(), uuid7()
    made = completed(job_id)
    thumbnail = made.outputs[0].model_copy(update={"number": 16, "role": "thumbnail"})
    both = made.model_copy(update={"outputs": [*made.outputs, thumbnail]})
    before = [prepared(job_id), quoted(job_id), reserved(job_id), both, stored(job_id, public=False)]
    kept = stored(job_id, public=False, asset_id=small, output=16, role="thumbnail")
    await gateway.hear_all([*before, kept, recorded(job_id)])

    [item] = (await gateway.job(job_id))["items"]
    [asset] = (await gateway.client.get(f"/api/v1/jobs/{job_id}/assets")).json()["items"]

    [output] = item["outputs"]
    assert output["asset_id"] == asset["id"] == item["asset_id"] != str(small)
    for shown in (item, output, asset):
        assert shown["thumbnail_url"].startswith(f"{ASSETS}/asset/{small}?exp=")
    assert (await gateway.client.get(f"/asset/{small}")).headers["location"].startswith(f"{ASSETS}/asset/{small}?exp=")

    gone = AssetDeleted(job_id=job_id, asset_id=small, revision=2)
    await gateway.hear(gone)
    [item] = (await gateway.job(job_id))["items"]
    assert item["thumbnail_url"].startswith(f"{ASSETS}/asset/{item['asset_id']}?exp="), "a picture stands for itself"


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


async def test_jobs_of_a_time_are_counted_to_the_microsecond_whatever_the_clock_of_their_ids(gateway: Gateway) -> None:
    """Ids are the gateway's time and the filter is the database's: up to ten minutes lie between them."""
    noon = datetime(2030, 1, 1, 12, tzinfo=UTC)
    for minutes, apart in itertools.product(range(-40, 41, 5), (-9, 0, 9)):
        made = noon + timedelta(minutes=minutes)
        job_id = await gateway.make()
        moved = uuid7_floor(made + timedelta(minutes=apart)).int | (job_id.int & ((1 << 80) - 1))
        await gateway.run(
            "UPDATE job SET id = :moved, created_at = :made WHERE id = :id", id=job_id, moved=UUID(int=moved), made=made
        )

    async def counted(**params: datetime) -> int:
        given = {name: moment.isoformat() for name, moment in params.items()}
        answer = (await gateway.client.get("/api/v1/jobs", params={"limit": 100, **given})).json()
        assert len(answer["items"]) == answer["total"]
        return int(answer["total"])

    assert await counted(created_after=noon) == 9 * 3
    assert await counted(created_after=noon + timedelta(microseconds=1)) == 8 * 3
    assert await counted(created_before=noon) == 8 * 3
    assert await counted(created_before=noon + timedelta(microseconds=1)) == 9 * 3
    for minutes in (5, 15, 20, 25, 40):
        began = noon - timedelta(minutes=20)
        assert await counted(created_after=began, created_before=began + timedelta(minutes=minutes)) == minutes // 5 * 3


async def _look(answer: object) -> object:
    return answer


async def _looked_for_changes(gateway: Gateway, waiting: asyncio.Task[object]) -> bool:
    await gateway.sweeper.look_for_changes()
    return waiting.done()
