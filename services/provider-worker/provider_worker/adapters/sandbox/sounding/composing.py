"""A score from rules: form, harmony, accompaniment, melody and beat of a genre, different for each seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from provider_worker.adapters.sandbox.sounding.drums import Drum
from provider_worker.adapters.sandbox.sounding.genres import MODES, Beat, Genre, Part, Progression, Section

BEATS_IN_BAR = 4
STEPS_IN_BAR = 16

_PHRASE = 4
_FORM: tuple[Section, ...] = ("verse", "chorus", "verse", "chorus", "chorus", "intro", "verse", "chorus", "chorus")
_LOUDNESS = {"X": 1.0, "x": 0.72, "o": 0.4}
_FILL: Beat = {"snare": "............oxXX", "tom": "........x.x.x.x."}
_Motif = tuple[str, tuple[int, ...]]
"""A bar of a melody, and by how many steps it moves from note to note."""
_WANDER = (-2, -1, -1, 1, 1, 2)
_LAST_FIFTH = 5
_LAST_TONE = "x" + "-" * (STEPS_IN_BAR - 1), (0,)
_SECTIONS: tuple[Section, ...] = ("intro", "verse", "chorus", "end")


@dataclass(frozen=True, slots=True)
class Note:
    """A note of one part: MIDI pitch, when and how long in beats, how loud (0-1)."""

    part: int
    pitch: int
    at: float
    beats: float
    loudness: float


@dataclass(frozen=True, slots=True)
class Stroke:
    """A stroke of a drum: when in beats, how loud (0-1)."""

    drum: Drum
    at: float
    loudness: float


@dataclass(frozen=True, slots=True)
class Score:
    tempo: float
    bars: int
    notes: tuple[Note, ...]
    strokes: tuple[Stroke, ...]


@dataclass(frozen=True, slots=True)
class _Bar:
    """`since` counts the bars of its section, `degree` is of the chord's root, `following` of the next; all from 0."""

    number: int
    section: Section
    since: int
    degree: int
    following: int
    last: bool


