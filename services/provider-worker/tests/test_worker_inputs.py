"""Reading what an item builds on: assets, addresses, and what is none of either."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from random import Random
from typing import Any

import httpx
import pytest

from chassis.context import read_context
from chassis.http import InternalClient
from chassis.ids import uuid7
from media import Checker
from provider_worker.adapters.interface import (
    ErrorCode,
    InputMedia,
    Op,
    ProviderError,
)
from provider_worker.engine.asking import asked, op_of
from provider_worker.engine.inputs import InputRefused, Inputs, InputsAway, content_of
from provider_worker.routing import End, Failure, Hold, Offer, Standing, after
from provider_worker.tasks import Job
from schemas.parts import MAX_INPUT_BYTES, AssetContext, Input, Kind, PreparedItem, Route
from schemas.parts import ErrorCode as Code
from tests.worker_builders import TENANT, USER, item, table
from tests.worker_shelf import ASSET, MODEL, OWN, PICTURE, SECRET, Answer, Shelf, inputs_from, website


@pytest.fixture
async def checker() -> AsyncIterator[Checker]:
    made = Checker()
    yield made
    await made.close()


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


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
