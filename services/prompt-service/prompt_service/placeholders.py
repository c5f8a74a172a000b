"""Placeholders: where a slot's value comes from, and which values it takes (R100, R101)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from math import ceil
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from prompt_service.faults import Fault, raise_all
from prompt_service.sanitizing import clean, is_visible
from schemas.parts import variable_text

MAX_VARIABLE = 500
"""The most characters that a variable may have."""

Source = Literal["text", "brand_kit", "variable", "request"]
Type = Literal["text", "integer", "number", "choice", "color", "boolean"]
Asked = Literal["effect", "genre", "voices", "seconds", "looping", "tiling"]
"""What a slot of the source `request` may be called."""
Branding = Literal[
    "brand_name", "primary_colors", "accent_colors", "headline_font", "body_font", "tone", "style_reference"
]
"""What a slot of the source `brand_kit` may be called."""
FILLED_BY: dict[Source, tuple[str, ...]] = {"brand_kit": get_args(Branding), "request": get_args(Asked)}

_COLOR = re.compile(r"#[0-9A-F]{6}")
_INTEGER = re.compile(r"-?[0-9]{1,15}")
_NUMBER = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,9})?")
_YES_OR_NO = {"yes": "yes", "true": "yes", "no": "no", "false": "no"}


def _one_line(text: str) -> str:
    if not is_visible(text):
        raise ValueError("has characters that nobody can see")
    return " ".join(text.split())


Words = Annotated[str, StringConstraints(max_length=MAX_VARIABLE), AfterValidator(_one_line)]
"""What the author of a template writes, in one line."""
Typed = Annotated[Words, BeforeValidator(variable_text)]
Bound = Annotated[float, Field(allow_inf_nan=False, ge=-1e15, le=1e15)]


class Placeholder(BaseModel):
    """Where a slot's value comes from: the user's text, the brand kit, a variable, or the request's own fields.

    A variable has a type, and by it what else is said of its values. `keep_paragraphs`: the blank lines of the user's
    text stay.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Source
    required: bool = False
    default: Typed | None = None
    keep_paragraphs: bool = False
    type: Type = "text"
    choices: list[Typed] | None = Field(default=None, min_length=1, max_length=50)
    min: Bound | None = None
    max: Bound | None = None
    max_length: int | None = Field(default=None, ge=1, le=MAX_VARIABLE)

    @model_validator(mode="after")
    def _fits_together(self) -> Placeholder:
        faults = [*self._misplaced(), *self._contradictions()]
        # Whether a default is taken means nothing before that.
        raise_all("placeholder", faults or self._default_not_taken())
        return self

    def _misplaced(self) -> Iterator[Fault]:
        """What is said of another source or type than the placeholder's."""
        if self.keep_paragraphs and self.source != "text":
            yield ("keep_paragraphs",), "only the user's text has paragraphs to keep"
        for name in ("type", *_MEANT_FOR):
            if self.source != "variable" and name in self.model_fields_set:
                yield (name,), f"only a variable has {name}"
            elif getattr(self, name) is not None and self.type not in _MEANT_FOR.get(name, (self.type,)):
                yield (name,), f"{name} means nothing for the type {self.type}"

    def _contradictions(self) -> Iterator[Fault]:
        if not self.required and self.default is None:
            yield (), "a placeholder that is not required needs a default"
        if self.type == "choice" and (not self.choices or "" in self.choices):
            yield ("choices",), "the type choice needs choices, none of them empty"
        if len({_alike(choice) for choice in self.choices or ()}) < len(self.choices or ()):
            yield ("choices",), "two of the choices are the same, capitals aside"
        if self.min is not None and self.max is not None:
            if self.min > self.max:
                yield ("min",), "min is more than max"
            elif self.type == "integer" and ceil(self.min) > self.max:
                yield ("min",), "there is no whole number between min and max"

    def _default_not_taken(self) -> Iterator[Fault]:
        if self.default is None:
            return
        if self.fallback() is None or (self.type == "text" and len(self.default) > self.longest):
            yield ("default",), f"the default has to be {self.allowed()}"

    def taken(self, value: str) -> str | None:
        """How `value`, given for the variable and not empty, stands in a prompt; None: it is none that is allowed."""
        return _TAKEN[self.type](self, value)

    def fallback(self) -> str | None:
        """What stands in the slot where nobody gives a value."""
        if self.default is None or self.type == "text":
            return self.default
        return self.taken(clean(self.default, limit=MAX_VARIABLE))

    def allowed(self) -> str:
        """Which values are taken, as in "has to be ..."."""
        match self.type:
            case "integer" | "number":
                return ("a whole number" if self.type == "integer" else "a number") + _span(self.min, self.max)
            case "choice":
                return f"one of {', '.join(self.choices or ())}"
            case "color":
                return "a colour such as #7C3AED"
            case "boolean":
                return "yes or no"
            case "text":
                return f"a text of at most {self.longest} characters"

    @property
    def longest(self) -> int:
        """The most characters of a text."""
        return self.max_length or MAX_VARIABLE


_MEANT_FOR: Mapping[str, tuple[Type, ...]] = {
    "choices": ("choice",),
    "min": ("integer", "number"),
    "max": ("integer", "number"),
    "max_length": ("text",),
}


def _text(placeholder: Placeholder, value: str) -> str | None:
    return value if len(value) <= placeholder.longest else None


def _integer(placeholder: Placeholder, value: str) -> str | None:
    return _number(placeholder, value) if _INTEGER.fullmatch(value) else None


def _number(placeholder: Placeholder, value: str) -> str | None:
    if not _NUMBER.fullmatch(value):
        return None
    number = Decimal(value)
    too_small = placeholder.min is not None and number < Decimal(str(placeholder.min))
    too_large = placeholder.max is not None and number > Decimal(str(placeholder.max))
    # 007 is 7, 1.50 is 1.5, and a minus before nothing is none.
    return None if too_small or too_large else f"{number.normalize() + 0:f}"


def _choice(placeholder: Placeholder, value: str) -> str | None:
    wanted = value.casefold()
    return next((choice for choice in placeholder.choices or () if _alike(choice) == wanted), None)


def _color(placeholder: Placeholder, value: str) -> str | None:
    return value.upper() if _COLOR.fullmatch(value.upper()) else None


def _boolean(placeholder: Placeholder, value: str) -> str | None:
    return _YES_OR_NO.get(value.lower())


def _alike(choice: str) -> str:
    """A choice as it is compared: values come cleaned, what the author wrote does not."""
    return clean(choice, limit=MAX_VARIABLE).casefold()


_TAKEN: Mapping[Type, Callable[[Placeholder, str], str | None]] = {
    "text": _text,
    "integer": _integer,
    "number": _number,
    "choice": _choice,
    "color": _color,
    "boolean": _boolean,
}


def _span(least: float | None, most: float | None) -> str:
    if least is None and most is None:
        return ""
    if most is None:
        return f" of at least {least:.15g}"
    return f" of at most {most:.15g}" if least is None else f" from {least:.15g} to {most:.15g}"
