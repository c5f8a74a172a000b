"""Bodies that are too long to hold: what services pass on to each other in parts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.responses import StreamingResponse

from chassis.context import read_context
from chassis.errors import NotFound, TooLarge, Unavailable
from chassis.http import Context, InternalClient, make_app

SECRET = "sixteen characters at least"
ASKING = Context(UUID("0190b3a0-0000-7000-8000-000000000001"), UUID("0190b3a0-0000-7000-8000-000000000002"))
MIB = 1 << 20


@pytest.fixture
def app() -> FastAPI:
    app = make_app(title="Archive", public=False, body_limit=1000, larger_bodies={"/films": 2 * MIB})

    @app.post("/films")
    @app.post("/notes")
    async def keep(request: Request) -> dict[str, object]:
        who = read_context(SECRET, request.headers["X-Backlot-Context"])
        sizes = [len(chunk) async for chunk in request.stream()]
        return {"bytes": sum(sizes), "type": request.headers.get("content-type"), "tenant": str(who.tenant_id)}

    @app.get("/films/{size}")
    async def show(size: int) -> StreamingResponse:
        if size == 0:
            raise NotFound("there is no such film")
        return StreamingResponse(film(size))

    return app


async def film(size: int) -> AsyncIterator[bytes]:
    for start in range(0, size, 4096):
        yield b"x" * min(4096, size - start)


@pytest.fixture
async def archive(app: FastAPI) -> AsyncIterator[InternalClient]:
    client = InternalClient("archive", "http://archive", SECRET, transport=httpx.ASGITransport(app))
    yield client
    await client.stop()


async def test_a_long_body_is_passed_on_in_its_parts(archive: InternalClient) -> None:
    said = await archive.stream("/films", film(MIB), context=ASKING, media_type="video/mp4", answer_s=5)
    assert said == {"bytes": MIB, "type": "video/mp4", "tenant": str(ASKING.tenant_id)}


async def test_only_the_paths_that_are_named_take_long_bodies_and_they_have_a_limit_too(
    archive: InternalClient,
) -> None:
    for path, size in (("/notes", 1001), ("/films", 2 * MIB + 1)):
        with pytest.raises(TooLarge):
            await archive.stream(path, film(size), context=ASKING, media_type=None, answer_s=5)


async def test_what_goes_wrong_with_the_parts_is_raised_as_it_is() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x"
        raise LookupError("the reel is torn")

    async def reads(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"bytes": len(await request.aread())})

    client = InternalClient("archive", "http://archive", SECRET, transport=httpx.MockTransport(reads))
    with pytest.raises(LookupError, match="torn"):
        await client.stream("/films", broken(), context=ASKING, media_type=None, answer_s=5)
    await client.stop()


async def test_bytes_are_read_up_to_a_limit(archive: InternalClient) -> None:
    assert await archive.read(f"/films/{MIB}", context=ASKING, max_bytes=MIB) == b"x" * MIB
    with pytest.raises(TooLarge):
        await archive.read(f"/films/{MIB}", context=ASKING, max_bytes=MIB - 1)
    with pytest.raises(NotFound, match="no such film"):
        await archive.read("/films/0", context=ASKING, max_bytes=MIB)


async def test_who_is_away_is_named_when_bytes_are_asked_for_too() -> None:
    def gone(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("nobody listens", request=request)

    client = InternalClient("archive", "http://archive", SECRET, transport=httpx.MockTransport(gone))
    with pytest.raises(Unavailable, match="archive"):
        await client.read("/films/1", context=ASKING, max_bytes=MIB)
    with pytest.raises(Unavailable, match="archive"):
        await client.stream("/films", film(1), context=ASKING, media_type=None, answer_s=5)
    await client.stop()
