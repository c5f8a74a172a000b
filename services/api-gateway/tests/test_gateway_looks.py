"""Brand kits and style capsules at the door: learned at once, pinned, their assets checked; foreign ones are none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest

from api_gateway.http.job_shapes import Job
from chassis.ids import uuid7
from schemas.jobs import JobRequested
from tests.gateway_harness import IMAGE, Gateway, gateway_on, someone

pytestmark = pytest.mark.integration

CAPSULES = "/api/v1/style-capsules"
KITS = "/api/v1/brand-kits"
CAPSULE = {"name": "Rainy noir", "style": "35 mm film"}
KIT = {"name": "Neon", "tone": "bold", "primary_colors": ["#7C3AED"]}
SORTS = [(KITS, KIT, "brand_kit"), (CAPSULES, CAPSULE, "style_capsule")]


@pytest.fixture
async def gateway(database_url: str) -> AsyncIterator[Gateway]:
    async with gateway_on(database_url) as running:
        yield running


async def made(gateway: Gateway, path: str, body: dict[str, Any]) -> str:
    answer = await gateway.client.post(path, json=body)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"{path}/{answer.json()['id']}"
    look_id: str = answer.json()["id"]
    return look_id


async def requests(gateway: Gateway) -> list[JobRequested]:
    return [said for said in await gateway.said("backlot.jobs") if isinstance(said, JobRequested)]


async def picture(gateway: Gateway, mime: str = "image/png") -> str:
    """The id of an asset of the gateway's own tenant."""
    asset_id: str = (await gateway.client.post("/api/v1/uploads", content=uuid7().bytes)).json()["id"]
    await gateway.run(
        "UPDATE asset SET body = (body::jsonb || jsonb_build_object('mime', CAST(:mime AS text)))::text WHERE id = :id",
        mime=mime,
        id=UUID(asset_id),
    )
    return asset_id


async def test_a_capsule_that_was_just_made_is_pinned_at_once_and_shown_on_the_job(gateway: Gateway) -> None:
    capsule = await made(gateway, CAPSULES, CAPSULE)
    await gateway.client.put(f"{CAPSULES}/{capsule}", json=CAPSULE)
    gateway.prompts.away = True

    job = (await gateway.client.post("/api/v1/jobs", json=IMAGE | {"style_capsule_id": capsule})).json()

    Job.model_validate(job)
    assert (job["style_capsule_id"], job["brand_kit_id"]) == (capsule, None)
    assert await gateway.job(UUID(job["id"])) == job
    [said] = await requests(gateway)
    assert said.style_capsule is not None
    assert (str(said.style_capsule.id), said.style_capsule.version, said.brand_kit) == (capsule, 2, None)


async def test_a_job_that_is_said_again_has_its_kit_and_its_capsule_as_it_had(gateway: Gateway) -> None:
    kit, capsule = await made(gateway, KITS, KIT), await made(gateway, CAPSULES, CAPSULE)
    await gateway.make(brand_kit_id=kit, style_capsule_id=capsule)
    await gateway.client.put(f"{CAPSULES}/{capsule}", json=CAPSULE)
    await gateway.run("UPDATE job SET requested_at = requested_at - interval '1 hour'")

    await gateway.sweeper.request_again()

    first, again = await requests(gateway)
    assert first == again
    assert again.style_capsule is not None
    assert (str(again.style_capsule.id), again.style_capsule.version) == (capsule, 1)


async def test_a_kit_and_a_capsule_this_gateway_never_saw_are_asked_for_once(gateway: Gateway) -> None:
    kit, capsule = uuid7(), uuid7()
    gateway.prompts.kits[gateway.who.tenant_id, kit] = {"id": str(kit), "version": 3}
    gateway.prompts.capsules[gateway.who.tenant_id, capsule] = {"id": str(capsule), "version": 5}
    looks = {"brand_kit_id": str(kit), "style_capsule_id": str(capsule)}

    await gateway.make(**looks)
    bulk = await gateway.client.post("/api/v1/jobs/bulk", json={"jobs": [IMAGE | looks, IMAGE]})

    assert bulk.json()["accepted"] == 2
    assert gateway.prompts.asked == 2
    first, second, plain = await requests(gateway)
    for said in (first, second):
        assert said.brand_kit is not None
        assert said.style_capsule is not None
        assert (said.brand_kit.version, said.style_capsule.version) == (3, 5)
    assert (plain.brand_kit, plain.style_capsule) == (None, None)


async def test_many_jobs_with_looks_nobody_saw_are_each_answered_for_themselves(gateway: Gateway) -> None:
    kit, capsule, missing = uuid7(), uuid7(), str(uuid7())
    gateway.prompts.kits[gateway.who.tenant_id, kit] = {"id": str(kit), "version": 1}
    gateway.prompts.capsules[gateway.who.tenant_id, capsule] = {"id": str(capsule), "version": 1}
    asked = [
        {"brand_kit_id": str(kit), "style_capsule_id": str(capsule)},
        {"brand_kit_id": str(kit), "style_capsule_id": missing},
        {"brand_kit_id": missing, "style_capsule_id": str(capsule)},
    ]

    answer = await gateway.client.post("/api/v1/jobs/bulk", json={"jobs": [IMAGE | looks for looks in asked]})

    items = answer.json()["items"]
    assert [item["status"] for item in items] == [202, 404, 404]
    pointers = [item["error"]["errors"][0]["pointer"] for item in items[1:]]
    assert pointers == ["/style_capsule_id", "/brand_kit_id"]
    assert gateway.prompts.asked == 4


