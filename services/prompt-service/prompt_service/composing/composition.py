"""What a manifest is made of, and the rules for all that composes one: 22 items in three groups (R84)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from prompt_service.naming import safe_name

Group = Literal["characters", "environments", "props"]

ITEMS = 22
COUNTS: dict[Group, tuple[int, int]] = {"characters": (6, 8), "environments": (8, 10), "props": (4, 6)}
"""How many items of each group there are at least and at most."""
LONGEST_NAME = 60
LONGEST_PROMPT = 1000
LONGEST_ATMOSPHERE = 1000


@dataclass(frozen=True, slots=True)
class Composed:
    """One picture: what it is called and what is to be seen on it, without the atmosphere."""

    group: str
    name: str
    prompt: str


@dataclass(frozen=True, slots=True)
class Composition:
    """How everything looks, and what there is. `warnings` are for whoever asked."""

    atmosphere: str
    items: tuple[Composed, ...]
    warnings: tuple[str, ...] = ()


def faults_of(composition: Composition) -> list[str]:
    """Every rule that `composition` breaks, in words that say how to mend it; its texts are taken as cleaned."""
    return [*_faults_of_counts(composition), *_faults_of_texts(composition)]


def _faults_of_counts(composition: Composition) -> Iterator[str]:
    counted = Counter(item.group for item in composition.items)
    if len(composition.items) != ITEMS:
        yield f"there are {len(composition.items)} items, there must be exactly {ITEMS}"
    for group, (least, most) in COUNTS.items():
        if not least <= counted[group] <= most:
            yield f"{counted[group]} items are in the group {group}, there must be {least} to {most}"
    if set(counted) - set(COUNTS):
        yield f"every group must be one of {', '.join(COUNTS)}"


def _faults_of_texts(composition: Composition) -> Iterator[str]:
    if not 0 < len(composition.atmosphere) <= LONGEST_ATMOSPHERE:
        yield f"the atmosphere must have 1 to {LONGEST_ATMOSPHERE} characters"
    met: set[tuple[str, str]] = set()
    for number, item in enumerate(composition.items, 1):
        if not 0 < len(item.name) <= LONGEST_NAME:
            yield f"the name of item {number} must have 1 to {LONGEST_NAME} characters"
        if not any(map(str.isalnum, item.name)):
            yield f"the name of item {number} must have letters"
        if not 0 < len(item.prompt) <= LONGEST_PROMPT:
            yield f"the prompt of item {number} must have 1 to {LONGEST_PROMPT} characters"
        key = item.group, safe_name(item.name).text.casefold()
        if key in met:
            yield f"the name of item {number} is taken by another one of its group"
        met.add(key)
