"""What clients are told of the providers: provider-worker's word, for whoever may read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from api_gateway.http.providers import ProviderList
from tests.gateway_harness import Gateway, gateway_on, someone

pytestmark = pytest.mark.integration

SANDBOX: dict[str, Any] = {
    "name": "sandbox",
    "adapter": "sandbox",
    "model": "sandbox-1",
    "kinds": ["image"],
    "enabled": True,
    "health": "ok",
    "why_not": None,
    "makes": [
        {
            "kind": "image",
            "op": "text_to_image",
            "formats": ["png"],
            "seconds": None,
            "supports": ["seed"],
            "cancel": "none",
            "webhook": False,
            "idempotency": "client_ref",
        }
    ],
    "limits": {"per_tenant": {"image": 5}, "account": None},
    "prices": [{"unit": "image", "usd": "0.04", "facts": {}}],
}
MEDLEY = SANDBOX | {"name": "medley", "enabled": False, "health": "disabled", "why_not": "MEDLEY_KEY is not set"}


@pytest.fixture
async def gateway(database_url: str) -> AsyncIterator[Gateway]:
    async with gateway_on(database_url) as running:
        yield running


async def test_providers_are_shown_as_the_worker_tells_them(gateway: Gateway) -> None:
    gateway.worker.items = [SANDBOX, MEDLEY]

    answer = await gateway.client.get("/api/v1/providers")

    assert answer.status_code == 200, answer.text
    expected = {"items": [SANDBOX, MEDLEY], "total": 2, "limit": 2, "offset": 0, "next_cursor": None}
    assert answer.json() == expected == ProviderList.model_validate(answer.json()).model_dump()
    [context] = gateway.worker.asked_by
    assert (context.tenant_id, context.user_id) == (gateway.who.tenant_id, gateway.who.user_id)


async def test_only_who_may_read_jobs_is_told_of_providers(gateway: Gateway) -> None:
    writer = await gateway.client_of(someone("jobs:write"))
    answers = [await client.get("/api/v1/providers") for client in (gateway.speaking(None), writer)]

    assert [answer.status_code for answer in answers] == [401, 403]
    assert gateway.worker.asked_by == []


async def test_a_worker_that_does_not_answer_is_named_and_jobs_are_accepted_all_the_same(gateway: Gateway) -> None:
    gateway.worker.away = True

    answer = await gateway.client.get("/api/v1/providers")

    assert (answer.status_code, answer.json()["code"]) == (503, "UNAVAILABLE")
    assert "provider-worker" in answer.json()["detail"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert await gateway.make(kind="video")


async def test_the_documents_describe_providers(gateway: Gateway) -> None:
    document = (await gateway.client.get("/openapi.json")).json()

    told = document["paths"]["/api/v1/providers"]["get"]["responses"]["200"]
    assert told["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/ProviderList"}
    assert document["components"]["schemas"]["JobRequest"]["properties"]["kind"]["anyOf"][0]["enum"] == [
        "image",
        "texture",
        "environment_map",
        "video",
        "sfx",
        "music",
        "model_3d",
    ]
