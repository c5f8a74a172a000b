"""Storyboard's dialect over the same jobs (R3, R4, R7, R17, R23, R115, R116)."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest

from api_gateway.http.storyboard import StoryboardAccepted, StoryboardJob
from chassis.ids import uuid7
from schemas.events import GenerationCancelled, GenerationStarted, PromptsRejected
from schemas.jobs import JobRequested
from schemas.parts import Billing, ErrorCode, Stage
from tests.gateway_harness import Gateway, gateway_on, someone
from tests.gateway_stories import completed, completed_picture, prepared, quoted, reserved

pytestmark = pytest.mark.integration

GENERATE, JOBS = "/api/images/generate", "/api/images/jobs"
BODY: dict[str, Any] = {
    "projectId": "heist",
    "branchId": "main",
    "jobType": "master_asset",
    "assetId": "old-safe",
    "prompt": "a heavy safe",
    "width": 640,
    "height": 480,
}


@pytest.fixture
async def gateway(database_url: str) -> AsyncIterator[Gateway]:
    async with gateway_on(database_url) as running:
        yield running


async def job_of(gateway: Gateway, **changes: Any) -> UUID:
    answer = await gateway.client.post(GENERATE, json=BODY | changes)
    assert answer.status_code == 202, answer.text
    return UUID(answer.json()["jobId"])


async def told(gateway: Gateway, job_id: UUID) -> dict[str, Any]:
    answer = await gateway.client.get(f"{JOBS}/{job_id}")
    assert answer.status_code == 200, answer.text
    StoryboardJob.model_validate(answer.json())
    shown: dict[str, Any] = answer.json()
    return shown


async def requests(gateway: Gateway) -> list[JobRequested]:
    return [said for said in await gateway.said("backlot.jobs") if isinstance(said, JobRequested)]


async def test_a_request_is_answered_at_once_and_is_a_job_as_any_other(gateway: Gateway) -> None:
    capsule = (await gateway.client.post("/api/v1/style-capsules", json={"name": "Noir", "style": "film"})).json()["id"]

    answer = await gateway.client.post(GENERATE, json=BODY | {"visualStyleCapsuleId": capsule})

    StoryboardAccepted.model_validate(answer.json())
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
    job_id = UUID(answer.json()["jobId"])
    assert answer.headers["location"] == f"{JOBS}/{job_id}"
    job = await gateway.job(job_id)
    assert (job["kind"], job["prompt"], job["style_capsule_id"]) == ("image", "a heavy safe", capsule)
    assert job["labels"] == {"project": "heist", "branch": "main", "job_type": "master_asset", "asset": "old-safe"}
    [said] = await requests(gateway)
    assert (said.request.width, said.request.height, said.request.visibility) == (640, 480, "public")
    assert said.style_capsule is not None
    assert str(said.style_capsule.id) == capsule


FRAME = {"jobType": "start_frame", "assetId": None, "sceneId": "3", "shotId": "12"}
PLACES: list[tuple[dict[str, Any], str]] = [
    ({}, "master-assets/old-safe"),
    ({"assetId": None}, "master-assets/master_asset"),
    ({"sceneId": "3"}, "master-assets/old-safe"),
    (FRAME, "scene_3/shot_12/start_frame"),
    (FRAME | {"jobType": "end_frame"}, "scene_3/shot_12/end_frame"),
    (FRAME | {"shotId": None}, "scene_3/start_frame"),
    (FRAME | {"shotId": None, "sceneId": None}, "start_frame"),
    ({"jobType": "inpaint"}, "master-assets/old-safe"),
    (FRAME | {"jobType": "inpaint"}, "scene_3/shot_12/inpaint"),
]


@pytest.mark.parametrize(("changes", "place"), PLACES)
async def test_a_picture_gets_its_place_in_the_tree_of_its_project(
    gateway: Gateway, changes: dict[str, Any], place: str
) -> None:
    pictures = {"image": "https://x.test/a.png", "mask": "https://x.test/m.png"}
    given = changes | (pictures if changes.get("jobType") == "inpaint" else {})

    job_ids = [await job_of(gateway, **given), await job_of(gateway, **given)]

    paths = [said.request.path for said in await requests(gateway)]
    pattern = rf"project_heist/branch_main/{place}_20\d{{12}}_[0-9a-f]{{8}}\.png"
    assert all(re.fullmatch(pattern, path or "") for path in paths), paths
    assert len(set(paths)) == len(set(job_ids)) == 2


async def test_what_is_made_anew_builds_on_a_picture_and_a_mask(gateway: Gateway) -> None:
    image, mask = [
        (await gateway.client.post("/api/v1/uploads", content=data)).json()["id"] for data in (b"image", b"mask")
    ]

    await job_of(gateway, jobType="inpaint", image=image, mask=mask)
    await job_of(gateway, jobType="inpaint", image="https://x.test/a.png", mask="https://x.test/m.png")

    by_id, by_url = [said.request.inputs for said in await requests(gateway)]
    assert [(one.role, str(one.asset_id)) for one in by_id] == [("reference", image), ("mask", mask)]
    assert all(one.sha256 for one in by_id)
    assert [(one.role, one.url) for one in by_url] == [
        ("reference", "https://x.test/a.png"),
        ("mask", "https://x.test/m.png"),
    ]


async def test_a_job_is_told_from_its_beginning_to_its_end(gateway: Gateway) -> None:
    job_id = await job_of(gateway)
    statuses = [(await told(gateway, job_id))["status"]]
    started = GenerationStarted(job_id=job_id, item=1, attempt=1, provider="sandbox", model="s1")
    for events in ([prepared(job_id)], [quoted(job_id), reserved(job_id), started], [completed(job_id)]):
        await gateway.hear(*events)
        statuses.append((await told(gateway, job_id))["status"])
    assert statuses == ["queued", "processing", "generating", "uploading"]

    await gateway.hear(*completed_picture(job_id))
    done = await told(gateway, job_id)
    job = await gateway.job(job_id)
    assert done == {
        "jobId": str(job_id),
        "status": "completed",
        "publicUrl": job["items"][0]["url"],
        "cost": {"estimated": "0.04", "actual": "0.039", "currency": "USD"},
        "createdAt": job["created_at"],
        "completedAt": job["completed_at"],
    }
    assert done["publicUrl"].startswith("https://assets.test/asset/")


async def test_a_failure_says_why_and_at_which_stage(gateway: Gateway) -> None:
    job_id = await job_of(gateway)
    await gateway.hear(PromptsRejected(job_id=job_id, code=ErrorCode.INVALID_REQUEST, message="no such template"))

    shown = await told(gateway, job_id)

    assert (shown["status"], shown["publicUrl"]) == ("failed", None)
    assert shown["completedAt"]
    assert shown["error"] == {
        "code": "INVALID_REQUEST",
        "message": "no such template",
        "failureStage": "prompting",
    }


async def test_a_cancelled_job_has_failed_in_words_that_say_so(gateway: Gateway) -> None:
    job_id = await job_of(gateway)
    await gateway.hear(prepared(job_id))
    await gateway.client.post(f"/api/v1/jobs/{job_id}/cancel")
    await gateway.hear(
        GenerationCancelled(
            job_id=job_id,
            item=1,
            attempt=0,
            code=ErrorCode.CANCELLED,
            message="stopped",
            stage=Stage.GENERATING,
            billing=Billing(state="none"),
        )
    )

    shown = await told(gateway, job_id)

    assert (shown["status"], shown["error"]["code"]) == ("failed", "CANCELLED")


async def test_a_job_that_has_not_changed_is_not_sent_again(gateway: Gateway) -> None:
    job_id = await job_of(gateway)
    first = await gateway.client.get(f"{JOBS}/{job_id}")
    assert first.headers["retry-after"] == "1"

    again = await gateway.client.get(f"{JOBS}/{job_id}", headers={"If-None-Match": first.headers["etag"]})

    assert (again.status_code, again.content) == (304, b"")


async def test_the_key_in_the_body_is_the_key_of_the_header(gateway: Gateway) -> None:
    key = "click 1"
    first = await gateway.client.post(GENERATE, json=BODY | {"idempotencyKey": key})
    job_id = first.json()["jobId"]
    await gateway.hear(prepared(UUID(job_id)))

    repeats = [
        await gateway.client.post(GENERATE, json=BODY | {"idempotencyKey": key}),
        await gateway.client.post(GENERATE, json=BODY, headers={"Idempotency-Key": key}),
        await gateway.client.post(GENERATE, json=BODY | {"idempotencyKey": key}, headers={"Idempotency-Key": key}),
    ]

    for again in repeats:
        assert (again.status_code, again.json()) == (202, {"jobId": job_id, "status": "processing"})
        assert again.headers["idempotency-replayed"] == "true"
        assert again.headers["location"] == f"{JOBS}/{job_id}"
    assert len(await requests(gateway)) == 1


async def test_fifty_at_once_with_one_key_are_one_picture(gateway: Gateway) -> None:
    body = BODY | {"idempotencyKey": "impatient"}

    answers = await asyncio.gather(*(gateway.client.post(GENERATE, json=body) for _ in range(50)))

    assert len({answer.json()["jobId"] for answer in answers}) == 1
    assert len(await requests(gateway)) == 1


async def test_a_key_that_was_used_for_another_request_is_refused_by_its_field(gateway: Gateway) -> None:
    await gateway.client.post(GENERATE, json=BODY | {"idempotencyKey": "click"})
    other = BODY | {"width": 641}

    in_body = await gateway.client.post(GENERATE, json=other | {"idempotencyKey": "click"})
    in_header = await gateway.client.post(GENERATE, json=other, headers={"Idempotency-Key": "click"})

    for answer, pointer in ((in_body, "/idempotencyKey"), (in_header, "/header/Idempotency-Key")):
        assert (answer.status_code, answer.json()["code"]) == (409, "IDEMPOTENCY_MISMATCH")
        assert answer.json()["errors"][0]["pointer"] == pointer


async def test_two_keys_that_differ_are_refused(gateway: Gateway) -> None:
    answer = await gateway.client.post(
        GENERATE, json=BODY | {"idempotencyKey": "one"}, headers={"Idempotency-Key": "two"}
    )

    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/idempotencyKey")
    assert await gateway.said() == []


URL = "https://x.test/a.png"
REFUSED: list[tuple[dict[str, Any], int, str, str]] = [
    ({"jobType": "poster"}, 422, "VALIDATION", "/jobType"),
    ({"projectId": "a/b"}, 422, "VALIDATION", "/projectId"),
    ({"projectId": ".."}, 422, "VALIDATION", "/projectId"),
    ({"branchId": ""}, 422, "VALIDATION", "/branchId"),
    ({"assetId": "../../etc"}, 422, "VALIDATION", "/assetId"),
    ({"sceneId": "x" * 101}, 422, "VALIDATION", "/sceneId"),
    ({"shotId": "12"}, 422, "INVALID_REQUEST", "/sceneId"),
    ({"prompt": "   "}, 422, "VALIDATION", "/prompt"),
    ({"prompt": "nul \x00"}, 422, "VALIDATION", "/prompt"),
    ({"width": 63}, 422, "VALIDATION", "/width"),
    ({"height": "480"}, 422, "VALIDATION", "/height"),
    ({"project_id": "heist"}, 422, "VALIDATION", "/project_id"),
    ({"visualStyleCapsuleId": "noir"}, 422, "VALIDATION", "/visualStyleCapsuleId"),
    ({"visualStyleCapsuleId": str(uuid7())}, 404, "NOT_FOUND", "/visualStyleCapsuleId"),
    ({"image": URL}, 422, "INVALID_REQUEST", "/image"),
    ({"jobType": "inpaint"}, 422, "INVALID_REQUEST", "/image"),
    ({"jobType": "inpaint", "image": URL}, 422, "INVALID_REQUEST", "/mask"),
    ({"jobType": "inpaint", "image": "http://x.test/a.png", "mask": URL}, 422, "VALIDATION", "/image"),
    ({"jobType": "inpaint", "image": str(uuid7()), "mask": URL}, 404, "NOT_FOUND", "/image"),
    ({"jobType": "inpaint", "image": URL, "mask": str(uuid7())}, 404, "NOT_FOUND", "/mask"),
    ({"idempotencyKey": ""}, 422, "VALIDATION", "/idempotencyKey"),
    ({"idempotencyKey": "tab\there"}, 422, "VALIDATION", "/idempotencyKey"),
    ({"idempotencyKey": "x" * 256}, 422, "VALIDATION", "/idempotencyKey"),
]


async def test_bad_input_is_a_problem_that_names_the_dialects_own_field(gateway: Gateway) -> None:
    for changes, status, code, pointer in REFUSED:
        answer = await gateway.client.post(
            GENERATE, content=json.dumps(BODY | changes), headers={"Content-Type": "application/json"}
        )
        assert (answer.status_code, answer.json()["code"]) == (status, code), (changes, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer], (changes, answer.text)
    for field in ("projectId", "branchId", "jobType", "prompt", "width", "height"):
        answer = await gateway.client.post(GENERATE, json={name: BODY[name] for name in BODY if name != field})
        assert [error["pointer"] for error in answer.json()["errors"]] == [f"/{field}"]
    assert await gateway.said() == []


async def test_who_is_not_known_or_may_not_is_told_so_and_foreign_jobs_are_none(gateway: Gateway) -> None:
    job_id = await job_of(gateway)
    nobody: httpx.AsyncClient = gateway.speaking(None)
    stranger = await gateway.client_of(someone())
    reader = await gateway.client_of(someone("jobs:read", tenant_id=gateway.who.tenant_id))

    assert (await nobody.post(GENERATE, json=BODY)).status_code == 401
    assert (await reader.post(GENERATE, json=BODY)).status_code == 403
    for client in (stranger, reader):
        assert (await client.get(f"{JOBS}/{job_id}")).status_code == 404
    assert (await gateway.client.get(f"{JOBS}/not-a-uuid")).status_code == 422
