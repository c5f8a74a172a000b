"""What the OpenAPI document says of templates; prompt-service checks what is sent."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

_PLACEHOLDERS = (
    "for each slot: `source` (text, brand_kit, variable, request), `required` or `default`; for a variable also `type` "
    "(text, integer, number, choice, color, boolean) with `choices`, `min`, `max` or `max_length`; for the text "
    "`keep_paragraphs`"
)


class TemplateBody(BaseModel):
    """A template. The same as YAML is taken with `Content-Type: application/yaml`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "poster",
                    "kind": "image",
                    "base_prompt": "A poster of {subject} with {stars} stars. Tone: {tone}.",
                    "quality_modifiers": ["flat colours", "crisp edges"],
                    "placeholders": {
                        "subject": {"source": "text", "required": True},
                        "stars": {"source": "variable", "type": "integer", "min": 1, "max": 5, "default": 3},
                        "tone": {"source": "brand_kit", "default": "calm"},
                    },
                }
            ]
        }
    )

    name: str
    version: str | None = Field(default=None, description="may be left out; is the next one, and nothing else")
    kind: str = Field(description="what it makes: image, texture, environment_map, video, sfx, music, model_3d")
    base_prompt: str = Field(description="text with {slots}; a blank line stays a blank line")
    quality_modifiers: list[str]
    placeholders: dict[str, dict[str, Any]] = Field(default={}, description=_PLACEHOLDERS)


class TemplateAnswer(TemplateBody):
    """A version of a template."""

    version: str
    origin: Literal["shipped", "own"]
    sha256: str = Field(description="goes into jobs and assets with name and version")
    used: bool | None = Field(description="a job was prepared with it: it stays as it is; null for shipped ones")
    retired: bool = Field(description="in no list and no further job")
    created_at: str | None


class TemplateList(BaseModel):
    """A page of templates: shipped ones first, then the tenant's, by name and version."""

    items: list[TemplateAnswer]
    total: int
    limit: int
    offset: int


class Change(BaseModel):
    """A stretch of both versions: sentences of the base prompt, or quality modifiers."""

    op: Literal["same", "removed", "added", "replaced"]
    before: list[str]
    after: list[str]


class PlaceholderChanges(BaseModel):
    """By name; of a changed one what it was, then what it is."""

    added: dict[str, dict[str, Any]]
    removed: dict[str, dict[str, Any]]
    changed: dict[str, list[dict[str, Any]]]


class TemplateDifference(BaseModel):
    """What changed between two versions."""

    name: str
    before: str
    after: str
    text: str = Field(description="a unified diff; empty where nothing differs")
    base_prompt: list[Change]
    quality_modifiers: list[Change]
    placeholders: PlaceholderChanges


class PreviewRequest(BaseModel):
    """What a job would bring."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"prompt": "a red fox", "variables": {"stars": 5}}]})

    template_version: str | None = Field(default=None, description="v1.0 where it is left out, as for a job (R99)")
    prompt: str | None = None
    negative_prompt: str | None = None
    brand_kit_id: UUID | None = None
    style_capsule_id: UUID | None = None
    variables: dict[str, str | int | float | bool] = {}
    effect: str | None = None
    genre: str | None = None
    instrumental: bool = True
    duration_seconds: float | None = None
    loop: bool = False
    tileable: bool = False


class PromptPreview(BaseModel):
    """The prompt that a job would get; `blank`: it would make nothing."""

    template: str
    template_version: str
    template_sha256: str
    prompt: str
    prompt_sha256: str
    negative_prompt: str | None
    headline: str | None
    palette: list[str]
    blank: bool
    warnings: list[str]
