"""What a user brings: looked at to its last byte, kept once, or nothing of it is left."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from chassis.http import Context, context_headers, make_app
from chassis.ids import uuid7
from media import Checker, probe, sniffed
from media.marks import is_marked
from media.tests.media_files import exr, glb, png, sound, video
from objects import blob_key
from schemas.assets import AssetDeleted
from stack.testing import PostgresServer
from storage_service.http.content import content_routes
from storage_service.http.internal import Shown, internal_routes
from storage_service.http.uploads import PATH, upload_routes
from storage_service.store.uploads import UploadDesk
from storage_service.uploading import Uploader
from tests.storage_house import SECRET, STRANGER, TENANT, USER, House, house_in, migrated_database

pytestmark = pytest.mark.integration

COLLEAGUE = uuid7()
MOST = 1 << 20
PICTURE = png(64, 48)


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[str]:
    yield from migrated_database(postgres_server)


@pytest.fixture
async def house(database: str, tmp_path: Path) -> AsyncIterator[House]:
    async with house_in(database, tmp_path / "objects") as house:
        await house.sql("TRUNCATE uploads")
        yield house


@pytest.fixture
async def checker() -> AsyncIterator[Checker]:
    made = Checker()
    yield made
    await made.close()


@asynccontextmanager
async def promoting(house: House, arrived: asyncio.Event) -> AsyncIterator[None]:
    """The promotion loop, as the service runs it."""

    async def loop() -> None:
        while True:
            await arrived.wait()
            arrived.clear()
            await house.store_all()

    task = asyncio.create_task(loop())
    yield
    task.cancel()


@pytest.fixture
async def app(house: House, checker: Checker) -> AsyncIterator[FastAPI]:
    arrived = asyncio.Event()
    uploader = Uploader(UploadDesk(house.engine), house.store, checker, arrived.set, most_bytes=MOST)
    shown, secret = Shown(house.addresses, house.key, 3600), SecretStr(SECRET)
    app = make_app(title="internal", public=False, larger_bodies={PATH: MOST})
    app.include_router(internal_routes(house.catalog, shown, secret))
    app.include_router(content_routes(house.catalog, house.inspector, secret))
    app.include_router(upload_routes(uploader, shown, secret))
    app.state.uploader = uploader
    async with promoting(house, arrived):
        yield app


@pytest.fixture
async def service(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://internal") as client:
        yield client


def as_(user: Any = USER, tenant: Any = TENANT) -> dict[str, str]:
    return context_headers(SECRET, Context(tenant, user))


async def brought(
    service: httpx.AsyncClient, data: bytes, said: str | None = None, who: dict[str, str] | None = None
) -> httpx.Response:
    claim = {} if said is None else {"Content-Type": said}
    return await service.post(PATH, content=data, headers={**(who or as_()), **claim})


async def nothing_is_left(house: House) -> bool:
    rows = await house.sql("SELECT (SELECT count(*) FROM uploads) + (SELECT count(*) FROM assets) AS n")
    return rows[0]["n"] == 0 and not [path for path in house.root.rglob("*") if path.is_file()]


def staged(house: House) -> list[Path]:
    return [path for path in (house.root / "staging").rglob("*") if path.is_file()]


KINDS = [
    ("png", PICTURE, "image", "image/png"),
    ("exr", exr(), "environment_map", "image/x-exr"),
    ("video", video(), "video", "video/mp4"),
    ("short sound", sound(2.0), "sfx", "audio/wav"),
    ("long sound", sound(31.0, "OGG", rate=8000), "music", "audio/ogg"),
    ("model", glb(), "model_3d", "model/gltf-binary"),
]


@pytest.mark.parametrize(("data", "kind", "mime"), [case[1:] for case in KINDS], ids=[case[0] for case in KINDS])
async def test_bytes_become_a_private_asset_of_the_kind_they_are(
    house: House, service: httpx.AsyncClient, data: bytes, kind: str, mime: str
) -> None:
    answer = await brought(service, data)

    assert answer.status_code == 201, answer.text
    asset = answer.json()
    assert (asset["kind"], asset["mime"], asset["file_size"]) == (kind, mime, len(data))
    assert (asset["origin"], asset["job_id"], asset["item"], asset["role"]) == ("upload", None, None, "primary")
    assert (asset["user_id"], asset["is_public"]) == (str(USER), False)
    assert asset["path"].startswith(f"{TENANT}/uploads/{kind}/")
    assert asset["sha256"] == hashlib.sha256(data).hexdigest()
    assert house.blob(data).read_bytes() == data
    assert staged(house) == []
    if kind == "image":
        assert asset["thumbnail"] is None, "a picture that is small enough stands for itself"
    else:
        small = house.root / blob_key(str(TENANT), asset["thumbnail"]["sha256"])
        assert sniffed(small.read_bytes()) == "image/webp"


async def test_a_large_picture_has_a_small_one_that_says_nothing_of_a_machine(
    house: House, service: httpx.AsyncClient
) -> None:
    asset = (await brought(service, png(1024, 512))).json()
    small = (house.root / blob_key(str(TENANT), asset["thumbnail"]["sha256"])).read_bytes()
    assert (probe(small).width, probe(small).height) == (512, 256)
    assert not is_marked(small, "image/webp")


async def test_pixels_are_those_that_were_decoded(service: httpx.AsyncClient) -> None:
    asset = (await brought(service, PICTURE)).json()
    assert (asset["width"], asset["height"]) == (64, 48)


async def test_the_same_bytes_are_one_asset_of_their_user_and_are_kept_once(
    house: House, service: httpx.AsyncClient
) -> None:
    first = await brought(service, PICTURE)
    again = await brought(service, PICTURE)
    colleague = await brought(service, PICTURE, who=as_(COLLEAGUE))
    stranger = await brought(service, PICTURE, who=as_(STRANGER, STRANGER))

    assert [answer.status_code for answer in (first, again, colleague, stranger)] == [201, 200, 201, 201]
    assert first.json()["id"] == again.json()["id"]
    assert len({answer.json()["id"] for answer in (first, colleague, stranger)}) == 3
    assert len(house.blobs()) == 2  # one for each tenant


async def test_the_same_bytes_brought_at_once_are_one_asset(house: House, service: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(brought(service, PICTURE) for _ in range(6)))

    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [201]
    assert (await house.sql("SELECT count(*) AS n FROM uploads"))[0]["n"] == 0
    assert staged(house) == []


@pytest.mark.parametrize("said", [None, "", "application/octet-stream", "image/png", "IMAGE/PNG; charset=binary"])
async def test_a_claim_that_is_true_or_none_is_taken(service: httpx.AsyncClient, said: str | None) -> None:
    assert (await brought(service, PICTURE, said)).status_code == 201


@pytest.mark.parametrize("said", ["image/jpeg", "text/html", "model/gltf-binary", "nonsense"])
async def test_a_claim_that_is_not_true_is_refused(house: House, service: httpx.AsyncClient, said: str) -> None:
    answer = await brought(service, PICTURE, said)

    assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION")
    assert answer.json()["errors"] == [
        {"pointer": "/header/Content-Type", "detail": f"says {said}, but the bytes are image/png"}
    ]
    assert await nothing_is_left(house)


async def test_a_claim_that_is_not_true_is_refused_of_known_bytes_too(house: House, service: httpx.AsyncClient) -> None:
    await brought(service, PICTURE)
    answer = await brought(service, PICTURE, "image/jpeg")
    assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION")
    assert staged(house) == []


BROKEN = [
    ("nothing", b"", "empty"),
    ("a page", b"<!doctype html><script>alert(1)</script>", "not_media"),
    ("a picture that was cut", PICTURE[: len(PICTURE) // 2], "cut_off"),
    ("a page behind a picture's first bytes", PICTURE[:8] + b"<script>alert(1)</script>", "undecodable"),
    ("a model that was cut", glb()[:-8], "cut_off"),
    ("a format nobody asks for", b"GIF89a" + bytes(64), "wrong_format"),
]


@pytest.mark.parametrize("said", [None, "image/png"])
@pytest.mark.parametrize(("data", "reason"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
async def test_what_is_no_whole_media_is_refused_and_leaves_nothing(
    house: House, service: httpx.AsyncClient, data: bytes, reason: str, said: str | None
) -> None:
    answer = await brought(service, data, said)

    assert (answer.status_code, answer.json()["code"]) == (422, "CORRUPT_OUTPUT")
    assert answer.json()["errors"] == [{"pointer": "/file", "detail": reason}]
    assert await nothing_is_left(house)


async def test_too_many_bytes_are_refused_however_they_come(house: House, service: httpx.AsyncClient) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(MOST // 65_536 + 1):
            yield b"x" * 65_536

    for body in (b"x" * (MOST + 1), parts()):
        answer = await service.post(PATH, content=body, headers=as_())
        assert (answer.status_code, answer.json()["code"]) == (413, "INVALID_REQUEST")
    assert await nothing_is_left(house)


async def test_an_upload_that_is_cut_off_leaves_nothing(house: House, app: FastAPI) -> None:
    messages = iter([{"type": "http.request", "body": PICTURE[:20], "more_body": True}, {"type": "http.disconnect"}])
    answers: list[Any] = []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        answers.append(message)

    headers = [(name.lower().encode(), value.encode()) for name, value in as_().items()]
    scope = {
        "type": "http", "method": "POST", "path": PATH, "raw_path": PATH.encode(), "query_string": b"",
        "root_path": "", "scheme": "http", "http_version": "1.1", "client": ("t", 1), "server": ("s", 80),
        "headers": headers,
    }  # fmt: skip
    async with asyncio.timeout(10):
        await app(scope, receive, send)

    assert answers[0]["status"] == 400
    assert await nothing_is_left(house)


async def test_what_a_killed_process_left_is_swept_and_what_waits_is_not(house: House, app: FastAPI) -> None:
    uploader: Uploader = app.state.uploader
    left, waiting = uuid7(), uuid7()
    for upload in (left, waiting):
        await house.sql(
            "INSERT INTO uploads (id, tenant_id, user_id, begun_at) "
            "VALUES (:id, :tenant, :user, now() - interval '2 h')",
            id=upload,
            tenant=TENANT,
            user=USER,
        )
        key = f"staging/{TENANT}/{str(upload)[6:8]}/{upload}.0"
        await house.store.put(key, PICTURE, max_bytes=MOST)
    await house.sql(
        "INSERT INTO arrivals (job_id, item, attempt, output, tenant_id, asset_id, sha256, size, due_at) "
        "VALUES (:id, 0, 0, 0, :tenant, :id, :sha, 1, now() + interval '1 h')",
        id=waiting,
        tenant=TENANT,
        sha="0" * 64,
    )

    assert not await uploader.sweep(3 * 3600)
    assert await uploader.sweep(3600)
    assert not await uploader.sweep(3600)

    assert [row["id"] for row in await house.sql("SELECT id FROM uploads")] == [waiting]
    assert [path.name for path in staged(house)] == [f"{waiting}.0"]


async def test_a_deleted_upload_is_said_to_be_gone_and_may_be_brought_again(
    house: House, service: httpx.AsyncClient
) -> None:
    asset = (await brought(service, PICTURE)).json()["id"]
    assert (await service.delete(f"/v1/assets/{asset}", headers=as_())).status_code == 204

    [gone] = await house.said(AssetDeleted)
    again = await brought(service, PICTURE)

    assert (str(gone.asset_id), gone.job_id) == (asset, None)
    assert (again.status_code, again.json()["id"] != asset) == (201, True)


async def test_nobody_but_the_one_who_asked_hears_of_an_upload(house: House, service: httpx.AsyncClient) -> None:
    assert (await brought(service, PICTURE)).status_code == 201
    assert await house.said() == []


async def test_the_bytes_of_an_asset_are_read_by_who_may_see_it(house: House, service: httpx.AsyncClient) -> None:
    asset = (await brought(service, PICTURE)).json()["id"]

    read = await service.get(f"/v1/assets/{asset}/content", headers=as_())
    hidden = [
        await service.get(f"/v1/assets/{one}/content", headers=who)
        for one, who in ((asset, as_(COLLEAGUE)), (asset, as_(USER, STRANGER)), (uuid7(), as_()))
    ]

    assert (read.status_code, read.content, read.headers["content-type"]) == (200, PICTURE, "image/png")
    assert [answer.status_code for answer in hidden] == [404, 404, 404]


async def test_damaged_bytes_are_never_read(house: House, service: httpx.AsyncClient) -> None:
    asset = (await brought(service, PICTURE)).json()["id"]
    house.blob(PICTURE).write_bytes(PICTURE[:-1] + b"x")

    answer = await service.get(f"/v1/assets/{asset}/content", headers=as_())

    assert (answer.status_code, answer.json()["code"]) == (503, "STORAGE_ERROR")


async def test_nothing_is_taken_in_without_a_signed_context(house: House, service: httpx.AsyncClient) -> None:
    assert (await service.post(PATH, content=PICTURE)).status_code == 401
    assert await nothing_is_left(house)
