"""What words tell a painter: which of several things is meant, and in which colours."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

from provider_worker.adapters.sandbox.drawing.colours import Rgb, parse

T = TypeVar("T")

_WORD = re.compile(r"[a-z]+")
_SUBJECT = re.compile(r"«([^»]+)»")
_MOST_COLOURS = 3

_COLOURS = {
    "red": "#C8352C",
    "crimson": "#A3142E",
    "scarlet": "#D7261E",
    "orange": "#E8762D",
    "amber": "#F5A623",
    "gold": "#D9A441",
    "golden": "#D9A441",
    "yellow": "#F2C431",
    "lime": "#A4CE39",
    "green": "#3E8E41",
    "olive": "#7A7A34",
    "emerald": "#1F9D6B",
    "mint": "#8FD9B6",
    "turquoise": "#2FB8AC",
    "teal": "#1F8A8A",
    "cyan": "#2EC4E6",
    "azure": "#3B8FE0",
    "blue": "#2F6BD8",
    "navy": "#1B2A52",
    "indigo": "#4338A8",
    "violet": "#7C4DCC",
    "purple": "#7A3FA8",
    "lilac": "#B79AD9",
    "magenta": "#C93A9B",
    "pink": "#EE8FB5",
    "rose": "#D9647E",
    "brown": "#7A4E2D",
    "beige": "#D8C3A5",
    "cream": "#F1E7D0",
    "ivory": "#F3EDDC",
    "white": "#F4F4F1",
    "silver": "#C3C9CF",
    "grey": "#8A9099",
    "gray": "#8A9099",
    "black": "#1C1D22",
    "copper": "#B8693D",
    "bronze": "#9A6B35",
    "brass": "#C4A04A",
}


def subject_of(prompt: str) -> str:
    """What a prompt is about: what its template has put between angle quotes, or all of it."""
    return " ".join(_SUBJECT.findall(prompt)) or prompt


def meant(text: str, by_words: Mapping[str, T]) -> T | None:
    """What the first word that means something means; a plural means the same."""
    for word in _words(text):
        for form in (word, word.removesuffix("s"), word.removesuffix("es"), word.removesuffix("en")):
            if form in by_words:
                return by_words[form]
    return None


def colours_in(text: str) -> tuple[Rgb, ...]:
    """The colours that a text names in words, in order, each once."""
    named: Iterable[str] = (_COLOURS[word] for word in _words(text) if word in _COLOURS)
    return tuple(parse(colour) for colour in list(dict.fromkeys(named))[:_MOST_COLOURS])


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
