"""The routes of webhooks: what is taken, what is refused and in which words, and who may."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from api_gateway.webhooks import MOST_WEBHOOKS
from chassis.ids import uuid7
from tests.gateway_harness import IMAGE, Gateway, gateway_on, someone
from tests.gateway_webhooks import deliveries, finish, redeliver, webhook

pytestmark = pytest.mark.integration

OWN = "http://10.1.2.3:9000"
URL = "https://studio.example/backlot?room=7"
WHERE = {
    "studio.example": ["93.184.216.34"],
    "inside.example": ["93.184.216.34", "10.0.0.7"],
    "local.example": ["127.0.0.1"],
    "metadata.example": ["169.254.169.254"],
    "wrapped.example": ["::ffff:192.168.0.1"],
    "localhost": ["127.0.0.1"],
    "127.0.0.1": ["127.0.0.1"],
    "10.1.2.3": ["10.1.2.3"],
}


async def resolve(host: str, _: int) -> list[str]:
    if host not in WHERE:
        raise OSError("no such name")
    return WHERE[host]


@pytest.fixture
async def gateway(database_url: str) -> AsyncIterator[Gateway]:
    async with gateway_on(database_url, origins=[OWN], resolve=resolve) as running:
        yield running


async def test_a_webhook_is_made_shown_listed_and_deleted_and_its_secret_is_shown_once(gateway: Gateway) -> None:
    answer = await gateway.client.post(
        "/api/v1/webhooks", json={"url": URL, "events": ["job.settled", "job.failed"], "description": "the studio"}
    )

    made = answer.json()
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    assert answer.headers["location"] == f"/api/v1/webhooks/{made['id']}"
    assert made["secret"].startswith("whsec_")
    shown = {name: value for name, value in made.items() if name != "secret"}
    assert (shown["url"], shown["events"], shown["description"]) == (URL, ["job.failed", "job.settled"], "the studio")
    assert (shown["disabled_at"], shown["disabled_reason"], shown["jobs"]) == (None, None, "own")
    assert (await gateway.client.get(answer.headers["location"])).json() == shown
    second = await webhook(gateway, f"{OWN}/hook")
    assert second["secret"] != made["secret"]
    page = (await gateway.client.get("/api/v1/webhooks", params={"limit": 1})).json()
    assert (page["total"], [one["id"] for one in page["items"]]) == (2, [second["id"]])
    assert "whsec_" not in json.dumps(page)

    assert (await gateway.client.delete(answer.headers["location"])).status_code == 204
    assert (await gateway.client.get(answer.headers["location"])).status_code == 404
    assert (await gateway.client.get("/api/v1/webhooks")).json()["total"] == 1


REFUSED: list[tuple[Any, str, str]] = [
    ({}, "/url", ""),
    ({"url": ""}, "/url", ""),
    ({"url": 7}, "/url", ""),
    ({"url": None}, "/url", ""),
    ({"url": "x" * 10_000}, "/url", "2000 characters"),
    ({"url": f"https://studio.example/{'x' * 10_000}"}, "/url", "2000 characters"),
    ({"url": "https://studio.example/\x00"}, "/url", "NUL"),
    ({"url": "https://studio.example/\n"}, "/url", ""),
    ({"url": "studio.example/hook"}, "/url", "only https"),
    ({"url": "http://studio.example/hook"}, "/url", "only https"),
    ({"url": "ftp://studio.example/hook"}, "/url", "only https"),
    ({"url": "file:///etc/passwd"}, "/url", "only https"),
    ({"url": "https://user:word@studio.example/"}, "/url", "password"),
    ({"url": "https://user@studio.example/"}, "/url", "password"),
    ({"url": "http://user:word@10.1.2.3:9000/"}, "/url", "password"),
    ({"url": "https://"}, "/url", ""),
    ({"url": "https://[::1]/"}, "/url", ""),
    ({"url": "https://[::1"}, "/url", ""),
    ({"url": "https://studio.example:0/"}, "/url", ""),
    ({"url": "https://studio.example:99999/"}, "/url", ""),
    ({"url": "https://127.0.0.1/"}, "/url", "private network"),
    ({"url": "https://localhost/"}, "/url", "private network"),
    ({"url": "https://inside.example/"}, "/url", "private network"),
    ({"url": "https://local.example/"}, "/url", "private network"),
    ({"url": "https://metadata.example/latest"}, "/url", "private network"),
    ({"url": "https://wrapped.example/"}, "/url", "private network"),
    ({"url": "http://10.1.2.3:9001/"}, "/url", "only https"),
    ({"url": "https://10.1.2.3:9001/"}, "/url", "private network"),
    ({"url": "https://nowhere.example/"}, "/url", "cannot be resolved"),
    ({"url": URL, "events": []}, "/events", ""),
    ({"url": URL, "events": "job.failed"}, "/events", ""),
    ({"url": URL, "events": ["job.accepted"]}, "/events/0", "job.completed"),
    ({"url": URL, "events": ["job.failed", "*"]}, "/events/1", "job.completed"),
    ({"url": URL, "description": "x" * 201}, "/description", ""),
    ({"url": URL, "description": "\x00"}, "/description", "NUL"),
    ({"url": URL, "secret": "whsec_mine"}, "/secret", ""),
]


async def test_what_cannot_be_a_webhook_is_refused_with_its_field_and_the_reason(gateway: Gateway) -> None:
    for body, pointer, words in REFUSED:
        answer = await gateway.client.post("/api/v1/webhooks", json=body)
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (422, "VALIDATION"), (body, answer.text)
        assert [error["pointer"] for error in problem["errors"]] == [pointer], (body, answer.text)
        assert words in problem["errors"][0]["detail"], (body, answer.text)
    for content in (b"", b"{", b'{"url": "\\ud800"}'):
        headers = {"Content-Type": "application/json"}
        answer = await gateway.client.post("/api/v1/webhooks", content=content, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_REQUEST"), content
    assert (await gateway.client.get("/api/v1/webhooks")).json()["total"] == 0


async def test_a_tenant_has_twenty_webhooks_however_they_come(gateway: Gateway) -> None:
    colleague = await gateway.client_of(someone(tenant_id=gateway.who.tenant_id))
    asked = [client.post("/api/v1/webhooks", json={"url": URL}) for client in (gateway.client, colleague) * 12]
    answers = await asyncio.gather(*asked)

    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [201] * MOST_WEBHOOKS + [409] * (24 - MOST_WEBHOOKS)
    [refused, *_] = [answer.json() for answer in answers if answer.status_code == 409]
    assert (refused["code"], refused["detail"]) == ("CONFLICT", "a tenant has at most 20 webhooks; delete one first")
    [made, *_] = (await gateway.client.get("/api/v1/webhooks")).json()["items"]
    await gateway.client.delete(f"/api/v1/webhooks/{made['id']}")
    assert (await gateway.client.post("/api/v1/webhooks", json={"url": URL})).status_code == 201
    async with await gateway.client_of(someone()) as stranger:
        assert (await stranger.post("/api/v1/webhooks", json={"url": URL})).status_code == 201
    await colleague.aclose()


async def test_another_tenants_webhook_is_not_there(gateway: Gateway) -> None:
    hook = await webhook(gateway, URL)
    await finish(gateway)
    [delivery] = await deliveries(gateway, hook)
    others = [someone(), someone("admin"), someone(tenant_id=gateway.who.tenant_id)]
    for other in others:
        async with await gateway.client_of(other) as client:
            path = f"/api/v1/webhooks/{hook['id']}"
            again = f"{path}/deliveries/{delivery['id']}/redeliver"
            answers = [
                await client.get(path),
                await client.delete(path),
                await client.get(f"{path}/deliveries"),
                await client.post(again),
            ]
            assert [answer.status_code for answer in answers] == [404] * 4
            assert {answer.json()["detail"] for answer in answers} == {f"there is no webhook {hook['id']}"}
            assert (await client.get("/api/v1/webhooks")).json()["items"] == []
            mine = await webhook(gateway, URL, client=client)
            foreign = await client.post(f"/api/v1/webhooks/{mine['id']}/deliveries/{delivery['id']}/redeliver")
            assert foreign.status_code == 404
    assert len(await deliveries(gateway, hook)) == 1


async def test_who_sees_the_whole_tenant_sees_a_colleagues_webhook_and_leaves_it(gateway: Gateway) -> None:
    hook = await webhook(gateway, URL)
    scopes = ("jobs:read", "jobs:write", "tenant:read")
    async with await gateway.client_of(someone(*scopes, tenant_id=gateway.who.tenant_id)) as overseer:
        assert (await overseer.get(f"/api/v1/webhooks/{hook['id']}")).status_code == 200
        refused = await overseer.delete(f"/api/v1/webhooks/{hook['id']}")
        assert (refused.status_code, refused.json()["detail"]) == (403, "only the owner of a webhook may delete it")
    async with await gateway.client_of(someone("admin", tenant_id=gateway.who.tenant_id)) as admin:
        assert (await admin.delete(f"/api/v1/webhooks/{hook['id']}")).status_code == 204


async def test_reading_and_writing_take_their_scopes(gateway: Gateway) -> None:
    hook = await webhook(gateway, URL)
    path, user = f"/api/v1/webhooks/{hook['id']}", gateway.who.user_id
    reads = [("GET", "/api/v1/webhooks"), ("GET", path), ("GET", f"{path}/deliveries")]
    writes = [
        ("POST", "/api/v1/webhooks"),
        ("POST", f"{path}/deliveries/{uuid7()}/redeliver"),
        ("DELETE", path),
    ]
    for scope, allowed, refused in (
        ("jobs:read", reads, writes),
        ("jobs:write", [], [*reads, *writes[:2]]),
        ("assets:read", [], writes),
    ):
        reader = someone(scope, tenant_id=gateway.who.tenant_id, user_id=user)
        async with await gateway.client_of(reader) as client:
            for method, address in allowed:
                assert (await client.request(method, address)).status_code == 200
            for method, address in refused:
                assert (await client.request(method, address, json={"url": URL})).status_code == 403
    nobody = gateway.speaking(None)
    for method, address in reads + writes:
        assert (await nobody.request(method, address)).status_code == 401


async def test_pages_of_deliveries_are_cut_and_filtered(gateway: Gateway) -> None:
    hook = await webhook(gateway, URL)
    jobs = [str(await finish(gateway)) for _ in range(3)]
    path = f"/api/v1/webhooks/{hook['id']}/deliveries"
    page = (await gateway.client.get(path, params={"limit": 2, "offset": 1})).json()
    assert (page["total"], page["limit"], page["offset"]) == (3, 2, 1)
    assert [one["job_id"] for one in page["items"]] == [jobs[1], jobs[0]]
    for query, pointer in (("state=lost", "/query/state"), ("limit=0", "/query/limit"), ("offset=-1", "/query/offset")):
        answer = await gateway.client.get(f"{path}?{query}")
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer), answer.text
    assert (await redeliver(gateway, hook, str(uuid7()))).status_code == 404
    assert (await redeliver(gateway, hook, "nonsense")).status_code == 422


async def test_a_job_says_where_its_webhook_is_registered(gateway: Gateway) -> None:
    answer = await gateway.client.post("/api/v1/jobs", json=IMAGE | {"webhook_url": URL})
    [error] = answer.json()["errors"]
    assert (answer.status_code, error["pointer"]) == (422, "/webhook_url")
    assert "/api/v1/webhooks" in error["detail"]


async def test_no_log_line_carries_an_address_or_a_secret(gateway: Gateway) -> None:
    with capture_logs() as lines:
        hook = await webhook(gateway, URL)
        await gateway.client.post("/api/v1/webhooks", json={"url": "https://inside.example/?room=7"})
        await gateway.client.delete(f"/api/v1/webhooks/{hook['id']}")
    assert [line["event"] for line in lines if line["event"].startswith("webhook")] == [
        "webhook_made",
        "webhook_deleted",
    ]
    assert "room=7" not in str(lines)
    assert hook["secret"] not in str(lines)


async def test_the_document_describes_every_route(gateway: Gateway) -> None:
    document = (await gateway.speaking(None).get("/openapi.json")).json()
    paths = {path: set(found) for path, found in document["paths"].items() if path.startswith("/api/v1/webhooks")}
    assert paths == {
        "/api/v1/webhooks": {"get", "post"},
        "/api/v1/webhooks/{webhook_id}": {"get", "delete"},
        "/api/v1/webhooks/{webhook_id}/deliveries": {"get"},
        "/api/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver": {"post"},
    }
    schemas = document["components"]["schemas"]
    assert schemas["WebhookRequest"]["required"] == ["url"]
    assert {"WebhookAnswer", "WebhookList", "NewWebhook", "DeliveryAnswer", "DeliveryList"} <= set(schemas)
