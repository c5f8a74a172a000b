"""Who may come in, and whose data he sees."""

from __future__ import annotations

from collections.abc import AsyncIterator

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
