"""Style capsules: a visual style with a name, laid over any prompt (R107). Every update is a new version."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from prompt_service.colours import HexColor
from prompt_service.looks import LongText, Look, ShortText
from prompt_service.rendering import Rendered
from prompt_service.sanitizing import fence


class StyleCapsuleBody(BaseModel):
    """What a client sends to make or replace a style capsule. The asset is a picture of its tenant."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "example": {
                "name": "Rainy noir",
                "style": "35 mm film, hard side light, deep shadows, wet streets, shallow depth of field",
                "negative_prompt": "cartoon, oversaturated",
                "palette": ["#0B1320", "#C8A15A"],
            }
        },
    )

    name: ShortText
    style: LongText
    negative_prompt: LongText | None = None
    palette: list[HexColor] = Field(default_factory=list, max_length=6)
    style_reference_asset_id: UUID | None = None

    def warnings(self) -> list[str]:
        """What its users should know: of a capsule there is nothing."""
        return []


StyleCapsule = Look[StyleCapsuleBody]


def styled(rendered: Rendered, capsule: StyleCapsule | None) -> Rendered:
    """A finished prompt with the capsule's style as sentences of their own, its colours behind those of the kit.

    The style is what somebody typed, and is fenced as such.
    """
    if capsule is None:
        return rendered
    body = capsule.body
    end = "" if rendered.prompt.endswith((".", "!", "?")) else "."
    sentences = [f"{rendered.prompt}{end}", f"Style: {fence(body.style.rstrip('. '))}."]
    if body.palette:
        sentences.append(f"Colours of the style: {', '.join(body.palette)}.")
    palette = tuple(dict.fromkeys((*rendered.palette, *body.palette)))
    return replace(rendered, prompt=" ".join(sentences), palette=palette)


def without(negative_prompt: str | None, capsule: StyleCapsule | None) -> str | None:
    """What is not to be seen: the request's own words, then the capsule's."""
    words = (negative_prompt, capsule.body.negative_prompt if capsule else None)
    return ", ".join(part for part in words if part) or None
