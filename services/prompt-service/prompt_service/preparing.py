"""From an accepted job to its finished prompts: one item for each output asked for."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from prompt_service.capsules import StyleCapsule, styled, without
from prompt_service.composing.composition import Composition
from prompt_service.kits import BrandKit
from prompt_service.manifests import LONGEST_TEXT, BadManifest, Plan, path_of, plan_of
from prompt_service.rendering import Branded, NotFilled, Rendered, branded
from prompt_service.sanitizing import clean
from prompt_service.templates import Template, TemplateNotFound, Templates, find_template
from schemas.jobs import JobRequested
from schemas.parts import (
    ASSET_SIZES,
    MAX_PROMPT_BYTES,
    AssetContext,
    ErrorCode,
    JobSpec,
    Kind,
    ManifestSpec,
    PreparedItem,
)
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
MANIFEST_TEMPLATE = "manifest"
NO_PROMPT = Rendered(prompt="", headline=None, palette=(), warnings=("there is no prompt",), blank=True)
"""Of an item that nobody said anything for: nothing is filled, nothing is made."""
_NOT_SLUG = re.compile(r"[^a-z0-9]+")


class NotMade(ValueError):
    """The job asks for prompts that are not made; says why in words that its user may see."""


@dataclass(frozen=True, slots=True)
class Looks:
    """The brand kit and the style capsule of a job, in the versions that it was accepted with."""

    kit: BrandKit | None = None
    capsule: StyleCapsule | None = None


def prepare(
    requested: JobRequested, looks: Looks, templates: Templates, composition: Composition | None = None
) -> PromptsPrepared | PromptsRejected:
    """The prompts of a job, or why there are none. `looks` is all that the job pinned, which the caller has found.

    `composition` is what a manifest without items shows; without it, what the rules make of its story.
    """
    try:
        return prompts_of(requested, looks, templates, composition)
    except (TemplateNotFound, NotFilled, BadManifest, NotMade) as error:
        return rejected(requested.job_id, ErrorCode.INVALID_REQUEST, str(error))


def prompts_of(
    requested: JobRequested, looks: Looks, templates: Templates, composition: Composition | None = None
) -> PromptsPrepared:
    """As `prepare`. Raises `TemplateNotFound`, `NotFilled`, `BadManifest` or `NotMade` where there are none."""
    spec = requested.request
    template = find_template(templates, spec.template or default_template(spec), spec.template_version)
    if template.kind != spec.kind:
        makes = f"template {template.name} {template.version} makes {template.kind}"
        raise NotMade(f"{makes}, the job asks for {spec.kind}")
    in_template = branded(template, looks.kit.body if looks.kit else None)
    filling = _Filling(spec, template, in_template, looks.capsule, _asked(spec))
    if spec.manifest is None:
        items, warnings = _items(requested.job_id, filling)
    else:
        items, warnings = _items_of_manifest(spec.manifest, plan_of(spec.manifest, composition), filling)
    if _prompt_bytes(items) > MAX_PROMPT_BYTES:
        raise NotMade(f"the job's prompts are more than {MAX_PROMPT_BYTES // 1024} KiB")
    return PromptsPrepared(
        job_id=requested.job_id,
        items=items,
        route=spec.route,
        max_cost_micros=requested.max_cost_micros,
        asset_context=_asset_context(requested),
        resume=spec.manifest is not None and spec.manifest.resume,
        warnings=warnings,
    )


def rejected(job_id: UUID, code: ErrorCode, message: str) -> PromptsRejected:
    """A refusal of the whole job, in words that its user may see."""
    return PromptsRejected(job_id=job_id, code=code, message=message)


def not_prepared(job_id: UUID) -> PromptsRejected:
    """The answer to a job that nothing here can handle: nobody waits for it."""
    return rejected(job_id, ErrorCode.INVALID_REQUEST, "the job could not be turned into prompts")


def default_template(spec: JobSpec) -> str:
    """The template of a job that names none: the manifests', else its asset type's, else its kind's."""
    if spec.manifest is not None:
        return MANIFEST_TEMPLATE
    return spec.asset_type.value if spec.asset_type else spec.kind.value


