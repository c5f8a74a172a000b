"""What an item builds on: read right before its provider is called, or nothing is sent and nothing is paid."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import httpx
import pytest

from chassis.context import read_context
from chassis.foreign import Policy, guarded_client
from chassis.http import InternalClient
from chassis.ids import uuid7
from media import Checker
from media.tests.media_files import glb, png
from provider_worker.adapters.interface import (
    ErrorCode,
    GenerationRequest,
    InputMedia,
    JobRef,
    Op,
    Outcome,
    ProviderError,
    Status,
)
from provider_worker.engine.asking import asked, op_of
from provider_worker.engine.inputs import InputRefused, Inputs, InputsAway, content_of
from provider_worker.routing import End, Failure, Hold, Offer, Standing, after
from provider_worker.tasks import Job
from schemas.events import (
    GenerationCancelled,
    GenerationCompleted,
    GenerationFailed,
    GenerationQuoted,
    JobCancelRequested,
)
from schemas.parts import MAX_INPUT_BYTES, AssetContext, Input, Kind, PreparedItem, Route
from schemas.parts import ErrorCode as Code
from tests.worker_builders import TENANT, USER, Home, Painter, Worker, envelope, home_at, item, prepared, table

PICTURE, MODEL = png(16, 16), glb()
ASSET = uuid7()
OWN = Input(role="reference", asset_id=ASSET, mime="image/png", sha256="0" * 64, size=len(PICTURE))
SECRET = "a secret of the tests, long enough"

Answer = tuple[str, bytes]


class Shelf:
    """Assets, as storage-service has them."""

    def __init__(self) -> None:
        self.assets: dict[UUID, bytes] = {ASSET: PICTURE}
        self.away = 0
        self.reads: list[tuple[UUID, UUID]] = []
        self.reading = asyncio.Event()
        self.hangs = False

    async def __call__(self, job: Job, asset_id: UUID) -> bytes:
        self.reads.append((job.tenant_id, asset_id))
        self.reading.set()
        if self.hangs:
            await asyncio.Event().wait()
        if self.away:
            self.away -= 1
            raise InputsAway("storage-service is away")
        if asset_id not in self.assets:
            raise InputRefused("the asset is gone")
        return self.assets[asset_id]


class Seeing(Painter):
    """Keeps what it was asked."""

    seen: list[GenerationRequest]

    async def submit(self, req: GenerationRequest, plan: Any) -> JobRef | Status:
        self.seen = [*getattr(self, "seen", []), req]
        return await super().submit(req, plan)


@pytest.fixture
async def checker() -> AsyncIterator[Checker]:
    made = Checker()
    yield made
    await made.close()


@pytest.fixture
async def home(database_url: str, tmp_path: Path) -> AsyncIterator[Home]:
    async with home_at(database_url, tmp_path) as home:
        yield home


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@asynccontextmanager
async def website(pages: dict[str, list[Answer]]) -> AsyncIterator[str]:
    """A server that answers each path with its answers in order, the last one again and again."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        answers = pages[head.split(b" ")[1].decode()]
        status, body = answers.pop(0) if len(answers) > 1 else answers[0]
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def inputs_from(
    shelf: Shelf, checker: Checker, *trusted: str, hosts: tuple[str, ...] = ("*",), most_held: int = 1 << 26
) -> AsyncIterator[Inputs]:
    client = guarded_client(Policy(hosts=hosts, trusted=frozenset(trusted)))
    yield Inputs(shelf, client, checker, most_held=most_held, waits=(0.01, 0.01))
    await client.aclose()


async def built_on(here: Worker, *given: Input, **changes: Any) -> UUID:
    job = prepared([item(inputs=list(given), **changes)])
    await here.hear(envelope(job))
    return job.job_id


@pytest.mark.integration
async def test_an_asset_is_read_for_its_tenant_and_reaches_the_provider(
    home: Home, shelf: Shelf, checker: Checker
) -> None:
    painter = Seeing(idempotency="none")
    async with inputs_from(shelf, checker) as inputs:
        here = home.worker(painter, inputs=inputs.held)
        await built_on(here, OWN, OWN.model_copy(update={"role": "style"}))
        await here.finish()

    [request] = painter.seen
    assert request.op is Op.EDIT_IMAGE
    assert list(request.inputs) == [InputMedia(role, "image/png", PICTURE) for role in ("reference", "style")]
    assert shelf.reads == [(TENANT, ASSET)] * 2
    [made] = await home.said(GenerationCompleted)
    assert made.billing.amount_micros == painter.price


