"""From an accepted job to its finished prompts: one item for each output asked for."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from uuid import UUID

from prompt_service.capsules import StyleCapsule, styled, without
from prompt_service.kits import BrandKit
from prompt_service.rendering import NotFilled, Rendered, render
from prompt_service.templates import Template, TemplateNotFound, Templates, find_template
from schemas.jobs import JobRequested
from schemas.parts import ASSET_SIZES, MAX_PROMPT_BYTES, AssetContext, ErrorCode, JobSpec, Kind, PreparedItem
from schemas.prompts import PromptsPrepared, PromptsRejected

DEFAULT_SIZES = {
    Kind.IMAGE: (1024, 1024),
    Kind.TEXTURE: (1024, 1024),
    Kind.ENVIRONMENT_MAP: (2048, 1024),
    Kind.VIDEO: (1280, 720),
}
"""Width and height in pixels where a job names none. Kinds that are not here have no pixels."""
EXTENSIONS = {"jpeg": "jpg"}
"""Where a file's name ends otherwise than its format is called."""
_NOT_SLUG = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Looks:
    """The brand kit and the style capsule of a job, in the versions that it was accepted with."""

    kit: BrandKit | None = None
    capsule: StyleCapsule | None = None


def prepare(requested: JobRequested, looks: Looks, templates: Templates) -> PromptsPrepared | PromptsRejected:
    """The prompts of a job, or why there are none. `looks` is all that the job pinned, which the caller has found."""
    spec, kit = requested.request, looks.kit
    try:
        template = find_template(templates, spec.template or default_template(spec), spec.template_version)
        if template.kind != spec.kind:
            message = f"template {template.name} {template.version} makes {template.kind}, the job asks for {spec.kind}"
            return rejected(requested.job_id, ErrorCode.INVALID_REQUEST, message)
        rendered = render(template, spec.prompt, kit.body if kit else None, spec.variables, _asked(spec))
        rendered = styled(rendered, looks.capsule)
    except (TemplateNotFound, NotFilled) as error:
        return rejected(requested.job_id, ErrorCode.INVALID_REQUEST, str(error))
    if len(rendered.prompt.encode()) * spec.count > MAX_PROMPT_BYTES:
        message = f"the job's prompts are more than {MAX_PROMPT_BYTES // 1024} KiB"
        return rejected(requested.job_id, ErrorCode.INVALID_REQUEST, message)
    return PromptsPrepared(
        job_id=requested.job_id,
        items=_items(requested.job_id, spec, template, rendered, without(spec.negative_prompt, looks.capsule)),
        route=spec.route,
        max_cost_micros=requested.max_cost_micros,
        asset_context=_asset_context(requested),
        warnings=list(rendered.warnings),
    )


def rejected(job_id: UUID, code: ErrorCode, message: str) -> PromptsRejected:
    """A refusal of the whole job, in words that its user may see."""
    return PromptsRejected(job_id=job_id, code=code, message=message)


def default_template(spec: JobSpec) -> str:
    """The template of a job that names none: its asset type's, else its kind's."""
    return spec.asset_type.value if spec.asset_type else spec.kind.value


def _items(
    job_id: UUID, spec: JobSpec, template: Template, rendered: Rendered, negative_prompt: str | None
) -> list[PreparedItem]:
    width, height = _size(spec)
    prompt_sha256 = hashlib.sha256(rendered.prompt.encode()).hexdigest()
    return [
        PreparedItem(
            number=number,
            logical_name=_logical_name(job_id, spec, number),
            prompt=rendered.prompt,
            negative_prompt=negative_prompt,
            kind=spec.kind,
            width=width,
            height=height,
            format=spec.format,
            seed=None if spec.seed is None else spec.seed + number - 1,
            fit=spec.fit,
            focus=spec.focus,
            tileable=spec.tileable,
            duration_seconds=spec.duration_seconds,
            loop=spec.loop,
            instrumental=spec.instrumental,
            genre=spec.genre,
            effect=spec.effect,
            max_triangles=spec.max_triangles,
            inputs=spec.inputs,
            template=template.name,
            template_version=template.version,
            template_sha256=template.sha256,
            prompt_sha256=prompt_sha256,
            headline=rendered.headline,
            palette=list(rendered.palette),
            blank=rendered.blank,
            warnings=list(rendered.warnings),
        )
        for number in range(1, spec.count + 1)
    ]


def _asked(spec: JobSpec) -> dict[str, str]:
    """What the request says of its kind, in the words a prompt has for it; what it leaves open is empty."""
    return {
        "effect": spec.effect or "",
        "genre": spec.genre or "",
        "voices": "instrumental, without any voice" if spec.instrumental else "with a singing voice",
        "seconds": "" if spec.duration_seconds is None else f"{spec.duration_seconds:g}",
        "looping": "The last frame meets the first, so that it loops without a visible cut." if spec.loop else "",
        "tiling": "Seamless: opposite edges meet when it is laid side by side." if spec.tileable else "",
    }


def _size(spec: JobSpec) -> tuple[int, int]:
    if spec.kind not in DEFAULT_SIZES:
        return 0, 0
    width, height = ASSET_SIZES[spec.asset_type] if spec.asset_type else DEFAULT_SIZES[spec.kind]
    return spec.width or width, spec.height or height


def _logical_name(job_id: UUID, spec: JobSpec, number: int) -> str:
    """`{run}/{artifact type}/{file}` (R114; storage-service puts the tenant before it).

    A job without a path or run of its own gets its id as the run: two jobs never share a name unless they ask to.
    """
    kind = (spec.asset_type or spec.kind).value
    slug = _NOT_SLUG.sub("-", (spec.prompt or "").lower())[:40].strip("-") or kind
    suffix = f"-{number}" if spec.count > 1 else ""
    extension = EXTENSIONS.get(spec.format, spec.format)
    if spec.path:
        stem = spec.path.removesuffix(f".{spec.format}").removesuffix(f".{extension}")
        return f"{stem}{suffix}.{extension}"
    return f"{spec.run or job_id}/{kind}/{slug}{suffix}.{extension}"


def _asset_context(requested: JobRequested) -> AssetContext:
    spec = requested.request
    return AssetContext(
        user_id=requested.user_id,
        kind=spec.kind,
        asset_type=spec.asset_type,
        visibility=spec.visibility,
        brand_kit=requested.brand_kit,
        style_capsule=requested.style_capsule,
        path=spec.path,
        run=spec.run,
        labels=spec.labels,
    )
