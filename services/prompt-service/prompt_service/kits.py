"""Brand kits: colours, fonts and tone of a brand (R102). A kit is never changed: every update is a new version."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from prompt_service.sanitizing import clean

HexColor = Annotated[str, StringConstraints(strip_whitespace=True, to_upper=True, pattern=r"^#[0-9A-Fa-f]{6}$")]


def _one_line(text: str) -> str:
    cleaned = clean(text, limit=100)
    if not cleaned:
        raise ValueError("must have visible characters")
    return cleaned


ShortText = Annotated[str, StringConstraints(min_length=1, max_length=100), AfterValidator(_one_line)]


class BrandKitBody(BaseModel):
    """What a client sends to make or replace a brand kit."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "example": {
                "name": "Neon Drift",
                "primary_colors": ["#7C3AED", "#22D3EE"],
                "accent_colors": ["#F97316"],
                "headline_font": "Space Grotesk",
                "body_font": "Inter",
                "tone": "bold and playful",
            }
        },
    )

    name: ShortText
    primary_colors: list[HexColor] = Field(min_length=1, max_length=6)
    accent_colors: list[HexColor] = Field(default_factory=list, max_length=6)
    headline_font: ShortText = "Inter"
    body_font: ShortText = "Inter"
    tone: ShortText
    style_reference: ShortText | None = None


@dataclass(frozen=True, slots=True)
class BrandKit:
    """One version of a tenant's brand kit. `created_at` is the kit's, `updated_at` this version's."""

    id: UUID
    version: int
    body: BrandKitBody
    created_at: datetime
    updated_at: datetime
