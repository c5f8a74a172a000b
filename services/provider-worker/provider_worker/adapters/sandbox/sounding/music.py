"""One piece of music from one brief. It has no voices: no instrument of it is one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

import numpy as np

from provider_worker.adapters.sandbox.sounding.composing import BEATS_IN_BAR, Score, composed
from provider_worker.adapters.sandbox.sounding.drums import Drum, hit
from provider_worker.adapters.sandbox.sounding.encoding import SoundFormat, encoded
from provider_worker.adapters.sandbox.sounding.genres import GENRES, Genre, GenreName
from provider_worker.adapters.sandbox.sounding.instruments import INSTRUMENTS, note
from provider_worker.adapters.sandbox.sounding.loudness import mastered
from provider_worker.adapters.sandbox.sounding.waves import RATE, Wave, chance_of, ending, roomed, samples

LOUDNESS_LUFS = -14.0

# Lossy formats come out higher than what went in; -1 dBFS is 0.89.
_PEAK = 0.78
_DRUM_ROOM = 0.08
_ROOM = 0.5
_START_S = 0.01
_DRUM_PANS: Mapping[Drum, float] = {"hat": 0.25, "open": 0.25, "ride": -0.3, "shaker": -0.3, "tom": -0.15}

_GENRE_WORDS: Mapping[GenreName, str] = {
    "electronic": "electronic techno house trance edm synth synthwave dance club electro",
    "orchestral": "orchestral orchestra symphonic classical epic cinematic strings fantasy score",
    "rock": "rock guitar metal punk grunge band",
    "jazz": "jazz swing saxophone blues lounge bebop",
    "ambient": "ambient drone meditation atmosphere atmospheric space sleep spa",
    "pop": "pop catchy radio upbeat summer",
    "hip-hop": "hip-hop hiphop rap trap lofi beats boombap urban",
}
_CALM = "calm slow relaxed relaxing chill soft gentle quiet sleepy peaceful evening lullaby"
_LIVELY = "fast energetic driving upbeat lively quick intense action party racing wild"
_DARK = "dark sad minor night moody mysterious tense horror melancholic storm gloomy"
_BRIGHT = "happy bright joyful cheerful sunny major summer uplifting victory morning"


@dataclass(frozen=True, slots=True)
class MusicBrief:
    """What to play: exactly `duration_s`, to the sample at 48 kHz; `seed` and `words` decide all that is left open."""

    duration_s: float
    seed: int
    genre: GenreName | None = None
    words: str = ""
    sound_format: SoundFormat = "wav"


def music_sounded(brief: MusicBrief) -> bytes:
    """The encoded piece; the same brief always gives the same samples."""
    return encoded(played(brief), brief.sound_format)


def played(brief: MusicBrief) -> Wave:
    """The samples before they are encoded."""
    name = genre_of(brief)
    luck = Random(f"{name} {brief.seed} {brief.words}")  # noqa: S311 - chance in music needs no secrecy
    genre = GENRES[name]
    slowest, fastest = genre.tempo
    pace = luck.random() ** (2.5 if _said(brief, _CALM) else 0.4 if _said(brief, _LIVELY) else 1.0)
    dark = luck.random() < genre.dark_share
    dark = (dark or _said(brief, _DARK)) and not _said(brief, _BRIGHT)
    score = composed(genre, brief.duration_s, slowest + (fastest - slowest) * pace, dark=dark, luck=luck)
    mix = _mixed(score, genre, samples(brief.duration_s), luck)
    return mastered(mix, LOUDNESS_LUFS, _PEAK)


def genre_of(brief: MusicBrief) -> GenreName:
    """The genre that a brief names, or that its words speak of first."""
    if brief.genre is not None:
        return brief.genre
    for word in re.findall(r"[a-z-]+", brief.words.lower()):
        for genre, names in _GENRE_WORDS.items():
            if word in names.split():
                return genre
    return list(GENRES)[int(chance_of("genre", brief.seed, brief.words).integers(len(GENRES)))]


def _said(brief: MusicBrief, among: str) -> bool:
    return not set(among.split()).isdisjoint(re.findall(r"[a-z]+", brief.words.lower()))


def _mixed(score: Score, genre: Genre, frames: int, luck: Random) -> Wave:
    mix = np.zeros((frames, 2), dtype=np.float32)
    sent = np.zeros((frames, 2), dtype=np.float32)
    _with_notes(mix, sent, score, genre, luck)
    if genre.pump:
        swell = _pumped(score, frames, genre.pump)[:, None]
        mix *= swell
        sent *= swell
    _with_drums(mix, sent, score, genre, luck)
    mix += np.float32(_ROOM) * roomed(sent, genre.room_s)
    last_bar = BEATS_IN_BAR * 60 / score.tempo
    fade = ending(frames, last_bar * 0.75) * np.minimum(1, ending(frames, _START_S)[::-1])
    return mix * fade[:, None]


def _with_notes(mix: Wave, sent: Wave, score: Score, genre: Genre, luck: Random) -> None:
    known: dict[tuple[int, int, int], Wave] = {}
    sides = [_sides(part.pan) * np.float32(part.level) for part in genre.parts]
    for one in score.notes:
        part = genre.parts[one.part]
        held = samples(one.beats * 60 / score.tempo * 0.96)
        place = (one.part, one.pitch, held)
        if place not in known:
            known[place] = note(INSTRUMENTS[part.instrument], one.pitch, held) * sides[one.part]
        late = luck.uniform(0, 2 * genre.loose_s)
        _add((mix, sent), known[place], one.at * 60 / score.tempo + late, one.loudness, part.room)


def _with_drums(mix: Wave, sent: Wave, score: Score, genre: Genre, luck: Random) -> None:
    known: dict[Drum, Wave] = {}
    for one in score.strokes:
        if one.drum not in known:
            known[one.drum] = hit(genre.kit, one.drum)[:, None] * _sides(_DRUM_PANS.get(one.drum, 0.0))
        late = luck.uniform(0, genre.loose_s)
        level = one.loudness * genre.drum_level
        _add((mix, sent), known[one.drum], one.at * 60 / score.tempo + late, level, _DRUM_ROOM)


def _add(mixes: tuple[Wave, Wave], sound: Wave, at_s: float, level: float, room: float) -> None:
    """Into the mix, and its share `room` into what the room hears."""
    mix, sent = mixes
    start = round(at_s * RATE)
    heard = sound[: max(0, len(mix) - start)] * np.float32(level)
    mix[start : start + len(heard)] += heard
    if room:
        sent[start : start + len(heard)] += heard * np.float32(room)


def _sides(pan: float) -> Wave:
    turn = (pan + 1) * np.pi / 4
    return np.array([np.cos(turn), np.sin(turn)], dtype=np.float32)


def _pumped(score: Score, frames: int, depth: float) -> Wave:
    """Down with every beat, and up again until the next."""
    beat = np.arange(frames, dtype=np.float64) * (score.tempo / 60 / RATE) % 1.0
    return np.asarray(1 - depth * np.exp(-beat * 5) * np.minimum(1, (1 - beat) * 40), dtype=np.float32)