@dataclass(frozen=True, slots=True)
class _Filling:
    """What all prompts of a job have in common: the template with kit and capsule in it, and what the request says."""

    spec: JobSpec
    template: Template
    branded: Branded
    capsule: StyleCapsule | None
    asked: Mapping[str, str]

    def prompt(self, text: str | None) -> Rendered:
        return styled(self.branded.fill(text, self.spec.variables, self.asked), self.capsule)

    def negative_prompt(self, text: str | None) -> str | None:
        return without(clean(text or "", limit=LONGEST_TEXT), self.capsule)


def _items(job_id: UUID, filling: _Filling) -> tuple[list[PreparedItem], list[str]]:
    """As many items as were asked for, all with one prompt, and what the job's user should know."""
    spec = filling.spec
    rendered = filling.prompt(spec.prompt)
    first = _item(filling, rendered, filling.negative_prompt(spec.negative_prompt))
    items = [
        first.model_copy(
            update={
                "number": number,
                "logical_name": _logical_name(job_id, spec, number),
                "seed": None if spec.seed is None else spec.seed + number - 1,
            }
        )
        for number in range(1, spec.count + 1)
    ]
    return items, list(rendered.warnings)


def _items_of_manifest(manifest: ManifestSpec, plan: Plan, filling: _Filling) -> tuple[list[PreparedItem], list[str]]:
    """Every item with a prompt of its own, and what the job's user should know. Blank ones are not rendered (R92)."""
    items = []
    for entry in plan.entries:
        asked = entry.item
        rendered = filling.prompt(entry.subject) if entry.subject else NO_PROMPT
        negative = filling.negative_prompt(asked.negative_prompt or filling.spec.negative_prompt)
        item = _item(filling, rendered, negative)
        own = {
            "number": entry.number,
            "name": entry.name,
            "group": entry.group,
            "logical_name": path_of(manifest, entry, _ending(filling.spec)),
            "width": asked.width or item.width,
            "height": asked.height or item.height,
            "seed": item.seed if asked.seed is None else asked.seed,
        }
        items.append(item.model_copy(update=own))
    said = [warning for item in items if not item.blank for warning in item.warnings]
    return items, list(dict.fromkeys((*plan.warnings, *said)))


def _item(filling: _Filling, rendered: Rendered, negative_prompt: str | None) -> PreparedItem:
    """The job's first item; what is different in others its caller changes."""
    spec, template = filling.spec, filling.template
    width, height = _size(spec)
    return PreparedItem(
        number=1,
        logical_name="",
        prompt=rendered.prompt,
        negative_prompt=negative_prompt,
        kind=spec.kind,
        width=width,
        height=height,
        format=spec.format,
        seed=spec.seed,
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
        prompt_sha256=hashlib.sha256(rendered.prompt.encode()).hexdigest(),
        headline=rendered.headline,
        palette=list(rendered.palette),
        blank=rendered.blank,
        warnings=list(rendered.warnings),
    )


def _prompt_bytes(items: Sequence[PreparedItem]) -> int:
    return sum(len(item.prompt.encode()) + len((item.negative_prompt or "").encode()) for item in items)


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
    extension = _ending(spec)
    if spec.path:
        stem = spec.path.removesuffix(f".{spec.format}").removesuffix(f".{extension}")
        return f"{stem}{suffix}.{extension}"
    return f"{spec.run or job_id}/{kind}/{slug}{suffix}.{extension}"


def _ending(spec: JobSpec) -> str:
    return EXTENSIONS.get(spec.format, spec.format)


def _asset_context(requested: JobRequested) -> AssetContext:
    spec = requested.request
    manifest = spec.manifest
    return AssetContext(
        user_id=requested.user_id,
        kind=spec.kind,
        asset_type=spec.asset_type,
        visibility=spec.visibility,
        brand_kit=requested.brand_kit,
        style_capsule=requested.style_capsule,
        path=spec.path,
        run=spec.run,
        channel=manifest.channel if manifest else None,
        project=manifest.project if manifest else None,
        labels=spec.labels,
    )
