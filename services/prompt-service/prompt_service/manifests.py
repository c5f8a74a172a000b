"""What a manifest asks for, item by item: its atmosphere, what is to be seen, and where its file will stand.

R83-R86, R91, R92, R94-R96. The items are given, or composed of topic and story direction.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from prompt_service.composing.atmosphere import atmosphere_of, minimal_atmosphere, sceneries_of
from prompt_service.composing.by_rules import compose
from prompt_service.composing.composition import COUNTS, Composition
from prompt_service.composing.conversation import Told
from prompt_service.composing.story import LONGEST_DIRECTION
from prompt_service.naming import LONGEST_FILE, distinct, safe_name
from prompt_service.sanitizing import clean
from schemas.parts import ManifestItem, ManifestSpec

MOST_ITEMS = 100
LONGEST_TEXT = 4000
"""Characters of an atmosphere, of a prompt and of a negative prompt, each."""
UNGROUPED = "props"
"""Where an item stands that names no group: the tree of R117 has three folders, and this one takes any thing."""

_SEGMENT = re.compile(r"[a-zA-Z0-9_-]{1,100}")
_NAMED_AT_MOST = 20


class BadManifest(ValueError):
    """It cannot be made; says why in words that its user may see."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One item: its folder, its file's name without the ending, and what its picture is to show.

    `subject` is the atmosphere, a blank line, the item's prompt (R86); None where it has no prompt (R92).
    """

    number: int
    group: str
    name: str
    subject: str | None
    item: ManifestItem


@dataclass(frozen=True, slots=True)
class Plan:
    """All items of a manifest, and what whoever asked should know."""

    entries: tuple[Entry, ...]
    warnings: tuple[str, ...]


def told_by(manifest: ManifestSpec) -> Told | None:
    """The story that its items are to be made of; None where they are given, or nothing was told (R91)."""
    topic = clean(manifest.topic or "", limit=LONGEST_DIRECTION)
    direction = clean(manifest.story_direction or "", limit=LONGEST_DIRECTION)
    if manifest.items or not (topic and direction):
        return None
    return Told(topic, direction, _line(manifest.atmosphere))


def plan_of(manifest: ManifestSpec, composition: Composition | None = None) -> Plan:
    """The items of `manifest`; without any they are `composition`'s, or composed by rules. Raises `BadManifest`."""
    for word, text in (("channel", manifest.channel), ("project", manifest.project)):
        if not _SEGMENT.fullmatch(text):
            raise BadManifest(f"the manifest's {word} has to be 1 to 100 letters, digits, _ and -")
    if len(manifest.items) > MOST_ITEMS:
        raise BadManifest(f"a manifest has at most {MOST_ITEMS} items, this one has {len(manifest.items)}")
    if manifest.items:
        atmosphere, warnings = _atmosphere(manifest)
        return _plan(manifest.items, atmosphere, warnings)
    made = composition or compose(manifest.topic, manifest.story_direction, _line(manifest.atmosphere))
    items = [ManifestItem(group=one.group, name=one.name, prompt=one.prompt) for one in made.items]
    return _plan(items, made.atmosphere, made.warnings)


def path_of(manifest: ManifestSpec, entry: Entry, ending: str) -> str:
    """The logical name of an item (R117); storage-service puts the tenant before it and changes nothing."""
    project = f"channels/{manifest.channel}/projects/{manifest.project}"
    return f"{project}/assets/{entry.group}/{entry.name}.{ending}"


def _atmosphere(manifest: ManifestSpec) -> tuple[str, tuple[str, ...]]:
    given, topic = _line(manifest.atmosphere), _line(manifest.topic)
    if given:
        return given, ()
    if topic:
        return atmosphere_of(sceneries_of(topic)), ()
    return minimal_atmosphere(), ("neither atmosphere nor topic is given: the atmosphere is generic",)


def _plan(items: Sequence[ManifestItem], atmosphere: str, warnings: tuple[str, ...]) -> Plan:
    safe = [safe_name(item.name) for item in items]
    folders = _folders(items)
    names = _distinct_within(folders, [name.text for name in safe])
    entries = tuple(
        Entry(number, folder, name, _subject(atmosphere, item), item)
        for number, (folder, name, item) in enumerate(zip(folders, names, items, strict=True), 1)
    )
    cut = [
        entry.number
        for entry, name in zip(entries, safe, strict=True)
        if name.cut or safe_name(_line(entry.item.group)).cut
    ]
    blank = [entry.number for entry in entries if entry.subject is None]
    return Plan(entries, (*warnings, *_warnings(cut, blank)))


def _folders(items: Sequence[ManifestItem]) -> list[str]:
    """The folder of each item. Groups that differ by capitals alone are one; others never share a folder (R94, R96)."""
    asked = [_line(item.group).casefold() or UNGROUPED for item in items]
    typed = {key: _line(item.group) for key, item in reversed(list(zip(asked, items, strict=True)))}
    # The known ones come first, so that no other group takes their folders.
    groups = list(dict.fromkeys((*COUNTS, *asked)))
    spelled = [group if group in COUNTS else safe_name(typed[group]).text for group in groups]
    folder_of = dict(zip(groups, distinct(spelled), strict=True))
    return [folder_of[group] for group in asked]


def _distinct_within(folders: Sequence[str], names: Sequence[str]) -> list[str]:
    places: dict[str, list[int]] = defaultdict(list)
    for place, folder in enumerate(folders):
        places[folder].append(place)
    found = list(names)
    for inside in places.values():
        for place, name in zip(inside, distinct([names[place] for place in inside]), strict=True):
            found[place] = name
    return found


def _subject(atmosphere: str, item: ManifestItem) -> str | None:
    prompt = _line(item.prompt)
    return f"{atmosphere}\n\n{prompt}" if prompt else None


def _warnings(cut: Sequence[int], blank: Sequence[int]) -> Iterator[str]:
    if cut:
        yield f"names of more than {LONGEST_FILE} characters were cut: {_numbered(cut)}"
    if blank:
        yield f"without a prompt, and not made: {_numbered(blank)}"


def _numbered(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:_NAMED_AT_MOST]))
    more = f" and {len(numbers) - _NAMED_AT_MOST} more" if len(numbers) > _NAMED_AT_MOST else ""
    return f"item{'s' if len(numbers) > 1 else ''} {shown}{more}"


def _line(text: str | None) -> str:
    return clean(text or "", limit=LONGEST_TEXT)
