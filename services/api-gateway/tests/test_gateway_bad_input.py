"""What is refused, and in which words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from tests.gateway_harness import IMAGE, Gateway, gateway_on

pytestmark = pytest.mark.integration


@pytest.fixture
async def gateway(database_url: str) -> AsyncIterator[Gateway]:
    async with gateway_on(database_url) as running:
        yield running


BAD_BODIES: list[tuple[Any, int, str, str]] = [
    (b"", 400, "INVALID_REQUEST", ""),
    (b"{", 400, "INVALID_REQUEST", ""),
    (b"\xff\xfe", 400, "INVALID_REQUEST", ""),
    (b'{"prompt": "\\ud800"}', 400, "INVALID_REQUEST", ""),
    (b"null", 422, "VALIDATION", ""),
    ([], 422, "VALIDATION", ""),
    ("text", 422, "VALIDATION", ""),
    ({}, 422, "INVALID_REQUEST", "/kind"),
    ({"kind": "image"}, 422, "INVALID_REQUEST", "/prompt"),
    ({"kind": "environment_map", "prompt": "a sky", "width": 512, "height": 512}, 422, "INVALID_REQUEST", "/width"),
    ({"kind": "video", "prompt": "a fox", "duration_seconds": 60}, 422, "INVALID_REQUEST", "/duration_seconds"),
    ({"kind": "hologram", "prompt": "a fox"}, 422, "INVALID_REQUEST", "/kind"),
    ({"kind": 7}, 422, "VALIDATION", "/kind"),
    ({"kind": "video", "asset_type": "banner"}, 422, "INVALID_REQUEST", "/kind"),
    ({"asset_type": "poster"}, 422, "VALIDATION", "/asset_type"),
    ({"asset_type": "thumbnail", "width": 640}, 422, "INVALID_REQUEST", "/width"),
    ({"asset_type": "thumbnail", "height": 640}, 422, "INVALID_REQUEST", "/height"),
    (IMAGE | {"promt": "typo"}, 422, "VALIDATION", "/promt"),
    (IMAGE | {"prompt": ""}, 422, "VALIDATION", "/prompt"),
    (IMAGE | {"prompt": " \n\t "}, 422, "VALIDATION", "/prompt"),
    (IMAGE | {"prompt": "x" * 4001}, 422, "VALIDATION", "/prompt"),
    (IMAGE | {"prompt": "nul \x00"}, 422, "VALIDATION", "/prompt"),
    (IMAGE | {"prompt": ["a"]}, 422, "VALIDATION", "/prompt"),
    (IMAGE | {"count": 0}, 422, "VALIDATION", "/count"),
    (IMAGE | {"count": 11}, 422, "VALIDATION", "/count"),
    (IMAGE | {"count": True}, 422, "VALIDATION", "/count"),
    (IMAGE | {"count": "2"}, 422, "VALIDATION", "/count"),
    (IMAGE | {"width": 63}, 422, "VALIDATION", "/width"),
    (IMAGE | {"width": 4097}, 422, "VALIDATION", "/width"),
    (IMAGE | {"width": 10**30}, 422, "VALIDATION", "/width"),
    (IMAGE | {"height": 12.5}, 422, "VALIDATION", "/height"),
    (IMAGE | {"format": "tiff"}, 422, "VALIDATION", "/format"),
    (IMAGE | {"seed": -1}, 422, "VALIDATION", "/seed"),
    (IMAGE | {"fit": "stretch"}, 422, "VALIDATION", "/fit"),
    (IMAGE | {"max_cost": "0"}, 422, "VALIDATION", "/max_cost"),
    (IMAGE | {"max_cost": "-1"}, 422, "VALIDATION", "/max_cost"),
    (IMAGE | {"max_cost": "NaN"}, 422, "VALIDATION", "/max_cost"),
    (IMAGE | {"max_cost": "1.0000001"}, 422, "VALIDATION", "/max_cost"),
    (IMAGE | {"max_cost": "1e9"}, 422, "VALIDATION", "/max_cost"),
    (IMAGE | {"deadline_seconds": 0}, 422, "VALIDATION", "/deadline_seconds"),
    (IMAGE | {"visibility": "secret"}, 422, "VALIDATION", "/visibility"),
    (IMAGE | {"path": "../../etc/passwd"}, 422, "VALIDATION", "/path"),
    (IMAGE | {"path": "/etc/passwd"}, 422, "VALIDATION", "/path"),
    (IMAGE | {"path": "a//b"}, 422, "VALIDATION", "/path"),
    (IMAGE | {"path": "a\\b"}, 422, "VALIDATION", "/path"),
    (IMAGE | {"run": "a/b"}, 422, "VALIDATION", "/run"),
    (IMAGE | {"run": "a\n"}, 422, "VALIDATION", "/run"),
    (IMAGE | {"labels": {str(n): "x" for n in range(17)}}, 422, "VALIDATION", "/labels"),
    (IMAGE | {"labels": {"a b": "x"}}, 422, "VALIDATION", "/labels/a b"),
    (IMAGE | {"labels": {"a": 1}}, 422, "VALIDATION", "/labels/a"),
    (IMAGE | {"labels": {"a": "x" * 256}}, 422, "VALIDATION", "/labels/a"),
    (IMAGE | {"variables": {"a": "x" * 501}}, 422, "VALIDATION", "/variables/a"),
    (IMAGE | {"variables": {"a": float("inf")}}, 422, "VALIDATION", "/variables/a"),
    (IMAGE | {"variables": {"a": [5]}}, 422, "VALIDATION", "/variables/a"),
    (IMAGE | {"variables": {"a": None}}, 422, "VALIDATION", "/variables/a"),
    (IMAGE | {"route": {"providers": ["a"] * 9}}, 422, "VALIDATION", "/route/providers"),
    (IMAGE | {"route": {"provider": "a"}}, 422, "VALIDATION", "/route/provider"),
    (IMAGE | {"brand_kit_id": "neon"}, 422, "VALIDATION", "/brand_kit_id"),
    (IMAGE | {"template_version": "v2.0"}, 422, "INVALID_REQUEST", "/template_version"),
    (IMAGE | {"loop": True}, 422, "INVALID_REQUEST", "/loop"),
    (IMAGE | {"tileable": True}, 422, "INVALID_REQUEST", "/tileable"),
    (IMAGE | {"duration_seconds": 8}, 422, "INVALID_REQUEST", "/duration_seconds"),
    (IMAGE | {"inputs": [{"role": "mask"}]}, 422, "VALIDATION", "/inputs/0"),
    (IMAGE | {"inputs": [{"role": "mask", "url": "https://x.test/a"}]}, 422, "INVALID_REQUEST", "/inputs/0/role"),
    (IMAGE | {"webhook_url": "https://x.test"}, 422, "INVALID_REQUEST", "/webhook_url"),
    (IMAGE | {"style_capsule_id": str(UUID(int=1))}, 404, "NOT_FOUND", "/style_capsule_id"),
    (IMAGE | {"style_capsule_id": "noir"}, 422, "VALIDATION", "/style_capsule_id"),
    (
        {"kind": "sfx", "effect": "win", "style_capsule_id": str(UUID(int=1))},
        422,
        "INVALID_REQUEST",
        "/style_capsule_id",
    ),
]


async def test_a_bad_job_is_refused_with_its_field_and_the_reason(gateway: Gateway) -> None:
    for body, status, code, pointer in BAD_BODIES:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}

        answer = await gateway.client.post("/api/v1/jobs", content=content, headers=headers)

        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (status, code), (body, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        assert problem["detail"]
        if pointer:
            assert [error["pointer"] for error in problem["errors"]] == [pointer], (body, answer.text)
            assert all(error["detail"] for error in problem["errors"])
    assert await gateway.said() == []


async def test_fields_of_other_kinds_may_be_sent_with_their_defaults(gateway: Gateway) -> None:
    whole: dict[str, Any] = {
        "kind": "image", "asset_type": None, "prompt": "a fox", "negative_prompt": None, "count": 1,
        "width": 1280, "height": 720, "format": "png", "seed": None, "fit": "crop", "tileable": False,
        "duration_seconds": None, "loop": False, "instrumental": True, "genre": None, "effect": None,
        "max_triangles": 50000, "inputs": [], "brand_kit_id": None, "style_capsule_id": None, "template": None,
        "template_version": None, "variables": {}, "route": {"providers": [], "fallback": True}, "max_cost": "0.50",
        "deadline_seconds": None, "visibility": "private", "path": None, "run": None, "labels": {},
        "webhook_url": None,
    }  # fmt: skip
    assert (await gateway.client.post("/api/v1/jobs", json=whole)).status_code == 202


async def test_several_bad_fields_are_told_at_once(gateway: Gateway) -> None:
    answer = await gateway.client.post("/api/v1/jobs", json={"kind": "image", "width": 1, "count": 0, "seed": "x"})

    assert sorted(error["pointer"] for error in answer.json()["errors"]) == ["/count", "/seed", "/width"]


BAD_QUERIES = [
    ("limit=0", "/query/limit"),
    ("limit=101", "/query/limit"),
    ("limit=ten", "/query/limit"),
    ("offset=-1", "/query/offset"),
    ("offset=99999999999", "/query/offset"),
    ("status=done", "/query/status"),
    ("kind=hologram", "/query/kind"),
    ("asset_type=poster", "/query/asset_type"),
    ("created_after=yesterday", "/query/created_after"),
    ("cursor=%21%21", "/query/cursor"),
    ("cursor=AAAA", "/query/cursor"),
    ("cursor=%C3%BC", "/query/cursor"),
    ("colour=red", "/query/colour"),
    ("label.=x", "/query/label."),
    ("label.a=%00", "/query/label.a"),
]


async def test_a_bad_list_parameter_is_named(gateway: Gateway) -> None:
    for query, pointer in BAD_QUERIES:
        answer = await gateway.client.get(f"/api/v1/jobs?{query}")

        assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION"), (query, answer.text)
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


NOT_THERE = [
    ("GET", "/api/v1/jobs/not-a-uuid", 422),
    ("GET", f"/api/v1/jobs/{UUID(int=1)}?wait=61", 422),
    ("GET", f"/api/v1/jobs/{UUID(int=1)}?wait=-1", 422),
    ("GET", f"/api/v1/jobs/{UUID(int=1)}?wait=nan", 422),
    ("GET", f"/api/v1/jobs/{UUID(int=1)}?include=everything", 422),
    ("GET", f"/api/v1/jobs/{UUID(int=1)}", 404),
    ("GET", "/api/v1/nothing", 404),
    ("DELETE", "/api/v1/jobs", 405),
    ("GET", "/asset/not-a-uuid", 422),
]


async def test_what_is_not_there_is_a_problem_too(gateway: Gateway) -> None:
    for method, path, status in NOT_THERE:
        answer = await gateway.client.request(method, path)

        assert answer.status_code == status, (path, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        assert {"type", "title", "status", "code", "detail", "instance", "errors"} <= answer.json().keys()
        assert answer.headers["x-request-id"]


async def test_a_bad_idempotency_key_is_refused(gateway: Gateway) -> None:
    for key in (b"", b"x" * 256, b"tab\there", b"\xfc"):
        answer = await gateway.client.post("/api/v1/jobs", json=IMAGE, headers={b"Idempotency-Key": key})

        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == "/header/Idempotency-Key"


async def test_only_json_is_read_and_not_too_much_of_it(gateway: Gateway) -> None:
    form = await gateway.client.post("/api/v1/jobs", data={"kind": "image"})
    huge = await gateway.client.post("/api/v1/jobs", json=IMAGE | {"prompt": "x" * 1_100_000})
    many = await gateway.client.post("/api/v1/jobs/bulk", json={"jobs": [IMAGE] * 501})
    none = await gateway.client.post("/api/v1/jobs/bulk", json={"jobs": []})

    assert [answer.status_code for answer in (form, huge, many, none)] == [415, 413, 422, 422]
    assert many.json()["errors"][0]["pointer"] == "/jobs"


async def test_a_database_that_is_away_is_told_as_unavailable(gateway: Gateway) -> None:
    await gateway.client.get("/api/v1/jobs")
    await gateway.run("ALTER TABLE job RENAME TO job_away")
    broken = await gateway.client.get("/api/v1/jobs")
    await gateway.run("ALTER TABLE job_away RENAME TO job")
    kill = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE pid <> pg_backend_pid() AND datname = current_database()"
    )
    await asyncio.gather(*(gateway.client.get("/api/v1/jobs") for _ in range(4)))
    await gateway.run(kill)
    away = await gateway.client.get("/api/v1/jobs")
    answers = [away.status_code]
    while answers[-1] != 200 and len(answers) < 20:
        answers.append((await gateway.client.get("/api/v1/jobs")).status_code)

    assert (broken.status_code, broken.json()["code"]) == (500, "INTERNAL")
    assert "job_away" not in broken.text
    assert set(answers) <= {503, 200}
    assert answers[-1] == 200


async def test_the_documents_describe_what_is_answered(gateway: Gateway) -> None:
    nobody = gateway.speaking(None)
    document = (await nobody.get("/openapi.json")).json()

    create = document["paths"]["/api/v1/jobs"]["post"]
    assert create["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/JobRequest"}
    assert document["components"]["schemas"]["JobRequest"]["examples"]
    assert document["components"]["schemas"]["GenerateRequest"]["examples"]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert "default" in operation["responses"], path
            assert operation["description"] or operation["summary"], path
    references = _references(document)
    assert references <= {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert (await nobody.get("/docs")).status_code == 200
    contract = await nobody.get("/asyncapi.yaml")
    assert contract.text.startswith("asyncapi: 3")
    for example in document["components"]["schemas"]["JobRequest"]["examples"][:1]:
        assert (await gateway.client.post("/api/v1/jobs", json=example)).status_code == 202


def _references(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*map(_references, node.values())) if node else own
    if isinstance(node, list):
        return set().union(*map(_references, node)) if node else set()
    return set()
