"""A tenant's own templates: made in versions, used by jobs, never changed once a job was prepared with them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from sqlalchemy import event, text

from chassis.database import tenant_transaction
from chassis.ids import uuid7
from chassis.testing import eventually
from prompt_service.templates import TemplateFile, written
from schemas.events import PromptsPrepared, PromptsRejected
from schemas.parts import Kind, VersionRef
from tests.prompt_harness import KIT, POSTER, TEMPLATES, TENANT, Service, problem_of, requested, service_on

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
OTHER = POSTER | {"base_prompt": POSTER["base_prompt"] + " Wide."}


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Service]:
    async with service_on(database_url) as running:
        yield running


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    async with service.client() as client:
        yield client


async def made(client: httpx.AsyncClient, body: dict[str, Any] | None = None) -> dict[str, Any]:
    answer = await client.post("/v1/templates", json=body or POSTER)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def use(service: Service, version: str | None = None, **spec: Any) -> PromptsPrepared | PromptsRejected:
    """A job with the poster, and what was said of it."""
    await service.hear(requested(template="poster", template_version=version, **spec))
    return (await service.said())[-1]


async def test_a_template_is_shown_as_it_was_made_and_its_hash_is_of_what_is_kept(client: httpx.AsyncClient) -> None:
    poster = await made(client)
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
    assert (await made(client))["sha256"] == sent.json()["sha256"]


async def test_the_same_name_again_is_the_next_version_and_the_tenth_comes_after_the_ninth(
    client: httpx.AsyncClient,
) -> None:
    assert [(await made(client))["version"] for _ in range(12)] == [f"v1.{number}" for number in range(12)]
    listed = (await client.get("/v1/templates", params={"name": "poster"})).json()
    assert [one["version"] for one in listed["items"]] == [f"v1.{number}" for number in range(12)]


async def test_a_version_that_is_not_the_next_one_is_refused(client: httpx.AsyncClient) -> None:
    assert (await made(client, POSTER | {"version": "v1.0"}))["version"] == "v1.0"
    for version in ("v1.0", "v1.2", "v2.0"):
        refused = await client.post("/v1/templates", json=POSTER | {"version": version})
        assert problem_of(refused, 422) == "/version must be v1.1, or be left out"
    assert (await made(client, POSTER | {"version": "v1.1"}))["version"] == "v1.1"


async def test_of_two_who_make_the_next_version_at_once_one_is_told_to_send_it_again(service: Service) -> None:
    async with service.client() as one, service.client() as other:
        await made(one)
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
        assert (await made(other))["version"] == "v1.2"


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
    await made(client)
    await made(client, POSTER | {"name": "jingle", "kind": "music"})

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
    await made(client)
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
        assert (await made(stranger))["version"] == "v1.0"
    rejected = await use(service, tenant=uuid7())
    assert isinstance(rejected, PromptsRejected)
    assert "TemplateNotFound" in rejected.message


async def test_the_database_itself_shows_a_tenant_no_other_ones_templates(service: Service) -> None:
    async with service.client() as client:
        await made(client)
    await use(service)
    for tenant, seen in ((TENANT, 1), (uuid7(), 0)):
        async with tenant_transaction(service.engine, tenant) as conn:
            counts = [
                await conn.scalar(text(f"SELECT count(*) FROM {table}")) for table in ("template", "template_use")
            ]
        assert counts == [seen, seen]


async def test_a_job_is_prepared_with_its_tenants_template_and_carries_its_version_and_hash(
    service: Service, client: httpx.AsyncClient
) -> None:
    poster, wide = await made(client), await made(client, OTHER)

    first, second = await use(service, variables={"count": "5"}), await use(service, "v1.1")

    assert isinstance(first, PromptsPrepared)
    assert isinstance(second, PromptsPrepared)
    assert first.items[0].prompt == "A poster of «a dragon» with 5 stars. Tone: calm. flat colours"
    assert second.items[0].prompt == "A poster of «a dragon» with 3 stars. Tone: calm. Wide. flat colours"
    for said, kept in ((first, poster), (second, wide)):
        item = said.items[0]
        assert (item.template, item.template_version, item.template_sha256) == (
            "poster",
            kept["version"],
            kept["sha256"],
        )


async def test_who_names_no_version_gets_the_first_one_even_where_there_are_later_ones(
    service: Service, client: httpx.AsyncClient
) -> None:
    await made(client)
    await made(client, OTHER)

    said = await use(service)

    assert isinstance(said, PromptsPrepared)
    assert said.items[0].template_version == "v1.0"
    assert (await client.get("/v1/templates/poster")).json()["version"] == "v1.0"
    preview = await client.post("/v1/templates/poster/preview", json={"prompt": "a fox"})
    assert preview.json()["template_version"] == "v1.0"


async def test_jobs_of_a_batch_find_the_templates_of_all_tenants_by_one_statement(service: Service) -> None:
    tenants = [uuid7() for _ in range(5)]
    for number, tenant in enumerate(tenants):
        async with service.client(tenant=tenant) as client:
            await made(client, POSTER | {"quality_modifiers": [f"of tenant {number}"]})
    jobs = [requested(tenant=tenant, template="poster") for tenant in tenants for _ in range(4)]

    asked: list[str] = []
    event.listen(service.engine.sync_engine, "before_cursor_execute", lambda *args: asked.append(args[2]))
    await service.hear(*jobs)

    prompts = {said.job_id: said.items[0].prompt for said in await service.said() if isinstance(said, PromptsPrepared)}
    assert [prompts[job.data.job_id][-1] for job in jobs] == list("00001111222233334444")
    assert sum("FROM unnest" in one and "JOIN template t" in one for one in asked) == 1
    assert sum("INSERT INTO template_use" in one for one in asked) == 1


async def test_a_batch_without_a_tenants_template_asks_for_none(service: Service) -> None:
    asked: list[str] = []
    event.listen(service.engine.sync_engine, "before_cursor_execute", lambda *args: asked.append(args[2]))

    await service.hear(requested(), requested(template="image"), requested(template="\x00"), requested(template="Ä"))

    assert len(await service.said()) == 4
    assert not [one for one in asked if "JOIN template t" in one or "template_use" in one]


async def test_a_template_is_changed_as_long_as_no_job_was_prepared_with_it(
    service: Service, client: httpx.AsyncClient
) -> None:
    before = await made(client)
    changed = await client.put("/v1/templates/poster/v1.0", json=OTHER)
    assert changed.status_code == 200, changed.text
    assert changed.json()["base_prompt"] == OTHER["base_prompt"]
    assert changed.json()["sha256"] != before["sha256"]

    await use(service)

    refused = await client.put("/v1/templates/poster/v1.0", json=POSTER)
    assert problem_of(refused, 409) == (
        "jobs were prepared with poster v1.0, which therefore stays as it is:"
        " POST it to /templates to make the version after it"
    )
    shown = (await client.get("/v1/templates/poster/v1.0")).json()
    assert (shown["base_prompt"], shown["used"]) == (OTHER["base_prompt"], True)
    assert (await made(client))["version"] == "v1.1"


async def test_a_job_that_was_rejected_has_used_nothing(service: Service, client: httpx.AsyncClient) -> None:
    await made(client)
    rejected = await use(service, variables={"count": "many"})
    assert isinstance(rejected, PromptsRejected)
    assert (await client.get("/v1/templates/poster")).json()["used"] is False


async def test_a_preview_uses_nothing_and_makes_no_job(service: Service, client: httpx.AsyncClient) -> None:
    await made(client)
    assert (await client.post("/v1/templates/poster/preview", json={"prompt": "a fox"})).status_code == 200
    assert (await client.get("/v1/templates/poster")).json()["used"] is False
    assert await service.said() == []


async def waits_for_a_lock(service: Service) -> None:
    """Until some transaction waits for another one."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"

    async def somebody_waits() -> bool:
        async with service.engine.connect() as conn:
            return bool(await conn.scalar(text(waiting)))

    await eventually(somebody_waits)


