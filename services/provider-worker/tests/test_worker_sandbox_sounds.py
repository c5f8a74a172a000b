"""What the sandbox sounds: exact to the sample, each effect and genre its own, without clicks and without clipping."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from itertools import combinations
from typing import get_args

import av
import numpy as np
import pytest

from media.loudness import measured
from provider_worker.adapters.sandbox.sounding.effect_recipes import Effect
from provider_worker.adapters.sandbox.sounding.effects import EffectBrief, effect_of, effect_sounded
from provider_worker.adapters.sandbox.sounding.encoding import SoundFormat
from provider_worker.adapters.sandbox.sounding.genres import GenreName
from provider_worker.adapters.sandbox.sounding.instruments import INSTRUMENTS
from provider_worker.adapters.sandbox.sounding.music import MusicBrief, genre_of, music_sounded
from tests.worker_hearing import RATE, Listener, Samples, beat, brightness, features, heard, rises, spectrogram

EFFECTS: tuple[Effect, ...] = get_args(Effect)
FORMATS: tuple[SoundFormat, ...] = get_args(SoundFormat)
GENRES: tuple[GenreName, ...] = get_args(GenreName)
TAUGHT_SEEDS = range(1_000, 1_006)
TESTED_SEEDS = range(20)
PIECES = (1, 2, 3)
LENGTHS = (0.5, 0.7, 1.0, 1.4, 2.0)


@lru_cache(maxsize=512)
def effect(kind: Effect, seed: int) -> Samples:
    """Of a length that goes with the seed."""
    return heard(effect_sounded(EffectBrief(LENGTHS[seed % len(LENGTHS)], seed, kind)))


@lru_cache(maxsize=32)
def piece(genre: GenreName, seed: int) -> Samples:
    return heard(music_sounded(MusicBrief(12, seed, genre)))


def frames_by_pyav(data: bytes) -> int:
    with av.open(BytesIO(data), "r") as container:
        return sum(frame.samples for frame in container.decode(audio=0))


@pytest.mark.parametrize("sound_format", FORMATS)
@pytest.mark.parametrize("seconds", [0.5, 1.25, 2.0004])
def test_an_effect_is_exact_to_the_sample_in_every_format_and_for_two_decoders(
    sound_format: SoundFormat, seconds: float
) -> None:
    data = effect_sounded(EffectBrief(seconds, 3, "win", sound_format=sound_format))
    assert heard(data).shape == (round(seconds * RATE), 2)
    assert frames_by_pyav(data) == round(seconds * RATE)


@pytest.mark.parametrize("sound_format", FORMATS)
def test_music_is_exact_to_the_sample_in_every_format_and_for_two_decoders(sound_format: SoundFormat) -> None:
    data = music_sounded(MusicBrief(30.01, 3, "ambient", sound_format=sound_format))
    assert heard(data).shape == (round(30.01 * RATE), 2)
    assert frames_by_pyav(data) == round(30.01 * RATE)


def test_the_same_brief_gives_the_same_bytes() -> None:
    for sound_format in FORMATS:
        brief = EffectBrief(0.7, 5, "reveal", "a curtain", sound_format=sound_format)
        assert effect_sounded(brief) == effect_sounded(brief)
    music = MusicBrief(8, 5, "pop", "a sunny day")
    assert music_sounded(music) == music_sounded(music)


@pytest.mark.parametrize("kind", EFFECTS)
def test_another_seed_and_other_words_give_another_effect(kind: Effect) -> None:
    briefs = [EffectBrief(0.5, 1, kind), EffectBrief(0.5, 2, kind), EffectBrief(0.5, 1, kind, "a golden one")]
    assert len({effect_sounded(brief) for brief in briefs}) == 3


def test_another_seed_and_other_words_give_another_piece() -> None:
    briefs = [MusicBrief(6, 1, "jazz"), MusicBrief(6, 2, "jazz"), MusicBrief(6, 1, "jazz", "a late train")]
    assert len({music_sounded(brief) for brief in briefs}) == 3


def test_effects_are_told_apart_by_the_nearest_centroid() -> None:
    listener = Listener.taught({kind: [features(effect(kind, seed)) for seed in TAUGHT_SEEDS] for kind in EFFECTS})
    wrong = [
        (kind, seed, found)
        for kind in EFFECTS
        for seed in TESTED_SEEDS
        if (found := listener.kind_of(features(effect(kind, seed)))) != kind
    ]
    assert len(wrong) <= 0.05 * len(EFFECTS) * len(TESTED_SEEDS), wrong


@pytest.mark.parametrize("kind", EFFECTS)
def test_an_effect_is_loud_enough_does_not_clip_and_begins_and_ends_without_a_click(kind: Effect) -> None:
    for seed in TESTED_SEEDS:
        samples = effect(kind, seed)
        assert np.abs(samples).max() <= 0.76
        assert np.sqrt((spectrogram(samples).sum(axis=1)).max()) > 1
        assert np.abs(samples[[0, -1]]).max() < 0.002
        assert np.abs(samples[-24:]).max() < 0.02


@pytest.mark.parametrize("kind", EFFECTS)
@pytest.mark.parametrize("seconds", [0.5, 2.0])
def test_a_loop_meets_itself(kind: Effect, seconds: float) -> None:
    """The step from the last sample to the first is none that stands out."""
    samples = heard(effect_sounded(EffectBrief(seconds, 4, kind, loop=True)))
    joined = np.concatenate([samples[-RATE // 4 :], samples[: RATE // 4]])
    steps = np.abs(np.diff(joined, axis=0)).max(axis=1)
    seam = len(joined) // 2 - 1
    assert steps[seam] <= max(1e-3, np.delete(steps, seam)[seam - 480 : seam + 480].max())


def test_what_rings_at_the_end_of_a_loop_is_not_faded() -> None:
    def level(samples: Samples) -> float:
        return float(np.sqrt((samples**2).mean()))

    loop, once = (heard(effect_sounded(EffectBrief(0.5, 4, "match", loop=loop))) for loop in (True, False))
    assert level(loop[-96:]) > 0.5 * level(loop[-960:-480])
    assert level(once[-96:]) < 0.2 * level(once[-960:-480])


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("a coin drops", "match"),
        ("the wheel of fortune", "spin"),
        ("Fanfare for the champion", "win"),
        ("party poppers!", "confetti"),
        ("tap", "click"),
    ],
)
def test_words_say_which_effect_is_meant(words: str, kind: Effect) -> None:
    assert effect_of(EffectBrief(1, 0, words=words)) == kind


def test_where_words_say_nothing_they_and_the_seed_choose_any_effect() -> None:
    assert {effect_of(EffectBrief(1, seed, words="blue")) for seed in range(120)} == set(EFFECTS)


def test_an_effect_is_found_by_its_own_name() -> None:
    assert [effect_of(EffectBrief(1, 0, words=kind)) for kind in EFFECTS] == list(EFFECTS)


def test_words_say_which_genre_is_meant() -> None:
    said = {
        "a smoky jazz bar": "jazz",
        "epic orchestra": "orchestral",
        "lo-fi rap beats": "hip-hop",
        "techno": "electronic",
    }
    assert {words: genre_of(MusicBrief(30, 0, words=words)) for words in said} == said
    assert {genre_of(MusicBrief(30, seed, words="blue")) for seed in range(80)} == set(GENRES)


@pytest.mark.parametrize("genre", GENRES)
def test_music_is_as_loud_as_broadcast_wants_and_its_peaks_stay_below_the_limit(genre: GenreName) -> None:
    for seed in (1, 2):
        samples = piece(genre, seed)
        loudness = measured(samples.astype(np.float32), RATE)
        assert loudness is not None
        assert abs(loudness.integrated - -14) <= 0.5
        assert np.abs(samples).max() <= 10 ** (-1 / 20)


@pytest.mark.parametrize("sound_format", ["mp3", "ogg"])
def test_the_peaks_of_music_stay_below_the_limit_in_a_lossy_format_too(sound_format: SoundFormat) -> None:
    samples = heard(music_sounded(MusicBrief(8, 1, "rock", sound_format=sound_format)))
    assert np.abs(samples).max() <= 10 ** (-1 / 20)


@pytest.mark.parametrize("genre", GENRES)
def test_music_begins_from_silence_and_has_ended_when_it_ends(genre: GenreName) -> None:
    """The last of it is a fall: each quarter of the last bar is softer than the one before, down to nothing."""
    samples = piece(genre, 1)
    assert np.abs(samples[0]).max() < 0.001
    assert np.abs(samples[-10:]).max() < 0.001
    quarters = np.sqrt([(part**2).mean() for part in np.split(samples[-RATE:], 4)])
    assert all(np.diff(quarters) < 0)
    assert quarters[-1] < 0.1 * np.sqrt((samples**2).mean())


def test_genres_differ_in_pace_brightness_or_in_how_sharply_their_sounds_begin() -> None:
    def measures(genre: GenreName, seed: int) -> list[float]:
        sharp = rises(spectrogram(piece(genre, seed)))
        tempo, clear = beat(piece(genre, seed))
        bright = brightness(spectrogram(piece(genre, seed)))
        return [bright, float(np.quantile(sharp, 0.95)), float(sharp.mean()), float(np.log2(tempo)), clear]

    typical = {genre: np.median([measures(genre, seed) for seed in PIECES], axis=0) for genre in GENRES}
    spread = np.std(list(typical.values()), axis=0)
    apart = {(a, b): float(np.linalg.norm((typical[a] - typical[b]) / spread)) for a, b in combinations(GENRES, 2)}
    assert {pair: far for pair, far in apart.items() if far < 0.8} == {}


def test_what_has_drums_begins_more_sharply_than_what_has_none() -> None:
    def sharpness(genre: GenreName) -> float:
        return float(np.median([np.quantile(rises(spectrogram(piece(genre, seed))), 0.95) for seed in PIECES]))

    least = min(sharpness(genre) for genre in ("electronic", "rock", "pop", "hip-hop", "jazz"))
    assert sharpness("ambient") < least
    assert sharpness("orchestral") < least


def test_no_instrument_is_a_voice() -> None:
    assert not [name for name in INSTRUMENTS if any(word in name for word in ("voice", "choir", "vocal", "sing"))]
