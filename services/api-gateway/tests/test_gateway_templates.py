"""Templates at the gateway: passed on to prompt-service as they come, for whoever may."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from api_gateway.http.template_shapes import PromptPreview, TemplateAnswer, TemplateDifference, TemplateList
from chassis.http import read_context
from tests.gateway_harness import SECRET, Gateway, gateway_on, someone

pytestmark = pytest.mark.integration

POSTER: dict[str, Any] = {
    "name": "poster",
    "version": "v1.0",
    "kind": "image",
    "base_prompt": "A poster of {subject}.",
    "quality_modifiers": [],
    "placeholders": {"subject": {"source": "text", "required": True}},
    "origin": "own",
    "sha256": "5a" * 32,
    "used": False,
    "retired": False,
    "created_at": "2030-01-31T12:00:00Z",
}
PAGE = {"items": [POSTER], "total": 1, "limit": 20, "offset": 0}
DIFFERENCE = {
    "name": "poster",
    "before": "v1.0",
    "after": "v1.1",
    "text": "--- poster v1.0",
    "base_prompt": [{"op": "replaced", "before": ["a"], "after": ["b"]}],
    "quality_modifiers": [],
    "placeholders": {"added": {}, "removed": {}, "changed": {"subject": [{}, {"source": "text"}]}},
}
PREVIEW: dict[str, Any] = {
    "template": "poster",
    "template_version": "v1.0",
    "template_sha256": "5a" * 32,
    "prompt": "A poster of «a fox».",
    "prompt_sha256": "5b" * 32,
    "negative_prompt": None,
    "headline": None,
    "palette": [],
    "blank": False,
    "warnings": [],
}


@pytest.fixture
async def gateway(database_url: str) -> AsyncIterator[Gateway]:
    async with gateway_on(database_url) as running:
        yield running


ROUTES: list[tuple[str, str, str, Any]] = [
    ("GET", "", TemplateList.__name__, PAGE),
    ("GET", "/poster", TemplateAnswer.__name__, POSTER),
    ("GET", "/poster/v1.0", TemplateAnswer.__name__, POSTER),
    ("GET", "/poster/diff?from=v1.0&to=v1.1", TemplateDifference.__name__, DIFFERENCE),
    ("POST", "/poster/preview", PromptPreview.__name__, PREVIEW),
    ("POST", "", TemplateAnswer.__name__, POSTER),
    ("PUT", "/poster/v1.0", TemplateAnswer.__name__, POSTER),
    ("POST", "/poster/v1.0/retire", TemplateAnswer.__name__, POSTER | {"retired": True}),
    ("DELETE", "/poster/v1.0", "", None),
]
READING = {"GET", "POST /poster/preview"}


def is_reading(method: str, path: str) -> bool:
    return method in READING or f"{method} {path}" in READING


async def test_every_route_passes_on_what_prompt_service_answers_as_it_is_described(gateway: Gateway) -> None:
    document = (await gateway.client.get("/openapi.json")).json()
    for method, path, model, body in ROUTES:
        asked = f"/v1/templates{path}" + ("?limit=20&offset=0" if (method, path) == ("GET", "") else "")
        said = httpx.Response(200, json=body) if body else httpx.Response(204)
        gateway.prompts.others = {f"{method} {asked}": said}

        answer = await gateway.client.request(method, f"/api/v1/templates{path}", json={"name": "poster"})

        assert answer.status_code == {"DELETE": 204}.get(method, 201 if (method, path) == ("POST", "") else 200)
        if body:
            assert answer.json() == body
            kept = globals()[model].model_validate(body).model_dump(mode="json")
            assert {**body, **kept} == kept
            place = path.partition("?")[0].replace("poster", "{name}").replace("v1.0", "{version}")
            told = document["paths"][f"/api/v1/templates{place}"][method.lower()]["responses"]["2XX"]
            assert told["content"]["application/json"]["schema"]["$ref"].endswith(f"/{model}")
        context = read_context(SECRET, gateway.prompts.requests[-1].headers["X-Backlot-Context"])
        assert (context.tenant_id, context.user_id) == (gateway.who.tenant_id, gateway.who.user_id)


async def test_a_new_template_says_where_it_is(gateway: Gateway) -> None:
    gateway.prompts.others = {"POST /v1/templates": httpx.Response(201, json=POSTER)}
    made = await gateway.client.post("/api/v1/templates", json=POSTER)
    assert (made.status_code, made.headers["location"]) == (201, "/api/v1/templates/poster/v1.0")


@pytest.mark.parametrize("media_type", ["application/json", "application/yaml; charset=utf-8"])
async def test_a_template_is_passed_on_as_it_came(gateway: Gateway, media_type: str) -> None:
    gateway.prompts.others = {
        "POST /v1/templates": httpx.Response(201, json=POSTER),
        "PUT /v1/templates/poster/v1.0": httpx.Response(200, json=POSTER),
    }
    for method, path in (("POST", ""), ("PUT", "/poster/v1.0")):
        body = "name: poster # größer\n".encode()
        headers = {"Content-Type": media_type}
        await gateway.client.request(method, f"/api/v1/templates{path}", content=body, headers=headers)
        sent = gateway.prompts.requests[-1]
        assert (sent.content, sent.headers["content-type"]) == (body, media_type)


async def test_a_list_is_asked_for_by_kind_and_name(gateway: Gateway) -> None:
    asked: dict[str, str | int] = {"kind": "music", "name": "jingle", "limit": 5, "offset": 10}
    gateway.prompts.others = {
        "GET /v1/templates?kind=music&name=jingle&limit=5&offset=10": httpx.Response(200, json=PAGE)
    }
    assert (await gateway.client.get("/api/v1/templates", params=asked)).json() == PAGE


async def test_who_may_read_reads_and_who_may_write_prompts_writes(gateway: Gateway) -> None:
    reader, writer = await gateway.client_of(someone("jobs:read")), await gateway.client_of(someone("prompts:write"))
    for method, path, _, _ in ROUTES:
        may, may_not = (reader, writer) if is_reading(method, path) else (writer, reader)
        before = gateway.prompts.asked
        refused = await may_not.request(method, f"/api/v1/templates{path}", json={})
        nobody = await gateway.speaking(None).request(method, f"/api/v1/templates{path}", json={})
        assert (refused.status_code, nobody.status_code) == (403, 401), (method, path)
        assert gateway.prompts.asked == before
        asked = f"/v1/templates{path}" + ("?limit=20&offset=0" if (method, path) == ("GET", "") else "")
        gateway.prompts.others = {f"{method} {asked}": httpx.Response(200, json=POSTER)}
        assert (await may.request(method, f"/api/v1/templates{path}", json={})).status_code in {200, 201, 204}


async def test_what_prompt_service_refuses_is_refused_with_its_words(gateway: Gateway) -> None:
    problem = {
        "code": "CONFLICT",
        "detail": "jobs were prepared with poster v1.0",
        "errors": [{"pointer": "/name", "detail": "must be poster"}],
    }
    said = httpx.Response(409, json=problem, headers={"content-type": "application/problem+json"})
    gateway.prompts.others = {"PUT /v1/templates/poster/v1.0": said}
    refused = await gateway.client.put("/api/v1/templates/poster/v1.0", json=POSTER)
    assert refused.status_code == 409
    assert {key: refused.json()[key] for key in problem} == problem


async def test_without_prompt_service_it_is_named(gateway: Gateway) -> None:
    gateway.prompts.away = True
    refused = await gateway.client.get("/api/v1/templates")
    assert refused.status_code == 503
    assert "prompt-service" in refused.json()["detail"]


@pytest.mark.parametrize("name", ["Poster", "%2e%2e", "a%3Fb", "a%23b", "a%00", "x" * 64])
async def test_an_address_that_is_no_name_never_leaves_the_gateway(gateway: Gateway, name: str) -> None:
    for path in (name, f"{name}/v1.0", f"poster/{name}"):
        refused = await gateway.client.get(f"/api/v1/templates/{path}")
        assert refused.status_code in {404, 422}
    assert gateway.prompts.asked == 0


async def test_the_documents_describe_both_ways_to_send_a_template(gateway: Gateway) -> None:
    document = (await gateway.client.get("/openapi.json")).json()
    for path, method in (("/api/v1/templates", "post"), ("/api/v1/templates/{name}/{version}", "put")):
        content = document["paths"][path][method]["requestBody"]["content"]
        assert content["application/json"]["schema"] == {"$ref": "#/components/schemas/TemplateBody"}
        assert content["application/yaml"] == {"schema": {"type": "string"}}
    assert document["components"]["schemas"]["TemplateBody"]["properties"]["base_prompt"]
    assert document["components"]["schemas"]["PreviewRequest"]