async def test_who_changes_a_template_while_a_job_is_prepared_with_it_comes_too_late(
    service: Service, client: httpx.AsyncClient
) -> None:
    await made(client)
    job = requested(template="poster")
    async with service.engine.begin() as conn:
        await service.prompts.on_requested(conn, [job])
        change = asyncio.create_task(client.put("/v1/templates/poster/v1.0", json=OTHER))
        await waits_for_a_lock(service)
    assert "jobs were prepared with poster v1.0" in problem_of(await change, 409)


async def test_a_job_that_comes_while_its_template_is_changed_gets_the_changed_one(
    service: Service, client: httpx.AsyncClient
) -> None:
    await made(client)
    async with service.engine.begin() as conn:
        await conn.execute(text("SELECT FROM template FOR UPDATE"))
        job = asyncio.create_task(service.hear(requested(template="poster")))
        await waits_for_a_lock(service)
        changed = written(TemplateFile.model_validate({**OTHER, "version": "v1.0"}))
        await conn.execute(text("UPDATE template SET body = :body"), {"body": changed})
    await job
    [said] = await service.said()
    assert isinstance(said, PromptsPrepared)
    assert "Wide." in said.items[0].prompt


async def test_two_batches_use_a_new_template_at_the_same_time(service: Service, client: httpx.AsyncClient) -> None:
    await made(client)
    async with service.engine.begin() as conn:
        await service.prompts.on_requested(conn, [requested(template="poster")])
        other = asyncio.create_task(service.hear(requested(template="poster")))
        await waits_for_a_lock(service)
    await other
    assert [type(said) for said in await service.said()] == [PromptsPrepared, PromptsPrepared]
    async with service.engine.connect() as conn:
        assert await conn.scalar(text("SELECT count(*) FROM template_use")) == 1


