"""A manifest out of a topic and a story direction, by rules alone: the same words always give the same 22 items (R84).

What the story names comes first, then what its topic makes likely, then what belongs to its sceneries. Nothing here is
drawn by lot: where there is a choice, a hash of what was typed decides.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, zip_longest

from prompt_service.composing.atmosphere import atmosphere_of, minimal_atmosphere
from prompt_service.composing.composition import (
    COUNTS,
    ITEMS,
    LONGEST_NAME,
    Composed,
    Composition,
    Group,
)
from prompt_service.composing.sceneries import ANYWHERE, Scenery
from prompt_service.composing.story import Story, read_story, shortened
from prompt_service.composing.words import DESCRIBING
from prompt_service.naming import spelled

NOTHING_TOLD = "the topic or the story direction is empty: atmosphere and items are generic"
_MOST_TOLD = {"characters": 6, "environments": 7, "props": 5}

_VIEWS: dict[Group, tuple[str, ...]] = {
    "characters": (
        "Full-length portrait of {subject}, facing the viewer",
        "Three-quarter portrait of {subject}, caught in the middle of a movement",
        "Close portrait of {subject}, every detail of the face clear",
        "{subject}, seen from a low angle, filling the frame",
        "{subject}, in profile, looking at something outside the picture",
        "{subject}, alone and small before a wide background",
        "{subject}, busy with something, seen from close by",
        "{subject}, resting, in an unguarded moment",
    ),
    "environments": (
        "Wide establishing shot of {subject}, nobody in sight",
        "{subject}, seen from high above, its whole layout clear",
        "{subject}, from eye level, a path leading into the depth",
        "Low angle in {subject}, its size felt",
        "{subject}, through a frame of dark shapes in the foreground",
        "Quiet corner of {subject}, signs of who was here before",
        "{subject}, in layered depth: foreground, middle and far distance",
        "Symmetrical view of {subject}, straight ahead",
        "{subject}, at its edge, where something else begins",
        "{subject}, long after everybody has left",
    ),
    "props": (
        "Single object, centred on a plain background: {subject}",
        "Close study of {subject}, its materials and marks of use clear",
        "{subject}, lying where somebody has just put it down",
        "{subject}, held up to the light, nothing else in focus",
        "{subject}, from above, beside its shadow",
        "{subject}, in three-quarter view, worn by years of use",
    ),
}


def compose(topic: str | None, direction: str | None, atmosphere: str | None) -> Composition:
    """22 items of `topic` and `direction`, under the given `atmosphere` or one that is derived from the topic.

    Where the topic or the direction is empty, what is missing is generic, and a warning says so (R91).
    """
    story = read_story(topic or "", direction or "")
    told = bool(story.topic and story.beats)
    seed = f"{topic}\n{direction}"
    sizes = _sizes(seed)
    items = chain.from_iterable(_items(group, sizes[group], story, seed, told=told) for group in COUNTS)
    return Composition(
        atmosphere=atmosphere or (atmosphere_of(story.sceneries) if told else minimal_atmosphere()),
        items=tuple(items),
        warnings=() if told else (NOTHING_TOLD,),
    )


def _sizes(seed: str) -> dict[Group, int]:
    possible: list[dict[Group, int]] = [
        {"characters": characters, "environments": environments, "props": ITEMS - characters - environments}
        for characters in _span("characters")
        for environments in _span("environments")
        if ITEMS - characters - environments in _span("props")
    ]
    return possible[_number(seed, "sizes") % len(possible)]


def _span(group: Group) -> range:
    least, most = COUNTS[group]
    return range(least, most + 1)


def _items(group: Group, count: int, story: Story, seed: str, *, told: bool) -> Iterator[Composed]:
    likely = _subjects(group, story, seed) if told else _by_lot(_pool(ANYWHERE, group), seed)
    subjects = _first_distinct(group, likely, count)
    views = _by_lot(_VIEWS[group], seed)
    for place, (name, subject) in enumerate(subjects):
        view = views[place % len(views)].format(subject=subject)
        yield Composed(
            group, name, " ".join((f"{view[:1].upper()}{view[1:]}.", *_context(subject, place / count, story)))
        )


def _subjects(group: Group, story: Story, seed: str) -> Iterator[str]:
    """What may be shown, the best first; more than enough of it."""
    met = {"characters": story.people, "environments": story.places, "props": story.things}[group]
    yield from met[: _MOST_TOLD[group]]
    made = _made_of_keywords(group, story.keywords)
    pools = [_by_lot(_pool(scenery, group), seed) for scenery in story.sceneries]
    yield from _alternately(made, *pools)
    yield from met[_MOST_TOLD[group] :]
    yield from _by_lot(_pool(ANYWHERE, group), seed)


def _made_of_keywords(group: Group, keywords: Sequence[str]) -> list[str]:
    makings: dict[Group, tuple[str, ...]] = {
        "characters": ("{} expert", "{} apprentice"),
        "environments": ("{} archive", "{} workshop"),
        "props": ("{} notebook", "{} emblem"),
    }
    return [making.format(word) for making in makings[group] for word in keywords]


def _context(subject: str, share: float, story: Story) -> Iterator[str]:
    """What the picture is part of: a moment of the story, its topic, its mood.

    The moment is the first that names the subject; else the one that comes after this `share` of the story.
    """
    if story.beats:
        last_word = subject.casefold().split()[-1]
        named = (beat for beat in story.beats if last_word in beat.casefold())
        yield f"The moment: {next(named, story.beats[int(share * len(story.beats))])}."
    if story.topic:
        yield f"From a story about {story.topic}."
    if story.moods:
        yield f"Mood: {', '.join(story.moods)}."


def _first_distinct(group: Group, subjects: Iterable[str], count: int) -> list[tuple[str, str]]:
    found: dict[str, str] = {}
    for subject in subjects:
        if len(found) == count:
            break
        name = _name_of(subject) or f"{group.removesuffix('s')} {len(found) + 1}"
        if name not in map(_bare, found):
            found.setdefault(name, subject)
    return list(found.items())


def _bare(name: str) -> str:
    """Who is known as the old keeper is not met again as the keeper."""
    return " ".join(word for word in name.split() if word not in DESCRIBING)


def _name_of(subject: str) -> str:
    """What a file may be called that shows `subject`; empty where its letters are none of ours."""
    plain = spelled(re.sub("['’]", "", subject.casefold())).encode("ascii", "ignore").decode()
    return shortened(" ".join(re.findall(r"\w+", plain)), LONGEST_NAME)


def _alternately(*pools: Sequence[str]) -> Iterator[str]:
    for row in zip_longest(*pools):
        yield from filter(None, row)


def _pool(scenery: Scenery, group: Group) -> tuple[str, ...]:
    return {"characters": scenery.people, "environments": scenery.places, "props": scenery.things}[group]


def _by_lot(choices: Sequence[str], seed: str) -> list[str]:
    return sorted(choices, key=lambda choice: _number(seed, choice))


def _number(seed: str, word: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}\n{word}".encode("utf-8", "surrogatepass")).digest()[:8])
