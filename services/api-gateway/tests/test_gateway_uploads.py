"""Uploads through the gateway, on the real database: streamed on, known at once, and what jobs build on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest

from api_gateway.http.job_shapes import Asset
from chassis.ids import uuid7
from schemas.assets import AssetDeleted, AssetVisibilityChanged
from schemas.jobs import JobRequested
from schemas.parts import MAX_INPUT_BYTES
from tests.gateway_harness import ASSETS, IMAGE, UPLOAD_MAX, Gateway, gateway_on, someone

pytestmark = pytest.mark.integration

PICTURE = b"\x89PNG and so on"
UPLOADS = "/api/v1/uploads"


@pytest.fixture
async def gateway(database_url: str) -> AsyncIterator[Gateway]:
    async with gateway_on(database_url) as running:
        yield running


async def brought(gateway: Gateway, data: bytes = PICTURE, **facts: Any) -> str:
    """An upload's asset id; `facts` are what storage-service finds out of it."""
    answer = await gateway.client.post(UPLOADS, content=data)
    asset_id: str = answer.json()["id"]
    if facts:
        columns = {"mime": "image/png", "file_size": len(data), "width": 64, "height": 64} | facts
        await gateway.run(
            "UPDATE asset SET body = (body::jsonb || CAST(:facts AS jsonb))::text WHERE id = :id",
            facts=httpx.Response(200, json=columns).text,
            id=UUID(asset_id),
        )
    return asset_id


async def in_parts(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_an_upload_is_passed_on_as_it_is_and_is_an_asset_at_once(gateway: Gateway) -> None:
    answer = await gateway.client.post(UPLOADS, content=PICTURE, headers={"Content-Type": "image/png"})

    assert answer.status_code == 201, answer.text
    asset = answer.json()
    Asset.model_validate(asset)
    assert gateway.storage.bodies == [("image/png", PICTURE)]
    assert (asset["origin"], asset["job_id"], asset["item"], asset["role"]) == ("upload", None, None, "primary")
    assert asset["url"].startswith(f"{ASSETS}/asset/{asset['id']}?exp=")
    assert asset["thumbnail_url"].startswith(f"{ASSETS}/asset/01981d2e-9c11-7a00-8a00-0000000000f1?exp=")
    shown = (await gateway.client.get(f"/api/v1/assets/{asset['id']}")).json()
    assert {**shown, "url": "", "thumbnail_url": ""} == {**asset, "url": "", "thumbnail_url": ""}


async def test_a_body_of_unknown_length_is_passed_on_in_its_parts(gateway: Gateway) -> None:
    answer = await gateway.client.post(UPLOADS, content=in_parts(b"\x89PN", b"", b"G and", b" so on"))

    assert answer.status_code == 201
    assert gateway.storage.bodies == [(None, PICTURE)]


@pytest.mark.parametrize("size", [1, 7, 64, 4096])
async def test_the_file_of_a_form_is_taken_out_of_it(gateway: Gateway, size: int) -> None:
    form = httpx.Request(
        "POST",
        "http://gateway",
        data={"purpose": "reference"},
        files=[("file", ("fox.png", PICTURE * 40, "image/png")), ("file", ("second.png", b"not this"))],
    )
    body = form.read()
    parts = in_parts(*(body[start : start + size] for start in range(0, len(body), size)))

    answer = await gateway.client.post(UPLOADS, content=parts, headers={"Content-Type": form.headers["content-type"]})

    assert answer.status_code == 201, answer.text
    assert gateway.storage.bodies == [("image/png", PICTURE * 40)]


async def test_the_same_bytes_are_the_same_asset_for_their_user(gateway: Gateway) -> None:
    first = await gateway.client.post(UPLOADS, content=PICTURE)
    again = await gateway.client.post(UPLOADS, content=PICTURE)
    async with await gateway.client_of(someone(tenant_id=gateway.who.tenant_id)) as colleague:
        other = await colleague.post(UPLOADS, content=PICTURE)

    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 201)
    assert first.json()["id"] == again.json()["id"] != other.json()["id"]


