"""What a provider is asked for an item. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from provider_worker.adapters.interface import (
    ErrorCode,
    GenerationRequest,
    InputMedia,
    MediaKind,
    Op,
    Outcome,
    ProviderError,
)
from provider_worker.tasks import Task
from schemas.parts import Input, Kind, PreparedItem

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


_OF_INPUTS = {
    Kind.IMAGE: Op.EDIT_IMAGE,
    Kind.TEXTURE: Op.EDIT_IMAGE,
    Kind.VIDEO: Op.IMAGE_TO_VIDEO,
    Kind.MODEL_3D: Op.IMAGE_TO_3D,
}
_FAMILIES = (
    frozenset({"png", "jpg", "jpeg", "webp"}),
    frozenset({"exr", "hdr"}),
    frozenset({"mp4", "webm"}),
    frozenset({"wav", "mp3", "ogg", "flac"}),
)
"""Formats that are made into each other here."""
_BY_ROLE = {"mask": Op.INPAINT, "model": Op.RETEXTURE}
"""Roles that say what is made, whatever else is there."""


def op_of(item: PreparedItem) -> Op:
    """What is made of what; raises INVALID_REQUEST for inputs of a kind that takes none."""
    if not item.inputs:
        return _OPS[item.kind]
    op = _OF_INPUTS.get(item.kind)
    if op is None:
        raise ProviderError(ErrorCode.INVALID_REQUEST, f"{item.kind} takes no inputs", outcome=Outcome.NOT_SENT)
    return next((_BY_ROLE[given.role] for given in item.inputs if given.role in _BY_ROLE), op)


def native_format(wanted: str, made: Sequence[str]) -> str:
    """What a provider that makes these is asked for: `wanted`, or else what can be made into it."""
    if wanted in made:
        return wanted
    family = next((formats for formats in _FAMILIES if wanted in formats), frozenset[str]())
    return next((name for name in made if name in family), wanted)


def request_of(task: Task, callback_url: str | None = None) -> GenerationRequest:
    """What the provider is asked; our attempt id is its reference."""
    return asked(task.item, task.offer.model, str(task.job.tenant_id), str(task.attempt_id), callback_url)


def asked(
    item: PreparedItem, model: str, tenant_id: str, reference: str, callback_url: str | None = None
) -> GenerationRequest:
    """The request for an item, to be made by `model`. Its inputs are without their bytes yet."""
    options: dict[str, Any] = {"palette": item.palette, "headline": item.headline, "model": model}
    options |= {name: value for name in _OPTIONS if (value := getattr(item, name)) is not None}
    return GenerationRequest(
        request_id=reference,
        tenant_id=tenant_id,
        kind=MediaKind(item.kind.value),
        op=op_of(item),
        prompt=item.prompt,
        width=item.width,
        height=item.height,
        format=item.format,
        seed=item.seed,
        duration_s=item.duration_seconds,
        inputs=[_unread(given) for given in item.inputs],
        options=options,
        callback_url=callback_url,
    )


def _unread(given: Input) -> InputMedia:
    """What is at an address shows when it is fetched; until then it is what most addresses lead to."""
    usual = "model/gltf-binary" if given.role == "model" else "image/png"
    return InputMedia(given.role, given.mime or usual, b"")
