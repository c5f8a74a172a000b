"""Templates that are refused before anybody looks into the database, of which there is none here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from chassis.database import make_engine
from chassis.http import Context, context_headers
from chassis.ids import uuid7
from prompt_service import http
from prompt_service.placeholders import FILLED_BY
from tests.prompt_harness import POSTER, SECRET, TEMPLATES, problem_of


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = http.make(make_engine("postgresql://nobody@127.0.0.1:1/nothing", name="none"), TEMPLATES, secret=SECRET)
    headers = context_headers(SECRET, Context(uuid7(), uuid7(), frozenset({"prompts:write"})))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://prompts", headers=headers
    ) as made:
        yield made


@pytest.mark.parametrize(
    ("change", "pointer", "said"),
    [
        ({"kind": "poem"}, "/kind", "must be"),
        ({"name": "Poster"}, "/name", "must match pattern"),
        ({"base_prompt": ""}, "/base_prompt", "at least 1 character"),
        ({"base_prompt": "x\u0000 {subject} {count} {tone}"}, "/base_prompt", "characters that nobody can see"),
        ({"base_prompt": "x\u202e {subject} {count} {tone}"}, "/base_prompt", "characters that nobody can see"),
        ({"base_prompt": "{subject} {count} {tone} {"}, "/base_prompt", "a brace that is no slot"),
        ({"base_prompt": "{subject} {subject.__class__} {count} {tone}"}, "/base_prompt", "a brace that is no slot"),
        ({"base_prompt": "x" * 8001}, "/base_prompt", "at most 8000"),
        ({"quality_modifiers": ["x"] * 51}, "/quality_modifiers", "at most 50"),
        ({"placeholders": {}}, "/base_prompt", "not in placeholders: count, subject, tone"),
        ({"expression": "1 + 1"}, "/expression", "is not a known field"),
    ],
)
async def test_a_template_with_a_fault_is_refused_by_its_place(
    client: httpx.AsyncClient, change: dict[str, Any], pointer: str, said: str
) -> None:
    refused = await client.post("/v1/templates", json=POSTER | change)
    assert problem_of(refused, 422)
    assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]
    assert said in refused.json()["errors"][0]["detail"]


WRONG = """\
name: poster
kind: image
base_prompt: "{subject} {count} {missing} {"
quality_modifiers: []
placeholders:
  subject: {source: text, required: true}
  count: {source: variable, type: integer, default: 3}
  unused: {source: text, required: true}
  brand: {source: brand_kit, default: x}
"""


async def test_everything_that_does_not_fit_together_is_told_at_once_with_its_place_and_its_line(
    client: httpx.AsyncClient,
) -> None:
    refused = await client.post("/v1/templates", content=WRONG, headers={"Content-Type": "application/yaml"})
    assert problem_of(refused, 422) == "5 things are wrong with the template"
    assert [(error["pointer"], error["detail"]) for error in refused.json()["errors"]] == [
        ("/base_prompt", "line 3: base_prompt has a brace that is no slot: slots are {lower_case_names}"),
        ("/base_prompt", "line 3: base_prompt uses slots that are not in placeholders: missing"),
        ("/placeholders/unused", "line 8: base_prompt never uses it"),
        ("/placeholders/brand", "line 9: base_prompt never uses it"),
        ("/placeholders/brand", f"line 9: no brand kit fills it; a brand kit has {', '.join(FILLED_BY['brand_kit'])}"),
    ]


async def test_everything_that_is_wrong_with_a_placeholder_is_told_at_once(client: httpx.AsyncClient) -> None:
    count = {"source": "text", "type": "integer", "min": 1, "keep_paragraphs": True}
    placeholders = POSTER["placeholders"] | {"count": count}
    refused = await client.post("/v1/templates", json=POSTER | {"placeholders": placeholders})
    assert [(error["pointer"], error["detail"]) for error in refused.json()["errors"]] == [
        ("/placeholders/count/type", "only a variable has type"),
        ("/placeholders/count/min", "only a variable has min"),
        ("/placeholders/count", "a placeholder that is not required needs a default"),
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("name: [", "line 1: is not YAML"),
        ("- a", "there has to be a mapping"),
        ("", "there has to be a mapping"),
        ("name: poster\nname: poster", "name is here twice"),
        ("? [a, b]\n: c", "a key has to be a word"),
        ("{{a: b}: c}", "a key has to be a word"),
        ("name: 2020-13-45", "month must be in 1..12"),
        ("name: " + "9" * 5000, "integer string conversion"),
        ("name: !!python/object/apply:os.system [id]", "could not determine a constructor"),
        ("a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nname: *c", "name"),
        ("placeholders: &p {x: *p}", "placeholders"),
        ("[" * 3000, "nested too deeply"),
        ('name: "\\ud800"', ""),
        ("name: \x00", "is not YAML"),
        ("name: \ufeff\xff", ""),
    ],
)
async def test_yaml_of_any_kind_is_refused_in_words(client: httpx.AsyncClient, content: str, said: str) -> None:
    headers = {"Content-Type": "application/yaml"}
    refused = await client.post("/v1/templates", content=content.encode("utf-8"), headers=headers)
    assert problem_of(refused, 422)
    assert said in "\n".join(f"{error['pointer']} {error['detail']}" for error in refused.json()["errors"])


async def test_bytes_that_are_no_text_and_bodies_of_another_type_are_refused(client: httpx.AsyncClient) -> None:
    async def sent(content: bytes, media_type: str) -> httpx.Response:
        return await client.post("/v1/templates", content=content, headers={"Content-Type": media_type})

    assert problem_of(await sent(b"name: \xff\xfe", "application/yaml"), 422)
    assert problem_of(await sent(b"{", "application/json"), 400)
    assert "application/yaml" in problem_of(await sent(b"name=x", "application/x-www-form-urlencoded"), 415)


@pytest.mark.parametrize("path", ["%00", "Ä", "poster/v1", "poster/v1.0.0", "poster/v1.0%00", "..%2f", "poster/diff"])
async def test_an_address_of_no_template_is_refused_before_anybody_is_asked(
    client: httpx.AsyncClient, path: str
) -> None:
    answer = await client.get(f"/v1/templates/{path}")
    assert answer.status_code in {404, 422}, answer.text
