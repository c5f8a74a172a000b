"""Templates of tenants in use: found for a whole batch at once, and never changed once a job was prepared with them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from sqlalchemy import event, text

from chassis.database import tenant_transaction
from chassis.ids import uuid7
from prompt_service.templates import TemplateFile, written
from schemas.events import PromptsPrepared, PromptsRejected
from schemas.parts import Kind, VersionRef
from tests.prompt_harness import (
    KIT,
    POSTER,
    TENANT,
    Service,
    make_template,
    problem_of,
    requested,
    service_on,
    use_poster,
    waits_for_a_lock,
)

pytestmark = pytest.mark.integration

OTHER = POSTER | {"base_prompt": POSTER["base_prompt"] + " Wide."}


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Service]:
    async with service_on(database_url) as running:
        yield running


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    async with service.client() as client:
        yield client


async def test_the_database_itself_shows_a_tenant_no_other_ones_templates(service: Service) -> None:
    async with service.client() as client:
        await make_template(client)
    await use_poster(service)
    for tenant, seen in ((TENANT, 1), (uuid7(), 0)):
        async with tenant_transaction(service.engine, tenant) as conn:
            counts = [
                await conn.scalar(text(f"SELECT count(*) FROM {table}")) for table in ("template", "template_use")
            ]
        assert counts == [seen, seen]


async def test_a_job_is_prepared_with_its_tenants_template_and_carries_its_version_and_hash(
    service: Service, client: httpx.AsyncClient
) -> None:
    poster, wide = await make_template(client), await make_template(client, OTHER)

    first, second = await use_poster(service, variables={"count": "5"}), await use_poster(service, "v1.1")

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
    await make_template(client)
    await make_template(client, OTHER)

    said = await use_poster(service)

    assert isinstance(said, PromptsPrepared)
    assert said.items[0].template_version == "v1.0"
    assert (await client.get("/v1/templates/poster")).json()["version"] == "v1.0"
    preview = await client.post("/v1/templates/poster/preview", json={"prompt": "a fox"})
    assert preview.json()["template_version"] == "v1.0"


async def test_jobs_of_a_batch_find_the_templates_of_all_tenants_by_one_statement(service: Service) -> None:
    tenants = [uuid7() for _ in range(5)]
    for number, tenant in enumerate(tenants):
        async with service.client(tenant=tenant) as client:
            await make_template(client, POSTER | {"quality_modifiers": [f"of tenant {number}"]})
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
    before = await make_template(client)
    changed = await client.put("/v1/templates/poster/v1.0", json=OTHER)
    assert changed.status_code == 200, changed.text
    assert changed.json()["base_prompt"] == OTHER["base_prompt"]
    assert changed.json()["sha256"] != before["sha256"]

    await use_poster(service)

    refused = await client.put("/v1/templates/poster/v1.0", json=POSTER)
    assert problem_of(refused, 409) == (
        "jobs were prepared with poster v1.0, which therefore stays as it is:"
        " POST it to /templates to make the version after it"
    )
    shown = (await client.get("/v1/templates/poster/v1.0")).json()
    assert (shown["base_prompt"], shown["used"]) == (OTHER["base_prompt"], True)
    assert (await make_template(client))["version"] == "v1.1"


async def test_a_job_that_was_rejected_has_used_nothing(service: Service, client: httpx.AsyncClient) -> None:
    await make_template(client)
    rejected = await use_poster(service, variables={"count": "many"})
    assert isinstance(rejected, PromptsRejected)
    assert (await client.get("/v1/templates/poster")).json()["used"] is False


async def test_who_changes_a_template_while_a_job_is_prepared_with_it_comes_too_late(
    service: Service, client: httpx.AsyncClient
) -> None:
    await make_template(client)
    job = requested(template="poster")
    async with service.engine.begin() as conn:
        await service.prompts.on_requested(conn, [job])
        change = asyncio.create_task(client.put("/v1/templates/poster/v1.0", json=OTHER))
        await waits_for_a_lock(service)
    assert "jobs were prepared with poster v1.0" in problem_of(await change, 409)


async def test_a_job_that_comes_while_its_template_is_changed_gets_the_changed_one(
    service: Service, client: httpx.AsyncClient
) -> None:
    await make_template(client)
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
    await make_template(client)
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
    await make_template(client)
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
    await make_template(client)
    await make_template(client)
    await use_poster(service)
    assert "retire it" in problem_of(await client.delete("/v1/templates/poster/v1.0"), 409)
    assert (await client.delete("/v1/templates/poster/v1.1")).status_code == 204
    assert problem_of(await client.get("/v1/templates/poster/v1.1"), 404)
    assert problem_of(await client.delete("/v1/templates/poster/v1.1"), 404)


async def test_a_retired_version_is_readable_and_in_no_list_and_no_further_job(
    service: Service, client: httpx.AsyncClient
) -> None:
    await make_template(client)
    assert problem_of(await client.post("/v1/templates/poster/v1.0/retire"), 409) == (
        "no job was prepared with poster v1.0: it can be deleted"
    )
    await use_poster(service)
    retired = await client.post("/v1/templates/poster/v1.0/retire")
    assert retired.status_code == 200, retired.text
    assert (await client.get("/v1/templates/poster/v1.0")).json() == retired.json()
    assert retired.json()["retired"] is True
    assert (await client.get("/v1/templates", params={"name": "poster"})).json()["total"] == 0
    rejected = await use_poster(service)
    assert isinstance(rejected, PromptsRejected)
    assert "TemplateNotFound" in rejected.message
    assert "retired" in problem_of(await client.post("/v1/templates/poster/preview", json={"prompt": "a fox"}), 404)
    assert "stays as it is" in problem_of(await client.put("/v1/templates/poster/v1.0", json=POSTER), 409)
    assert (await make_template(client))["version"] == "v1.1"


async def test_a_preview_is_what_a_job_is_told(service: Service, client: httpx.AsyncClient) -> None:
    await make_template(client)
    kit = await service.make_kit()
    asked: dict[str, Any] = {"prompt": 'a fox, "Run!"', "variables": {"count": "2", "size": "large"}}

    shown = (await client.post("/v1/templates/poster/preview", json={**asked, "brand_kit_id": str(kit.id)})).json()
    await service.hear(requested(kit, template="poster", **asked))

    [said] = await service.said()
    assert isinstance(said, PromptsPrepared)
    assert shown == said.items[0].model_dump(mode="json", include=set(shown))
    assert (shown["headline"], shown["palette"], shown["template"]) == ("Run!", ["#7C3AED"], "poster")
    assert shown["warnings"] == said.warnings
    assert said.warnings == [
        "template poster v1.0 has no slot for the brand kit's primary_colors",
        "template poster v1.0 has no slot for these variables: size",
    ]


async def test_a_template_of_another_kind_than_the_job_is_refused(service: Service, client: httpx.AsyncClient) -> None:
    await make_template(client)
    rejected = await use_poster(service, kind=Kind.VIDEO, format="mp4")
    assert isinstance(rejected, PromptsRejected)
    assert rejected.message == "template poster v1.0 makes image, the job asks for video"
