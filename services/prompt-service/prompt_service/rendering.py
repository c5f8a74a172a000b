"""A finished prompt out of a template, a brand kit and what the user typed.

The output is the template with its slots filled, once, and nothing else: a value is never looked at for slots again, so
slot syntax in user text stays text (R101, R103, R104, R106).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from prompt_service.kits import BrandKitBody
from prompt_service.sanitizing import clean, fence, headline_of
from prompt_service.templates import Placeholder, Source, Template

MAX_TEXT = 4000
MAX_VARIABLE = 500


class MissingPlaceholder(ValueError):
    """The template needs a value that nobody gave."""

    def __init__(self, template: Template, name: str, placeholder: Placeholder) -> None:
        sources = {
            "text": "a prompt",
            "brand_kit": "a brand kit",
            "variable": f"the variable {name}",
            "request": f"the field {name}",
        }
        super().__init__(f"template {template.name} {template.version} needs {sources[placeholder.source]}")


@dataclass(frozen=True, slots=True)
class Rendered:
    """A finished prompt and what a picture of it may set in type and paint with."""

    prompt: str
    headline: str | None
    palette: tuple[str, ...]
    warnings: tuple[str, ...]


def render(
    template: Template,
    text: str | None,
    kit: BrandKitBody | None,
    variables: Mapping[str, str],
    asked: Mapping[str, str] | None = None,
) -> Rendered:
    """Fill `template`. Raises `MissingPlaceholder` when a required slot has no value.

    `asked` is what the request says of its kind, by the names in `templates.Asked`.
    """
    cleaned = clean(text or "", limit=MAX_TEXT)
    given = _Given(cleaned, kit, variables, asked or {})
    values = {name: _value(template, name, given) for name in template.placeholders}
    filled = "".join(values[piece] if index % 2 else piece for index, piece in enumerate(template.pieces))
    # An empty slot leaves two spaces; what people typed has none.
    prompt = " ".join(f"{filled} {template.quality_modifiers}".split())
    return Rendered(
        prompt=prompt,
        headline=headline_of(cleaned) or (kit.name if kit else None),
        palette=(*kit.primary_colors, *kit.accent_colors) if kit else (),
        warnings=_warnings(text, cleaned),
    )


@dataclass(frozen=True, slots=True)
class _Given:
    text: str
    kit: BrandKitBody | None
    variables: Mapping[str, str]
    asked: Mapping[str, str]

    def of(self, name: str, source: Source) -> str:
        match source:
            case "text":
                return fence(self.text) if self.text else ""
            case "brand_kit":
                return brand_value(self.kit, name) if self.kit else ""
            case "variable":
                cleaned = clean(self.variables.get(name, ""), limit=MAX_VARIABLE)
                return fence(cleaned) if cleaned else ""
            case "request":
                return self.asked.get(name, "")


def _value(template: Template, name: str, given: _Given) -> str:
    placeholder = template.placeholders[name]
    value = given.of(name, placeholder.source)
    if value:
        return value
    if placeholder.required or placeholder.default is None:
        raise MissingPlaceholder(template, name, placeholder)
    return placeholder.default


def brand_value(kit: BrandKitBody, name: str) -> str:
    """The kit's value for a slot of its field's name; empty where the kit has none."""
    value = kit.name if name == "brand_name" else getattr(kit, name, None)
    return ", ".join(value) if isinstance(value, list) else value or ""


def _warnings(text: str | None, cleaned: str) -> tuple[str, ...]:
    if text and not cleaned:
        return ("the prompt had no visible characters",)
    return ()
