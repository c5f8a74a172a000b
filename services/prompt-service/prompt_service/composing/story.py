"""What a topic and a story direction are about, read by their words: who, where, which things, in what mood."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from prompt_service.composing.atmosphere import sceneries_of
from prompt_service.composing.sceneries import Scenery
from prompt_service.composing.words import (
    BEFORE_PLACES,
    DESCRIBING,
    IDLE,
    MOODS,
    PEOPLE,
    PEOPLE_ENDINGS,
    PLACES,
    THINGS,
    VERBS,
)
from prompt_service.sanitizing import clean

LONGEST_TOPIC = 200
LONGEST_BEAT = 160
LONGEST_DIRECTION = 8000
MOST_MOODS = 3
MOST_KEYWORDS = 3
LONGEST_WORD = 30

_NEVER_DESCRIBING = IDLE | BEFORE_PLACES | PEOPLE
_NOUNS = PEOPLE | PLACES | THINGS
_BEAT_ENDS = re.compile(r"[.!?;\n。！？；]+|\s[-–—]+\s|->|→|,?\s+(?:and then|then|until)\s+", re.IGNORECASE)
_TOKEN = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Story:
    """What can be drawn of a story. `beats` are its moments in their order, in the words they were told in.

    `keywords` are words of the topic that no list knows, for which things have to be made up.
    """

    topic: str
    beats: tuple[str, ...]
    people: tuple[str, ...]
    places: tuple[str, ...]
    things: tuple[str, ...]
    moods: tuple[str, ...]
    keywords: tuple[str, ...]
    sceneries: tuple[Scenery, ...]


def read_story(topic: str, direction: str) -> Story:
    """The story of `topic` and `direction`, which may be empty and are what somebody typed."""
    subject = shortened(clean(topic, limit=LONGEST_DIRECTION), LONGEST_TOPIC)
    told = direction[:LONGEST_DIRECTION]
    found = _Found()
    for sentence in (subject, *_sentences(told)):
        found.read(sentence)
    known = " ".join((*found.people, *found.places, *found.things, *found.moods)).casefold().split()
    return Story(
        topic=subject,
        beats=tuple(_beats(told)),
        people=tuple(found.people),
        places=tuple(found.places),
        things=tuple(found.things),
        moods=tuple(found.moods)[:MOST_MOODS],
        keywords=tuple(_keywords(subject, known))[:MOST_KEYWORDS],
        sceneries=tuple(sceneries_of(subject) or sceneries_of(told)),
    )


def shortened(text: str, limit: int) -> str:
    """`text` up to the last word that ends within `limit` characters."""
    if len(text) <= limit:
        return text
    head = text[: limit + 1].rpartition(" ")[0]
    return (head or text[:limit]).rstrip(" ,:-")


class _Found:
    """What was met, each once, in the order of the story."""

    def __init__(self) -> None:
        self.people: dict[str, None] = {}
        self.places: dict[str, None] = {}
        self.things: dict[str, None] = {}
        self.moods: dict[str, None] = {}

    def read(self, sentence: str) -> None:
        tokens = _TOKEN.findall(sentence)
        for place, token in enumerate(tokens):
            word = token.casefold()
            if word in MOODS:
                self.moods.setdefault(word)
            if (kind := self._kind_of(word)) is not None:
                kind.setdefault(_phrase(tokens, place))
        for name, before in _proper_names(tokens):
            (self.places if before in BEFORE_PLACES else self.people).setdefault(name)

    def _kind_of(self, word: str) -> dict[str, None] | None:
        single = {word.removesuffix("s"), word.removesuffix("es")} - VERBS
        forms = {word, *single}
        if forms & PEOPLE or (len(word) > 7 and word.endswith(PEOPLE_ENDINGS)):
            return self.people
        if forms & PLACES:
            return self.places
        return self.things if forms & THINGS else None


def _phrase(tokens: Sequence[str], place: int) -> str:
    """The word at `place` with the two before it at most, as far as they say how it looks."""
    first = place
    while first and place - first < 2 and _describes(tokens[first - 1]):
        first -= 1
    return " ".join(tokens[first : place + 1]).casefold()[: 2 * LONGEST_WORD]


def _describes(token: str) -> bool:
    if token in DESCRIBING:
        return True
    is_plain = token.islower() and len(token) > 2 and token not in _NEVER_DESCRIBING
    return is_plain and not token.endswith(("ly", "ing")) and (not token.endswith("s") or token.endswith("ss"))


def _proper_names(tokens: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Names in a sentence with the word before each. The first word has a capital in any case, and is left out."""
    place = 1
    while place < len(tokens):
        end = place
        while end < len(tokens) and _is_name(tokens[end]):
            end += 1
        if end > place:
            name = " ".join(tokens[place:end][:3])
            if not (end - place == 1 and tokens[place].casefold() in _NOUNS):
                yield name, tokens[place - 1].casefold()
        place = max(end, place) + 1


def _is_name(token: str) -> bool:
    return (
        token[0].isupper() and token[1:].islower() and 2 < len(token) <= LONGEST_WORD and token.casefold() not in IDLE
    )


def _sentences(text: str) -> Iterator[str]:
    for part in re.split(r"[.!?;:\n。！？；]+", text):
        if sentence := clean(part, limit=LONGEST_DIRECTION):
            yield sentence


def _beats(text: str) -> Iterator[str]:
    for part in _BEAT_ENDS.split(text):
        beat = clean(part, limit=LONGEST_DIRECTION).strip(" ,:-–—\"'")
        if any(map(str.isalnum, beat)):
            yield shortened(beat[0].upper() + beat[1:], LONGEST_BEAT)


def _keywords(subject: str, known: Sequence[str]) -> Iterator[str]:
    seen = {*known}
    for token in _TOKEN.findall(subject):
        word = token.casefold()
        if len(word) > 2 and word[0].isalpha() and len(word) <= LONGEST_WORD and word not in IDLE | seen:
            seen.add(word)
            yield word