async def test_a_job_that_waits_for_its_kit_gets_its_template_when_the_kit_is_there(
    service: Service, client: httpx.AsyncClient
) -> None:
    await made(client)
    kit = VersionRef(id=uuid7(), version=1)
    await service.hear(requested(kit, template="poster"))
    assert await service.said() == []
    async with service.engine.begin() as conn:
        await conn.execute(
            text("INSERT INTO brand_kit (id, tenant_id, version) VALUES (:id, :tenant, 1)"),
            {"id": kit.id, "tenant": TENANT},
        )
        await conn.execute(
            text("INSERT INTO brand_kit_version VALUES (:id, 1, :tenant, CAST(:body AS jsonb))"),
            {"id": kit.id, "tenant": TENANT, "body": KIT.model_dump_json()},
        )
    await service.prompts.try_waiting()
    [said] = await service.said()
    assert isinstance(said, PromptsPrepared)
    assert "Tone: «bold»." in said.items[0].prompt
    assert (await client.get("/v1/templates/poster")).json()["used"] is True


async def test_only_versions_that_no_job_was_prepared_with_are_deleted(
    service: Service, client: httpx.AsyncClient
) -> None:
    await made(client)
    await made(client)
    await use(service)
    assert "retire it" in problem_of(await client.delete("/v1/templates/poster/v1.0"), 409)
    assert (await client.delete("/v1/templates/poster/v1.1")).status_code == 204
    assert problem_of(await client.get("/v1/templates/poster/v1.1"), 404)
    assert problem_of(await client.delete("/v1/templates/poster/v1.1"), 404)


async def test_a_retired_version_is_readable_and_in_no_list_and_no_further_job(
    service: Service, client: httpx.AsyncClient
) -> None:
    await made(client)
    assert problem_of(await client.post("/v1/templates/poster/v1.0/retire"), 409) == (
        "no job was prepared with poster v1.0: it can be deleted"
    )
    await use(service)
    retired = await client.post("/v1/templates/poster/v1.0/retire")
    assert retired.status_code == 200, retired.text
    assert (await client.get("/v1/templates/poster/v1.0")).json() == retired.json()
    assert retired.json()["retired"] is True
    assert (await client.get("/v1/templates", params={"name": "poster"})).json()["total"] == 0
    rejected = await use(service)
    assert isinstance(rejected, PromptsRejected)
    assert "TemplateNotFound" in rejected.message
    assert "retired" in problem_of(await client.post("/v1/templates/poster/preview", json={"prompt": "a fox"}), 404)
    assert "stays as it is" in problem_of(await client.put("/v1/templates/poster/v1.0", json=POSTER), 409)
    assert (await made(client))["version"] == "v1.1"


