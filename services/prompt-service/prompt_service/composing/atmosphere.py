"""How everything in a manifest looks: given, or derived from the words of its topic (R85)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from prompt_service.composing.sceneries import ANYWHERE, MINIMAL_LOOK, SCENERIES, Scenery

MOST_SCENERIES = 3
_WORD = re.compile(r"[^\W\d_]+")


def sceneries_of(topic: str) -> list[Scenery]:
    """What `topic` is set in, in the order of its words, three at most."""
    found: dict[str, Scenery] = {}
    for word in words_of(topic):
        for scenery in SCENERIES:
            if word in scenery.words or word.removesuffix("s") in scenery.words:
                found.setdefault(scenery.name, scenery)
    return list(found.values())[:MOST_SCENERIES]


def atmosphere_of(sceneries: Sequence[Scenery]) -> str:
    """One text for all prompts; several sceneries all have their say."""
    return ". ".join(scenery.look for scenery in sceneries or (ANYWHERE,)) + "."


def minimal_atmosphere() -> str:
    """Where there is nothing to derive one from (R91)."""
    return f"{MINIMAL_LOOK}."


def words_of(text: str) -> list[str]:
    """The words of `text` in small letters."""
    return _WORD.findall(text.casefold())
