"""How the worker asks storage-service what is there, and what it makes of the answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from chassis.context import Context, read_context
from chassis.ids import uuid7
from chassis.internal_client import InternalClient
from provider_worker.engine.presence import NamesRefused, PresenceUnknown, Present, present_in
from provider_worker.planning import Planning, PresentAsset
from tests.worker_builders import TENANT, TRACE, USER, item, prepared

SECRET = "a secret of the tests, long enough"
PLANNING = Planning(
    prepared=prepared([item(1), item(2), item(3, blank=True), item(4, logical_name="thumbnail-1")], resume=True),
    tenant_id=TENANT,
    traceparent=TRACE,
    epoch=1,
    failures=0,
    cancelled=None,
)

Answering = Callable[[httpx.Request], httpx.Response]


def storage(answer: Answering) -> Present:
    transport = httpx.MockTransport(answer)
    return present_in(InternalClient("storage-service", "http://storage", SECRET, transport=transport))


def problem(status: int, code: str) -> httpx.Response:
    body = {"code": code, "detail": "in words", "status": status}
    return httpx.Response(status, json=body, headers={"content-type": "application/problem+json"})


async def test_one_question_names_each_wanted_item_once_for_the_jobs_user_and_no_more() -> None:
    seen: list[httpx.Request] = []
    asset = uuid7()

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        there = {"path": "thumbnail-2", "asset_id": str(asset), "sha256": "0" * 64, "version": 3, "later": "field"}
        there |= {"width": 640, "height": 360, "prompt_sha256": "5" * 64}
        return httpx.Response(200, json={"present": [there]})

    assert await storage(answer)(PLANNING) == {"thumbnail-2": PresentAsset(asset, 640, 360, "5" * 64)}
    [request] = seen
    assert (request.method, request.url.path) == ("POST", "/v1/names/presence")
    assert json.loads(request.content) == {"paths": ["thumbnail-1", "thumbnail-2"]}
    context = read_context(SECRET, request.headers["X-Backlot-Context"])
    assert context == Context(TENANT, USER, frozenset())
    assert request.extensions["timeout"]["read"] == 2.0


def away(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused")


def hanging(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("no answer")


@pytest.mark.parametrize(
    "answer",
    [
        away,
        hanging,
        lambda _: problem(503, "STORAGE_ERROR"),
        lambda _: problem(500, "INTERNAL"),
        lambda _: problem(401, "UNAUTHENTICATED"),
        lambda _: problem(404, "NOT_FOUND"),
        lambda _: httpx.Response(502, text="<html>"),
        lambda _: httpx.Response(200, text="<html>"),
        lambda _: httpx.Response(200),
        lambda _: httpx.Response(200, json={"present": None}),
        lambda _: httpx.Response(200, json={"present": [{"path": "thumbnail-1"}]}),
    ],
)
async def test_no_answer_and_one_that_is_none_are_asked_for_again(answer: Answering) -> None:
    """An answer that was not understood must not have paid for what is there."""
    with pytest.raises(PresenceUnknown, match="storage-service"):
        await storage(answer)(PLANNING)


@pytest.mark.parametrize("refusal", [(422, "VALIDATION"), (400, "INVALID_REQUEST"), (413, "INVALID_REQUEST")])
async def test_a_question_that_is_refused_is_not_asked_again(refusal: tuple[int, Any]) -> None:
    with pytest.raises(NamesRefused, match="in words"):
        await storage(lambda _: problem(*refusal))(PLANNING)