OTHER_FIELD = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n'
CUT_FORM = b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nabc'
FORM = {"Content-Type": "multipart/form-data; boundary=x"}
BAD: list[tuple[str, bytes, dict[str, str], int, str]] = [
    ("a form without the file", OTHER_FIELD, FORM, 422, "VALIDATION"),
    ("a form that is none", b"hello", FORM, 400, "INVALID_REQUEST"),
    ("a form that ends early", CUT_FORM, FORM, 400, "INVALID_REQUEST"),
    ("a form without a boundary", b"", {"Content-Type": "multipart/form-data"}, 400, "INVALID_REQUEST"),
    ("too many bytes", b"x" * (UPLOAD_MAX + 1), {}, 413, "INVALID_REQUEST"),
]


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"), [case[1:] for case in BAD], ids=[case[0] for case in BAD]
)
async def test_what_is_no_upload_is_refused(
    gateway: Gateway, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    answer = await gateway.client.post(UPLOADS, content=body, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert gateway.storage.assets == {}


async def test_a_body_that_is_packed_is_refused_and_a_plain_one_may_say_so(gateway: Gateway) -> None:
    packed = await gateway.client.post(UPLOADS, content=PICTURE, headers={"Content-Encoding": "gzip"})
    assert (packed.status_code, packed.json()["code"]) == (415, "INVALID_REQUEST")
    assert gateway.storage.bodies == []
    plain = await gateway.client.post(UPLOADS, content=PICTURE, headers={"Content-Encoding": "identity"})
    assert plain.status_code == 201


async def test_more_bytes_than_allowed_are_cut_off_wherever_they_come(gateway: Gateway) -> None:
    file = ("file", ("big.bin", b"x" * (UPLOAD_MAX + 1)))
    parts = in_parts(*[b"x" * 65_536] * (UPLOAD_MAX // 65_536 + 1))

    for sent in ({"content": parts}, {"files": [file]}):
        answer = await gateway.client.post(UPLOADS, **sent)
        assert (answer.status_code, answer.json()["code"]) == (413, "INVALID_REQUEST")
    assert gateway.storage.assets == {}


async def test_an_upload_that_is_cut_off_is_known_to_nobody(gateway: Gateway) -> None:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        if len(sent) < 3:
            sent.append(None)
            return {"type": "http.request", "body": b"x" * 1000, "more_body": True}
        return {"type": "http.disconnect"}

    answers: list[Any] = []

    async def send(message: Any) -> None:
        answers.append(message)

    key = gateway.client.headers["authorization"].encode()
    scope = {
        "type": "http", "method": "POST", "path": UPLOADS, "raw_path": UPLOADS.encode(), "query_string": b"",
        "root_path": "", "scheme": "http", "http_version": "1.1", "client": ("test", 1), "server": ("gateway", 80),
        "headers": [(b"authorization", key), (b"transfer-encoding", b"chunked")],
    }  # fmt: skip
    async with asyncio.timeout(10):
        await gateway.app(scope, receive, send)

    assert answers[0]["status"] == 400
    assert gateway.storage.bodies == []
    assert (await gateway.run("SELECT count(*) FROM asset")).scalar_one() == 0


async def test_a_refusal_of_storage_service_is_passed_on(gateway: Gateway) -> None:
    problem = {"code": "CORRUPT_OUTPUT", "detail": "zero bytes", "errors": [{"pointer": "/file", "detail": "empty"}]}
    said = {"content-type": "application/problem+json"}
    gateway.storage.refuses = httpx.Response(422, json=problem, headers=said)

    answer = await gateway.client.post(UPLOADS, content=b"")

    assert (answer.status_code, answer.json()["code"], answer.json()["detail"]) == (422, "CORRUPT_OUTPUT", "zero bytes")
    assert answer.json()["errors"] == problem["errors"]


async def test_without_storage_service_it_is_named(gateway: Gateway) -> None:
    gateway.storage.away = True

    answer = await gateway.client.post(UPLOADS, content=PICTURE)

    assert (answer.status_code, answer.json()["code"]) == (503, "UNAVAILABLE")
    assert "send the file again: the same bytes are the same asset" in answer.json()["detail"]
    assert "storage-service" in answer.json()["detail"]


async def test_who_may_not_write_assets_uploads_nothing(gateway: Gateway) -> None:
    async with await gateway.client_of(someone("jobs:write", "assets:read")) as reader:
        answers = [
            await reader.post(UPLOADS, content=PICTURE),
            await gateway.speaking(None).post(UPLOADS, content=b"x"),
        ]
    assert [answer.status_code for answer in answers] == [403, 401]
    assert gateway.storage.bodies == []


async def test_a_deleted_upload_is_gone_at_once_and_for_good(gateway: Gateway) -> None:
    asset = await brought(gateway)

    assert (await gateway.client.delete(f"/api/v1/assets/{asset}")).status_code == 204

    assert (await gateway.client.get(f"/api/v1/assets/{asset}")).status_code == 404
    assert (await gateway.client.delete(f"/api/v1/assets/{asset}")).status_code == 404
    again = await gateway.client.post(UPLOADS, content=PICTURE)
    assert (again.status_code, again.json()["id"] != asset) == (201, True)


async def test_what_storage_service_says_of_an_upload_is_heard_in_any_order(gateway: Gateway) -> None:
    asset, other = UUID(await brought(gateway)), UUID(await brought(gateway, b"another"))
    shown = AssetVisibilityChanged(asset_id=asset, job_id=None, revision=3, is_public=True, url=f"{ASSETS}/new")
    hidden = shown.model_copy(update={"revision": 2, "is_public": False, "url": f"{ASSETS}/old"})
    gone = AssetDeleted(asset_id=other, job_id=None, revision=2)

    for batch in ((shown, gone), (hidden, shown, gone), (hidden,)):
        await gateway.hear(*batch)

    found = (await gateway.client.get(f"/api/v1/assets/{asset}")).json()
    assert (found["is_public"], found["url"]) == (True, f"{ASSETS}/new")
    assert (await gateway.client.get(f"/api/v1/assets/{other}")).status_code == 404


async def test_a_job_carries_what_is_known_of_its_inputs(gateway: Gateway) -> None:
    asset = await brought(gateway)
    inputs = [{"role": "reference", "asset_id": asset}, {"role": "style", "url": "https://example.com/a.png"}]

    await gateway.make(inputs=inputs)

    [said] = await gateway.said("backlot.jobs")
    assert isinstance(said, JobRequested)
    own, address = said.request.inputs
    assert (own.role, str(own.asset_id), own.mime, own.size) == ("reference", asset, "image/png", len(PICTURE))
    assert own.sha256 == gateway.storage.assets[UUID(asset)]["sha256"]
    assert (address.role, address.url, address.asset_id, address.mime) == ("style", inputs[1]["url"], None, None)


async def test_nobody_builds_on_what_he_may_not_see(gateway: Gateway) -> None:
    asset, tenant = await brought(gateway), gateway.who.tenant_id
    inputs = [{"role": "reference", "url": "https://example.com/a.png"}, {"role": "reference", "asset_id": asset}]
    body = IMAGE | {"inputs": inputs}
    missing = IMAGE | {"inputs": [inputs[0], {"role": "reference", "asset_id": str(uuid7())}]}

    async with (
        await gateway.client_of(someone()) as stranger,
        await gateway.client_of(someone(tenant_id=tenant)) as colleague,
        await gateway.client_of(someone("jobs:write", "tenant:read", tenant_id=tenant)) as overseer,
    ):
        refused = [await client.post("/api/v1/jobs", json=body) for client in (stranger, colleague)]
        refused.append(await gateway.client.post("/api/v1/jobs", json=missing))
        allowed = await overseer.post("/api/v1/jobs", json=body)

    assert [(answer.status_code, answer.json()["code"]) for answer in refused] == [(404, "NOT_FOUND")] * 3
    assert {answer.json()["errors"][0]["pointer"] for answer in refused} == {"/inputs/1/asset_id"}
    assert allowed.status_code == 202


async def test_a_deleted_asset_is_built_on_no_more_but_its_job_is_repeated(gateway: Gateway) -> None:
    asset = await brought(gateway)
    body, key = IMAGE | {"inputs": [{"role": "reference", "asset_id": asset}]}, {"Idempotency-Key": "once"}
    first = await gateway.client.post("/api/v1/jobs", json=body, headers=key)
    await gateway.client.delete(f"/api/v1/assets/{asset}")

    again = await gateway.client.post("/api/v1/jobs", json=body, headers=key)
    other = await gateway.client.post("/api/v1/jobs", json=body)

    assert (first.status_code, again.status_code, other.status_code) == (202, 202, 404)
    assert first.json()["id"] == again.json()["id"]


NO_PICTURE: list[tuple[dict[str, Any], str]] = [
    ({"mime": "model/gltf-binary"}, "is model/gltf-binary, but a reference is image/jpeg, image/png, image/webp"),
    ({"file_size": MAX_INPUT_BYTES + 1}, f"at most {MAX_INPUT_BYTES}"),
]


@pytest.mark.parametrize(("facts", "words"), NO_PICTURE)
async def test_an_asset_that_is_not_what_its_role_wants_is_refused(
    gateway: Gateway, facts: dict[str, Any], words: str
) -> None:
    body = IMAGE | {"inputs": [{"role": "reference", "asset_id": await brought(gateway, **facts)}]}

    answer = await gateway.client.post("/api/v1/jobs", json=body)

    assert (answer.status_code, answer.json()["code"]) == (422, "INVALID_REQUEST")
    assert words in answer.json()["errors"][0]["detail"]


async def test_a_mask_is_as_large_as_its_reference(gateway: Gateway) -> None:
    picture, mask = await brought(gateway), await brought(gateway, b"mask", width=32)
    inputs = [{"role": "mask", "asset_id": mask}, {"role": "reference", "asset_id": picture}]

    answer = await gateway.client.post("/api/v1/jobs", json=IMAGE | {"inputs": inputs})

    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/inputs/0/asset_id")
    assert "is 32x64, but a mask has the size of its reference, 64x64" in answer.json()["detail"]


async def test_each_of_many_is_answered_for_its_own_inputs(gateway: Gateway) -> None:
    good = IMAGE | {"inputs": [{"role": "reference", "asset_id": await brought(gateway)}]}
    bad = IMAGE | {"inputs": [{"role": "reference", "asset_id": str(uuid7())}]}

    answer = (await gateway.client.post("/api/v1/jobs/bulk", json={"jobs": [bad, good]})).json()

    assert [entry["status"] for entry in answer["items"]] == [404, 202]
