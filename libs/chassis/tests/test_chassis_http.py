"""The HTTP application: what a caller sees."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

import httpx
import pytest
from fastapi import Depends, FastAPI, Request
from pydantic import BaseModel, ConfigDict, Field

from chassis.context import LIFETIME_SECONDS, read_context
from chassis.errors import (
    BudgetExceeded,
    Conflict,
    FieldError,
    Invalid,
    NotFound,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from chassis.http import Context, InternalClient, context_headers, make_app, require_context
from chassis.telemetry import configure_logging

SECRET = "sixteen characters at least"
TENANT = UUID("0190b3a0-0000-7000-8000-000000000001")
USER = UUID("0190b3a0-0000-7000-8000-000000000002")
ASKING = Context(TENANT, USER, frozenset({"jobs:read"}))


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid")

    width: int = Field(ge=1, le=10)
    size: str = Field(default="s", pattern="^[sml]$")
    lines: list[Order] = []


@pytest.fixture(autouse=True)
def _json_logs() -> None:
    configure_logging("test")


@pytest.fixture
def app() -> FastAPI:
    app = make_app(title="Shop", public=True, openapi={"description": "A shop."})

    @app.post("/orders/{order_id}")
    async def create(order_id: UUID, order: Order, limit: int = 20) -> dict[str, Any]:
        return {"id": str(order_id), "width": order.width, "limit": limit}

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("the password is hush")

    @app.get("/busy")
    async def busy() -> None:
        raise TooManyRequests("one at a time", retry_after=1.2)

    @app.get("/who")
    async def who(context: Annotated[Context, Depends(require_context(SECRET))]) -> dict[str, Any]:
        return {"tenant": str(context.tenant_id), "user": str(context.user_id), "scopes": sorted(context.scopes)}

    @app.get("/trace")
    async def trace(request: Request) -> dict[str, Any]:
        return dict(request.headers)

    return app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client:
        yield client


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["code"] == code
    assert set(body) == {"type", "title", "status", "code", "detail", "instance", "errors"}
    return body


async def test_an_invalid_request_says_which_fields_and_what_is_allowed(client: httpx.AsyncClient) -> None:
    body = {"width": 11, "size": "xl", "colour": "red", "lines": [{"width": 1}, {}]}
    answer = await client.post("/orders/no-uuid?limit=many", json=body)
    errors = {item["pointer"]: item["detail"] for item in problem(answer, 422, "VALIDATION")["errors"]}
    assert errors["/path/order_id"] == "must be a UUID"
    assert errors["/query/limit"].startswith("must be a valid integer")
    assert errors["/width"] == "must be less than or equal to 10"
    assert errors["/size"] == "must match pattern '^[sml]$'"
    assert errors["/colour"] == "is not a known field"
    assert errors["/lines/1/width"] == "is required"


async def test_a_single_fault_is_said_in_the_detail(client: httpx.AsyncClient) -> None:
    answer = await client.post(f"/orders/{TENANT}", json={"width": 0})
    assert problem(answer, 422, "VALIDATION")["detail"] == "/width must be greater than or equal to 1"


async def test_a_body_that_is_no_json_is_malformed(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        f"/orders/{TENANT}", content=b'{"width": 1,', headers={"content-type": "application/json"}
    )
    assert "not JSON" in problem(answer, 400, "INVALID_REQUEST")["detail"]


@pytest.mark.parametrize("body", [b'{"width": "\xff"}', b"[" * 100_000])
async def test_a_body_that_breaks_the_reader_is_malformed(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post(f"/orders/{TENANT}", content=body, headers={"content-type": "application/json"})
    problem(answer, 400, "INVALID_REQUEST")


async def test_a_body_of_another_media_type_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post(f"/orders/{TENANT}", content=b'{"width":1}', headers={"content-type": "text/plain"})
    assert "application/json" in problem(answer, 415, "INVALID_REQUEST")["detail"]


async def test_a_body_over_the_limit_is_refused_whether_announced_or_chunked(client: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 100_000

    headers = {"content-type": "application/json"}
    problem(await client.post(f"/orders/{TENANT}", content=b"x" * 2_000_000, headers=headers), 413, "INVALID_REQUEST")
    problem(await client.post(f"/orders/{TENANT}", content=chunks(), headers=headers), 413, "INVALID_REQUEST")


async def test_unknown_routes_and_methods_are_problems(client: httpx.AsyncClient) -> None:
    nowhere = problem(await client.get("/nowhere"), 404, "NOT_FOUND")
    assert (nowhere["instance"], "/openapi.json" in nowhere["detail"]) == ("/nowhere", True)
    refused = await client.get(f"/orders/{TENANT}")
    assert problem(refused, 405, "INVALID_REQUEST")["detail"] == "this address takes POST"
    assert refused.headers["allow"] == "POST"


async def test_a_failure_tells_nothing_about_its_cause(client: httpx.AsyncClient) -> None:
    answer = await client.get("/broken")
    problem(answer, 500, "INTERNAL")
    assert "hush" not in answer.text


async def test_a_refusal_that_passes_says_when_to_come_back(client: httpx.AsyncClient) -> None:
    answer = await client.get("/busy")
    problem(answer, 429, "TOO_MANY_REQUESTS")
    assert answer.headers["retry-after"] == "2"


async def test_every_answer_carries_the_request_id_it_came_with_or_a_new_one(client: httpx.AsyncClient) -> None:
    given = await client.post(f"/orders/{TENANT}", json={"width": 1}, headers={"X-Request-Id": "abc-1"})
    assert given.headers["x-request-id"] == "abc-1"
    bad = await client.get("/nowhere", headers={"X-Request-Id": "two words"})
    assert bad.headers["x-request-id"] != "two words"
    first, second = await client.get("/nowhere"), await client.get("/nowhere")
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


async def test_the_contract_describes_the_problems_and_nothing_else_of_the_framework(
    client: httpx.AsyncClient,
) -> None:
    document = (await client.get("/openapi.json")).json()
    responses = document["paths"]["/orders/{order_id}"]["post"]["responses"]
    reference = responses["default"]["content"]["application/problem+json"]["schema"]["$ref"]
    assert reference == "#/components/schemas/Problem"
    assert set(document["components"]["schemas"]) == {"Order", "Problem", "ProblemField"}
    assert not {"/livez", "/readyz"} & set(document["paths"])


async def test_a_signed_context_is_believed(client: httpx.AsyncClient) -> None:
    answer = await client.get("/who", headers=context_headers(SECRET, ASKING))
    assert answer.json() == {"tenant": str(TENANT), "user": str(USER), "scopes": ["jobs:read"]}


async def test_a_missing_forged_or_garbled_context_is_not(client: httpx.AsyncClient) -> None:
    (name, good), *_ = context_headers(SECRET, ASKING).items()
    body, _, signature = good.partition(".")
    other, *_ = context_headers(SECRET, Context(USER, USER)).values()
    forged = other.partition(".")[0] + "." + signature
    elsewhere, *_ = context_headers("another secret of enough length", ASKING).values()
    for value in (None, "", body, body + ".", forged, elsewhere, "ä.ö"):
        headers = {} if value is None else {name: value.encode()}
        problem(await client.get("/who", headers=headers), 401, "UNAUTHENTICATED")  # type: ignore[arg-type]


def test_a_context_expires() -> None:
    (header,) = context_headers(SECRET, ASKING, now=1000.0).values()
    assert read_context(SECRET, header, now=1000.0 + LIFETIME_SECONDS) == ASKING
    with pytest.raises(Unauthenticated, match="expired"):
        read_context(SECRET, header, now=1000.0 + LIFETIME_SECONDS + 31)


async def test_readiness_and_liveness_speak_from_the_health_of_the_process(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    assert (await client.get("/readyz")).status_code == 200
    app.state.health.ready_when(lambda: ["orders: not joined yet"])
    answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["problems"] == ["orders: not joined yet"]
    assert (await client.get("/livez")).status_code == 200
    app.state.health.live_when(lambda: ["deaf"])
    assert (await client.get("/livez")).status_code == 503


async def test_metrics_are_internal_and_counted_by_route(client: httpx.AsyncClient) -> None:
    await client.post(f"/orders/{TENANT}", json={"width": 1})
    problem(await client.get("/metrics"), 404, "NOT_FOUND")
    internal = make_app(title="Shop", public=False)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(internal), base_url="http://shop") as inside:
        text = (await inside.get("/metrics")).text
    assert (
        'backlot_http_request_seconds_count{app="public",method="POST",route="/orders/{order_id}",status="200"}' in text
    )
    assert str(TENANT) not in text


async def test_the_internal_client_raises_what_the_other_service_answered() -> None:
    other = make_app(title="Other", public=False)
    raised = {
        "/missing": NotFound("no such kit"),
        "/taken": Conflict("the name is taken"),
        "/wrong": Invalid("1 field", errors=[FieldError("/tone", "is required")]),
        "/broke": BudgetExceeded("0.02 is left"),
    }
    for path, error in raised.items():

        def fail(error: Exception = error) -> Any:
            async def handler() -> None:
                raise error

            return handler

        other.get(path)(fail())
    client = InternalClient("other", "http://other", SECRET, transport=httpx.ASGITransport(other))
    for path, error in raised.items():
        with pytest.raises(type(error)) as caught:
            await client.request("GET", path, context=ASKING)
        assert caught.value.detail == error.detail
        assert caught.value.errors == error.errors
    await client.stop()


async def test_the_internal_client_carries_context_trace_and_body(app: FastAPI) -> None:
    client = InternalClient("shop", "http://shop", SECRET, transport=httpx.ASGITransport(app))
    assert (await client.request("GET", "/who", context=ASKING))["tenant"] == str(TENANT)
    made = await client.request("POST", f"/orders/{TENANT}", context=ASKING, json={"width": 2}, params={"limit": 5})
    assert made == {"id": str(TENANT), "width": 2, "limit": 5}
    await client.stop()


async def test_a_service_that_is_away_fails_or_answers_nonsense_is_named_as_unavailable() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    def late(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("late", request=request)

    as_problem = {"content-type": "application/problem+json"}
    answers = [
        refuse,
        late,
        lambda _: httpx.Response(502, text="<html>"),
        lambda _: httpx.Response(500, text='{"code": "INTERNAL", "detail": "?"}', headers=as_problem),
        lambda _: httpx.Response(400, text="[]", headers=as_problem),
    ]
    for answer in answers:
        client = InternalClient("cost-ledger", "http://ledger", SECRET, transport=httpx.MockTransport(answer))
        with pytest.raises(Unavailable) as caught:
            await client.request("GET", "/v1/budgets", context=ASKING)
        assert "cost-ledger" in caught.value.detail
        assert caught.value.status == 503
