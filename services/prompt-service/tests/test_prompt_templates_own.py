"""A tenant's own templates: made in versions, listed, compared, previewed, and seen by nobody else."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from chassis.ids import uuid7
from prompt_service.templates import TemplateFile, written
from schemas.events import PromptsRejected
from tests.prompt_harness import (
    POSTER,
    TEMPLATES,
    Service,
    make_template,
    problem_of,
    service_on,
    use_poster,
    waits_for_a_lock,
)

pytestmark = pytest.mark.integration

AS_YAML = """
# the same
name: poster
kind: image
base_prompt: >
  A poster of {subject} with {count} stars.
  Tone: {tone}.
quality_modifiers: [flat colours]
placeholders:
  subject: {source: text, required: true}
  count: {source: variable, type: integer, min: 1, max: 5, default: 3}
  tone: {source: brand_kit, default: calm}
"""


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Service]:
    async with service_on(database_url) as running:
        yield running


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    async with service.client() as client:
        yield client


async def test_a_template_is_shown_as_it_was_made_and_its_hash_is_of_what_is_kept(client: httpx.AsyncClient) -> None:
    poster = await make_template(client)
    kept = written(TemplateFile.model_validate({**POSTER, "version": "v1.0"}))

    assert poster.pop("created_at") is not None
    assert poster.pop("sha256") == hashlib.sha256(kept.encode()).hexdigest()
    assert poster == POSTER | {"version": "v1.0", "origin": "own", "used": False, "retired": False}
    for path in ("/v1/templates/poster", "/v1/templates/poster/v1.0"):
        assert (await client.get(path)).json()["base_prompt"] == POSTER["base_prompt"]


async def test_the_yaml_of_a_file_makes_the_same_template(client: httpx.AsyncClient) -> None:
    sent = await client.post("/v1/templates", content=AS_YAML, headers={"Content-Type": "application/yaml"})

    assert sent.status_code == 201, sent.text
    assert sent.json()["base_prompt"] == POSTER["base_prompt"]
    assert (await client.delete("/v1/templates/poster/v1.0")).status_code == 204
    assert (await make_template(client))["sha256"] == sent.json()["sha256"]


async def test_the_same_name_again_is_the_next_version_and_the_tenth_comes_after_the_ninth(
    client: httpx.AsyncClient,
) -> None:
    assert [(await make_template(client))["version"] for _ in range(12)] == [f"v1.{number}" for number in range(12)]
    listed = (await client.get("/v1/templates", params={"name": "poster"})).json()
    assert [one["version"] for one in listed["items"]] == [f"v1.{number}" for number in range(12)]


async def test_a_version_that_is_not_the_next_one_is_refused(client: httpx.AsyncClient) -> None:
    assert (await make_template(client, POSTER | {"version": "v1.0"}))["version"] == "v1.0"
    for version in ("v1.0", "v1.2", "v2.0"):
        refused = await client.post("/v1/templates", json=POSTER | {"version": version})
        assert problem_of(refused, 422) == "/version must be v1.1, or be left out"
    assert (await make_template(client, POSTER | {"version": "v1.1"}))["version"] == "v1.1"


async def test_of_two_who_make_the_next_version_at_once_one_is_told_to_send_it_again(service: Service) -> None:
    async with service.client() as one, service.client() as other:
        await make_template(one)
        async with service.engine.begin() as conn:
            # The first has written v1.1 and not yet committed it when the second looks for what is next.
            await conn.execute(
                text(
                    "INSERT INTO template SELECT tenant_id, name, 'v1.1', kind, body, sha256 FROM template"
                    " WHERE name = 'poster'"
                )
            )
            second = asyncio.create_task(other.post("/v1/templates", json=POSTER))
            await waits_for_a_lock(service)
        assert "send it again" in problem_of(await second, 409)
        assert (await make_template(other))["version"] == "v1.2"


async def test_a_shipped_name_belongs_to_nobody(client: httpx.AsyncClient) -> None:
    for name in {name for name, _ in TEMPLATES}:
        refused = await client.post("/v1/templates", json=POSTER | {"name": name})
        assert f"{name} is a shipped template" in problem_of(refused, 409)
    refusals = [
        await client.put("/v1/templates/image/v1.0", json=POSTER | {"name": "image"}),
        await client.delete("/v1/templates/image/v1.0"),
        await client.post("/v1/templates/image/v1.0/retire"),
    ]
    for refused in refusals:
        assert problem_of(refused, 409) == "image v1.0 is a shipped template, which nobody changes"


async def test_templates_are_listed_by_kind_and_name_and_page_by_page(client: httpx.AsyncClient) -> None:
    await make_template(client)
    await make_template(client, POSTER | {"name": "jingle", "kind": "music"})

    async def names(**params: Any) -> list[str]:
        page = (await client.get("/v1/templates", params=params)).json()
        assert (page["limit"], page["offset"]) == (params.get("limit", 20), params.get("offset", 0))
        return [one["name"] for one in page["items"]]

    shipped = sorted(name for name, _ in TEMPLATES)
    everything = [*shipped, "jingle", "poster"]
    assert await names() == everything
    assert (await client.get("/v1/templates")).json()["total"] == len(everything)
    assert await names(kind="music") == ["music", "jingle"]
    assert await names(name="poster") == ["poster"]
    assert await names(name="image") == ["image"]
    assert await names(name="nothing") == []
    pages = [await names(limit=4, offset=offset) for offset in range(0, 20, 4)]
    assert sum(pages, []) == everything  # noqa: RUF017
    origins = {one["name"]: one["origin"] for one in (await client.get("/v1/templates")).json()["items"]}
    assert {name for name, origin in origins.items() if origin == "own"} == {"jingle", "poster"}


async def test_templates_of_another_tenant_look_like_none(service: Service, client: httpx.AsyncClient) -> None:
    await make_template(client)
    async with service.client(tenant=uuid7()) as stranger:
        refusals = [
            await stranger.get("/v1/templates/poster"),
            await stranger.get("/v1/templates/poster/v1.0"),
            await stranger.put("/v1/templates/poster/v1.0", json=POSTER),
            await stranger.delete("/v1/templates/poster/v1.0"),
            await stranger.post("/v1/templates/poster/v1.0/retire"),
            await stranger.get("/v1/templates/poster/diff", params={"from": "v1.0", "to": "v1.0"}),
            await stranger.post("/v1/templates/poster/preview", json={"prompt": "a fox"}),
        ]
        for refused in refusals:
            assert problem_of(refused, 404) == "there is no template poster v1.0 (TemplateNotFound)"
        assert (await stranger.get("/v1/templates", params={"name": "poster"})).json()["total"] == 0
        assert (await make_template(stranger))["version"] == "v1.0"
    rejected = await use_poster(service, tenant=uuid7())
    assert isinstance(rejected, PromptsRejected)
    assert "TemplateNotFound" in rejected.message


async def test_a_preview_uses_nothing_and_makes_no_job(service: Service, client: httpx.AsyncClient) -> None:
    await make_template(client)
    assert (await client.post("/v1/templates/poster/preview", json={"prompt": "a fox"})).status_code == 200
    assert (await client.get("/v1/templates/poster")).json()["used"] is False
    assert await service.said() == []


async def test_what_changed_between_two_versions_is_told_in_words_and_as_data(client: httpx.AsyncClient) -> None:
    await make_template(client)
    placeholders = {**POSTER["placeholders"], "count": {"source": "variable", "default": "three"}}
    del placeholders["tone"]
    await make_template(
        client,
        POSTER
        | {
            "base_prompt": "A poster of {subject} with {count} stars. Frame: {frame}.",
            "quality_modifiers": ["flat colours", "crisp"],
            "placeholders": {**placeholders, "frame": {"source": "variable", "required": True}},
        },
    )

    answer = await client.get("/v1/templates/poster/diff", params={"from": "v1.0", "to": "v1.1"})

    found = answer.json()
    assert (found["name"], found["before"], found["after"]) == ("poster", "v1.0", "v1.1")
    assert found["text"].splitlines()[:2] == ["--- poster v1.0", "+++ poster v1.1"]
    assert "-  Tone: {tone}." in found["text"].splitlines()
    assert "+  Frame: {frame}." in found["text"].splitlines()
    same = {"op": "same", "before": ["A poster of {subject} with {count} stars."]}
    assert found["base_prompt"] == [
        same | {"after": same["before"]},
        {"op": "replaced", "before": ["Tone: {tone}."], "after": ["Frame: {frame}."]},
    ]
    assert found["quality_modifiers"][1] == {"op": "added", "before": [], "after": ["crisp"]}
    assert found["placeholders"] == {
        "added": {"frame": {"source": "variable", "required": True}},
        "removed": {"tone": POSTER["placeholders"]["tone"]},
        "changed": {"count": [POSTER["placeholders"]["count"] | {"min": 1.0, "max": 5.0}, placeholders["count"]]},
    }


async def test_a_version_compared_with_itself_has_no_difference(client: httpx.AsyncClient) -> None:
    await make_template(client)
    found = (await client.get("/v1/templates/poster/diff", params={"from": "v1.0", "to": "v1.0"})).json()
    assert found["text"] == ""
    assert {change["op"] for change in found["base_prompt"]} == {"same"}


async def test_a_preview_takes_what_templates_ask_of_a_request(client: httpx.AsyncClient) -> None:
    music = {"prompt": "slow", "genre": "jazz", "instrumental": False}
    shown = (await client.post("/v1/templates/music/preview", json=music)).json()
    assert shown["prompt"].startswith("jazz music, with a singing voice: «slow».")
    video = {"prompt": "waves", "duration_seconds": 5, "loop": True}
    shown = (await client.post("/v1/templates/video/preview", json=video)).json()
    assert "of 5 seconds: «waves». The last frame meets the first" in shown["prompt"]


async def test_a_preview_takes_what_is_not_to_be_seen(client: httpx.AsyncClient) -> None:
    body = {"prompt": "a fox", "negative_prompt": "  snow\u200b "}
    assert (await client.post("/v1/templates/image/preview", json=body)).json()["negative_prompt"] == "snow"


@pytest.mark.parametrize("stars", ["5", 5])
async def test_a_number_may_be_sent_as_one(client: httpx.AsyncClient, stars: str | int) -> None:
    await make_template(client)
    body = {"prompt": "a fox", "variables": {"count": stars}}
    assert "with 5 stars" in (await client.post("/v1/templates/poster/preview", json=body)).json()["prompt"]


async def test_a_preview_that_cannot_be_made_points_at_the_field(client: httpx.AsyncClient) -> None:
    await make_template(client, LOOPED)
    for name, body, status, pointer in [
        ("poster", {"variables": {"size": "3"}}, 422, "/loop"),
        ("poster", {"loop": True}, 422, "/variables/size"),
        ("poster", {"loop": True, "variables": {"size": "large"}}, 422, "/variables/size"),
        ("image", {}, 422, "/prompt"),
        ("image", {"prompt": "x", "brand_kit_id": NOBODY}, 404, "/brand_kit_id"),
        ("image", {"prompt": "x", "style_capsule_id": NOBODY}, 404, "/style_capsule_id"),
        ("thumbnail", {}, 422, "/brand_kit_id"),
    ]:
        refused = await client.post(f"/v1/templates/{name}/preview", json=body)
        said = problem_of(refused, status)
        assert refused.json()["errors"] == [{"pointer": pointer, "detail": said}]


async def test_all_that_a_template_lacks_is_told_at_once(client: httpx.AsyncClient) -> None:
    await make_template(client, LOOPED)
    refused = await client.post("/v1/templates/poster/preview", json={"variables": {"size": "large"}})
    said = problem_of(refused, 422)
    assert [error["pointer"] for error in refused.json()["errors"]] == ["/loop", "/variables/size"]
    assert said == "; ".join(error["detail"] for error in refused.json()["errors"])
    assert said.startswith("template poster v1.0 needs the field loop; template poster v1.0 does not take this value")


REQUIRED = {
    "looping": {"source": "request", "required": True},
    "size": {"source": "variable", "type": "integer", "required": True},
}
LOOPED = POSTER | {"base_prompt": "{looping} {size}", "placeholders": REQUIRED}
NOBODY = str(uuid7())
NO_PREVIEW: list[tuple[str, dict[str, Any], int, str]] = [
    ("nothing", {}, 404, "there is no template nothing v1.0 (TemplateNotFound)"),
    ("image", {"template_version": "v7.0"}, 404, "there is no template image v7.0 (TemplateNotFound)"),
    ("image", {}, 422, "template image v1.0 needs a prompt"),
    ("thumbnail", {}, 422, "template thumbnail v1.0 needs a brand kit"),
    ("image", {"prompt": "x", "brand_kit_id": NOBODY}, 404, f"there is no brand kit {NOBODY}"),
    ("image", {"prompt": "x", "style_capsule_id": NOBODY}, 404, f"there is no style capsule {NOBODY}"),
    ("image", {"colour": "red"}, 422, "/colour is not a known field"),
    ("poster", {"prompt": "x", "variables": {"count": "9"}}, 422, "it has to be a whole number from 1 to 5"),
]


async def test_a_preview_that_cannot_be_made_says_why(client: httpx.AsyncClient) -> None:
    await make_template(client)
    for name, body, status, said in NO_PREVIEW:
        assert said in problem_of(await client.post(f"/v1/templates/{name}/preview", json=body), status)


async def test_a_template_put_under_another_name_or_version_is_refused(client: httpx.AsyncClient) -> None:
    await make_template(client)
    body = POSTER | {"name": "other", "version": "v1.3"}
    refused = await client.put("/v1/templates/poster/v1.0", json=body)
    assert problem_of(refused, 422) == "/name must be poster; /version must be v1.0, or be left out"
