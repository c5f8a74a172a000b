"""A finished prompt out of a template, a brand kit and what the user typed.

The output is the template with its slots filled, once, and nothing else: a value is never looked at for slots again, so slot
syntax in user text stays text (R101, R103, R104, R106).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from prompt_service.kits import BrandKitBody
from prompt_service.sanitizing import clean, fence, headline_of
from prompt_service.templates import Placeholder, Template

MAX_TEXT = 4000
MAX_VARIABLE = 500


class MissingPlaceholder(ValueError):
    """The template needs a value that nobody gave."""

    def __init__(self, template: Template, name: str, placeholder: Placeholder) -> None:
        wanted = {"text": "a prompt", "brand_kit": "a brand kit", "variable": f"the variable {name}"}[placeholder.source]
        super().__init__(f"template {template.name} {template.version} needs {wanted}")


@dataclass(frozen=True, slots=True)
class Rendered:
    """A finished prompt and what a picture of it may set in type and paint with."""

    prompt: str
    headline: str | None
    palette: tuple[str, ...]
    warnings: tuple[str, ...]


def render(template: Template, text: str | None, kit: BrandKitBody | None, variables: Mapping[str, str]) -> Rendered:
    """Fill `template`. Raises `MissingPlaceholder` when a required slot has no value."""
    cleaned = clean(text or "", limit=MAX_TEXT)
    values = {
        name: _value(template, name, placeholder, cleaned, kit, variables)
        for name, placeholder in template.placeholders.items()
    }
    filled = "".join(values[piece] if index % 2 else piece for index, piece in enumerate(template.pieces))
    prompt = f"{filled} {template.quality_modifiers}".strip()
    return Rendered(
        prompt=prompt,
        headline=headline_of(cleaned) or (kit.name if kit else None),
        palette=tuple([*kit.primary_colors, *kit.accent_colors]) if kit else (),
        warnings=_warnings(text, cleaned),
    )


def _value(
    template: Template,
    name: str,
    placeholder: Placeholder,
    text: str,
    kit: BrandKitBody | None,
    variables: Mapping[str, str],
) -> str:
    match placeholder.source:
        case "text":
            given = fence(text) if text else ""
        case "brand_kit":
            given = brand_value(kit, name) if kit else ""
        case "variable":
            cleaned = clean(variables.get(name, ""), limit=MAX_VARIABLE)
            given = fence(cleaned) if cleaned else ""
    if given:
        return given
    if placeholder.required or placeholder.default is None:
        raise MissingPlaceholder(template, name, placeholder)
    return placeholder.default


def brand_value(kit: BrandKitBody, name: str) -> str:
    """The kit's value for a slot of its field's name; empty where the kit has none."""
    match name:
        case "primary_colors":
            return ", ".join(kit.primary_colors)
        case "accent_colors":
            return ", ".join(kit.accent_colors)
        case "headline_font":
            return kit.headline_font
        case "body_font":
            return kit.body_font
        case "tone":
            return kit.tone
        case "brand_name":
            return kit.name
        case "style_reference":
            return kit.style_reference or ""
    return ""


def _warnings(text: str | None, cleaned: str) -> tuple[str, ...]:
    if text and not cleaned:
        return ("the prompt had no visible characters",)
    return ()
