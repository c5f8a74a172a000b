"""Manifests over HTTP, on the real database: how they are accepted, shown and listed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from pydantic_core import from_json, to_json

from api_gateway.http.job_shapes import Job, JobList
from chassis.ids import uuid7
from chassis.testing import eventually
from schemas.events import JobAccepted, JobRequested, PromptsRejected
from schemas.parts import ErrorCode, ManifestItem, ManifestSpec, VersionRef
from tests.gateway_harness import IMAGE, Gateway, gateway_on, someone
from tests.gateway_manifests import CHANNEL, ITEMS, MANIFEST, PROJECT, make_manifest, manifest_prepared

pytestmark = pytest.mark.integration

PATH = "/api/v1/manifests"


@pytest.fixture
async def gateway(database_url: str) -> AsyncIterator[Gateway]:
    async with gateway_on(database_url) as running:
        yield running


async def test_a_manifest_is_accepted_as_one_job_with_its_events_in_one_commit(gateway: Gateway) -> None:
    body = MANIFEST | {"labels": {"notion_page_id": "1f0c"}, "max_cost": "2.00", "width": 1280, "height": 720}

    answer = await gateway.client.post(PATH, json=body)

    assert answer.status_code == 202, answer.text
    job = answer.json()
    Job.model_validate(job)
    assert (job["status"], job["kind"], job["items"]) == ("queued", "image", [])
    shown = {"channel": CHANNEL, "project": PROJECT, "resume": True, "next_step": "generate_videos"}
    assert job["manifest"] == shown
    assert job["summary"] == {"generated": 0, "skipped": 0, "failed": 0, "total_cost_usd": "0.00"}
    assert answer.headers["location"] == f"{PATH}/{job['id']}"
    assert (answer.headers["etag"], answer.headers["retry-after"]) == ('"1"', "1")
    assert await gateway.job(UUID(job["id"])) == job
    assert (await gateway.client.get(answer.headers["location"])).json() == job
    requested, accepted = await gateway.said()
    assert isinstance(requested, JobRequested)
    assert (requested.request.width, requested.request.height, requested.max_cost_micros) == (1280, 720, 2_000_000)
    assert requested.request.manifest == ManifestSpec(
        channel=CHANNEL,
        project=PROJECT,
        atmosphere=MANIFEST["atmosphere"],
        items=[ManifestItem.model_validate(item) for item in ITEMS],
        next_step="generate_videos",
    )
    assert accepted == JobAccepted(job_id=UUID(job["id"]), labels={"notion_page_id": "1f0c"})
    commits = await gateway.run(
        "SELECT count(DISTINCT xmin::text) FROM (SELECT xmin FROM job UNION SELECT xmin FROM outbox) t"
    )
    assert len(commits.all()) == 1


async def test_a_job_that_is_no_manifest_says_so(gateway: Gateway) -> None:
    job_id = await gateway.make()

    job = await gateway.job(job_id)

    assert (job["manifest"], job["summary"]) == (None, None)
    assert (await gateway.client.get(f"{PATH}/{job_id}")).status_code == 404
    assert [type(said) for said in await gateway.said()] == [JobRequested]


async def test_items_may_be_left_to_a_topic_or_a_story_direction_and_either_may_be_empty(gateway: Gateway) -> None:
    givens: list[dict[str, Any]] = [
        {"topic": "whales", "story_direction": "a search"},
        {"topic": ""},
        {"story_direction": ""},
        {"items": [], "topic": "whales"},
    ]
    for number, given in enumerate(givens):
        answer = await gateway.client.post(PATH, json={"channel": "c", "project": str(number), **given})

        assert answer.status_code == 202, answer.text


async def test_a_manifest_waits_for_its_change_and_shows_its_assets_as_any_job_does(gateway: Gateway) -> None:
    job_id = await make_manifest(gateway)
    waiting = asyncio.create_task(gateway.client.get(f"{PATH}/{job_id}?wait=30&include=assets"))

    async def is_waited_for() -> bool:
        return bool(gateway.watch.waited_for())

    await eventually(is_waited_for)

    await gateway.hear(manifest_prepared(job_id))

    found = (await waiting).json()
    assert (found["status"], found["assets"]) == ("processing", [])
    again = await gateway.client.get(f"{PATH}/{job_id}", headers={"If-None-Match": f'"{found["version"]}"'})
    assert again.status_code == 304


async def test_what_a_name_may_be_is_prompt_services_word(gateway: Gateway) -> None:
    names = ["../../etc/passwd", "$(rm -rf /)", "кит", "x" * 1000, " ", "a\nb", "nul \x00 byte"]

    await make_manifest(gateway, items=[{"name": name, "group": name, "prompt": "x"} for name in names])

    requested, _ = await gateway.said()
    assert isinstance(requested, JobRequested)
    assert requested.request.manifest is not None
    told = [(item.name, item.group) for item in requested.request.manifest.items]
    assert told == [(name, name) for name in [*names[:-1], "nul \ufffd byte"]]


async def test_blank_prompts_are_let_through(gateway: Gateway) -> None:
    items: list[dict[str, Any]] = [{"name": "a"}, {"name": "b", "prompt": ""}, {"name": "c", "prompt": " \n"}]

    await make_manifest(gateway, items=items)

    requested, _ = await gateway.said()
    assert isinstance(requested, JobRequested)
    assert requested.request.manifest is not None
    assert [item.prompt for item in requested.request.manifest.items] == [None, "", " \n"]


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"channel": "a/b"}, "VALIDATION", "/channel"),
    ({"channel": "../x"}, "VALIDATION", "/channel"),
    ({"channel": ""}, "VALIDATION", "/channel"),
    ({"channel": "x" * 101}, "VALIDATION", "/channel"),
    ({"project": "whales\n"}, "VALIDATION", "/project"),
    ({"project": None}, "VALIDATION", "/project"),
    ({"items": []}, "INVALID_REQUEST", "/items"),
    ({"items": [{"name": "a", "prompt": "x"}] * 101}, "VALIDATION", "/items"),
    ({"items": [{"prompt": "x"}]}, "VALIDATION", "/items/0/name"),
    ({"items": [{"name": ""}]}, "VALIDATION", "/items/0/name"),
    ({"items": [{"name": "x" * 1001}]}, "VALIDATION", "/items/0/name"),
    ({"items": [{"name": 7}]}, "VALIDATION", "/items/0/name"),
    ({"items": [*ITEMS, {"name": "a", "prompt": "x" * 4001}]}, "VALIDATION", "/items/3/prompt"),
    ({"items": [{"name": "a", "prompt": "nul \x00"}]}, "VALIDATION", "/items/0/prompt"),
    ({"items": [{"name": "a", "negative_prompt": " "}]}, "VALIDATION", "/items/0/negative_prompt"),
    ({"items": [{"name": "a", "width": 63}]}, "VALIDATION", "/items/0/width"),
    ({"items": [{"name": "a", "height": 4097}]}, "VALIDATION", "/items/0/height"),
    ({"items": [{"name": "a", "seed": -1}]}, "VALIDATION", "/items/0/seed"),
    ({"items": [{"name": "a", "promt": "typo"}]}, "VALIDATION", "/items/0/promt"),
    ({"items": [{"name": "a", "prompt": "p" * 4000}] * 100, "atmosphere": "a" * 4000}, "INVALID_REQUEST", "/items"),
    ({"items": [{"name": "\x01" * 1000, "group": "\x01" * 800}] * 92}, "INVALID_REQUEST", "/items"),
    ({"topic": "x" * 4001}, "VALIDATION", "/topic"),
    ({"atmosphere": "nul \x00"}, "VALIDATION", "/atmosphere"),
    ({"resume": "yes"}, "VALIDATION", "/resume"),
    ({"next_step": ""}, "VALIDATION", "/next_step"),
    ({"width": 63}, "VALIDATION", "/width"),
    ({"format": "mp4"}, "VALIDATION", "/format"),
    ({"template_version": "v1.0"}, "INVALID_REQUEST", "/template_version"),
    ({"variables": {"a": "x" * 501}}, "VALIDATION", "/variables/a"),
    ({"max_cost": "0"}, "VALIDATION", "/max_cost"),
    ({"labels": {str(n): "x" for n in range(17)}}, "VALIDATION", "/labels"),
    ({"prompt": "x"}, "VALIDATION", "/prompt"),
    ({"count": 2}, "VALIDATION", "/count"),
]


async def test_what_cannot_be_made_is_refused_with_the_field_at_fault(gateway: Gateway) -> None:
    for wrong, code, pointer in REFUSED:
        answer = await gateway.client.post(PATH, json=MANIFEST | wrong)

        assert (answer.status_code, answer.json()["code"]) == (422, code), (pointer, answer.text[:300])
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer], answer.text[:300]
    assert await gateway.said() == []


async def test_a_job_takes_no_manifest(gateway: Gateway) -> None:
    answer = await gateway.client.post("/api/v1/jobs", json=IMAGE | {"manifest": MANIFEST})

    assert (answer.status_code, answer.json()["errors"]) == (
        422,
        [{"pointer": "/manifest", "detail": "is not a known field"}],
    )


async def test_the_largest_manifest_is_accepted(gateway: Gateway) -> None:
    items = [{"name": f"{number}" * 300, "group": "props", "prompt": "p" * 4000} for number in range(100, 200)]

    await make_manifest(gateway, items=items)


async def test_manifests_are_listed_newest_first_and_by_project(gateway: Gateway) -> None:
    await gateway.make()
    whales = await make_manifest(gateway)
    await gateway.hear(PromptsRejected(job_id=whales, code=ErrorCode.INVALID_REQUEST, message="no"))
    again = await make_manifest(gateway)
    sharks = await make_manifest(gateway, project="sharks")
    moss = await make_manifest(gateway, channel="forest")
    await gateway.make()

    async def listed(query: str = "") -> list[str]:
        answer = await gateway.client.get(f"{PATH}?{query}")
        page = answer.json()
        JobList.model_validate(page)
        assert page["total"] >= len(page["items"])
        return [job["id"] for job in page["items"]]

    assert await listed() == [str(moss), str(sharks), str(again), str(whales)]
    assert await listed(f"channel={CHANNEL}") == [str(sharks), str(again), str(whales)]
    assert await listed(f"project={PROJECT}") == [str(moss), str(again), str(whales)]
    assert await listed(f"channel={CHANNEL}&project={PROJECT}&status=failed") == [str(whales)]
    assert await listed("channel=nobody") == []
    first = (await gateway.client.get(f"{PATH}?limit=3")).json()
    assert (first["total"], len(first["items"])) == (4, 3)
    assert await listed(f"limit=3&cursor={first['next_cursor']}") == [str(whales)]
    assert await listed("limit=1&offset=2") == [str(again)]
    jobs = (await gateway.client.get("/api/v1/jobs")).json()
    assert (jobs["total"], len(jobs["items"])) == (6, 6)


async def test_lists_show_ones_own_manifests_alone(gateway: Gateway) -> None:
    await make_manifest(gateway)
    stranger = await gateway.client_of(someone())
    colleague = await gateway.client_of(someone(tenant_id=gateway.who.tenant_id))

    assert [(await client.get(PATH)).json()["total"] for client in (gateway.client, stranger, colleague)] == [1, 0, 0]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [("channel=a/b", "/query/channel"), ("project=", "/query/project"), ("kind=image", "/query/kind"),
     ("label.a=b", "/query/label.a"), ("status=done", "/query/status"), ("channel=a%0A", "/query/channel")],
)  # fmt: skip
async def test_a_bad_parameter_of_the_list_is_named(gateway: Gateway, query: str, pointer: str) -> None:
    answer = await gateway.client.get(f"{PATH}?{query}")

    assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION")
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


async def test_a_manifest_can_be_stopped_as_any_job(gateway: Gateway) -> None:
    job_id = await make_manifest(gateway)

    stopped = await gateway.client.post(f"/api/v1/jobs/{job_id}/cancel")
    await gateway.hear(PromptsRejected(job_id=job_id, code=ErrorCode.CANCELLED, message="cancelled"))

    assert stopped.status_code == 202
    assert (await gateway.job(job_id))["status"] == "cancelled"
    await make_manifest(gateway)


async def test_the_kit_and_the_capsule_of_a_manifest_are_pinned(gateway: Gateway) -> None:
    kit_id, capsule_id, tenant = uuid7(), uuid7(), gateway.who.tenant_id
    gateway.prompts.kits[tenant, kit_id] = {"id": str(kit_id), "version": 3}
    gateway.prompts.capsules[tenant, capsule_id] = {"id": str(capsule_id), "version": 2}
    unknown = await gateway.client.post(PATH, json=MANIFEST | {"brand_kit_id": str(uuid7())})

    job_id = await make_manifest(gateway, brand_kit_id=str(kit_id), style_capsule_id=str(capsule_id))

    assert (unknown.status_code, unknown.json()["errors"][0]["pointer"]) == (404, "/brand_kit_id")
    requested, _ = await gateway.said()
    assert isinstance(requested, JobRequested)
    assert requested.brand_kit == VersionRef(id=kit_id, version=3)
    assert requested.style_capsule == VersionRef(id=capsule_id, version=2)
    job = await gateway.job(job_id)
    assert (job["brand_kit_id"], job["style_capsule_id"]) == (str(kit_id), str(capsule_id))


async def test_what_the_documents_say_of_manifests_is_what_is_answered(gateway: Gateway) -> None:
    document = (await gateway.client.get("/openapi.json")).json()
    make = document["paths"][PATH]["post"]
    described = document["components"]["schemas"]["ManifestRequest"]

    assert make["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/ManifestRequest")
    assert [parameter["name"] for parameter in make["parameters"]] == ["Idempotency-Key"]
    example = make["responses"]["202"]["content"]["application/json"]["example"]
    problem = make["responses"]["409"]["content"]["application/problem+json"]["example"]
    first, second = described["examples"]
    made = (await gateway.client.post(PATH, json=first)).json()
    assert all(made[name] == example[name] for name in ("status", "manifest", "summary", "items"))
    refused = (await gateway.client.post(PATH, json=second)).json()
    assert refused == from_json(to_json(problem).replace(problem_id(problem), made["id"].encode()))
    assert (await gateway.client.post(PATH, json=second | {"project": "another"})).status_code == 202


def problem_id(problem: dict[str, Any]) -> bytes:
    detail: str = problem["errors"][0]["detail"]
    return detail.rsplit(maxsplit=1)[-1].encode()