@pytest.mark.integration
async def test_an_asset_that_is_gone_ends_the_item_before_anything_is_paid(
    home: Home, shelf: Shelf, checker: Checker
) -> None:
    painter, other = Painter(), Painter("other")
    shelf.assets.clear()
    async with inputs_from(shelf, checker) as inputs:
        here = home.worker(painter, other, inputs=inputs.held)
        await built_on(here, OWN)
        await here.finish()

    [failed] = await home.said(GenerationFailed)
    assert (failed.code, failed.message) == ("INVALID_REQUEST", "input 1 (reference): the asset is gone")
    assert (failed.final, failed.billing.state, painter.calls, other.calls) == (True, "none", [], [])
    assert await home.rows("SELECT 1 FROM accounts WHERE failures > 0") == []


@pytest.mark.integration
async def test_while_storage_service_is_away_the_item_waits_and_is_made_once(
    home: Home, shelf: Shelf, checker: Checker
) -> None:
    painter = Seeing(idempotency="none")
    shelf.away = 4
    async with inputs_from(shelf, checker) as inputs:
        here = home.worker(painter, inputs=inputs.held)
        await built_on(here, OWN)
        for _ in range(4):
            await here.reserve()
            await here.work()
            assert painter.calls == []
            [(state, calls)] = await home.rows("SELECT state, calls FROM tasks")
            assert (state, calls) == ("waiting", 0)
            await home.rows("UPDATE tasks SET next_at = now()")
            await here.upkeep.revive()
        await here.finish()

    assert len(painter.calls) == 1
    [made] = await home.said(GenerationCompleted)
    assert made.attempt == 1
    assert await home.said(GenerationFailed) == []


@pytest.mark.integration
async def test_a_job_that_is_stopped_while_its_inputs_are_awaited_costs_nothing(
    home: Home, shelf: Shelf, checker: Checker
) -> None:
    painter = Painter()
    shelf.hangs = True
    async with inputs_from(shelf, checker) as inputs:
        here = home.worker(painter, inputs=inputs.held)
        job_id = await built_on(here, OWN)
        await here.reserve()
        working = asyncio.create_task(here.work())
        await shelf.reading.wait()
        await here.hear(envelope(JobCancelRequested(job_id=job_id, reason="user")))
        shelf.hangs = False
        await _killed(home, here, working)
        await here.finish()

    [cancelled] = await home.said(GenerationCancelled)
    assert (cancelled.billing.state, painter.calls) == ("none", [])


async def _killed(home: Home, here: Worker, working: asyncio.Task[None]) -> None:
    """As if the process had died, and its leases had run out."""
    for held in list(here.leases._held.values()):
        held.work.cancel()
    await working
    await home.rows("UPDATE tasks SET lease_until = now() - interval '1 second' WHERE state = 'leased'")
    await here.upkeep.revive()


@pytest.mark.integration
async def test_a_worker_that_dies_while_it_reads_has_sent_nothing(home: Home, shelf: Shelf, checker: Checker) -> None:
    """Its provider could be asked for nothing: without another intent nobody could tell that."""
    painter = Painter(idempotency="none")
    shelf.hangs = True
    async with inputs_from(shelf, checker) as inputs:
        here = home.worker(painter, inputs=inputs.held)
        await built_on(here, OWN)
        await here.reserve()
        working = asyncio.create_task(here.work())
        await shelf.reading.wait()
        shelf.hangs = False
        await _killed(home, here, working)
        await here.finish()

    assert len(painter.calls) == 1
    assert [event.attempt for event in await home.said(GenerationCompleted)] == [1]


@pytest.mark.integration
async def test_what_was_sent_with_inputs_and_may_be_there_is_not_sent_again(
    home: Home, shelf: Shelf, checker: Checker
) -> None:
    async def lost(req: GenerationRequest) -> JobRef | Status:
        raise ProviderError(ErrorCode.TIMEOUT, "no answer", outcome=Outcome.UNKNOWN)

    painter = Painter(idempotency="none", answer=lost)
    async with inputs_from(shelf, checker) as inputs:
        here = home.worker(painter, inputs=inputs.held)
        await built_on(here, OWN)
        await here.finish(rounds=60)

    [failed] = await home.said(GenerationFailed)
    assert (failed.code, failed.billing.state) == ("SUBMIT_UNKNOWN", "pending")
    assert len(painter.calls) == 1


