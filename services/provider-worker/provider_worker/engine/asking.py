"""What a provider is asked for an item. Pure."""

from __future__ import annotations

from typing import Any

from provider_worker.adapters.interface import GenerationRequest, MediaKind, Op
from provider_worker.tasks import Task
from schemas.parts import Kind, PreparedItem

_OPS = {
    Kind.IMAGE: Op.TEXT_TO_IMAGE,
    Kind.TEXTURE: Op.TEXT_TO_IMAGE,
    Kind.ENVIRONMENT_MAP: Op.TEXT_TO_IMAGE,
    Kind.VIDEO: Op.TEXT_TO_VIDEO,
    Kind.SFX: Op.TEXT_TO_SFX,
    Kind.MUSIC: Op.TEXT_TO_MUSIC,
    Kind.MODEL_3D: Op.TEXT_TO_3D,
}
_OPTIONS = ("negative_prompt", "loop", "instrumental", "genre", "effect", "max_triangles", "tileable")


def request_of(task: Task, callback_url: str | None = None) -> GenerationRequest:
    """What the provider is asked; our attempt id is its reference."""
    return asked(task.item, task.offer.model, str(task.job.tenant_id), str(task.attempt_id), callback_url)


def asked(
    item: PreparedItem, model: str, tenant_id: str, reference: str, callback_url: str | None = None
) -> GenerationRequest:
    """The request for an item, to be made by `model`."""
    options: dict[str, Any] = {"palette": item.palette, "headline": item.headline, "model": model}
    options |= {name: value for name in _OPTIONS if (value := getattr(item, name)) is not None}
    return GenerationRequest(
        request_id=reference,
        tenant_id=tenant_id,
        kind=MediaKind(item.kind.value),
        op=_OPS[item.kind],
        prompt=item.prompt,
        width=item.width,
        height=item.height,
        format=item.format,
        seed=item.seed,
        duration_s=item.duration_seconds,
        options=options,
        callback_url=callback_url,
    )
