"""Colours as brands write them, and how well two of them can be told apart (WCAG 2)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator

LARGE_TEXT_CONTRAST = 3.0
"""What WCAG 2 (1.4.3) asks of large text, such as a headline, against what is behind it."""

_HEX = re.compile(r"#[0-9A-F]{6}")


def _in_form(text: str) -> str:
    colour = text.strip().upper()
    if not _HEX.fullmatch(colour):
        raise ValueError(f"'{text[:20]}' is no colour: one is written # and six hexadecimal digits, such as #7C3AED")
    return colour


HexColor = Annotated[str, AfterValidator(_in_form)]


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours (WCAG 2), from 1 to 21."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def contrast_warnings(primary: Sequence[str], accent: Sequence[str]) -> list[str]:
    """Says that no two of a brand's colours, of which one is a primary, can carry a headline one on the other.

    A single colour is compared with nothing: what is set on it is then black or white.
    """
    pairs = [(one, other) for number, one in enumerate(primary) for other in (*primary[number + 1 :], *accent)]
    if not pairs:
        return []
    best = max(pairs, key=lambda pair: contrast(*pair))
    ratio = contrast(*best)
    if ratio >= LARGE_TEXT_CONTRAST:
        return []
    return [
        f"no two of its colours differ enough for a headline in one on the other: the best, {best[0]} and {best[1]}, "
        f"have a contrast of {_cut(ratio)}:1, and WCAG asks for {LARGE_TEXT_CONTRAST:g}:1"
    ]


def _luminance(colour: str) -> float:
    red, green, blue = (_linear(int(colour[place : place + 2], 16) / 255) for place in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(share: float) -> float:
    return share / 12.92 if share <= 0.04045 else float(((share + 0.055) / 1.055) ** 2.4)


def _cut(ratio: float) -> str:
    """Cut, not rounded: 2.996 is not 3."""
    return f"{int(ratio * 100) / 100:g}"