@pytest.mark.integration
async def test_what_no_provider_makes_of_such_inputs_is_refused_before_it_is_quoted(home: Home) -> None:
    class TextAlone(Painter):
        def plan(self, req: GenerationRequest) -> Any:
            if req.op is not Op.TEXT_TO_IMAGE:
                raise ProviderError(ErrorCode.INVALID_REQUEST, f"no {req.op} here", outcome=Outcome.NOT_SENT)
            return {}

    here = home.worker(TextAlone())
    await built_on(here, OWN)
    await built_on(here, OWN, kind=Kind.IMAGE, number=2)

    failed = await home.said(GenerationFailed)
    assert [(event.code, event.message, event.attempt) for event in failed] == [
        ("INVALID_REQUEST", "painter: no edit_image here", 0)
    ] * 2
    assert await home.said(GenerationQuoted) == []


def job() -> Job:
    return Job(uuid7(), TENANT, Route(), None, AssetContext(user_id=USER, kind=Kind.IMAGE), None)


class OfTask:
    """As much of a task as reading needs."""

    def __init__(self, *inputs: Input) -> None:
        self.job, self.item = job(), item(inputs=list(inputs))


async def read(inputs: Inputs, *given: Input) -> list[InputMedia]:
    async with inputs.held(OfTask(*given)) as media:  # type: ignore[arg-type]
        return list(media)


def at(url: str, role: Any = "reference") -> Input:
    return Input(role=role, url=url)


async def test_what_is_at_an_address_is_known_by_its_bytes(shelf: Shelf, checker: Checker) -> None:
    pages = {"/a.html": [("200 OK", PICTURE)], "/b": [("200 OK", MODEL)]}
    async with website(pages) as site, inputs_from(shelf, checker, site) as inputs:
        found = await read(inputs, at(f"{site}/a.html"), at(f"{site}/b", "model"))
    assert found == [InputMedia("reference", "image/png", PICTURE), InputMedia("model", "model/gltf-binary", MODEL)]


async def test_an_address_that_fails_for_a_moment_is_asked_again(shelf: Shelf, checker: Checker) -> None:
    pages = {"/a": [("503 Busy", b""), ("429 Slow", b""), ("200 OK", PICTURE)]}
    async with website(pages) as site, inputs_from(shelf, checker, site) as inputs:
        [found] = await read(inputs, at(f"{site}/a"))
    assert found.data == PICTURE


WRONG: list[tuple[list[Answer], str, str]] = [
    ([("404 Gone", b"")], "reference", "the address answered 404"),
    ([("503 Busy", b"")], "reference", "the address answered 503"),
    ([("200 OK", b"<!doctype html><script>alert(1)</script>")], "reference", "no whole media"),
    ([("200 OK", PICTURE[:40])], "reference", "no whole media"),
    ([("200 OK", b"")], "reference", "no whole media"),
    ([("200 OK", MODEL)], "reference", "model/gltf-binary, but a reference is image/jpeg, image/png, image/webp"),
    ([("200 OK", PICTURE)], "model", "image/png, but a model is model/gltf-binary"),
    ([("200 OK", b"x" * (MAX_INPUT_BYTES + 1))], "reference", f"{MAX_INPUT_BYTES} are allowed"),
]


@pytest.mark.parametrize(("answers", "role", "words"), WRONG)
async def test_what_is_at_an_address_and_is_no_input_is_refused_with_the_reason(
    shelf: Shelf, checker: Checker, answers: list[Answer], role: str, words: str
) -> None:
    async with website({"/a": answers}) as site, inputs_from(shelf, checker, site) as inputs:
        with pytest.raises(InputRefused) as caught:
            await read(inputs, OWN, at(f"{site}/a", role))
    assert str(caught.value).startswith(f"input 2 ({role}): ")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("url", "hosts", "words"),
    [
        ("http://example.com/a.png", ("*",), "only https"),
        ("https://127.0.0.1/a.png", ("*",), "private network"),
        ("https://localhost:9/a.png", ("*",), "private network"),
        ("https://[::ffff:169.254.169.254]/a.png", ("*",), "not an address"),
        ("https://2130706433/a.png", ("*",), "private network"),
        ("https://elsewhere.example/a.png", ("images.example",), "not among the hosts"),
    ],
)
async def test_an_address_that_may_not_be_asked_is_refused(
    shelf: Shelf, checker: Checker, url: str, hosts: tuple[str, ...], words: str
) -> None:
    async with inputs_from(shelf, checker, hosts=hosts) as inputs:
        with pytest.raises(InputRefused, match=words):
            await read(inputs, at(url))


