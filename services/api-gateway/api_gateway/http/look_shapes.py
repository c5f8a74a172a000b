"""What the OpenAPI document says of brand kits and style capsules; prompt-service checks what is sent."""

from __future__ import annotations

from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

_ASSET = (
    "an asset of the tenant that is a picture (`POST /api/v1/uploads`, or one that was made); kept with the version, "
    "which the provenance of every asset names, and not sent to providers"
)
_COLORS = "each as # and six hexadecimal digits"


class BrandKitBody(BaseModel):
    """A brand kit."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "Neon Drift",
                    "primary_colors": ["#7C3AED", "#22D3EE"],
                    "accent_colors": ["#F97316"],
                    "headline_font": "Space Grotesk",
                    "body_font": "Inter",
                    "tone": "bold and playful",
                }
            ]
        }
    )

    name: str
    primary_colors: list[str] = Field(description=_COLORS)
    accent_colors: list[str] = Field(default=[], description=_COLORS)
    headline_font: str | None = None
    body_font: str | None = None
    tone: str
    style_reference: str | None = Field(default=None, description="in words")
    logo_asset_id: UUID | None = Field(default=None, description=_ASSET)
    style_reference_asset_id: UUID | None = Field(default=None, description=_ASSET)


class StyleCapsuleBody(BaseModel):
    """A visual style with a name, laid over any prompt."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "Rainy noir",
                    "style": "35 mm film, hard side light, deep shadows, wet streets, shallow depth of field",
                    "negative_prompt": "cartoon, oversaturated",
                    "palette": ["#0B1320", "#C8A15A"],
                }
            ]
        }
    )

    name: str
    style: str = Field(description="medium, light, lens, mood: a sentence of its own behind every prompt")
    negative_prompt: str | None = Field(default=None, description="comes behind the negative prompt of the job")
    palette: list[str] = Field(default=[], description=_COLORS + "; comes behind the colours of the brand kit")
    style_reference_asset_id: UUID | None = Field(default=None, description=_ASSET)


class _Kept(BaseModel):
    id: UUID
    version: int
    warnings: list[str] = Field(description="what its users should know, such as colours that cannot be told apart")
    created_at: str
    updated_at: str = Field(description="when this version was made")


class BrandKitAnswer(BrandKitBody, _Kept):
    """A brand kit in one version."""


class StyleCapsuleAnswer(StyleCapsuleBody, _Kept):
    """A style capsule in one version."""


class _Page(BaseModel):
    total: int
    limit: int
    offset: int


class BrandKitList(_Page):
    items: list[BrandKitAnswer]


class StyleCapsuleList(_Page):
    items: list[StyleCapsuleAnswer]


class Use(BaseModel):
    """A job whose prompts it was in, in the version that the job was accepted with."""

    job_id: UUID
    version: int
    used_at: str


class UseList(_Page):
    items: list[Use]
