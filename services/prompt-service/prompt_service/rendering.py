"""A finished prompt out of a template, a brand kit and what the user typed.

The output is the template with its slots filled, once, and nothing else: a value is never looked at for slots again, so
slot syntax in user text stays text (R101, R103, R104, R106). What people typed stands between « and », which it cannot
close; colours, numbers, choices and what the request says of its kind have a form of their own and need no fence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prompt_service.kits import BrandKitBody
from prompt_service.placeholders import Placeholder
from prompt_service.sanitizing import clean, fence, headline_of
from prompt_service.templates import Template
from schemas.parts import Kind

MAX_TEXT = 4000
MAX_PARAGRAPHS = 2 * MAX_TEXT + 2
"""The most characters of a text whose blank lines stay: an atmosphere and an item, each as long as a text."""
# By so much more is read than is taken, so that what is too long is seen to be, whatever white space its cut ends in.
_BEYOND = 3
_NAMED_AT_MOST = 10
_FIELDS: Mapping[str, str] = {
    "voices": "instrumental",
    "seconds": "duration_seconds",
    "looping": "loop",
    "tiling": "tileable",
}
"""Which field of a request a slot is filled from, where it is called otherwise."""
_EXPECTED: Mapping[Kind, tuple[str, ...]] = {Kind.SFX: (), Kind.MUSIC: ("tone",)}
"""What of a kit its prompts should show (R106); of all that can be seen its colours and its tone."""


class NotFilled(ValueError):
    """The template cannot be filled with what there is; says why in words that its user may see.

    `faults`: for each field of the request that is missing or wrong, a pointer to it (RFC 6901) and what is said of it.
    """

    def __init__(self, faults: Mapping[str, str]) -> None:
        told = list(faults.values())[:_NAMED_AT_MOST]
        more = f"; and {len(faults) - len(told)} more" if len(faults) > len(told) else ""
        super().__init__("; ".join(told) + more)
        self.faults = faults


class MissingPlaceholder(NotFilled):
    """The template needs a value that nobody gave."""

    def __init__(self, template: Template, name: str, placeholder: Placeholder) -> None:
        field = _FIELDS.get(name, name)
        needed, pointer = {
            "text": ("a prompt", "/prompt"),
            "brand_kit": ("a brand kit", "/brand_kit_id"),
            "variable": (f"the variable {name}", f"/variables/{name}"),
            "request": (f"the field {field}", f"/{field}"),
        }[placeholder.source]
        super().__init__({pointer: f"template {template.name} {template.version} needs {needed}"})


class WrongValue(NotFilled):
    """A variable has a value that the template does not take. The value itself is not repeated."""

    def __init__(self, template: Template, name: str, placeholder: Placeholder) -> None:
        known = f"template {template.name} {template.version}"
        problem = f"{known} does not take this value of the variable {name}: it has to be {placeholder.allowed()}"
        super().__init__({f"/variables/{name}": problem})


@dataclass(frozen=True, slots=True)
class Rendered:
    """A finished prompt and what a picture of it may set in type and paint with. `blank`: nothing says what to make."""

    prompt: str
    headline: str | None
    palette: tuple[str, ...]
    warnings: tuple[str, ...]
    blank: bool


@dataclass(frozen=True, slots=True)
class Branded:
    """A template whose slots for a brand kit are filled: the same for every prompt of the two.

    `slots` stand between any two of `pieces`.
    """

    template: Template
    pieces: tuple[str, ...]
    slots: tuple[tuple[str, Placeholder], ...]
    headline: str | None
    palette: tuple[str, ...]
    limit: int
    variables: frozenset[str]
    without: str | None
    """What of the kit no prompt of this template shows, in words."""

    def fill(self, text: str | None, variables: Mapping[str, str], asked: Mapping[str, str]) -> Rendered:
        """The finished prompt. Raises `NotFilled`, for all that is missing or wrong at once.

        `asked` is what the request says of its kind, by the names in `placeholders.Asked`.
        """
        paragraphs = self.limit > MAX_TEXT
        given = clean(text, limit=self.limit + _BEYOND, paragraphs=paragraphs) if text else ""
        shown = given[: self.limit].rstrip()
        filled = [self.pieces[0]]
        wrong: list[NotFilled] = []
        for (name, placeholder), piece in zip(self.slots, self.pieces[1:], strict=True):
            try:
                filled.append(self._value(name, placeholder, shown, variables, asked))
            except NotFilled as error:
                wrong.append(error)
            filled.append(piece)
        if wrong:
            raise _together(wrong)
        headline = headline_of(shown) or self.headline
        return Rendered(
            prompt=_without_holes("".join(filled)),
            headline=headline,
            palette=self.palette,
            warnings=tuple(self._warnings(text, given, shown, variables)),
            blank=bool(text) and not shown and headline is None,
        )

    def _value(
        self, name: str, placeholder: Placeholder, text: str, variables: Mapping[str, str], asked: Mapping[str, str]
    ) -> str:
        match placeholder.source:
            case "text":
                value = text if placeholder.keep_paragraphs or "\n" not in text else " ".join(text.split())
                value = fence(value) if value else ""
            case "variable":
                value = self._variable(name, placeholder, variables.get(name, ""))
            case _:
                value = asked.get(name, "")
        return value or fallback(self.template, name, placeholder)

    def _variable(self, name: str, placeholder: Placeholder, given: str) -> str:
        cleaned = clean(given, limit=placeholder.longest + _BEYOND)
        if not cleaned:
            return ""
        taken = placeholder.taken(cleaned)
        if taken is None:
            raise WrongValue(self.template, name, placeholder)
        return fence(taken) if placeholder.type == "text" else taken

    def _warnings(self, text: str | None, given: str, shown: str, variables: Mapping[str, str]) -> list[str]:
        said = [self.without] if self.without else []
        if text and not given:
            said.append("the prompt had no visible characters")
        if len(given) > self.limit:
            said.append(f"the prompt was cut to {self.limit} characters")
        if not self.variables.issuperset(variables):
            said.append(self._unknown(sorted(set(variables) - self.variables)))
        return said

    def _unknown(self, names: list[str]) -> str:
        shown = ", ".join(clean(name, limit=63) for name in names[:_NAMED_AT_MOST])
        more = f" and {len(names) - _NAMED_AT_MOST} more" if len(names) > _NAMED_AT_MOST else ""
        return f"template {self.template.name} {self.template.version} has no slot for these variables: {shown}{more}"


def render(
    template: Template,
    text: str | None,
    kit: BrandKitBody | None,
    variables: Mapping[str, str],
    asked: Mapping[str, str] | None = None,
) -> Rendered:
    """One prompt of `template` and `kit`: see `branded`, which is for many, and `Branded.fill`."""
    return branded(template, kit).fill(text, variables, asked or {})


def branded(template: Template, kit: BrandKitBody | None) -> Branded:
    """`template` with `kit` in its slots. Raises `MissingPlaceholder` where it needs one and there is none."""
    placeholders = template.placeholders
    pieces, slots = [template.pieces[0]], []
    for name, piece in zip(template.pieces[1::2], template.pieces[2::2], strict=True):
        placeholder = placeholders[name]
        if placeholder.source == "brand_kit":
            value = (brand_value(kit, name) if kit else "") or fallback(template, name, placeholder)
            pieces[-1] += value + piece
        else:
            slots.append((name, placeholder))
            pieces.append(piece)
    return Branded(
        template=template,
        pieces=tuple(pieces),
        slots=tuple(slots),
        headline=kit.name if kit else None,
        palette=(*kit.primary_colors, *kit.accent_colors) if kit else (),
        limit=MAX_PARAGRAPHS if any(one.keep_paragraphs for one in placeholders.values()) else MAX_TEXT,
        variables=frozenset(name for name, one in placeholders.items() if one.source == "variable"),
        without=_not_shown(template) if kit else None,
    )


def _not_shown(template: Template) -> str | None:
    shown = {name for name, one in template.placeholders.items() if one.source == "brand_kit"}
    missing = [name for name in _EXPECTED.get(template.kind, ("primary_colors", "tone")) if name not in shown]
    if not missing:
        return None
    return f"template {template.name} {template.version} has no slot for the brand kit's {' and '.join(missing)}"


def fallback(template: Template, name: str, placeholder: Placeholder) -> str:
    """What stands in a slot that nobody filled. Raises `MissingPlaceholder` where that may not be."""
    default = None if placeholder.required else placeholder.fallback()
    if default is None:
        raise MissingPlaceholder(template, name, placeholder)
    return default


def brand_value(kit: BrandKitBody, name: str) -> str:
    """The kit's value for a slot of its field's name; empty where the kit has none."""
    value = kit.name if name == "brand_name" else getattr(kit, name)
    if isinstance(value, list):
        return ", ".join(value)
    return fence(value) if value else ""


def _together(wrong: Sequence[NotFilled]) -> NotFilled:
    return wrong[0] if len(wrong) == 1 else NotFilled({at: said for one in wrong for at, said in one.faults.items()})


def _without_holes(prompt: str) -> str:
    """`prompt` without the spaces on both sides of an empty slot, and without paragraphs that became empty."""
    if "  " not in prompt and "\n" not in prompt:
        return prompt.strip()
    lines = (" ".join(line.split()) for line in prompt.split("\n\n"))
    return "\n\n".join(filter(None, lines))
