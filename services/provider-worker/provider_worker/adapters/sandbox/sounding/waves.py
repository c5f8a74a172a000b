"""Sound as arrays at 48 kHz: one voice is `(samples,)`, a mix is `(samples, 2)`, both of float32 around 0."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

RATE = 48_000
Wave = npt.NDArray[np.float32]
Chance = np.random.Generator
_Spectrum = npt.NDArray[np.complexfloating[Any]]

_HIGHEST_HZ = 18_000.0
_BLOCK = 1 << 18


def chance_of(*words: object) -> Chance:
    """Chance that these words decide."""
    digest = hashlib.sha256(" ".join(map(str, words)).encode("utf-8", "surrogatepass")).digest()
    return np.random.default_rng(int.from_bytes(digest[:16]))


def samples(seconds: float) -> int:
    return max(1, round(seconds * RATE))


def times(frames: int) -> Wave:
    return np.arange(frames, dtype=np.float32) / np.float32(RATE)


def glide(start: float, end: float, frames: int, bend: float = 1.0) -> Wave:
    """From one pitch to another, even to the ear; `bend` above 1 stays near the start for longer."""
    share = np.linspace(0, 1, frames, dtype=np.float64) ** bend
    return np.asarray(start * (end / start) ** share, dtype=np.float32)


def tone(pitch: float | Wave, frames: int, weights: Sequence[float] = (1.0,)) -> Wave:
    """Harmonics of a pitch in Hz, which may change from sample to sample.

    It makes whole turns, by a bend of the pitch that nobody hears, so that its end meets its beginning.
    """
    hertz = np.broadcast_to(np.asarray(pitch, dtype=np.float64), (frames,))
    ends = np.cumsum(hertz) / RATE
    turns = (ends - hertz / RATE) * (max(1.0, round(ends[-1])) / ends[-1])
    wave = np.zeros(frames, dtype=np.float64)
    for number, weight in enumerate(weights, start=1):
        if weight and number * float(hertz.max()) < _HIGHEST_HZ:
            wave += weight * np.sin(2 * np.pi * number * turns)
    return wave.astype(np.float32)


def noise(chance: Chance, frames: int, low: float, high: float) -> Wave:
    """Noise of one band in Hz, about as loud as a full sine; its end meets its beginning."""
    return _band(_white(chance, frames), frames, low, high)


def swept_noise(chance: Chance, frames: int, centres: Sequence[float], width: float = 1.7) -> Wave:
    """Noise whose band wanders from centre to centre in Hz."""
    along = np.linspace(0, len(centres) - 1, frames, dtype=np.float32)
    white = _white(chance, frames)
    wave = np.zeros(frames, dtype=np.float32)
    for number, centre in enumerate(centres):
        share = np.clip(1 - np.abs(along - number), 0, 1)
        wave += _band(white, frames, centre / width, centre * width) * np.sqrt(share)
    return wave


def _white(chance: Chance, frames: int) -> _Spectrum:
    return np.fft.rfft(chance.standard_normal(frames, dtype=np.float32))


def _band(white: _Spectrum, frames: int, low: float, high: float) -> Wave:
    hertz = np.maximum(np.fft.rfftfreq(frames, 1 / RATE), 1.0).astype(np.float32)
    octaves = np.maximum(0.0, np.maximum(np.log2(low / hertz), np.log2(hertz / high)))
    band = np.fft.irfft(white * np.exp(-6 * octaves**2), frames)
    loudness = float(np.sqrt(np.mean(band**2)))
    return np.asarray(band * (0.5 / max(loudness, 1e-9)), dtype=np.float32)


def decay(frames: int, tau: float, attack: float = 0.001) -> Wave:
    """An envelope that rises within `attack` seconds and falls to 37 % every `tau` seconds; its end is 0."""
    t = times(frames)
    shape = np.minimum(t / np.float32(attack), 1) * np.exp(-t / np.float32(tau))
    return np.asarray(shape * ending(frames, 0.004), dtype=np.float32)


def hump(frames: int, peak: float = 0.5, sharpness: float = 1.0) -> Wave:
    """An envelope from 0 over 1, at the share `peak` of the time, to 0."""
    share = np.linspace(0, 1, frames, dtype=np.float64)
    warped = np.interp(share, (0, peak, 1), (0, 0.5, 1))
    return np.asarray(np.sin(np.pi * warped) ** (2 * sharpness), dtype=np.float32)


def ending(frames: int, seconds: float) -> Wave:
    """1, and a fall to 0 over the last seconds."""
    left = np.arange(frames - 1, -1, -1, dtype=np.float32) / np.float32(min(samples(seconds), frames))
    share = np.minimum(left, 1)
    return np.asarray(share * share * (3 - 2 * share), dtype=np.float32)


def struck(pitch: float, seconds: float, partials: Sequence[tuple[float, float, float]]) -> Wave:
    """A body that was hit: `partials` are (ratio to the pitch, level, seconds to 37 %)."""
    frames = samples(seconds)
    wave = np.zeros(frames, dtype=np.float32)
    t = times(frames)
    for ratio, level, tau in partials:
        if pitch * ratio < _HIGHEST_HZ:
            wave += level * np.sin(np.float32(2 * np.pi * pitch * ratio) * t) * decay(frames, tau)
    return wave


def roomed(mix: Wave, seconds: float, *, wrap: bool = False) -> Wave:
    """What a room answers to a mix; `wrap` leads what rings past the end to the start."""
    reply = _impulse(seconds)
    frames = len(mix)
    if not wrap:
        return _convolved(mix, reply)
    folded = np.zeros((frames, 2), dtype=np.float32)
    for start in range(0, len(reply), frames):
        part = reply[start : start + frames]
        folded[: len(part)] += part
    return np.stack([_turned(mix[:, side], folded[:, side], frames) for side in range(2)], axis=1)


def _turned(voice: Wave, reply: Wave, size: int) -> Wave:
    """The voice convolved with the reply, around a circle of so many samples."""
    spectrum = np.fft.rfft(np.ascontiguousarray(voice), size) * np.fft.rfft(np.ascontiguousarray(reply), size)
    return np.asarray(np.fft.irfft(spectrum, size), dtype=np.float32)


@lru_cache(maxsize=16)
def _impulse(seconds: float) -> Wave:
    """Two different tails of noise, which darken as they fade."""
    frames = samples(seconds)
    t = times(frames)
    chance = chance_of("room", seconds)
    bands = ((150.0, 2_000.0, 0.28), (2_000.0, 6_000.0, 0.16), (6_000.0, 12_000.0, 0.08))
    reply = np.zeros((frames, 2), dtype=np.float32)
    for side in range(2):
        for low, high, tau in bands:
            reply[:, side] += noise(chance, frames, low, high) * np.exp(-t / np.float32(seconds * tau))
    reply *= (np.minimum(t / np.float32(0.012), 1) * ending(frames, seconds / 4))[:, None]
    return np.asarray(reply / np.sqrt((reply**2).sum(axis=0)), dtype=np.float32)


def _convolved(mix: Wave, reply: Wave) -> Wave:
    """In blocks, so that two minutes take no more memory than a few seconds."""
    frames = len(mix)
    size = 1 << (min(max(_BLOCK, 2 * len(reply)), frames + len(reply)) - 1).bit_length()
    hop = size - len(reply) + 1
    wet = np.zeros((frames + size, 2), dtype=np.float32)
    for start in range(0, frames, hop):
        for side in range(2):
            wet[start : start + size, side] += _turned(mix[start : start + hop, side], reply[:, side], size)
    return wet[:frames]
