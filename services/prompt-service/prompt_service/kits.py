"""Brand kits: colours, fonts and tone of a brand (R102). A kit is never changed: every update is a new version."""

from __future__ import annotations

from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from prompt_service.colours import HexColor, contrast_warnings
from prompt_service.looks import Look, ShortText


class BrandKitBody(BaseModel):
    """What a client sends to make or replace a brand kit. The assets are pictures of its tenant."""

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
    logo_asset_id: UUID | None = None
    style_reference_asset_id: UUID | None = None

    def warnings(self) -> list[str]:
        """What its users should know; none of it is a reason to refuse it."""
        return contrast_warnings(self.primary_colors, self.accent_colors)


BrandKit = Look[BrandKitBody]
