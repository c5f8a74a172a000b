"""What the other services ask: a user's own assets, nobody else's; and what is said when they change."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from chassis.database import tenant_transaction
from chassis.http import Context, context_headers, make_app
from chassis.ids import uuid7
from schemas.assets import AssetDeleted, AssetVisibilityChanged
from stack.testing import PostgresServer
from storage_service.http.internal import Shown, internal_routes
from storage_service.http.public import Door, serve_assets
from tests.storage_house import (
    ORIGIN,
    PICTURE,
    SECRET,
    STRANGER,
    TENANT,
    USER,
    House,
    completed,
    house_in,
    migrated_database,
)

pytestmark = pytest.mark.integration

COLLEAGUE = uuid7()


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
    shown = Shown(house.addresses, house.key, 3600)
    app.include_router(internal_routes(house.catalog, shown, SecretStr(SECRET)))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://internal") as client:
        yield client


def as_(user: UUID = USER, tenant: UUID = TENANT, *scopes: str) -> dict[str, str]:
    return context_headers(SECRET, Context(tenant, user, frozenset(scopes)))


async def fetch(house: House, url: str) -> httpx.Response:
    app = make_app(title="assets", public=True)
    serve_assets(app, Door(house.catalog, house.inspector, house.key))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ORIGIN) as client:
        return await client.get(url)


async def test_an_asset_is_shown_whole_to_its_owner(house: House, service: httpx.AsyncClient) -> None:
    asset = await house.kept(run="spring")
    body = (await service.get(f"/v1/assets/{asset}", headers=as_())).json()
    assert body["id"] == str(asset)
    assert (body["user_id"], body["kind"], body["asset_type"]) == (str(USER), "image", "thumbnail")
    assert (body["width"], body["height"], body["file_size"], body["mime"]) == (1280, 720, len(PICTURE), "image/png")
    assert (body["sha256"], body["path"]) == (house.blob().name, f"{TENANT}/spring/thumbnail/hero.png")
    assert (body["version"], body["revision"], body["is_public"], body["viral_score"]) == (1, 1, False, None)
    assert (body["provenance"]["provider"], body["provenance"]["template_version"]) == ("sandbox", "1.0")


async def test_the_address_of_a_private_asset_is_signed_and_works(house: House, service: httpx.AsyncClient) -> None:
    asset = await house.kept()
    body = (await service.get(f"/v1/assets/{asset}", headers=as_())).json()
    assert body["url"].startswith(f"{ORIGIN}/asset/{asset}?exp=")
    assert (await fetch(house, body["url"])).content == PICTURE
    assert body["url_expires_at"] > body["created_at"]


@pytest.mark.parametrize(
    "who",
    [(COLLEAGUE, TENANT), (USER, STRANGER), (USER, STRANGER, "tenant:read"), (STRANGER, STRANGER)],
    ids=["colleague", "other tenant", "other tenant that reads all", "stranger"],
)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_nobody_else_finds_or_changes_it(
    house: House, service: httpx.AsyncClient, who: tuple[Any, ...], method: str
) -> None:
    headers = as_(*who)
    asset = await house.kept()
    path = f"/v1/assets/{asset}" + ("/visibility" if method == "PUT" else "")
    body = {"is_public": True} if method == "PUT" else None
    mine = await service.request(method, path, headers=headers, json=body)
    missing = await service.request(method, path.replace(str(asset), str(uuid7())), headers=headers, json=body)
    assert mine.status_code == missing.status_code == 404
    assert {**mine.json(), "instance": ""} == {**missing.json(), "instance": ""}
    assert await house.said(AssetVisibilityChanged) == await house.said(AssetDeleted) == []


async def test_who_reads_all_of_the_tenant_still_changes_only_his_own(house: House, service: httpx.AsyncClient) -> None:
    asset = await house.kept()
    reader = as_(COLLEAGUE, TENANT, "tenant:read")
    assert (await service.get(f"/v1/assets/{asset}", headers=reader)).status_code == 200
    refused = await service.delete(f"/v1/assets/{asset}", headers=reader)
    assert (refused.status_code, refused.json()["code"]) == (403, "FORBIDDEN")


@pytest.mark.parametrize("headers", [{}, {"X-Backlot-Context": "forged"}, context_headers("x", Context(TENANT, USER))])
async def test_nothing_is_told_without_a_signed_context(
    house: House, service: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    asset = await house.kept()
    for path in ("/v1/assets", f"/v1/assets/{asset}"):
        assert (await service.get(path, headers=headers)).status_code == 401


async def test_a_list_has_the_newest_first_and_only_what_is_the_viewers(
    house: House, service: httpx.AsyncClient
) -> None:
    mine = [await house.kept(str(number).encode()) for number in range(5)]
    theirs = await house.kept(b"theirs", user=COLLEAGUE)
    await house.kept(b"foreign", tenant=STRANGER)

    async def listed(headers: dict[str, str], **query: Any) -> tuple[list[str], int]:
        body = (await service.get("/v1/assets", params=query, headers=headers)).json()
        return [one["id"] for one in body["items"]], body["total"]

    assert await listed(as_()) == ([str(one) for one in reversed(mine)], 5)
    assert await listed(as_(), limit=2, offset=1) == ([str(mine[3]), str(mine[2])], 5)
    assert await listed(as_(USER, TENANT, "tenant:read"), limit=1) == ([str(theirs)], 6)
    assert await listed(as_(), asset_type="banner") == ([], 0)
    assert (await listed(as_(), kind="image", asset_type="thumbnail"))[1] == 5


@pytest.mark.parametrize(
    ("query", "pointer"), [("limit=0", "/query/limit"), ("limit=x", "/query/limit"), ("kind=poem", "/query/kind")]
)
async def test_a_bad_list_request_says_what_is_wrong(service: httpx.AsyncClient, query: str, pointer: str) -> None:
    response = await service.get(f"/v1/assets?{query}", headers=as_())
    assert response.status_code == 422
    assert [one["pointer"] for one in response.json()["errors"]] == [pointer]


async def test_showing_an_asset_gives_it_a_public_address_and_says_so(house: House, service: httpx.AsyncClient) -> None:
    asset = await house.kept()
    path = f"/v1/assets/{asset}/visibility"
    body = (await service.put(path, headers=as_(), json={"is_public": True})).json()
    assert (body["is_public"], body["revision"], body["url"]) == (True, 2, f"{ORIGIN}/asset/{asset}?v=2")
    assert (await fetch(house, body["url"])).content == PICTURE
    again = (await service.put(path, headers=as_(), json={"is_public": True})).json()
    assert again["revision"] == 2
    hidden = (await service.put(path, headers=as_(), json={"is_public": False})).json()
    assert (await fetch(house, body["url"])).status_code == 404
    assert (await fetch(house, hidden["url"])).content == PICTURE
    assert [(one.revision, one.is_public, one.url) for one in await house.said(AssetVisibilityChanged)] == [
        (2, True, f"{ORIGIN}/asset/{asset}?v=2"),
        (3, False, f"{ORIGIN}/asset/{asset}"),
    ]


@pytest.mark.parametrize("body", [{}, {"is_public": "yes"}, {"is_public": True, "tenant": str(STRANGER)}, []])
async def test_a_bad_visibility_is_refused(house: House, service: httpx.AsyncClient, body: Any) -> None:
    asset = await house.kept()
    response = await service.put(f"/v1/assets/{asset}/visibility", headers=as_(), json=body)
    assert (response.status_code, response.json()["code"]) == (422, "VALIDATION")
    assert await house.said(AssetVisibilityChanged) == []


async def test_a_deleted_asset_is_found_no_more_and_said_so_once(house: House, service: httpx.AsyncClient) -> None:
    asset = await house.kept()
    assert (await service.delete(f"/v1/assets/{asset}", headers=as_())).status_code == 204
    assert (await service.delete(f"/v1/assets/{asset}", headers=as_())).status_code == 404
    assert (await service.get(f"/v1/assets/{asset}", headers=as_())).status_code == 404
    assert (await service.get("/v1/assets", headers=as_())).json()["total"] == 0
    assert [(one.asset_id, one.revision) for one in await house.said(AssetDeleted)] == [(asset, 2)]


async def kept_with_thumbnail(house: House) -> tuple[UUID, UUID]:
    """A picture and its small one, as they are when both are stored."""
    picture = await house.stage()
    small = await house.stage(b"small", number=16, role="thumbnail")
    heard = completed([picture, small])
    await house.hear(heard)
    await house.store_all()
    rows = await house.sql("SELECT id, role FROM assets WHERE job_id = :job", job=heard.data.job_id)
    ids = {row["role"]: UUID(str(row["id"])) for row in rows}
    return ids["primary"], ids["thumbnail"]


async def test_a_thumbnail_is_seen_by_those_who_see_its_picture(house: House, service: httpx.AsyncClient) -> None:
    picture, small = await kept_with_thumbnail(house)
    other, _ = await kept_with_thumbnail(house)
    listed = (await service.get("/v1/assets", headers=as_())).json()
    assert ([one["id"] for one in listed["items"]], listed["total"]) == ([str(other), str(picture)], 2)
    for one in listed["items"]:
        assert (await fetch(house, one["thumbnail_url"])).content == b"small"

    await service.put(f"/v1/assets/{picture}/visibility", headers=as_(), json={"is_public": True})
    shown = {one.asset_id: (one.revision, one.is_public) for one in await house.said(AssetVisibilityChanged)}
    assert shown == {picture: (2, True), small: (2, True)}
    body = (await service.get(f"/v1/assets/{picture}", headers=as_())).json()
    assert body["thumbnail_url"] == f"{ORIGIN}/asset/{small}?v=2"
    assert (await fetch(house, body["thumbnail_url"])).content == b"small"
    alone = (await service.get(f"/v1/assets/{await house.kept(b'alone')}", headers=as_())).json()
    assert alone["thumbnail_url"] == alone["url"], "a picture stands for itself"


async def test_a_thumbnail_goes_with_its_picture(house: House, service: httpx.AsyncClient) -> None:
    picture, small = await kept_with_thumbnail(house)
    other, its_small = await kept_with_thumbnail(house)
    await service.delete(f"/v1/assets/{picture}", headers=as_())
    assert {one.asset_id for one in await house.said(AssetDeleted)} == {picture, small}
    await service.delete(f"/v1/assets/{its_small}", headers=as_())
    assert (await service.get(f"/v1/assets/{other}", headers=as_())).status_code == 200


async def test_the_version_before_takes_the_place_of_a_deleted_one(house: House, service: httpx.AsyncClient) -> None:
    old = await house.kept(b"old", path="a.png", name="a.png")
    new = await house.kept(b"new", path="a.png", name="a.png")
    await service.delete(f"/v1/assets/{new}", headers=as_())
    assert [row["asset_id"] for row in await house.sql("SELECT asset_id FROM aliases")] == [old]
    await house.kept(b"newest", path="a.png", name="a.png")
    assert [row["version"] for row in await house.sql("SELECT version FROM aliases")] == [3]


async def test_a_reader_sees_only_his_tenants_rows_whatever_is_asked_of_the_database(house: House) -> None:
    await house.kept()
    await house.kept(tenant=STRANGER)
    for table in ("assets", "blobs", "aliases"):
        async with tenant_transaction(house.engine, TENANT) as conn:
            rows = await conn.execute(text(f"SELECT tenant_id FROM {table}"))
            assert set(rows.scalars()) == {TENANT}
    with pytest.raises(DBAPIError, match="permission denied"):
        async with tenant_transaction(house.engine, TENANT) as conn:
            await conn.execute(text("SELECT tenant_id FROM arrivals"))
