"""What prompt-service says of a job, over the real PostgreSQL: once, whatever comes how often and in which order."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from chassis.ids import uuid7
from chassis.testing import event_of
from prompt_service.preparing import Looks, prepare
from prompt_service.store.looks import BRAND_KITS
from schemas.cloudevents import CloudEvent
from schemas.events import JobCancelRequested, JobRequested, PromptsPrepared, PromptsRejected
from schemas.parts import AssetType, Kind, VersionRef
from tests.prompt_harness import KIT, TEMPLATES, TENANT, Service, requested, service_on

pytestmark = pytest.mark.integration


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Service]:
    async with service_on(database_url) as running:
        yield running


def cancel_of(event: CloudEvent[JobRequested], reason: Any = "user") -> CloudEvent[JobCancelRequested]:
    data = JobCancelRequested(job_id=event.data.job_id, reason=reason)
    return event_of(data, subject=event.subject, tenant_id=event.tenant_id)


async def test_a_thumbnail_gets_its_size_its_kit_and_its_template(service: Service) -> None:
    kit = await service.make_kit()
    await service.hear(requested(kit, asset_type=AssetType.THUMBNAIL, prompt='a dragon "GG"'))
    [said] = await service.said()
    assert isinstance(said, PromptsPrepared)
    [item] = said.items
    assert (item.width, item.height, item.template, item.template_version) == (1280, 720, "thumbnail", "v1.0")
    assert "#7C3AED" in item.prompt
    assert item.headline == "GG"
    assert said.asset_context.brand_kit == kit


async def test_four_pictures_are_four_items_with_names_and_seeds_of_their_own(service: Service) -> None:
    await service.hear(requested(count=4, seed=7, width=640, height=480))
    [said] = await service.said()
    assert isinstance(said, PromptsPrepared)
    assert [item.number for item in said.items] == [1, 2, 3, 4]
    assert [item.seed for item in said.items] == [7, 8, 9, 10]
    assert len({item.logical_name for item in said.items}) == 4
    assert {(item.width, item.height) for item in said.items} == {(640, 480)}


KINDS: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    (
        {"kind": Kind.VIDEO, "format": "mp4", "duration_seconds": 5.0, "loop": True},
        {"width": 1280, "height": 720, "duration_seconds": 5.0, "loop": True, "format": "mp4"},
        "5 seconds: «a dragon». The last frame meets the first",
        "video/a-dragon.mp4",
    ),
    (
        {"kind": Kind.TEXTURE, "format": "jpeg", "tileable": True, "width": 512},
        {"width": 512, "height": 1024, "tileable": True, "format": "jpeg", "duration_seconds": None},
        "«a dragon», seen straight from above, filling the whole picture. Seamless",
        "texture/a-dragon.jpg",
    ),
    (
        {"kind": Kind.ENVIRONMENT_MAP, "format": "exr"},
        {"width": 2048, "height": 1024, "format": "exr", "duration_seconds": None, "tileable": False},
        "An environment map of «a dragon», all around the viewer",
        "environment_map/a-dragon.exr",
    ),
    (
        {"kind": Kind.SFX, "format": "wav", "duration_seconds": 0.5, "effect": "win", "prompt": None},
        {"width": 0, "height": 0, "duration_seconds": 0.5, "effect": "win"},
        "A win sound effect for a game",
        "sfx/sfx.wav",
    ),
    (
        {"kind": Kind.MUSIC, "format": "mp3", "duration_seconds": 30, "genre": "jazz", "instrumental": False},
        {"width": 0, "height": 0, "duration_seconds": 30, "genre": "jazz", "instrumental": False},
        "jazz music, with a singing voice: «a dragon»",
        "music/a-dragon.mp3",
    ),
    (
        {"kind": Kind.MODEL_3D, "format": "glb", "max_triangles": 20_000},
        {"width": 0, "height": 0, "max_triangles": 20_000},
        "A single 3D model of «a dragon»",
        "model_3d/a-dragon.glb",
    ),
]


@pytest.mark.parametrize(("spec", "expected", "words", "name"), KINDS, ids=[str(spec["kind"]) for spec, *_ in KINDS])
async def test_every_kind_gets_its_template_its_fields_and_a_name_that_ends_as_its_format_does(
    service: Service, spec: dict[str, Any], expected: dict[str, Any], words: str, name: str
) -> None:
    await service.hear(requested(**spec))
    [said] = await service.said()
    assert isinstance(said, PromptsPrepared)
    [item] = said.items
    assert item.template == item.kind == spec["kind"]
    assert {field: getattr(item, field) for field in expected} == expected
    assert words in item.prompt
    assert item.logical_name == f"{said.job_id}/{name}"


@pytest.mark.parametrize("path", ["tiles/stone", "tiles/stone.jpg", "tiles/stone.jpeg"])
async def test_a_path_of_ones_own_ends_as_the_format_does_too(service: Service, path: str) -> None:
    await service.hear(requested(kind=Kind.TEXTURE, format="jpeg", path=path))
    [said] = await service.said()
    assert isinstance(said, PromptsPrepared)
    assert [item.logical_name for item in said.items] == ["tiles/stone.jpg"]


async def test_a_template_of_another_kind_is_refused_in_words(service: Service) -> None:
    await service.hear(requested(kind=Kind.VIDEO, format="mp4", template="sfx"))
    [said] = await service.said()
    assert isinstance(said, PromptsRejected)
    assert said.message == "template sfx v1.0 makes sfx, the job asks for video"


async def test_a_job_is_answered_once_however_often_it_comes(service: Service) -> None:
    event = requested()
    await service.hear(event, event)
    await service.hear(event_of(event.data, subject=event.subject, tenant_id=TENANT))
    assert len(await service.said()) == 1


async def test_a_cancel_that_comes_first_rejects_the_job_and_the_request_adds_nothing(service: Service) -> None:
    event = requested()
    await service.hear(cancel_of(event))
    await service.hear(event)
    [said] = await service.said()
    assert isinstance(said, PromptsRejected)
    assert said.code == "CANCELLED"


async def test_a_deadline_that_passes_first_is_a_timeout(service: Service) -> None:
    event = requested()
    await service.hear(cancel_of(event, "deadline"))
    [said] = await service.said()
    assert isinstance(said, PromptsRejected)
    assert said.code == "TIMEOUT"


async def test_a_cancel_after_the_prompts_changes_nothing_here(service: Service) -> None:
    event = requested()
    await service.hear(event)
    await service.hear(cancel_of(event))
    [said] = await service.said()
    assert isinstance(said, PromptsPrepared)


async def test_a_job_whose_kit_is_not_here_yet_waits_and_delays_nobody(service: Service) -> None:
    kit_id = uuid7()
    early = requested(VersionRef(id=kit_id, version=1), asset_type=AssetType.BANNER)
    await service.hear(early, requested())
    assert len(await service.said()) == 1
    await service.prompts.try_waiting()
    assert len(await service.said()) == 1
    async with service.engine.begin() as conn:
        await BRAND_KITS.add(conn, TENANT, kit_id, KIT)
    await service.prompts.try_waiting()
    late = (await service.said())[1]
    assert isinstance(late, PromptsPrepared)
    assert late.job_id == early.data.job_id


async def test_a_kit_that_never_comes_ends_the_waiting_in_words(service: Service) -> None:
    event = requested(VersionRef(id=uuid7(), version=1), asset_type=AssetType.BANNER)
    await service.hear(event)
    async with service.engine.begin() as conn:
        await conn.execute(text("UPDATE job SET created_at = now() - interval '31 seconds'"))
    await service.prompts.try_waiting()
    [said] = await service.said()
    assert isinstance(said, PromptsRejected)
    assert "is not known" in said.message


async def test_a_cancel_ends_the_waiting_for_a_kit(service: Service) -> None:
    event = requested(VersionRef(id=uuid7(), version=1))
    await service.hear(event)
    await service.hear(cancel_of(event))
    await service.prompts.try_waiting()
    [said] = await service.said()
    assert isinstance(said, PromptsRejected)
    assert said.code == "CANCELLED"


async def test_a_kit_of_another_tenant_is_no_kit(service: Service) -> None:
    foreign = await service.make_kit(tenant=uuid7())
    await service.hear(requested(foreign, asset_type=AssetType.BANNER))
    assert await service.said() == []


async def test_a_missing_template_rejects_the_job_in_words(service: Service) -> None:
    await service.hear(requested(template="poster"), requested(template="image", template_version="v9.9"))
    first, second = await service.said()
    assert isinstance(first, PromptsRejected)
    assert "TemplateNotFound" in first.message
    assert isinstance(second, PromptsRejected)
    assert "v9.9" in second.message


async def test_a_request_that_cannot_be_handled_is_answered_all_the_same(service: Service) -> None:
    event = requested()
    async with service.engine.begin() as conn:
        await service.prompts.on_poison(conn, event, RuntimeError("broken"))
    [said] = await service.said()
    assert isinstance(said, PromptsRejected)


async def test_a_prompt_of_invisible_characters_is_blank(service: Service) -> None:
    kit = await service.make_kit()
    async with service.engine.begin() as conn:
        [known] = (await BRAND_KITS.pinned(conn, [(TENANT, kit.id, 1)])).values()
    answer = prepare(requested(kit, asset_type=AssetType.BANNER, prompt="\u200b\u202e").data, Looks(known), TEMPLATES)
    assert isinstance(answer, PromptsPrepared)
    assert answer.warnings == ["the prompt had no visible characters"]


async def test_prompts_over_the_limit_are_refused(service: Service) -> None:
    await service.hear(requested(count=200, prompt="€" * 4000))
    [said] = await service.said()
    assert isinstance(said, PromptsRejected)
    assert "512 KiB" in said.message


async def test_a_kit_is_made_read_replaced_listed_and_deleted(service: Service) -> None:
    async with service.client() as client:
        made = (await client.post("/v1/brand-kits", json=json.loads(KIT.model_dump_json()))).json()
        assert made["version"] == 1
        replaced = await client.put(f"/v1/brand-kits/{made['id']}", json={**KIT.model_dump(), "tone": "calm"})
        assert (replaced.json()["version"], replaced.json()["tone"]) == (2, "calm")
        assert (await client.get(f"/v1/brand-kits/{made['id']}")).json()["tone"] == "calm"
        assert (await client.get("/v1/brand-kits")).json()["total"] == 1
        assert (await client.delete(f"/v1/brand-kits/{made['id']}")).status_code == 204
        assert (await client.get(f"/v1/brand-kits/{made['id']}")).status_code == 404
        assert (await client.delete(f"/v1/brand-kits/{made['id']}")).status_code == 404
        assert (await client.get("/v1/brand-kits")).json()["items"] == []
    async with service.engine.connect() as conn:
        pinned = await BRAND_KITS.pinned(conn, [(TENANT, UUID(made["id"]), 1)])
    assert [kit.body.tone for kit in pinned.values()] == ["bold"]


async def test_kits_of_another_tenant_look_like_none(service: Service) -> None:
    kit = await service.make_kit()
    async with service.client(tenant=uuid7()) as client:
        for method in ("GET", "PUT", "DELETE"):
            answer = await client.request(method, f"/v1/brand-kits/{kit.id}", json=KIT.model_dump())
            assert answer.status_code == 404, method
        assert (await client.get("/v1/brand-kits")).json()["total"] == 0


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"primary_colors": []}, "/primary_colors"),
        ({"primary_colors": ["red"]}, "/primary_colors/0"),
        ({"accent_colors": ["#12345"]}, "/accent_colors/0"),
        ({"tone": ""}, "/tone"),
        ({"tone": "\u200b"}, "/tone"),
        ({"name": "x" * 101}, "/name"),
        ({"colour": "#000000"}, "/colour"),
    ],
)
async def test_a_kit_with_a_bad_field_is_refused_by_its_name(service: Service, change: Any, pointer: str) -> None:
    async with service.client() as client:
        answer = await client.post("/v1/brand-kits", json={**KIT.model_dump(), **change})
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


async def test_templates_are_listed_with_what_they_need(service: Service) -> None:
    async with service.client() as client:
        listed = (await client.get("/v1/templates")).json()["items"]
    assert {one["name"] for one in listed} == {*Kind, *AssetType, "manifest"}
