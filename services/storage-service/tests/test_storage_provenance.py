"""The record of where an asset comes from."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from pydantic import SecretStr

from chassis.http import Context, context_headers, make_app
from chassis.ids import uuid7
from schemas.parts import Marking, VersionRef
from stack.testing import PostgresServer
from storage_service.http.provenance import provenance_routes
from tests.storage_house import PICTURE, SECRET, STRANGER, TENANT, USER, House, completed, house_in, migrated_database

pytestmark = pytest.mark.integration

WORD = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
KIT, CAPSULE = VersionRef(id=uuid7(), version=3), VersionRef(id=uuid7(), version=1)


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[str]:
    yield from migrated_database(postgres_server)


@pytest.fixture
async def house(database: str, tmp_path: Path) -> AsyncIterator[House]:
    async with house_in(database, tmp_path / "objects") as house:
        yield house


@pytest.fixture
async def service(house: House) -> AsyncIterator[httpx.AsyncClient]:
    app = make_app(title="internal", public=False)
    app.include_router(provenance_routes(house.catalog, SecretStr(SECRET)))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://internal") as client:
        yield client


def as_(user: UUID = USER, tenant: UUID = TENANT, *scopes: str) -> dict[str, str]:
    return context_headers(SECRET, Context(tenant, user, frozenset(scopes)))


async def stored(house: House, *, marking: Marking | None, **about: Any) -> UUID:
    output = await house.stage(content_sha256="44" * 32, marking=marking)
    heard = completed([output], brand_kit=KIT, style_capsule=CAPSULE, **about)
    await house.hear(heard)
    await house.store_all()
    [row] = await house.sql("SELECT id FROM assets WHERE job_id = :job", job=heard.data.job_id)
    return UUID(str(row["id"]))


async def test_the_record_says_what_made_an_asset_of_what_and_how_its_file_says_so(
    house: House, service: httpx.AsyncClient
) -> None:
    marking = Marking(digital_source_type=WORD, place="XMP", signed=True)
    job = uuid7()
    asset = await stored(house, marking=marking, job=job)
    found = (await service.get(f"/v1/assets/{asset}/provenance", headers=as_())).json()
    assert found.pop("stored_at").startswith("2")
    assert found == {
        "asset_id": str(asset),
        "origin": "job",
        "job_id": str(job),
        "item": 1,
        "kind": "image",
        "role": "primary",
        "mime": "image/png",
        "file_size": len(PICTURE),
        "sha256": house.blob().name,
        "content_sha256": "44" * 32,
        "brand_kit": {"id": str(KIT.id), "version": 3},
        "style_capsule": {"id": str(CAPSULE.id), "version": 1},
        "template": "thumbnail",
        "template_version": "1.0",
        "template_sha256": "11" * 32,
        "prompt_sha256": "22" * 32,
        "provider": "sandbox",
        "model": "draw-1",
        "seed": 7,
        "generated_at": "2030-01-31T12:00:00Z",
        "ai_generated": True,
        "digital_source_type": WORD,
        "mark": "XMP",
        "c2pa": {"signed": True, "why_not": None},
    }


async def test_why_a_file_has_no_credentials_is_told(house: House, service: httpx.AsyncClient) -> None:
    marking = Marking(digital_source_type=WORD, place="asset.extras", why_not="C2PA has no place in model/gltf-binary")
    asset = await stored(house, marking=marking)
    found = (await service.get(f"/v1/assets/{asset}/provenance", headers=as_())).json()
    assert found["c2pa"] == {"signed": False, "why_not": "C2PA has no place in model/gltf-binary"}


async def test_of_an_asset_from_before_it_is_said_that_nothing_was_noted(
    house: House, service: httpx.AsyncClient
) -> None:
    found = (await service.get(f"/v1/assets/{await stored(house, marking=None)}/provenance", headers=as_())).json()
    assert (found["ai_generated"], found["mark"], found["digital_source_type"]) == (True, None, None)
    assert found["c2pa"] == {"signed": False, "why_not": "it was stored before this was noted"}


async def test_of_an_upload_nothing_is_claimed(house: House, service: httpx.AsyncClient) -> None:
    asset = await stored(house, marking=None)
    await house.sql("UPDATE assets SET item = 0, lineage = NULL WHERE id = :id", id=asset)
    found = (await service.get(f"/v1/assets/{asset}/provenance", headers=as_())).json()
    assert (found["origin"], found["job_id"], found["item"]) == ("upload", None, None)
    for name in (
        "ai_generated",
        "digital_source_type",
        "mark",
        "c2pa",
        "provider",
        "model",
        "template",
        "generated_at",
    ):
        assert found[name] is None
    assert (found["sha256"], found["mime"]) == (house.blob().name, "image/png")


async def test_somebody_elses_asset_and_none_at_all_look_the_same(house: House, service: httpx.AsyncClient) -> None:
    asset = await stored(house, marking=None)
    for path, who in (
        (asset, as_(tenant=STRANGER)),
        (asset, as_(user=uuid7())),
        (uuid7(), as_()),
    ):
        answer = await service.get(f"/v1/assets/{path}/provenance", headers=who)
        assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
    assert (await service.get(f"/v1/assets/{asset}/provenance", headers=as_(uuid7(), TENANT, "tenant:read"))).is_success
    assert (await service.get(f"/v1/assets/{asset}/provenance")).status_code == 401
