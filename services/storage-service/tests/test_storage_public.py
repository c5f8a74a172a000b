"""The public origin over HTTP: whole bytes or an error, to whoever may see them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from chassis.http import make_app
from chassis.ids import uuid7
from objects.signing import MAX_TTL_S, Grant, Signed, derive_key, sign
from stack.testing import PostgresServer
from storage_service.http.public import Door, serve_assets
from storage_service.ownership import Viewer
from tests.storage_house import PICTURE, STRANGER, TENANT, USER, House, completed, house_in, migrated_database

pytestmark = pytest.mark.integration

OWNER = Viewer(TENANT, USER)


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[str]:
    yield from migrated_database(postgres_server)


@pytest.fixture
async def house(database: str, tmp_path: Path) -> AsyncIterator[House]:
    async with house_in(database, tmp_path / "objects") as house:
        yield house


@pytest.fixture
async def visitor(house: House) -> AsyncIterator[httpx.AsyncClient]:
    app = make_app(title="assets", public=True)
    serve_assets(app, Door(house.catalog, house.inspector, house.key))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://assets.example") as client:
        yield client


async def signed(house: House, asset_id: UUID, *, ttl_s: int = 3600) -> Signed:
    asset = await house.catalog.get(OWNER, asset_id)
    return sign(house.key, asset.grant, now=asset.now, ttl_s=ttl_s)


def is_problem(response: httpx.Response, status: int, code: str) -> bool:
    body = response.json()
    return (
        response.status_code == body["status"] == status
        and body["code"] == code
        and response.headers["content-type"] == "application/problem+json"
        and response.headers["cache-control"] == "no-store"
    )


async def test_everybody_may_see_a_public_asset(house: House, visitor: httpx.AsyncClient) -> None:
    asset = await house.kept(visibility="public")
    response = await visitor.get(f"/asset/{asset}", params={"v": 1})
    assert (response.status_code, response.content) == (200, PICTURE)
    assert response.headers["content-type"] == "image/png"
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert response.headers["etag"] == f'"{house.blob().name}"'


async def test_the_bytes_are_harmless_in_any_page_and_usable_from_any_origin(
    house: House, visitor: httpx.AsyncClient
) -> None:
    asset = await house.kept(visibility="public")
    for response in (await visitor.get(f"/asset/{asset}"), await visitor.get(f"/asset/{uuid7()}")):
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["content-security-policy"] == "sandbox; default-src 'none'"
        assert response.headers["cross-origin-resource-policy"] == "cross-origin"
        assert response.headers["access-control-allow-origin"] == "*"


async def test_a_browser_may_ask_for_a_range_from_another_origin(visitor: httpx.AsyncClient) -> None:
    response = await visitor.options(f"/asset/{uuid7()}", headers={"Origin": "https://game.example"})
    assert response.status_code == 204
    assert "Range" in response.headers["access-control-allow-headers"]
    assert response.headers["access-control-allow-origin"] == "*"


async def test_a_head_says_what_a_get_would(house: House, visitor: httpx.AsyncClient) -> None:
    asset = await house.kept(visibility="public")
    got, head = await visitor.get(f"/asset/{asset}"), await visitor.head(f"/asset/{asset}")
    assert head.content == b""
    names = ("content-length", "content-type", "etag", "accept-ranges", "cache-control")
    assert [head.headers[name] for name in names] == [got.headers[name] for name in names]
    assert head.headers["content-length"] == str(len(PICTURE))


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [("bytes=0-9", 0, 10), ("bytes=10-", 10, len(PICTURE)), ("bytes=-5", len(PICTURE) - 5, len(PICTURE))],
)
async def test_a_part_can_be_had(house: House, visitor: httpx.AsyncClient, asked: str, start: int, end: int) -> None:
    asset = await house.kept(visibility="public")
    response = await visitor.get(f"/asset/{asset}", headers={"Range": asked})
    assert (response.status_code, response.content) == (206, PICTURE[start:end])
    assert response.headers["content-range"] == f"bytes {start}-{end - 1}/{len(PICTURE)}"
    assert response.headers["content-length"] == str(end - start)


async def test_a_part_that_is_not_there_is_a_problem_that_says_how_much_there_is(
    house: House, visitor: httpx.AsyncClient
) -> None:
    asset = await house.kept(visibility="public")
    response = await visitor.get(f"/asset/{asset}", headers={"Range": "bytes=999999-"})
    assert is_problem(response, 416, "INVALID_REQUEST")
    assert response.headers["content-range"] == f"bytes */{len(PICTURE)}"


async def test_who_has_the_bytes_gets_none(house: House, visitor: httpx.AsyncClient) -> None:
    asset = await house.kept(visibility="public")
    first = await visitor.get(f"/asset/{asset}")
    again = await visitor.get(f"/asset/{asset}", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]


async def test_a_video_is_watched_from_its_middle(house: House, visitor: httpx.AsyncClient) -> None:
    film = os.urandom(300_000)
    output = await house.stage(film, mime="video/mp4", duration_seconds=8.0)
    heard = completed([output], visibility="public", kind="video", asset_type=None)
    await house.hear(heard)
    await house.store_all()
    [said] = await house.said()
    response = await visitor.get(f"/asset/{said.asset_id}", headers={"Range": "bytes=150000-"})
    assert (response.status_code, response.content) == (206, film[150_000:])
    assert response.headers["content-range"] == "bytes 150000-299999/300000"
    assert (response.headers["content-type"], response.headers["accept-ranges"]) == ("video/mp4", "bytes")
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["content-disposition"] == 'inline; filename="hero.mp4"'


async def test_a_long_asset_comes_whole_and_in_parts(house: House, visitor: httpx.AsyncClient) -> None:
    content = os.urandom(3 << 20)
    asset = await house.kept(content, visibility="public")
    assert (await visitor.get(f"/asset/{asset}")).content == content
    part = await visitor.get(f"/asset/{asset}", headers={"Range": "bytes=262143-2000000"})
    assert part.content == content[262143:2000001]


@pytest.mark.parametrize("name", ["nothing", "..%2f..%2fetc%2fpasswd", "%00", "0" * 32 + "0", "a" * 5000])
async def test_what_is_no_asset_id_is_not_found(visitor: httpx.AsyncClient, name: str) -> None:
    assert is_problem(await visitor.get(f"/asset/{name}"), 404, "NOT_FOUND")


async def test_a_private_asset_needs_a_signature(house: House, visitor: httpx.AsyncClient) -> None:
    asset = await house.kept()
    hidden, unknown = await visitor.get(f"/asset/{asset}"), await visitor.get(f"/asset/{uuid7()}")
    assert is_problem(hidden, 404, "NOT_FOUND")
    assert {**hidden.json(), "instance": ""} == {**unknown.json(), "instance": ""}
    response = await visitor.get(f"/asset/{asset}?{(await signed(house, asset)).query}")
    assert (response.status_code, response.content) == (200, PICTURE)
    assert response.headers["cache-control"] == "private, max-age=300"


async def test_a_signature_opens_one_asset_of_one_tenant_alone(house: House, visitor: httpx.AsyncClient) -> None:
    mine = await house.kept(b"mine")
    other = await house.kept(b"other")
    foreign = await house.kept(b"mine", tenant=STRANGER)
    query = (await signed(house, mine)).query
    for asset in (other, foreign, uuid7()):
        assert is_problem(await visitor.get(f"/asset/{asset}?{query}"), 403, "FORBIDDEN")


async def test_a_signature_with_a_bit_flipped_anywhere_opens_nothing(house: House, visitor: httpx.AsyncClient) -> None:
    asset = await house.kept()
    good = await signed(house, asset)
    for place in range(len(good.signature)):
        flipped = chr(ord(good.signature[place]) ^ (1 << place % 7))
        forged = good.signature[:place] + flipped + good.signature[place + 1 :]
        response = await visitor.get(f"/asset/{asset}", params={"exp": good.expires, "sig": forged})
        assert response.status_code == 403, forged


async def test_an_address_of_another_secret_or_for_another_life_opens_nothing(
    house: House, visitor: httpx.AsyncClient
) -> None:
    asset = await house.kept()
    good = await signed(house, asset)
    longer = Signed(good.expires + 1, good.signature)
    assert is_problem(await visitor.get(f"/asset/{asset}?{longer.query}"), 403, "FORBIDDEN")
    grant = Grant(TENANT, asset, house.blob().name)
    foreign = sign(derive_key("another secret altogether"), grant, now=good.expires - 3600)
    assert is_problem(await visitor.get(f"/asset/{asset}?{foreign.query}"), 403, "FORBIDDEN")


async def test_an_address_ends_by_the_clock_of_the_database(house: House, visitor: httpx.AsyncClient) -> None:
    asset = await house.kept()
    now = (await house.catalog.get(OWNER, asset)).now
    grant = Grant(TENANT, asset, house.blob().name)
    over = sign(house.key, grant, now=now - 100, ttl_s=99)
    response = await visitor.get(f"/asset/{asset}?{over.query}")
    assert is_problem(response, 403, "FORBIDDEN")
    assert "expired" in response.json()["detail"]
    longest = sign(house.key, grant, now=now, ttl_s=MAX_TTL_S)
    assert (await visitor.get(f"/asset/{asset}?{longest.query}")).status_code == 200


async def test_bytes_that_are_gone_are_a_problem_and_never_others(house: House, visitor: httpx.AsyncClient) -> None:
    asset = await house.kept(visibility="public")
    house.blob().unlink()
    for response in (await visitor.get(f"/asset/{asset}"), await visitor.head(f"/asset/{asset}")):
        assert response.status_code == 503
    assert is_problem(await visitor.get(f"/asset/{asset}?v=1"), 503, "STORAGE_ERROR")


@pytest.mark.parametrize("seen_before", [True, False])
async def test_a_flipped_bit_on_the_disk_is_found_before_it_is_sent(
    house: House, visitor: httpx.AsyncClient, seen_before: bool
) -> None:
    asset = await house.kept(visibility="public")
    if seen_before:
        assert (await visitor.get(f"/asset/{asset}")).status_code == 200
    damaged = bytearray(PICTURE)
    damaged[1000] ^= 1
    house.blob().write_bytes(damaged)
    for headers in ({}, {"Range": "bytes=0-9"}):
        assert is_problem(await visitor.get(f"/asset/{asset}", headers=headers), 503, "STORAGE_ERROR")


async def test_bytes_behind_a_planted_link_are_not_followed(
    house: House, visitor: httpx.AsyncClient, tmp_path: Path
) -> None:
    asset = await house.kept(visibility="public")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(PICTURE)
    house.blob().unlink()
    house.blob().symlink_to(elsewhere)
    assert is_problem(await visitor.get(f"/asset/{asset}"), 503, "STORAGE_ERROR")


async def test_a_public_address_stops_working_when_the_asset_is_hidden_and_does_not_come_back(
    house: House, visitor: httpx.AsyncClient
) -> None:
    asset = await house.kept(visibility="public")
    first = f"/asset/{asset}?v=1"
    assert (await visitor.get(first)).status_code == 200
    await house.catalog.show(OWNER, asset, is_public=False)
    assert is_problem(await visitor.get(first), 404, "NOT_FOUND")
    assert is_problem(await visitor.get(f"/asset/{asset}"), 404, "NOT_FOUND")
    shown = await house.catalog.show(OWNER, asset, is_public=True)
    assert is_problem(await visitor.get(first), 404, "NOT_FOUND")
    assert (await visitor.get(f"/asset/{asset}?v={shown.revision}")).status_code == 200


async def test_a_deleted_asset_is_gone_for_everybody(house: House, visitor: httpx.AsyncClient) -> None:
    public, private = await house.kept(b"a", visibility="public"), await house.kept(b"b")
    query = (await signed(house, private)).query
    for asset in (public, private):
        await house.catalog.delete(OWNER, asset)
    assert is_problem(await visitor.get(f"/asset/{public}?v=1"), 404, "NOT_FOUND")
    assert is_problem(await visitor.get(f"/asset/{private}?{query}"), 404, "NOT_FOUND")


async def test_many_visitors_at_once_each_get_their_own(house: House, visitor: httpx.AsyncClient) -> None:
    contents = [bytes([number]) * 300_000 for number in range(12)]
    assets = [await house.kept(content, visibility="public") for content in contents]
    responses = await asyncio.gather(*(visitor.get(f"/asset/{asset}") for asset in assets * 3))
    assert [response.content for response in responses] == contents * 3
