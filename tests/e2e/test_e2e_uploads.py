"""What a user brings: through the gateway into the store, shown, served to its owner, and taken away again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import httpx
import pytest
from PIL import Image

from chassis.http import InternalClient
from provider_worker.engine.inputs import InputRefused, content_of
from provider_worker.tasks import Job
from schemas.parts import AssetContext, Kind, Route
from stack.state import keep_secrets
from tests.running import Live, ended, submit, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


def picture(colour: tuple[int, int, int]) -> bytes:
    file = BytesIO()
    Image.new("RGB", (320, 200), colour).save(file, "png")
    return file.getvalue()


async def in_parts(data: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def nothing_is_under_way(live: Live) -> bool:
    return bool(await live.value("storage-service", "SELECT count(*) = 0 FROM uploads"))


async def test_an_upload_is_served_to_its_owner_alone_and_is_gone_when_it_is_deleted(
    live: Live, owner: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    data = picture((10, 20, 30))
    first = await owner.post("/api/v1/uploads", content=in_parts(data))
    again = await owner.post("/api/v1/uploads", files={"file": ("fox.png", data, "image/png")})
    asset = first.json()

    assert (first.status_code, again.status_code, again.json()["id"]) == (201, 200, asset["id"]), first.text
    assert (asset["origin"], asset["mime"], asset["width"], asset["height"]) == ("upload", "image/png", 320, 200)
    assert (await stranger.get(asset["url"])).content == data
    assert (await stranger.get(f"/asset/{asset['id']}")).status_code == 404
    assert (await owner.get(f"/asset/{asset['id']}", follow_redirects=True)).content == data
    assert await nothing_is_under_way(live)

    assert (await owner.delete(f"/api/v1/assets/{asset['id']}")).status_code == 204
    assert (await owner.get(f"/api/v1/assets/{asset['id']}")).status_code == 404
    assert (await stranger.get(asset["url"])).status_code == 404


async def test_what_is_no_picture_and_what_is_cut_off_leave_nothing(live: Live, owner: httpx.AsyncClient) -> None:
    before = await live.value("storage-service", "SELECT count(*) FROM assets")
    lie = await owner.post("/api/v1/uploads", content=b"<html></html>", headers={"Content-Type": "image/png"})

    async def torn() -> AsyncIterator[bytes]:
        yield picture((1, 2, 3))[:200]
        raise ConnectionError("the line is cut")

    with pytest.raises(ConnectionError):
        await owner.post("/api/v1/uploads", content=torn())

    assert (lie.status_code, lie.json()["code"]) == (422, "CORRUPT_OUTPUT")
    await until(lambda: nothing_is_under_way(live), "the torn upload was not tidied", within=30)
    assert await live.value("storage-service", "SELECT count(*) FROM assets") == before


async def test_the_worker_reads_an_upload_in_its_tenants_name_and_no_other(
    live: Live, owner: httpx.AsyncClient
) -> None:
    data = picture((40, 50, 60))
    asset = (await owner.post("/api/v1/uploads", content=data)).json()
    row = await live.rows("storage-service", "SELECT id, tenant_id, user_id FROM assets WHERE id = $1", asset["id"])
    address = live.info.readiness["storage-service"].removesuffix("/readyz")
    storage = InternalClient("storage-service", address, keep_secrets(live.home).secret)

    def job(tenant_id: Any) -> Job:
        context = AssetContext(user_id=row[0]["user_id"], kind=Kind.IMAGE)
        return Job(row[0]["id"], tenant_id, Route(), None, context, None)

    assert await content_of(storage)(job(row[0]["tenant_id"]), row[0]["id"]) == data
    with pytest.raises(InputRefused, match="gone"):
        await content_of(storage)(job(row[0]["user_id"]), row[0]["id"])
    await storage.stop()


async def test_what_nobody_here_makes_of_a_picture_is_refused_without_a_bill(owner: httpx.AsyncClient) -> None:
    asset = (await owner.post("/api/v1/uploads", content=picture((70, 80, 90)))).json()
    inputs = [{"role": "reference", "asset_id": asset["id"]}]
    body = {"kind": "image", "prompt": "a fox", "inputs": inputs, "route": {"providers": ["nobody"]}}

    job = await ended(owner, (await submit(owner, body))["id"])

    assert (job["status"], job["error"]["code"]) == ("failed", "INVALID_REQUEST")
    assert (job["cost"]["actual"], job["cost"]["settled"]) == ("0.00", True)
