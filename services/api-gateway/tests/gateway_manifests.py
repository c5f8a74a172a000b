"""Manifests of a few pictures, as clients ask for them and as the services tell what becomes of them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from schemas.event import Event
from schemas.events import GenerationSkipped, PromptsPrepared
from tests.gateway_harness import Gateway
from tests.gateway_stories import completed, prepared, quoted, recorded, reserved, stored

CHANNEL, PROJECT = "deep-sea", "whales"
FOLDER = f"channels/{CHANNEL}/projects/{PROJECT}/assets/characters"
ITEMS = [{"group": "characters", "name": f"whale {number}", "prompt": "an old whale"} for number in (1, 2, 3)]
MANIFEST: dict[str, Any] = {
    "channel": CHANNEL,
    "project": PROJECT,
    "atmosphere": "Cold blue light from above.",
    "items": ITEMS,
    "next_step": "generate_videos",
}


async def make_manifest(gateway: Gateway, **body: Any) -> UUID:
    """A new manifest's job id."""
    answer = await gateway.client.post("/api/v1/manifests", json=MANIFEST | body)
    assert answer.status_code == 202, answer.text
    return UUID(answer.json()["id"])


def manifest_prepared(job_id: UUID, *, items: int = 3, blank: tuple[int, ...] = ()) -> PromptsPrepared:
    """The prompts of a manifest, with the names that prompt-service gave its pictures."""
    told = prepared(job_id, items=items, blank=blank)
    named = [
        item.model_copy(
            update={
                "name": f"whale_{item.number}",
                "group": "characters",
                "logical_name": f"{FOLDER}/whale_{item.number}.png",
            }
        )
        for item in told.items
    ]
    return told.model_copy(update={"items": named, "resume": True})


def made(job_id: UUID, item: int, *, asset_id: UUID | None = None, public: bool = False) -> list[Event]:
    """A picture of a manifest, from its quote to its bill of 0.039."""
    return [
        quoted(job_id, item),
        reserved(job_id, item),
        completed(job_id, item),
        stored(job_id, item, public=public, asset_id=asset_id),
        recorded(job_id, item),
    ]


def skipped(job_id: UUID, item: int, asset_id: UUID) -> GenerationSkipped:
    """It is there already, whole."""
    return GenerationSkipped(job_id=job_id, item=item, asset_id=asset_id)