async def test_only_so_many_bytes_are_held_at_once_and_the_rest_waits(shelf: Shelf, checker: Checker) -> None:
    async with inputs_from(shelf, checker, most_held=2 * len(PICTURE)) as inputs:
        async with inputs.held(OfTask(OWN, OWN, OWN)):  # type: ignore[arg-type]  # alone it may be larger
            with pytest.raises(InputsAway, match="waits"):
                await read(inputs, OWN)
        assert len(await read(inputs, OWN)) == 1


REFUSALS: list[tuple[Callable[[httpx.Request], httpx.Response], type[Exception]]] = [
    (lambda request: problem(404, "NOT_FOUND"), InputRefused),
    (lambda request: httpx.Response(200, content=b"x" * (MAX_INPUT_BYTES + 1)), InputRefused),
    (lambda request: problem(503, "STORAGE_ERROR"), InputsAway),
    (lambda request: httpx.Response(500, text="oops"), InputsAway),
]


def problem(status: int, code: str) -> httpx.Response:
    body = {"code": code, "detail": "there is no such asset", "errors": []}
    return httpx.Response(status, json=body, headers={"content-type": "application/problem+json"})


@pytest.mark.parametrize(("answer", "raised"), REFUSALS)
async def test_what_storage_service_refuses_for_good_is_told_from_what_passes(
    answer: Callable[[httpx.Request], httpx.Response], raised: type[Exception]
) -> None:
    client = InternalClient("storage-service", "http://storage", SECRET, transport=httpx.MockTransport(answer))
    with pytest.raises(raised):
        await content_of(client)(job(), ASSET)
    await client.stop()


async def test_an_asset_is_asked_for_in_the_name_of_its_tenant_alone() -> None:
    asked_for: list[Any] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked_for.append((request.url.path, read_context(SECRET, request.headers["X-Backlot-Context"])))
        return httpx.Response(200, content=PICTURE)

    client = InternalClient("storage-service", "http://storage", SECRET, transport=httpx.MockTransport(answer))
    assert await content_of(client)(job(), ASSET) == PICTURE
    await client.stop()
    [(path, context)] = asked_for
    assert (path, context.tenant_id, context.user_id) == (f"/v1/assets/{ASSET}/content", TENANT, USER)


OPS: list[tuple[Kind, list[Any], Op]] = [
    (Kind.IMAGE, [], Op.TEXT_TO_IMAGE),
    (Kind.IMAGE, ["reference"], Op.EDIT_IMAGE),
    (Kind.IMAGE, ["style"], Op.EDIT_IMAGE),
    (Kind.IMAGE, ["reference", "mask"], Op.INPAINT),
    (Kind.TEXTURE, ["reference"], Op.EDIT_IMAGE),
    (Kind.VIDEO, [], Op.TEXT_TO_VIDEO),
    (Kind.VIDEO, ["first_frame", "last_frame"], Op.IMAGE_TO_VIDEO),
    (Kind.MODEL_3D, ["reference"], Op.IMAGE_TO_3D),
    (Kind.MODEL_3D, ["model", "style"], Op.RETEXTURE),
]


@pytest.mark.parametrize(("kind", "roles", "op"), OPS)
def test_the_inputs_say_what_is_made_of_what(kind: Kind, roles: list[Any], op: Op) -> None:
    wanted: PreparedItem = item(kind=kind, inputs=[OWN.model_copy(update={"role": role}) for role in roles])
    request = asked(wanted, "paint-1", str(TENANT), "reference")
    assert request.op is op
    assert [(given.role, given.data) for given in request.inputs] == [(role, b"") for role in roles]


def test_a_kind_that_takes_no_inputs_is_made_of_none() -> None:
    with pytest.raises(ProviderError) as caught:
        op_of(item(kind=Kind.SFX, inputs=[OWN]))
    assert replace(caught.value).code is ErrorCode.INVALID_REQUEST


def test_what_cannot_be_read_now_is_waited_for_and_what_is_no_input_ends_the_item() -> None:
    away = Failure(Code.TEMPORARY, "away", unsent=True, scope="inputs")
    refused = Failure(Code.INVALID_REQUEST, "gone", unsent=True)
    offers = (Offer("painter", "m", 40), Offer("other", "m", 30))
    standing = Standing(offers[0], offers, 40, calls=1, remakes=0, tried=frozenset(), time_left=60.0)
    assert isinstance(after(away, standing, table(), Random(1)), Hold)
    assert after(refused, standing, table(), Random(1)) == End()