@dataclass(frozen=True, slots=True)
class _Key:
    root: int
    scale: tuple[int, ...]

    def pitch(self, step: int) -> int:
        """The MIDI pitch of a step of the scale, counted from the root."""
        return self.root + self.scale[step % 7] + 12 * (step // 7)

    def lifted(self, step: int, lowest: int) -> int:
        """The pitch of a step in the octave that begins at `lowest`."""
        return lowest + (self.pitch(step) - lowest) % 12


@dataclass(frozen=True, slots=True)
class _Piece:
    genre: Genre
    key: _Key
    bars: tuple[_Bar, ...]


def composed(genre: Genre, duration_s: float, tempo: float, *, dark: bool, luck: Random) -> Score:
    """Whole bars that take exactly the duration, at nearly the tempo, with a cadence at the end."""
    count = max(_PHRASE, round(duration_s * tempo / 60 / BEATS_IN_BAR))
    mood = genre.dark if dark else genre.bright
    key = _Key(luck.randrange(45, 57), MODES[mood.mode])
    verse, chorus = luck.choice(mood.progressions), luck.choice(mood.progressions)
    piece = _Piece(genre, key, tuple(_harmonised(_formed(count), verse, chorus)))
    notes: list[Note] = []
    for number, part in enumerate(genre.parts):
        notes += _accompanied(number, part, piece, luck) if part.bars else _sung(number, part, piece, luck)
    strokes = tuple(_drummed(piece, luck))
    return Score(count * BEATS_IN_BAR * 60 / duration_s, count, tuple(notes), strokes)


def _formed(count: int) -> list[Section]:
    """The section of each bar: an introduction where there is time for one, phrases, and two bars that end it."""
    ends = 2
    intro = 0 if count < 8 else 2 if count < 20 else _PHRASE
    phrases: list[Section] = [_FORM[number // _PHRASE % len(_FORM)] for number in range(count - intro - ends)]
    introduction: list[Section] = ["intro"]
    ending: list[Section] = ["end"]
    return introduction * intro + phrases + ending * ends


def _harmonised(sections: Sequence[Section], verse: Progression, chorus: Progression) -> list[_Bar]:
    degrees: list[int] = []
    since: list[int] = []
    for number, section in enumerate(sections):
        since.append(since[-1] + 1 if number and sections[number - 1] == section else 0)
        chords = chorus if section == "chorus" else verse
        degrees.append(chords[since[-1] % len(chords)] - 1)
    degrees[-2:] = [_LAST_FIFTH - 1, 0]
    following = [*degrees[1:], 0]
    last = len(sections) - 1
    return [_Bar(n, section, since[n], degrees[n], following[n], n == last) for n, section in enumerate(sections)]


def _accompanied(number: int, part: Part, piece: _Piece, luck: Random) -> Iterator[Note]:
    lines = {section: luck.choice(part.bars) for section in _SECTIONS}
    for bar in piece.bars:
        if bar.section not in part.plays:
            continue
        line = lines[bar.section]
        if bar.last:
            line = ("x" if "x" in line else "1") + "-" * (STEPS_IN_BAR - 1)
        for step, length, mark in _events(line):
            loudness = _stressed(step) * luck.uniform(0.88, 1.0)
            at, beats = _timed(bar, step, length, piece.genre)
            for pitch in _pitches(mark, bar, part, piece):
                yield Note(number, pitch, at, beats, loudness)


def _pitches(mark: str, bar: _Bar, part: Part, piece: _Piece) -> list[int]:
    key, genre = piece.key, piece.genre
    if mark == "x":
        stacked = [key.pitch(bar.degree + step) - key.pitch(bar.degree) for step in genre.chord]
        if genre.chord[-1] > 6:  # an open chord, whose notes keep their order
            return [key.lifted(bar.degree, part.lowest) + above for above in stacked]
        return sorted(key.lifted(bar.degree + step, part.lowest) for step in genre.chord)
    if mark == "a":
        return [key.lifted(bar.following, part.lowest + 1) - 1]
    root = key.lifted(bar.degree, part.lowest)
    return [root + key.pitch(bar.degree + int(mark) - 1) - key.pitch(bar.degree)]


def _sung(number: int, part: Part, piece: _Piece, luck: Random) -> Iterator[Note]:
    """A melody of two bars that comes back over other chords, and an answer that comes to rest."""
    motifs = {section: _motif(piece.genre, luck) for section in _SECTIONS}
    middle = next(step for step in range(-14, 42) if piece.key.pitch(step) >= part.lowest + 5)
    at_step = middle
    for bar in piece.bars:
        if bar.section not in part.plays:
            continue
        place = bar.since % _PHRASE
        answers = place == _PHRASE - 1
        line, moves = _LAST_TONE if bar.last else motifs[bar.section][2 if answers else place % 2]
        at_step = at_step if place else middle
        events = list(_events(line))
        for index, (step, length, _) in enumerate(events):
            at_step = _kept(at_step + moves[index % len(moves)], middle)
            if bar.last or (answers and index == len(events) - 1):
                at_step = _nearest(at_step, bar.degree, (0,))
            elif step % 8 == 0 or length >= 4:
                at_step = _nearest(at_step, bar.degree)
            at, beats = _timed(bar, step, length, piece.genre)
            yield Note(number, piece.key.pitch(at_step), at, beats, _stressed(step) * luck.uniform(0.85, 1.0))


def _motif(genre: Genre, luck: Random) -> list[_Motif]:
    return [(luck.choice(genre.rhythms), tuple(luck.choice(_WANDER) for _ in range(8))) for _ in range(3)]


def _kept(step: int, middle: int) -> int:
    """Within an octave around the middle."""
    return step - 3 if step > middle + 6 else step + 3 if step < middle - 4 else step


def _nearest(step: int, degree: int, tones: Sequence[int] = (0, 2, 4)) -> int:
    """The nearest step that belongs to the chord."""
    return min((step + by for by in range(-4, 5) if (step + by - degree) % 7 in tones), key=lambda one: abs(one - step))


def _drummed(piece: _Piece, luck: Random) -> Iterator[Stroke]:
    genre, bars = piece.genre, piece.bars
    beats = {section: luck.choice(genre.beats) for section in _SECTIONS}
    for bar in bars:
        if bar.section not in genre.drums_play:
            continue
        changes = not bar.last and bars[bar.number + 1].section != bar.section
        if bar.last:
            yield from (Stroke(drum, bar.number * BEATS_IN_BAR, 0.9) for drum in ("kick", "crash"))
            continue
        if bar.number and not bar.since:
            yield Stroke("crash", bar.number * BEATS_IN_BAR, 0.7)
        filled = genre.fills and changes
        lines: Beat = {**beats[bar.section], **_FILL} if filled else beats[bar.section]
        for drum, line in lines.items():
            for step, mark in enumerate(line):
                if mark in _LOUDNESS:
                    at, _ = _timed(bar, step, 1, genre)
                    yield Stroke(drum, at, _LOUDNESS[mark] * luck.uniform(0.9, 1.0))


def _events(line: str) -> Iterator[tuple[int, int, str]]:
    """(step, steps that it is held, mark) of each sound in a bar."""
    for step, mark in enumerate(line):
        if mark not in ".-":
            held = len(line[step + 1 :]) - len(line[step + 1 :].lstrip("-"))
            yield step, 1 + held, mark


def _timed(bar: _Bar, step: int, length: int, genre: Genre) -> tuple[float, float]:
    """When in beats, late by the swing, and for how many beats."""
    start, end = (_swung(bar.number * BEATS_IN_BAR + one / 4, genre.swing) for one in (step, step + length))
    return start, end - start


def _swung(beat: float, swing: tuple[float, float]) -> float:
    period, late = swing
    whole, share = divmod(beat, period)
    share /= period
    moved = share * (1 + late) if share < 0.5 else 0.5 * (1 + late) + (share - 0.5) * (1 - late)
    return (whole + moved) * period


def _stressed(step: int) -> float:
    return 1.0 if step == 0 else 0.9 if step % 8 == 0 else 0.82 if step % 4 == 0 else 0.74
