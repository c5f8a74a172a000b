"""Requests that come twice, and requests that are refused: which field, and why."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import httpx
import pytest

from tests.running import ended, make, make_kit, small, submit

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

NOBODYS = "01890000-0000-7000-8000-000000000000"
THUMBNAIL = {"asset_type": "thumbnail", "brand_kit_id": NOBODYS}
KIT = {"name": "Neon Drift", "primary_colors": ["#7C3AED"], "tone": "bold"}


async def test_a_repeated_request_is_the_same_job(owner: httpx.AsyncClient) -> None:
    key = uuid.uuid4().hex
    first = await owner.post("/api/v1/jobs", json=small(), headers={"Idempotency-Key": key})
    again = await owner.post("/api/v1/jobs", json=small(), headers={"Idempotency-Key": key})
    await ended(owner, first.json()["id"])
    late = await owner.post("/api/v1/jobs", json=small(), headers={"Idempotency-Key": key})

    assert [answer.status_code for answer in (first, again, late)] == [202, 202, 202]
    assert first.json()["id"] == again.json()["id"] == late.json()["id"]
    assert [answer.headers.get("idempotency-replayed") for answer in (first, again, late)] == [None, "true", "true"]
    assert late.json()["status"] == "completed"


async def test_a_key_that_was_used_for_another_body_is_refused(owner: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    accepted = await owner.post("/api/v1/jobs", json=small("a fox"), headers=headers)
    refused = await owner.post("/api/v1/jobs", json=small("a bear"), headers=headers)

    problem = problem_of(refused, 409, "IDEMPOTENCY_MISMATCH")
    assert "body" in problem["title"] + problem["detail"]
    assert (await ended(owner, accepted.json()["id"]))["prompt"] == "a fox"


async def test_twenty_requests_at_once_with_one_key_are_one_job(owner: httpx.AsyncClient) -> None:
    body, headers = small(labels={"of": uuid.uuid4().hex}), {"Idempotency-Key": uuid.uuid4().hex}
    answers = await asyncio.gather(*(owner.post("/api/v1/jobs", json=body, headers=headers) for _ in range(20)))

    assert {answer.status_code for answer in answers} == {202}
    [job_id] = {answer.json()["id"] for answer in answers}
    listed = (await owner.get("/api/v1/jobs", params={"label.of": body["labels"]["of"]})).json()
    assert [job["id"] for job in listed["items"]] == [job_id]
    assert (await ended(owner, job_id))["cost"]["actual"] == "0.04"


async def test_without_a_key_every_request_is_a_job_of_its_own(owner: httpx.AsyncClient) -> None:
    one, other = [await submit(owner, small()) for _ in range(2)]
    assert one["id"] != other["id"]
    for job in (one, other):
        await ended(owner, job["id"])


async def test_many_jobs_are_made_in_one_request_and_each_is_answered_for_itself(owner: httpx.AsyncClient) -> None:
    body = {"jobs": [small("one"), {"kind": "image", "width": 1}, small("two"), THUMBNAIL]}
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    answer = await owner.post("/api/v1/jobs/bulk", json=body, headers=headers)
    again = await owner.post("/api/v1/jobs/bulk", json=body, headers=headers)

    items = answer.json()["items"]
    assert [item["status"] for item in items] == [202, 422, 202, 404]
    assert (answer.json()["accepted"], answer.json()["refused"]) == (2, 2)
    assert items[1]["error"]["errors"][0]["pointer"] == "/width"
    assert NOBODYS in items[3]["error"]["detail"]
    assert [again.json()["items"][n]["job"]["id"] for n in (0, 2)] == [items[n]["job"]["id"] for n in (0, 2)]
    jobs = [await ended(owner, items[n]["job"]["id"]) for n in (0, 2)]
    assert [(job["prompt"], job["status"]) for job in jobs] == [("one", "completed"), ("two", "completed")]


BAD_JOBS: dict[str, tuple[Any, str, str]] = {
    "nothing said": ({}, "/kind", "asset_type"),
    "no prompt": ({"kind": "image"}, "/prompt", "required"),
    "empty prompt": (small(""), "/prompt", "at least 1"),
    "prompt too long": (small("x" * 4001), "/prompt", "at most 4000"),
    "NUL in a prompt": (small("a\x00b"), "/prompt", "NUL"),
    "prompt of another type": (small() | {"prompt": 5}, "/prompt", "string"),
    "picture too small": (small() | {"width": 63}, "/width", "64"),
    "picture too large": (small() | {"height": 4097}, "/height", "4096"),
    "a number as text": (small() | {"width": "64"}, "/width", "integer"),
    "none at all": (small(count=0), "/count", "1"),
    "too many": (small(count=11), "/count", "10"),
    "unknown field": (small(colour="red"), "/colour", "not a known field"),
    "unknown kind": (small() | {"kind": "hologram"}, "/kind", "image"),
    "a sky in another shape": (small() | {"kind": "environment_map", "width": 512, "height": 512}, "/width", "twice"),
    "unknown asset type": ({"asset_type": "poster", "prompt": "x"}, "/asset_type", "thumbnail"),
    "asset type in another size": ({"asset_type": "thumbnail", "prompt": "x", "width": 640}, "/width", "1280x720"),
    "unknown format": (small(format="bmp"), "/format", "png"),
    "negative cost": (small(max_cost="-1"), "/max_cost", "greater than 0"),
    "cost without a number": (small(max_cost="cheap"), "/max_cost", "decimal"),
    "deadline in the past": (small(deadline_seconds=0), "/deadline_seconds", "1"),
    "a way out of the folder": (small(path="../../secret"), "/path", "relative path"),
    "bad run": (small(run="no spaces please"), "/run", "pattern"),
    "bad label": (small(labels={"a b": "c"}), "/labels/a b", "pattern"),
    "too many labels": (small(labels={str(n): "" for n in range(17)}), "/labels", "16"),
    "kit id that is none": ({"asset_type": "banner", "brand_kit_id": "mine"}, "/brand_kit_id", "UUID"),
    "webhooks are registered": (small(webhook_url="https://example.org"), "/webhook_url", "at /api/v1/webhooks"),
    "a field of other media": (small(duration_seconds=3), "/duration_seconds", "video"),
    "a list": ([], "", "object"),
}


@pytest.mark.parametrize("case", BAD_JOBS)
async def test_a_job_that_cannot_be_made_is_refused_with_its_field_and_the_reason(
    owner: httpx.AsyncClient, case: str
) -> None:
    body, pointer, reason = BAD_JOBS[case]
    refused = await owner.post("/api/v1/jobs", json=body)
    told(problem_of(refused, 422), pointer, reason)


async def test_all_fields_that_are_wrong_are_told_at_once(owner: httpx.AsyncClient) -> None:
    refused = await owner.post("/api/v1/jobs", json=small(count=0, colour="red") | {"width": 1})
    pointers = {error["pointer"] for error in problem_of(refused, 422)["errors"]}
    assert pointers == {"/count", "/colour", "/width"}


BAD_KITS: dict[str, tuple[dict[str, Any], str, str]] = {
    "colour that is none": ({**KIT, "primary_colors": ["#7C3AED", "red"]}, "/primary_colors/1", "no colour"),
    "no colour": ({**KIT, "primary_colors": []}, "/primary_colors", "at least 1"),
    "no tone": ({"name": "x", "primary_colors": ["#7C3AED"]}, "/tone", "required"),
    "name too long": ({**KIT, "name": "x" * 101}, "/name", "at most 100"),
    "invisible name": ({**KIT, "name": "\u200b"}, "/name", "visible"),
    "unknown field": ({**KIT, "logo": "x"}, "/logo", "not a known field"),
}


@pytest.mark.parametrize("case", BAD_KITS)
async def test_a_brand_kit_that_makes_no_sense_is_refused_with_its_field_and_the_reason(
    owner: httpx.AsyncClient, case: str
) -> None:
    body, pointer, reason = BAD_KITS[case]
    told(problem_of(await owner.post("/api/v1/brand-kits", json=body), 422), pointer, reason)


async def test_the_short_form_is_checked_too(owner: httpx.AsyncClient) -> None:
    without_kit = await owner.post("/api/v1/generate", json={"asset_type": "thumbnail"})
    too_long = await owner.post("/api/v1/generate", json={**THUMBNAIL, "custom_prompt": "x" * 501})
    told(problem_of(without_kit, 422), "/brand_kit_id", "required")
    told(problem_of(too_long, 422), "/custom_prompt", "at most 500")


@pytest.mark.parametrize(
    ("path", "body"),
    [("/api/v1/generate", THUMBNAIL), ("/api/v1/jobs", {**THUMBNAIL, "prompt": "x"})],
    ids=["generate", "jobs"],
)
async def test_an_unknown_brand_kit_is_not_found(owner: httpx.AsyncClient, path: str, body: dict[str, Any]) -> None:
    assert NOBODYS in problem_of(await owner.post(path, json=body), 404, "NOT_FOUND")["detail"]


async def test_a_brand_kit_is_changed_and_forgotten_and_what_was_accepted_goes_on(owner: httpx.AsyncClient) -> None:
    kit = await make_kit(owner)
    changed = await owner.put(f"/api/v1/brand-kits/{kit}", json={**KIT, "tone": "calm"})
    assert (changed.json()["version"], changed.json()["tone"]) == (2, "calm")

    job = await submit(owner, {"asset_type": "banner", "brand_kit_id": kit, "prompt": "x"})
    assert (await owner.delete(f"/api/v1/brand-kits/{kit}")).status_code == 204
    problem_of(await owner.get(f"/api/v1/brand-kits/{kit}"), 404, "NOT_FOUND")
    problem_of(await owner.post("/api/v1/jobs", json={"asset_type": "banner", "brand_kit_id": kit}), 404, "NOT_FOUND")
    assert (await ended(owner, job["id"]))["status"] == "completed"


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("limit=0", "/query/limit"),
        ("limit=101", "/query/limit"),
        ("offset=-1", "/query/offset"),
        ("status=lost", "/query/status"),
        ("kind=hologram", "/query/kind"),
        ("asset_type=poster", "/query/asset_type"),
        ("cursor=%00", "/query/cursor"),
        ("created_after=yesterday", "/query/created_after"),
        ("colour=red", "/query/colour"),
    ],
)
async def test_a_list_that_is_asked_for_wrongly_is_refused(owner: httpx.AsyncClient, query: str, pointer: str) -> None:
    told(problem_of(await owner.get(f"/api/v1/jobs?{query}"), 422), pointer, "")


async def test_what_stands_in_an_address_or_a_header_is_checked_too(owner: httpx.AsyncClient) -> None:
    job = await make(owner, small())
    page = f"/api/v1/jobs/{job['id']}"
    told(problem_of(await owner.get("/api/v1/jobs/mine"), 422), "/path/job_id", "UUID")
    told(problem_of(await owner.get(page, params={"wait": 61}), 422), "/query/wait", "60")
    told(problem_of(await owner.get(page, params={"include": "everything"}), 422), "/query/include", "assets")
    keyed = await owner.post("/api/v1/jobs", json=small(), headers={"Idempotency-Key": "x" * 256})
    told(problem_of(keyed, 422), "/header/Idempotency-Key", "characters")


async def test_what_is_no_request_at_all_is_refused_in_words(owner: httpx.AsyncClient) -> None:
    json_type = {"Content-Type": "application/json"}
    no_json = await owner.post("/api/v1/jobs", content=b'{"kind": "image",', headers=json_type)
    no_utf8 = await owner.post("/api/v1/jobs", content=b'{"prompt": "\xff"}', headers=json_type)
    other_type = await owner.post("/api/v1/jobs", content=b"kind=image", headers={"Content-Type": "text/plain"})
    too_large = await owner.post("/api/v1/jobs", json=small("x" * 1_100_000))
    no_route = await owner.get("/api/v1/jbos")
    no_method = await owner.put("/api/v1/jobs", json={})

    assert "JSON" in problem_of(no_json, 400)["detail"]
    assert "JSON" in problem_of(no_utf8, 400)["detail"]
    assert "application/json" in problem_of(other_type, 415)["detail"]
    problem_of(too_large, 413)
    problem_of(no_route, 404, "NOT_FOUND")
    problem_of(no_method, 405)


async def test_nothing_is_shown_without_a_key_that_is_ours(stranger: httpx.AsyncClient) -> None:
    for headers in ({}, {"Authorization": "Bearer bk_" + "x" * 32}, {"X-API-Key": "nonsense"}):
        for method, path in (("GET", "/api/v1/jobs"), ("POST", "/api/v1/jobs"), ("GET", "/api/v1/brand-kits")):
            refused = await stranger.request(method, path, headers=headers)
            problem_of(refused, 401, "UNAUTHENTICATED")
            assert refused.headers["www-authenticate"] == "Bearer"


async def test_a_job_that_is_not_there_is_not_found(owner: httpx.AsyncClient) -> None:
    for answer in (
        await owner.get(f"/api/v1/jobs/{NOBODYS}"),
        await owner.get(f"/api/v1/jobs/{NOBODYS}/assets"),
        await owner.post(f"/api/v1/jobs/{NOBODYS}/cancel"),
    ):
        problem_of(answer, 404, "NOT_FOUND")


def problem_of(answer: httpx.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """The problem (RFC 9457) that `answer` is."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert answer.headers["x-request-id"]
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert problem["instance"] == answer.request.url.path
    assert problem["type"]
    assert problem["title"]
    assert problem["detail"]
    assert code is None or problem["code"] == code
    return problem


def told(problem: dict[str, Any], pointer: str, reason: str) -> None:
    """The problem is with the field at `pointer`, and says why."""
    assert problem["code"] in {"VALIDATION", "INVALID_REQUEST"}
    assert [error["pointer"] for error in problem["errors"]] == [pointer], problem
    assert reason in problem["errors"][0]["detail"]
