"""Where an asset comes from: storage-service's word, for whoever may see the asset."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from api_gateway.http.provenance import Provenance
from chassis.ids import uuid7
from tests.gateway_harness import Gateway, gateway_on, someone

pytestmark = pytest.mark.integration

WORD = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def record(asset_id: UUID, **other: Any) -> dict[str, Any]:
    return {
        "asset_id": str(asset_id),
        "origin": "job",
        "job_id": str(uuid7()),
        "item": 1,
        "kind": "image",
        "role": "primary",
        "mime": "image/png",
        "file_size": 48_213,
        "sha256": "11" * 32,
        "content_sha256": "22" * 32,
        "brand_kit": {"id": str(uuid7()), "version": 3},
        "style_capsule": None,
        "template": "thumbnail",
        "template_version": "v1.0",
        "template_sha256": "33" * 32,
        "prompt_sha256": "44" * 32,
        "provider": "sandbox",
        "model": "draw-1",
        "seed": 7,
        "generated_at": "2030-01-31T12:00:00Z",
        "stored_at": "2030-01-31T12:00:01Z",
        "ai_generated": True,
        "digital_source_type": WORD,
        "mark": "XMP",
        "c2pa": {"signed": True, "why_not": None},
        **other,
    }


@pytest.fixture
async def gateway(database_url: str) -> AsyncIterator[Gateway]:
    async with gateway_on(database_url) as running:
        yield running


async def test_the_record_is_shown_as_storage_tells_it(gateway: Gateway) -> None:
    asset = uuid7()
    gateway.storage.records[asset] = record(asset)

    answer = await gateway.client.get(f"/api/v1/assets/{asset}/provenance")

    assert answer.status_code == 200, answer.text
    assert answer.json() == gateway.storage.records[asset]
    assert Provenance.model_validate(answer.json()).model_dump(mode="json") == answer.json()
    [context] = gateway.storage.asked_by
    assert (context.tenant_id, context.user_id) == (gateway.who.tenant_id, gateway.who.user_id)
    assert "tenant:read" not in context.scopes


async def test_who_may_do_everything_asks_for_the_whole_tenant(gateway: Gateway) -> None:
    asset = uuid7()
    gateway.storage.records[asset] = record(asset)
    admin = await gateway.client_of(someone("admin"))
    assert (await admin.get(f"/api/v1/assets/{asset}/provenance")).status_code == 200
    assert "tenant:read" in gateway.storage.asked_by[0].scopes


async def test_an_asset_that_is_not_there_or_somebody_elses_is_not_found(gateway: Gateway) -> None:
    answer = await gateway.client.get(f"/api/v1/assets/{uuid7()}/provenance")
    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
    assert (await gateway.client.get("/api/v1/assets/mine/provenance")).status_code == 422


async def test_a_key_needs_the_scope_for_assets(gateway: Gateway) -> None:
    reader = await gateway.client_of(someone("jobs:read"))
    path = f"/api/v1/assets/{uuid7()}/provenance"
    answers = [await client.get(path) for client in (gateway.speaking(None), reader)]
    assert [answer.status_code for answer in answers] == [401, 403]
    assert gateway.storage.asked_by == []


async def test_a_storage_that_does_not_answer_is_named(gateway: Gateway) -> None:
    gateway.storage.away = True
    answer = await gateway.client.get(f"/api/v1/assets/{uuid7()}/provenance")
    assert (answer.status_code, answer.json()["code"]) == (503, "UNAVAILABLE")
    assert "storage-service" in answer.json()["detail"]


async def test_the_documents_describe_the_record(gateway: Gateway) -> None:
    document = (await gateway.client.get("/openapi.json")).json()
    told = document["paths"]["/api/v1/assets/{asset_id}/provenance"]["get"]["responses"]["200"]
    assert told["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Provenance"}
