"""Hostile files at the door: each is refused with its code, and nothing of it is left."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from chassis.http import Context, context_headers, make_app
from media import Checker
from media.tests.hostile_files import Hostile, all_files
from media.tests.media_files import png
from stack.testing import PostgresServer
from storage_service.http.internal import Shown
from storage_service.http.uploads import PATH, upload_routes
from storage_service.store.uploads import UploadDesk
from storage_service.uploading import Uploader
from tests.storage_house import SECRET, TENANT, USER, House, house_in, migrated_database

pytestmark = pytest.mark.integration

MOST = 1 << 20
OF_EACH_FAMILY = 4


def sample() -> list[Hostile]:
    """Some of each family, spread over it."""
    families: dict[str, list[Hostile]] = defaultdict(list)
    for file in all_files():
        families[file.family].append(file)
    return [file for files in families.values() for file in files[:: -(-len(files) // OF_EACH_FAMILY)]]


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[str]:
    yield from migrated_database(postgres_server)


@pytest.fixture
async def house(database: str, tmp_path: Path) -> AsyncIterator[House]:
    async with house_in(database, tmp_path / "objects") as house:
        await house.sql("TRUNCATE uploads")
        yield house


@pytest.fixture
async def service(house: House) -> AsyncIterator[httpx.AsyncClient]:
    checker = Checker()
    uploader = Uploader(UploadDesk(house.engine), house.store, checker, asyncio.Event().set, most_bytes=MOST)
    app = make_app(title="internal", public=False, larger_bodies={PATH: MOST})
    app.include_router(upload_routes(uploader, Shown(house.addresses, house.key, 3600), SecretStr(SECRET)))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://internal") as client:
        yield client
    await checker.close()


async def brought(service: httpx.AsyncClient, data: bytes, said: str | None = None) -> httpx.Response:
    claim = {} if said is None else {"Content-Type": said}
    return await service.post(PATH, content=data, headers={**context_headers(SECRET, Context(TENANT, USER)), **claim})


async def left(house: House) -> list[str]:
    """Rows and files that an upload has left behind, wherever they are."""
    rows = {table: (await house.sql(f"SELECT count(*) AS n FROM {table}"))[0]["n"] for table in TABLES}
    files = [str(path) for path in house.root.rglob("*") if path.is_file()]
    return [f"{count} {table}" for table, count in rows.items() if count] + files


TABLES = ("uploads", "assets", "blobs", "arrivals", "aliases", "outbox")


async def test_some_of_every_family_are_refused_each_with_its_code_and_nothing_is_kept(
    house: House, service: httpx.AsyncClient
) -> None:
    files, wrong = sample(), []
    assert len(files) >= 40
    for file in files:
        data = file.make()
        answer = await brought(service, data)
        said = answer.json()
        code = (answer.status_code, said.get("code"), [error["detail"] for error in said.get("errors", [])])
        expected = (422, "CORRUPT_OUTPUT", [file.reason.value])
        if len(data) > MOST:
            expected = (413, "INVALID_REQUEST", code[2])
        if code != expected:
            wrong.append(f"{file}: {code}, but {expected} was expected")
        wrong += [f"{file} left {what}" for what in await left(house)]
    assert wrong == [], "\n".join(wrong)


@pytest.mark.parametrize("said", ["image/jpeg", "text/html", "image/svg+xml", "application/zip", "model/gltf-binary"])
async def test_whole_media_under_a_name_that_it_has_not_is_refused_and_nothing_is_kept(
    house: House, service: httpx.AsyncClient, said: str
) -> None:
    answer = await brought(service, png(8, 8), said)
    assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION")
    assert await left(house) == []
