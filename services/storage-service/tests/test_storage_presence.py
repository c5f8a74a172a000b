"""Which logical names have whole bytes behind them, and who is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlalchemy import event

from chassis.http import Context, context_headers, make_app
from chassis.ids import uuid7
from objects import FolderStore, ObjectStat, StorageUnavailable
from stack.testing import PostgresServer
from storage_service.content_types import EXTENSIONS, type_of_extension
from storage_service.http.names import MOST_NAMES, name_routes
from storage_service.integrity import Inspector
from storage_service.layouts import Placement, logical_path, path_of_name
from storage_service.ownership import Viewer
from storage_service.presence import Presence
from tests.storage_house import (
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
FOX = "channels/films/projects/one/assets/characters/fox.png"
WOOD = "channels/films/projects/one/assets/environments/wood.png"


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[str]:
    yield from migrated_database(postgres_server)


@pytest.fixture
async def house(database: str, tmp_path: Path) -> AsyncIterator[House]:
    async with house_in(database, tmp_path / "objects") as house:
        yield house


@asynccontextmanager
async def service_over(house: House, inspector: Inspector) -> AsyncIterator[httpx.AsyncClient]:
    app = make_app(title="internal", public=False)
    app.include_router(name_routes(Presence(house.catalog, inspector), SecretStr(SECRET)))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://internal") as client:
        yield client


@pytest.fixture
async def service(house: House) -> AsyncIterator[httpx.AsyncClient]:
    async with service_over(house, house.inspector) as client:
        yield client


def as_(user: Any = USER, tenant: Any = TENANT, *scopes: str) -> dict[str, str]:
    return context_headers(SECRET, Context(tenant, user, frozenset(scopes)))


async def asked(
    service: httpx.AsyncClient, *paths: str, headers: dict[str, str] | None = None
) -> dict[str, tuple[str, int]]:
    """The asset and version behind each name that is present."""
    answer = await service.post("/v1/names/presence", json={"paths": paths}, headers=headers or as_())
    assert answer.status_code == 200, answer.text
    return {one["path"]: (one["asset_id"], one["version"]) for one in answer.json()["present"]}


async def test_a_name_with_whole_bytes_is_present_and_one_without_is_not(
    house: House, service: httpx.AsyncClient
) -> None:
    asset = await house.kept(name=FOX)
    answer = await service.post("/v1/names/presence", json={"paths": [FOX, WOOD]}, headers=as_())
    digest = house.blob().name
    [there] = answer.json()["present"]
    [made_as] = await house.sql("SELECT width, height, lineage->>'prompt_sha256' AS prompt_sha256 FROM assets")
    assert None not in made_as.values()
    assert there == {"path": FOX, "asset_id": str(asset), "sha256": digest, "version": 1, **made_as}


async def test_a_name_that_a_client_chose_needs_no_folders(house: House, service: httpx.AsyncClient) -> None:
    asset = await house.kept(name="fox.png", path="fox.png")
    assert await asked(service, "fox.png") == {"fox.png": (str(asset), 1)}


async def test_it_is_the_newest_version_behind_a_name(house: House, service: httpx.AsyncClient) -> None:
    """What is made again without resume is version 2 behind the same path (R25)."""
    await house.kept(b"first", name=FOX)
    second = await house.kept(b"second", name=FOX)
    assert await asked(service, FOX) == {FOX: (str(second), 2)}


@pytest.mark.parametrize("damage", ["truncated", "other bytes", "gone", "a link to elsewhere"])
async def test_what_is_not_whole_is_not_present(
    house: House, service: httpx.AsyncClient, damage: str, tmp_path: Path
) -> None:
    await house.kept(name=FOX)
    wood = await house.kept(b"wood", name=WOOD)
    blob = house.blob()
    blob.unlink()
    if damage == "truncated":
        blob.write_bytes(PICTURE[:-1])
    elif damage == "other bytes":
        blob.write_bytes(b"\0" + PICTURE[1:])
    elif damage == "a link to elsewhere":
        (tmp_path / "elsewhere").write_bytes(PICTURE)
        blob.symlink_to(tmp_path / "elsewhere")
    assert await asked(service, FOX, WOOD) == {WOOD: (str(wood), 1)}
    assert "asset_unreadable" in [line["event"] for line in house.logs]


async def test_what_is_damaged_after_it_was_found_whole_is_not_present(
    house: House, service: httpx.AsyncClient
) -> None:
    await house.kept(name=FOX)
    assert list(await asked(service, FOX)) == [FOX]
    house.blob().unlink()
    house.blob().write_bytes(b"\0" + PICTURE[1:])
    assert await asked(service, FOX) == {}


class Away(FolderStore):
    """A store whose disk does not answer."""

    def local_path(self, key: str) -> None:
        return None

    async def stat(self, key: str) -> ObjectStat:
        raise StorageUnavailable(key, "Input/output error")


async def test_a_store_that_cannot_be_read_says_nothing_of_what_is_there(house: House) -> None:
    """To be made again it would have to be missing."""
    await house.kept(name=FOX)
    store = Away(house.root)
    async with service_over(house, Inspector(store)) as service:
        answer = await service.post("/v1/names/presence", json={"paths": [FOX]}, headers=as_())
    await store.close()
    assert (answer.status_code, answer.json()["code"]) == (503, "STORAGE_ERROR")


async def test_a_deleted_asset_is_not_present_and_the_version_before_it_is(
    house: House, service: httpx.AsyncClient
) -> None:
    old, new = await house.kept(b"old", name=FOX), await house.kept(b"new", name=FOX)
    viewer = Viewer(TENANT, USER)
    await house.catalog.delete(viewer, new)
    assert await asked(service, FOX) == {FOX: (str(old), 1)}
    await house.catalog.delete(viewer, old)
    assert await asked(service, FOX) == {}


async def test_a_name_belongs_to_its_tenant(house: House, service: httpx.AsyncClient) -> None:
    asset = await house.kept(name=FOX, visibility="public")
    theirs = f"{TENANT}/{FOX}"
    assert await asked(service, FOX, theirs, headers=as_(USER, STRANGER)) == {}
    assert await asked(service, FOX, theirs, headers=as_(USER, STRANGER, "tenant:read")) == {}
    assert await asked(service, theirs) == {theirs: (str(asset), 1)}


async def test_a_colleague_is_told_of_what_he_may_see_alone(house: House, service: httpx.AsyncClient) -> None:
    private = await house.kept(b"fox", name=FOX)
    public = await house.kept(b"wood", name=WOOD, visibility="public")
    assert await asked(service, FOX, WOOD, headers=as_(COLLEAGUE)) == {WOOD: (str(public), 1)}
    everything = {FOX: (str(private), 1), WOOD: (str(public), 1)}
    assert await asked(service, FOX, WOOD, headers=as_(COLLEAGUE, TENANT, "tenant:read")) == everything


async def test_a_version_that_a_user_may_not_see_hides_none_of_his_own(
    house: House, service: httpx.AsyncClient
) -> None:
    """Two users with one project would otherwise pay in turns for what each of them has."""
    mine = await house.kept(b"mine", name=FOX)
    theirs = await house.kept(b"theirs", name=FOX, user=COLLEAGUE)
    assert await asked(service, FOX) == {FOX: (str(mine), 1)}
    assert await asked(service, FOX, headers=as_(COLLEAGUE)) == {FOX: (str(theirs), 2)}


async def test_a_thumbnail_is_nobodys_picture(house: House, service: httpx.AsyncClient) -> None:
    small = await house.stage(b"small", number=16, role="thumbnail", mime="image/webp")
    await house.hear(completed([await house.stage(), small], name=FOX))
    await house.store_all()
    [row] = await house.sql("SELECT path FROM assets WHERE role = 'thumbnail'")
    assert await asked(service, row["path"].removeprefix(f"{TENANT}/")) == {}


async def test_a_hundred_names_are_one_statement(house: House, service: httpx.AsyncClient) -> None:
    names = [FOX.replace("fox", f"fox_{number}") for number in range(MOST_NAMES)]
    outputs = [await house.stage(str(number).encode()) for number in range(MOST_NAMES)]
    await house.hear(*[completed([output], name=name) for output, name in zip(outputs, names, strict=True)])
    await house.store_all()
    statements: list[str] = []
    event.listen(
        house.engine.sync_engine, "before_cursor_execute", lambda _, __, statement, *___: statements.append(statement)
    )
    assert list(await asked(service, *names)) == names
    assert len([statement for statement in statements if "FROM assets" in statement]) == 1
    assert len(statements) == 2, "the other one says whose rows may be seen"


@pytest.mark.parametrize(
    "body", [{}, {"paths": []}, {"paths": [7]}, {"paths": ["a.png"] * 101}, {"paths": "a.png"}, []]
)
async def test_a_question_that_is_none_is_refused(service: httpx.AsyncClient, body: Any) -> None:
    answer = await service.post("/v1/names/presence", json=body, headers=as_())
    assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION")


@pytest.mark.parametrize("name", ["", "/", "..", "../../etc/passwd", "a\0b.png", "x" * 5000, "assets/fox"])
async def test_a_name_that_nothing_can_have_is_not_present(service: httpx.AsyncClient, name: str) -> None:
    assert await asked(service, name) == {}


async def test_nothing_is_told_without_a_signed_context(house: House, service: httpx.AsyncClient) -> None:
    await house.kept(name=FOX)
    answer = await service.post("/v1/names/presence", json={"paths": [FOX]}, headers={"X-Backlot-Context": "forged"})
    assert answer.status_code == 401


@given(
    st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=4).map("/".join),
    st.sampled_from(sorted(EXTENSIONS)),
)
def test_a_name_is_looked_for_where_promotion_would_put_it(name: str, extension: str) -> None:
    name = f"channels/{name}{extension}"
    place = Placement(TENANT, uuid7(), None, "image", name, type_of_extension(extension), "primary", 0)
    path = logical_path(place)
    if len(path.split("/")) > 2:
        assert path_of_name(TENANT, name) == path
    else:  # of the name no folder is left: promotion would give it its job's
        assert path_of_name(TENANT, name) != path


def test_a_safe_name_stays_as_it_is_below_its_tenant() -> None:
    assert path_of_name(TENANT, FOX) == f"{TENANT}/{FOX}"