async def test_an_unknown_capsule_and_a_foreign_one_are_not_found_by_their_field(gateway: Gateway) -> None:
    foreign = uuid7()
    gateway.prompts.capsules[uuid7(), foreign] = {"id": str(foreign), "version": 1}

    for capsule_id in (uuid7(), foreign):
        answer = await gateway.client.post("/api/v1/jobs", json=IMAGE | {"style_capsule_id": str(capsule_id)})
        assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
        assert [error["pointer"] for error in answer.json()["errors"]] == ["/style_capsule_id"]
    assert await gateway.said() == []


async def test_a_kit_is_no_capsule_and_a_capsule_no_kit(gateway: Gateway) -> None:
    kit, capsule = await made(gateway, KITS, KIT), await made(gateway, CAPSULES, CAPSULE)

    for body in ({"style_capsule_id": kit}, {"brand_kit_id": capsule}):
        assert (await gateway.client.post("/api/v1/jobs", json=IMAGE | body)).status_code == 404


async def test_a_deleted_capsule_cannot_be_used_any_more_whatever_is_read_of_it(gateway: Gateway) -> None:
    capsule = await made(gateway, CAPSULES, CAPSULE)
    assert (await gateway.client.delete(f"{CAPSULES}/{capsule}")).status_code == 204
    assert (await gateway.client.get(f"{CAPSULES}/{capsule}/versions/1")).status_code == 200

    answer = await gateway.client.post("/api/v1/jobs", json=IMAGE | {"style_capsule_id": capsule})

    assert answer.status_code == 404


@pytest.mark.parametrize(("path", "body", "_"), SORTS)
async def test_versions_and_uses_are_passed_on_with_their_paging(
    gateway: Gateway, path: str, body: dict[str, Any], _: str
) -> None:
    at = f"{path}/{await made(gateway, path, body)}"
    asked = at.removeprefix("/api")

    for below in ("/versions", "/uses"):
        assert (await gateway.client.get(f"{at}{below}?limit=5&offset=10")).status_code == 200
        assert gateway.prompts.sent == f"GET {asked}{below}?limit=5&offset=10"
    assert (await gateway.client.get(f"{at}/versions/7")).status_code == 200
    assert gateway.prompts.sent == f"GET {asked}/versions/7"
    assert (await gateway.client.get(f"{path}?limit=5&offset=10")).status_code == 200
    assert gateway.prompts.sent == f"GET {path.removeprefix('/api')}?limit=5&offset=10"


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (KITS, KIT, "logo_asset_id"),
        (KITS, KIT, "style_reference_asset_id"),
        (CAPSULES, CAPSULE, "style_reference_asset_id"),
    ],
)
async def test_an_asset_of_a_kit_or_capsule_is_a_picture_of_its_tenant(
    gateway: Gateway, path: str, body: dict[str, Any], field: str
) -> None:
    stranger = await gateway.client_of(someone())
    good, sound = await picture(gateway), await picture(gateway, "audio/mpeg")

    def sent(client: httpx.AsyncClient, asset_id: str) -> Any:
        return client.post(path, json=body | {field: asset_id})

    missing, foreign, wrong = (
        await sent(gateway.client, str(uuid7())),
        await sent(stranger, good),
        await sent(gateway.client, sound),
    )
    for answer in (missing, foreign):
        assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
        assert [error["pointer"] for error in answer.json()["errors"]] == [f"/{field}"]
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, f"/{field}")
    assert gateway.prompts.asked == 0
    kept = await sent(gateway.client, good)
    assert (kept.status_code, kept.json()[field]) == (201, good)
    at = f"{path}/{kept.json()['id']}"
    assert (await gateway.client.put(at, json=body | {field: str(uuid7())})).status_code == 404
    assert (await gateway.client.get(at)).json()["version"] == 1


async def test_what_is_no_asset_id_is_left_to_prompt_services_words(gateway: Gateway) -> None:
    for body in ({"logo_asset_id": "logo.png"}, {"logo_asset_id": 7}, {"logo_asset_id": None}):
        await gateway.client.post(KITS, json=KIT | body)
    assert gateway.prompts.asked == 3


async def test_who_may_not_write_prompts_makes_no_capsule_and_may_read_them(gateway: Gateway) -> None:
    capsule = await made(gateway, CAPSULES, CAPSULE)
    reader = await gateway.client_of(someone("jobs:read", tenant_id=gateway.who.tenant_id))

    assert (await reader.post(CAPSULES, json=CAPSULE)).status_code == 403
    assert (await reader.put(f"{CAPSULES}/{capsule}", json=CAPSULE)).status_code == 403
    assert (await reader.delete(f"{CAPSULES}/{capsule}")).status_code == 403
    assert (await reader.get(f"{CAPSULES}/{capsule}")).status_code == 200


async def test_the_documents_describe_both_sorts_alike(gateway: Gateway) -> None:
    document = (await gateway.speaking(None).get("/openapi.json")).json()

    below = {path.removeprefix(KITS) for path in document["paths"] if path.startswith(KITS)}
    assert below == {"", "/{look_id}", "/{look_id}/versions", "/{look_id}/versions/{version}", "/{look_id}/uses"}
    assert below == {path.removeprefix(CAPSULES) for path in document["paths"] if path.startswith(CAPSULES)}
    sent = document["paths"][CAPSULES]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert sent == {"$ref": "#/components/schemas/StyleCapsuleBody"}
    assert "possible yet" not in str(document["components"]["schemas"]["JobRequest"]["properties"]["style_capsule_id"])