async def test_what_changed_between_two_versions_is_told_in_words_and_as_data(client: httpx.AsyncClient) -> None:
    await made(client)
    placeholders = {**POSTER["placeholders"], "count": {"source": "variable", "default": "three"}}
    del placeholders["tone"]
    await made(
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
    await made(client)
    found = (await client.get("/v1/templates/poster/diff", params={"from": "v1.0", "to": "v1.0"})).json()
    assert found["text"] == ""
    assert {change["op"] for change in found["base_prompt"]} == {"same"}


async def test_a_preview_is_what_a_job_is_told(service: Service, client: httpx.AsyncClient) -> None:
    await made(client)
    kit = await service.make_kit()
    asked: dict[str, Any] = {"prompt": 'a fox, "Run!"', "variables": {"count": "2", "size": "large"}}

    shown = (await client.post("/v1/templates/poster/preview", json={**asked, "brand_kit_id": str(kit.id)})).json()
    await service.hear(requested(kit, template="poster", **asked))

    [said] = await service.said()
    assert isinstance(said, PromptsPrepared)
    assert shown == said.items[0].model_dump(mode="json", include=set(shown))
    assert (shown["headline"], shown["palette"], shown["template"]) == ("Run!", ["#7C3AED"], "poster")
    assert shown["warnings"] == ["template poster v1.0 has no slot for these variables: size"] == said.warnings


async def test_a_preview_takes_what_templates_ask_of_a_request(client: httpx.AsyncClient) -> None:
    music = {"prompt": "slow", "genre": "jazz", "instrumental": False}
    shown = (await client.post("/v1/templates/music/preview", json=music)).json()
    assert shown["prompt"].startswith("jazz music, with a singing voice: «slow».")
    video = {"prompt": "waves", "duration_seconds": 5, "loop": True}
    shown = (await client.post("/v1/templates/video/preview", json=video)).json()
    assert "of 5 seconds: «waves». The last frame meets the first" in shown["prompt"]


NO_PREVIEW: list[tuple[str, dict[str, Any], int, str]] = [
    ("nothing", {}, 404, "there is no template nothing v1.0 (TemplateNotFound)"),
    ("image", {"template_version": "v7.0"}, 404, "there is no template image v7.0 (TemplateNotFound)"),
    ("image", {}, 422, "template image v1.0 needs a prompt"),
    ("thumbnail", {}, 422, "template thumbnail v1.0 needs a brand kit"),
    ("image", {"prompt": "x", "brand_kit_id": str(uuid7())}, 404, "there is no such brand kit"),
    ("image", {"prompt": "x", "style_capsule_id": str(uuid7())}, 404, "there is no such style capsule"),
    ("image", {"colour": "red"}, 422, "/colour is not a known field"),
    ("poster", {"prompt": "x", "variables": {"count": "9"}}, 422, "it has to be a whole number from 1 to 5"),
]


async def test_a_preview_that_cannot_be_made_says_why(client: httpx.AsyncClient) -> None:
    await made(client)
    for name, body, status, said in NO_PREVIEW:
        assert said in problem_of(await client.post(f"/v1/templates/{name}/preview", json=body), status)


async def test_a_template_put_under_another_name_or_version_is_refused(client: httpx.AsyncClient) -> None:
    await made(client)
    body = POSTER | {"name": "other", "version": "v1.3"}
    refused = await client.put("/v1/templates/poster/v1.0", json=body)
    assert problem_of(refused, 422) == "/name must be poster; /version must be v1.0, or be left out"


async def test_a_template_of_another_kind_than_the_job_is_refused(service: Service, client: httpx.AsyncClient) -> None:
    await made(client)
    rejected = await use(service, kind=Kind.VIDEO, format="mp4")
    assert isinstance(rejected, PromptsRejected)
    assert rejected.message == "template poster v1.0 makes image, the job asks for video"
