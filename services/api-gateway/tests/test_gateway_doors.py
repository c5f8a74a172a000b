"""Who may come in, whose data he sees, and what is refused in which words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from api_gateway.keys import Principal, digest_of, new_key
from api_gateway.store.keys import add_key
from chassis.database import tenant_transaction
from chassis.ids import uuid7
from tests.gateway_harness import IMAGE, Gateway, gateway_on, someone
from tests.gateway_stories import completed_picture, prepared

pytestmark = pytest.mark.integration


@pytest.fixture
async def gateway(database_url: str) -> AsyncIterator[Gateway]:
    async with gateway_on(database_url, key_lifetime=0) as running:
        yield running


NO_KEYS = [
    None,
    b"",
    b"Bearer",
    b"Basic dXNlcjpwYXNz",
    b"Bearer something",
    b"Bearer bk_short",
    b"Bearer bk_" + b"x" * 43,
    b"Bearer bk_" + b"\xfc" * 43,
    b"Bearer bk_" + b"x" * 5000,
]


async def test_nobody_comes_in_without_a_key(gateway: Gateway) -> None:
    client = gateway.speaking(None)
    for authorization in NO_KEYS:
        headers = {} if authorization is None else {b"Authorization": authorization}

        answer = await client.get("/api/v1/jobs", headers=headers)

        assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHENTICATED"), authorization
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_key_comes_in_by_either_header(gateway: Gateway) -> None:
    key = gateway.client.headers["authorization"].removeprefix("Bearer ")

    for headers in ({"Authorization": f"bearer {key}"}, {"X-API-Key": key}):
        assert (await gateway.speaking(None).get("/api/v1/jobs", headers=headers)).status_code == 200


async def test_the_table_of_keys_opens_nothing(gateway: Gateway) -> None:
    key = gateway.client.headers["authorization"].removeprefix("Bearer ")
    rows = (await gateway.run("SELECT row_to_json(api_key)::text FROM api_key")).scalars().all()

    assert len(rows) == 1
    assert key not in rows[0]
    assert key[11:] not in rows[0]
    assert digest_of(key).hex() in rows[0]


async def test_a_revoked_or_expired_key_stays_out(gateway: Gateway) -> None:
    assert (await gateway.client.get("/api/v1/jobs")).status_code == 200

    await gateway.run("UPDATE api_key SET expires_at = now() - interval '1 second'")
    assert (await gateway.client.get("/api/v1/jobs")).status_code == 401

    await gateway.run("UPDATE api_key SET expires_at = NULL, revoked_at = now()")
    assert (await gateway.client.get("/api/v1/jobs")).status_code == 401


async def test_a_key_does_only_what_its_scopes_allow(gateway: Gateway) -> None:
    reader = await gateway.client_of(someone("jobs:read"))
    writer = await gateway.client_of(someone("jobs:write"))

    refused = await reader.post("/api/v1/jobs", json=IMAGE)
    assert (refused.status_code, refused.json()["code"]) == (403, "FORBIDDEN")
    assert "jobs:write" in refused.json()["detail"]
    assert (await writer.get("/api/v1/jobs")).status_code == 403
    assert (await writer.post("/api/v1/jobs", json=IMAGE)).status_code == 202
    assert (await reader.post("/api/v1/brand-kits", json={"name": "x"})).status_code == 403
    assert (await writer.post("/api/v1/jobs/bulk", json={"jobs": [IMAGE]})).status_code == 202


async def test_an_administrator_makes_lists_and_revokes_keys(gateway: Gateway) -> None:
    admin = await gateway.client_of(someone("admin", tenant_id=gateway.who.tenant_id))
    made = await admin.post("/api/v1/keys", json={"scopes": ["jobs:read"], "expires_in_seconds": 60})
    assert made.status_code == 201, made.text
    client = gateway.speaking(f"Bearer {made.json()['key']}")
    assert (await client.get("/api/v1/jobs")).status_code == 200
    assert (await client.post("/api/v1/jobs", json=IMAGE)).status_code == 403

    listed = await admin.get("/api/v1/keys")
    assert listed.json()["total"] == 3
    assert made.json()["key"] not in listed.text
    path = f"/api/v1/keys/{made.json()['id']}"
    stranger = await gateway.client_of(someone("admin"))
    assert (await stranger.delete(path)).status_code == 404
    assert [(await admin.delete(path)).status_code for _ in range(2)] == [204, 404]
    assert (await client.get("/api/v1/jobs")).status_code == 401


async def test_nobody_gives_away_more_than_he_has(gateway: Gateway) -> None:
    plain = await gateway.client.post("/api/v1/keys", json={"scopes": ["jobs:read"]})
    admin = await gateway.client_of(someone("admin", tenant_id=gateway.who.tenant_id))
    unknown = await admin.post("/api/v1/keys", json={"scopes": ["everything"]})
    empty = await admin.post("/api/v1/keys", json={"scopes": []})

    assert [answer.status_code for answer in (plain, unknown, empty)] == [403, 422, 422]
    assert unknown.json()["errors"][0]["pointer"] == "/scopes"


async def test_another_tenant_sees_nothing_at_any_door(gateway: Gateway) -> None:
    job_id = await gateway.make(labels={"scene": "1"})
    await gateway.hear_all(completed_picture(job_id))
    kit = (await gateway.client.post("/api/v1/brand-kits", json={"name": "Neon", "tone": "bold"})).json()
    everything = ("jobs:read", "jobs:write", "assets:read", "prompts:write", "tenant:read", "admin")
    stranger = await gateway.client_of(someone(*everything))
    missing = uuid7()

    for path in ("/api/v1/jobs/{}", "/api/v1/jobs/{}/assets", "/api/v1/jobs/{}?include=assets"):
        foreign, absent = await stranger.get(path.format(job_id)), await stranger.get(path.format(missing))
        assert (foreign.status_code, absent.status_code) == (404, 404)
        assert foreign.text.replace(str(job_id), str(missing)).split("instance")[0] == absent.text.split("instance")[0]
    assert (await stranger.post(f"/api/v1/jobs/{job_id}/cancel")).status_code == 404
    assert (await stranger.get(f"/api/v1/jobs/{job_id}", params={"wait": 60})).status_code == 404
    for params in ({}, {"label.scene": "1"}, {"status": "completed"}):
        assert (await stranger.get("/api/v1/jobs", params=params)).json()["total"] == 0
    assert (await stranger.get(f"/api/v1/brand-kits/{kit['id']}")).status_code == 404
    assert (await stranger.post("/api/v1/jobs", json=IMAGE | {"brand_kit_id": kit["id"]})).status_code == 404


async def test_the_database_itself_shows_a_tenant_only_its_own(gateway: Gateway) -> None:
    job_id = await gateway.make()
    await gateway.hear_all(completed_picture(job_id))
    counts = text(
        "SELECT (SELECT count(*) FROM job), (SELECT count(*) FROM asset), "
        "(SELECT coalesce(sum(jobs), 0) FROM job_total)"
    )

    async with tenant_transaction(gateway.engine, gateway.who.tenant_id) as conn:
        assert tuple((await conn.execute(counts)).one()) == (1, 1, 1)
    async with tenant_transaction(gateway.engine, uuid7()) as conn:
        assert tuple((await conn.execute(counts)).one()) == (0, 0, 0)


async def test_users_see_their_own_and_tenant_read_sees_all(gateway: Gateway) -> None:
    job_id = await gateway.make()
    await gateway.hear_all(completed_picture(job_id))
    tenant = gateway.who.tenant_id
    colleague = await gateway.client_of(someone(tenant_id=tenant))
    auditor = await gateway.client_of(someone("jobs:read", "jobs:write", "tenant:read", tenant_id=tenant))

    assert (await colleague.get(f"/api/v1/jobs/{job_id}")).status_code == 404
    assert (await colleague.get(f"/api/v1/jobs/{job_id}/assets")).status_code == 404
    assert (await colleague.post(f"/api/v1/jobs/{job_id}/cancel")).status_code == 404
    assert (await colleague.get("/api/v1/jobs")).json()["total"] == 0
    assert (await auditor.get(f"/api/v1/jobs/{job_id}")).status_code == 200
    assert (await auditor.get("/api/v1/jobs")).json()["total"] == 1
    assert (await auditor.post(f"/api/v1/jobs/{job_id}/cancel")).status_code == 403


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
    ({"kind": "video", "prompt": "a fox"}, 422, "INVALID_REQUEST", "/kind"),
    ({"kind": "hologram", "prompt": "a fox"}, 422, "INVALID_REQUEST", "/kind"),
    ({"kind": 7}, 422, "VALIDATION", "/kind"),
    ({"kind": "video", "asset_type": "banner"}, 422, "INVALID_REQUEST", "/kind"),
    ({"asset_type": "poster"}, 422, "VALIDATION", "/asset_type"),
    ({"asset_type": "thumbnail", "width": 640}, 422, "INVALID_REQUEST", "/width"),
    ({"asset_type": "thumbnail", "height": 640}, 422, "INVALID_REQUEST", "/height"),
    (IMAGE | {"promt": "typo"}, 422, "VALIDATION", "/promt"),
    (IMAGE | {"prompt": ""}, 422, "VALIDATION", "/prompt"),
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
    (IMAGE | {"variables": {"a": "x" * 501}}, 422, "VALIDATION", "/variables"),
    (IMAGE | {"route": {"providers": ["a"] * 9}}, 422, "VALIDATION", "/route/providers"),
    (IMAGE | {"route": {"provider": "a"}}, 422, "VALIDATION", "/route/provider"),
    (IMAGE | {"brand_kit_id": "neon"}, 422, "VALIDATION", "/brand_kit_id"),
    (IMAGE | {"template_version": "v2.0"}, 422, "INVALID_REQUEST", "/template_version"),
    (IMAGE | {"loop": True}, 422, "INVALID_REQUEST", "/loop"),
    (IMAGE | {"tileable": True}, 422, "INVALID_REQUEST", "/tileable"),
    (IMAGE | {"duration_seconds": 8}, 422, "INVALID_REQUEST", "/duration_seconds"),
    (IMAGE | {"inputs": [{"role": "mask"}]}, 422, "INVALID_REQUEST", "/inputs"),
    (IMAGE | {"webhook_url": "https://x.test"}, 422, "INVALID_REQUEST", "/webhook_url"),
    (IMAGE | {"style_capsule_id": str(UUID(int=1))}, 422, "INVALID_REQUEST", "/style_capsule_id"),
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


async def test_the_first_key_works_from_the_start(gateway: Gateway) -> None:
    key = new_key()
    who = Principal(uuid7(), uuid7(), frozenset({"jobs:read"}))
    for _ in range(2):
        async with gateway.engine.begin() as conn:
            await add_key(conn, uuid7(), key, who)

    assert (await gateway.speaking(f"Bearer {key}").get("/api/v1/jobs")).status_code == 200


async def test_events_of_another_tenant_do_not_touch_a_job(gateway: Gateway) -> None:
    job_id = await gateway.make()

    await gateway.hear(prepared(job_id), tenant_id=uuid7())
    await gateway.hear(prepared(uuid7()))

    assert (await gateway.job(job_id))["status"] == "queued"
    assert (await gateway.run("SELECT count(*) FROM fact")).scalar_one() == 0
