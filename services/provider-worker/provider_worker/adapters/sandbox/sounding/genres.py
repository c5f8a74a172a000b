"""What is known of each genre, as data that `composing` reads.

A bar is a line of sixteen steps. For parts: `x` the whole chord, a digit the so-manieth note of the scale from the
chord's root up, `a` a half tone below the next root, `-` held, `.` silent. For drums: `X` loud, `x` plain, `o` soft.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from provider_worker.adapters.sandbox.sounding.drums import Drum

GenreName = Literal["electronic", "orchestral", "rock", "jazz", "ambient", "pop", "hip-hop"]
Section = Literal["intro", "verse", "chorus", "end"]
Progression = tuple[int, ...]
Beat = Mapping[Drum, str]

MODES: Mapping[str, tuple[int, ...]] = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "lydian": (0, 2, 4, 6, 7, 9, 11),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "minor": (0, 2, 3, 5, 7, 8, 10),
}
_ALL: frozenset[Section] = frozenset({"intro", "verse", "chorus", "end"})
_SONG: frozenset[Section] = frozenset({"verse", "chorus", "end"})
_CHORUS: frozenset[Section] = frozenset({"chorus", "end"})
_BEGINNING: frozenset[Section] = frozenset({"intro", "verse"})


@dataclass(frozen=True, slots=True)
class Part:
    """One player. `lowest` is the MIDI pitch its notes begin at. Without `bars` it plays the melody.

    `room` is how much of it the room answers, `pan` runs from -1, left, to 1, right.
    """

    instrument: str
    lowest: int
    level: float
    bars: tuple[str, ...] = ()
    room: float = 0.2
    pan: float = 0.0
    plays: frozenset[Section] = _ALL


@dataclass(frozen=True, slots=True)
class Mood:
    """A mode, and progressions of degrees in it, one a bar."""

    mode: str
    progressions: tuple[Progression, ...]


@dataclass(frozen=True, slots=True)
class Genre:
    """`tempo` is beats a minute, `swing` of how many beats and how far the second half of each comes late (0-0.5).

    `chord` are the steps of the scale that are stacked, `rhythms` what a bar of melody may look like. `pump` is how far
    everything gives way to the kick. `room_s` is how long the room rings, `loose_s` how far players are apart.
    """

    tempo: tuple[float, float]
    bright: Mood
    dark: Mood
    dark_share: float
    chord: tuple[int, ...]
    parts: tuple[Part, ...]
    rhythms: tuple[str, ...]
    kit: str
    beats: tuple[Beat, ...]
    room_s: float
    swing: tuple[float, float] = (1.0, 0.0)
    pump: float = 0.0
    loose_s: float = 0.003
    drum_level: float = 1.0
    drums_play: frozenset[Section] = _SONG
    fills: bool = True


_POP_BRIGHT: tuple[Progression, ...] = ((1, 5, 6, 4), (6, 4, 1, 5), (1, 6, 4, 5), (1, 4, 6, 5))
_MINOR: tuple[Progression, ...] = ((1, 6, 3, 7), (1, 4, 6, 7), (1, 7, 6, 7), (1, 6, 4, 7))

GENRES: Mapping[GenreName, Genre] = {
    "electronic": Genre(
        tempo=(122, 130),
        bright=Mood("major", ((6, 4, 1, 5), (1, 5, 6, 4))),
        dark=Mood("minor", _MINOR),
        dark_share=0.75,
        chord=(0, 2, 4),
        parts=(
            Part(
                "synth bass", 33, 0.62, ("..1-..1-..1-..1-", "1.1.1.1.1.1.8.1.", "1..1..1.1..1..8."), 0.02, plays=_SONG
            ),
            Part("stab", 55, 0.2, ("x..x..x...x..x..", "..x-..x-..x-..x-", "x--x--x-x--x--x-"), 0.3, plays=_SONG),
            Part("pluck", 64, 0.26, ("1.3.5.8.5.3.1.5.", "1358135813581358", "8.5.3.5.8.5.9.5."), 0.4, 0.25),
            Part("warm pad", 52, 0.14, ("x---------------",), 0.4),
            Part("saw lead", 69, 0.24, room=0.35, pan=-0.1, plays=_CHORUS),
        ),
        rhythms=("x-x.x-x.x-..x-x.", "x--x--x-x--x--x-", "x.x.x--.x.x.x---", "x-----x-x-----x-"),
        kit="machine",
        beats=(
            {
                "kick": "X...X...X...X...",
                "clap": "....X.......X...",
                "open": "..x...x...x...x.",
                "hat": "x.ox.oxox.oxxoxo",
            },
            {
                "kick": "X...X...X...X..x",
                "clap": "....X.......X..o",
                "open": "..x...x...x...x.",
                "shaker": "oxoxoxoxoxoxoxox",
            },
        ),
        room_s=1.2,
        pump=0.6,
        loose_s=0.0,
        drum_level=1.1,
    ),
    "orchestral": Genre(
        tempo=(76, 100),
        bright=Mood("major", ((1, 5, 6, 3, 4, 1, 4, 5), (1, 4, 2, 5), (1, 6, 2, 5))),
        dark=Mood("minor", ((1, 6, 3, 7), (1, 4, 7, 3, 6, 4, 5, 5))),
        dark_share=0.5,
        chord=(0, 2, 4),
        parts=(
            Part("low strings", 36, 0.4, ("1---------------", "1-------5-------"), 0.5, 0.35),
            Part("strings", 52, 0.2, ("x---------------", "x-------x-------"), 0.55, -0.2),
            Part("plucked strings", 60, 0.2, ("1.3.5.3.8.5.3.5.", "1...5...3...5...", "1.5.8.5.1.5.8.5."), 0.5, 0.3),
            Part("horns", 50, 0.17, ("x---------------", "x-----------x---"), 0.55, 0.15, _CHORUS),
            Part("flute", 72, 0.26, room=0.5, pan=-0.15, plays=_BEGINNING),
            Part("strings", 69, 0.3, room=0.5, pan=-0.3, plays=_SONG),
        ),
        rhythms=("x-----x-x-------", "x---x---x-----x-", "x-------x---x---", "x--x--x-x-------"),
        kit="orchestra",
        beats=(
            {"tom": "X...............", "kick": "........o......."},
            {"tom": "X...........o.x.", "rim": "................"},
        ),
        room_s=2.4,
        loose_s=0.009,
        drum_level=0.55,
        drums_play=_CHORUS,
    ),
    "rock": Genre(
        tempo=(112, 144),
        bright=Mood("mixolydian", ((1, 7, 4, 1), (1, 4, 5, 4), (1, 5, 4, 4))),
        dark=Mood("minor", ((1, 7, 6, 7), (1, 6, 7, 1), (1, 3, 7, 4))),
        dark_share=0.55,
        chord=(0, 4, 7),
        parts=(
            Part(
                "finger bass", 28, 0.62, ("1.1.1.1.1.1.1.1.", "1.1.1.1.1.1.5.8.", "1..1..1.1.1.1.a."), 0.04, plays=_SONG
            ),
            Part("driven guitar", 40, 0.17, ("x.x.x.x.x.x.x.x.", "x--x--x-x-x-x-x-", "x---x-x-..x-x-x-"), 0.14, -0.65),
            Part("driven guitar", 45, 0.15, ("x-------x-------", "x.x.x.x.x.x.x.x."), 0.14, 0.65, _SONG),
            Part("lead guitar", 64, 0.2, room=0.28, pan=0.1, plays=_CHORUS),
        ),
        rhythms=("x-x-x---x-x-x---", "x--x--x-x-------", "x---x-x-x---x-x-", "x-x-x-x-x-------"),
        kit="studio",
        beats=(
            {"kick": "X.......X.x.....", "snare": "....X.......X...", "hat": "x.x.x.x.x.x.x.x."},
            {"kick": "X..x....X.x.....", "snare": "....X.......X..o", "ride": "X.x.X.x.X.x.X.x."},
            {"kick": "X.x.....X.....x.", "snare": "....X.......X...", "open": "X...X...X...X..."},
        ),
        room_s=0.9,
        loose_s=0.004,
        drum_level=1.05,
    ),
    "jazz": Genre(
        tempo=(104, 152),
        bright=Mood("major", ((2, 5, 1, 6), (1, 6, 2, 5), (3, 6, 2, 5))),
        dark=Mood("dorian", ((1, 4, 1, 4), (1, 4, 7, 3), (2, 5, 1, 1))),
        dark_share=0.4,
        chord=(0, 2, 4, 6),
        parts=(
            Part(
                "upright bass",
                31,
                0.75,
                ("1---3---5---a---", "1---5---3---a---", "1---2---3---5---", "8---5---3---a---"),
                0.12,
            ),
            Part("piano", 52, 0.2, ("x--...x.......x-", "....x-........x.", "x-....x---......"), 0.22, -0.35),
            Part("saxophone", 61, 0.3, room=0.3, pan=0.15, plays=_SONG),
            Part(
                "vibraphone", 67, 0.2, ("......8.5.......", "..8.........5.3.", "................"), 0.3, 0.4, _CHORUS
            ),
        ),
        rhythms=("x-x-x---..x-x-x-", "..x-x-x-x---....", "x---x-x-x-x-x---", "x-..x-x---x-x-..", "x-x-x-x-x-x-x---"),
        kit="brushes",
        beats=(
            {
                "ride": "X...x..xX...x..x",
                "snare": "....o.......o...",
                "hat": "....x.......x...",
                "kick": "o.......o.......",
            },
            {
                "ride": "X...x..xX...x.x.",
                "snare": "....o..o....o...",
                "hat": "....x.......x...",
                "rim": "..............o.",
            },
        ),
        room_s=1.1,
        swing=(1.0, 0.33),
        loose_s=0.008,
        drum_level=0.9,
        drums_play=_ALL,
        fills=False,
    ),
    "ambient": Genre(
        tempo=(56, 70),
        bright=Mood("lydian", ((1, 2, 1, 5), (1, 5, 4, 1), (4, 1, 5, 1))),
        dark=Mood("dorian", ((1, 7, 4, 1), (1, 3, 7, 4), (1, 6, 4, 1))),
        dark_share=0.4,
        chord=(0, 4, 8),
        parts=(
            Part("slow pad", 43, 0.3, ("x---------------",), 0.6, -0.3),
            Part("slow pad", 55, 0.2, ("x---------------",), 0.7, 0.3),
            Part("low strings", 31, 0.22, ("1---------------",), 0.5),
            Part("glass", 72, 0.13, ("1.......5.......", "....8.......5...", "..5.......9....."), 0.8, 0.4),
            Part("glass", 67, 0.15, room=0.8, pan=-0.35, plays=_SONG),
        ),
        rhythms=("x-------------..", "x---------x-----", "........x-------", "x-----x---------"),
        kit="orchestra",
        beats=({},),
        room_s=3.5,
        loose_s=0.02,
        drum_level=0.0,
        drums_play=frozenset(),
        fills=False,
    ),
    "pop": Genre(
        tempo=(96, 118),
        bright=Mood("major", _POP_BRIGHT),
        dark=Mood("minor", ((1, 6, 3, 7), (6, 7, 1, 1), (1, 3, 6, 7))),
        dark_share=0.2,
        chord=(0, 2, 4),
        parts=(
            Part(
                "finger bass", 33, 0.6, ("1--1..1-1--1..5-", "1---..1-1---5---", "1.1-..1.1.1-..8."), 0.04, plays=_SONG
            ),
            Part("electric piano", 55, 0.24, ("x---x---x---x---", "x-----x-----x---", "x--x--x-x--x--x-"), 0.22, -0.2),
            Part("clean guitar", 57, 0.2, ("1.5.8.5.3.5.8.5.", "..x...x...x...x.", "1.3.5.8.9.8.5.3."), 0.25, 0.45),
            Part("warm pad", 52, 0.1, ("x---------------",), 0.4, plays=_CHORUS),
            Part("square lead", 67, 0.22, room=0.3, pan=0.05, plays=_SONG),
        ),
        rhythms=("x-x-x---x-x-x---", "x--x--x-x---x---", "x-x---x-x-x---..", "x---x-x---x-x---"),
        kit="studio",
        beats=(
            {"kick": "X.....x.X.......", "snare": "....X.......X...", "hat": "x.x.x.x.x.x.x.x."},
            {"kick": "X..x..x...x.....", "clap": "....X.......X...", "shaker": "xoxoxoxoxoxoxoxo"},
        ),
        room_s=1.1,
        drum_level=0.95,
    ),
    "hip-hop": Genre(
        tempo=(82, 96),
        bright=Mood("mixolydian", ((1, 4, 1, 5), (1, 7, 4, 4))),
        dark=Mood("minor", ((1, 6, 1, 7), (1, 4, 1, 6), (1, 6, 4, 5))),
        dark_share=0.8,
        chord=(0, 2, 4, 6),
        parts=(
            Part("deep bass", 28, 0.8, ("1-----1---1-....", "1------1..1-----", "1--1......1-8..."), 0.0, plays=_SONG),
            Part("electric piano", 52, 0.22, ("x-----x---------", "x---------x-x---", "..x-......x-...."), 0.2, -0.25),
            Part("vibraphone", 64, 0.22, ("8...5...3.......", "..5...8.....3...", "5.3.1.......8..."), 0.3, 0.35),
            Part("flute", 67, 0.2, room=0.3, pan=0.1, plays=_CHORUS),
        ),
        rhythms=("x---..x-x-------", "..x-x---..x-x---", "x-x---------x-x-", "x-----x-x---...."),
        kit="heavy",
        beats=(
            {"kick": "X......x..X.....", "snare": "....X.......X...", "hat": "x.x.x.x.x.x.x.xx"},
            {"kick": "X..x...x..X.....", "snare": "....X.......X..o", "hat": "x.xxx.x.x.x.xxx."},
            {"kick": "X.....x.x.X.....", "clap": "....X.......X...", "hat": "xxx.x.x.xxx.x.xo"},
        ),
        room_s=0.8,
        swing=(0.5, 0.18),
        loose_s=0.006,
        drum_level=1.15,
    ),
}
