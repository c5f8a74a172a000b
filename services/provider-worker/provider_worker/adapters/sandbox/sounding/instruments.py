"""Instruments: what each is made of, and one note of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from provider_worker.adapters.sandbox.sounding.waves import RATE, Wave, samples, times

_TABLE = 4_096
_HIGHEST_HZ = 15_000.0
_DARKER_SHARE = 0.18

_SAW = tuple(1 / k for k in range(1, 31))
_SQUARE = tuple(1 / k if k % 2 else 0.0 for k in range(1, 26))
_SOFT_SAW = tuple(1 / k**1.6 for k in range(1, 21))
_HOLLOW = (1.0, 0.05, 0.33, 0.03, 0.14, 0.02, 0.06)
_REED = (1.0, 0.6, 0.7, 0.45, 0.35, 0.22, 0.16, 0.1, 0.06)
_STRING = (1.0, 0.72, 0.55, 0.42, 0.3, 0.24, 0.17, 0.12, 0.08, 0.05, 0.03)
_PLUCKED = (1.0, 0.8, 0.5, 0.42, 0.3, 0.2, 0.15, 0.1, 0.08, 0.05, 0.04, 0.03)
_TINE = (1.0, 0.12, 0.05, 0.32, 0.02, 0.0, 0.1)
_BAR = (1.0, 0.0, 0.0, 0.4, 0.0, 0.0, 0.0, 0.0, 0.12)
_ROUND = (1.0, 0.35, 0.12, 0.05)
_SINE = (1.0, 0.06)


@dataclass(frozen=True, slots=True)
class Instrument:
    """How a note sounds: levels of its harmonics, how it begins, fades and ends, times in seconds.

    `fades_s` is when a held note has fallen to 37 %. `dulls_s` is how fast its upper harmonics leave it. `wide_cents`
    is how far left and right are out of tune with each other, `vibrato_cents` how far it trembles. `drive` distorts.
    """

    harmonics: tuple[float, ...]
    begins_s: float = 0.006
    fades_s: float = math.inf
    ends_s: float = 0.08
    dulls_s: float = math.inf
    wide_cents: float = 0.0
    vibrato_cents: float = 0.0
    drive: float = 0.0


INSTRUMENTS = {
    "synth bass": Instrument(_SAW, fades_s=0.5, ends_s=0.05, dulls_s=0.12),
    "finger bass": Instrument(_PLUCKED, fades_s=0.9, ends_s=0.07, dulls_s=0.16),
    "upright bass": Instrument(_ROUND, begins_s=0.012, fades_s=0.55, ends_s=0.09, dulls_s=0.1),
    "deep bass": Instrument(_SINE, begins_s=0.004, fades_s=0.9, ends_s=0.12, drive=1.6),
    "low strings": Instrument(_STRING, begins_s=0.12, ends_s=0.35, wide_cents=7, vibrato_cents=4),
    "strings": Instrument(_STRING, begins_s=0.16, ends_s=0.45, wide_cents=11, vibrato_cents=7),
    "plucked strings": Instrument(_STRING, begins_s=0.004, fades_s=0.22, ends_s=0.12, dulls_s=0.08, wide_cents=4),
    "flute": Instrument(_HOLLOW, begins_s=0.05, ends_s=0.14, vibrato_cents=14),
    "horns": Instrument(_REED[:6], begins_s=0.07, ends_s=0.22, wide_cents=6, vibrato_cents=4),
    "saxophone": Instrument(_REED, begins_s=0.035, fades_s=2.5, ends_s=0.1, vibrato_cents=16),
    "electric piano": Instrument(_TINE, fades_s=1.1, ends_s=0.18, dulls_s=0.3, wide_cents=4),
    "piano": Instrument(_PLUCKED, begins_s=0.003, fades_s=1.3, ends_s=0.2, dulls_s=0.3, wide_cents=3),
    "vibraphone": Instrument(_BAR, begins_s=0.002, fades_s=1.0, ends_s=0.4, dulls_s=0.2, wide_cents=2),
    "clean guitar": Instrument(_PLUCKED, begins_s=0.002, fades_s=0.7, ends_s=0.12, dulls_s=0.14, wide_cents=5),
    "driven guitar": Instrument(_SAW[:14], begins_s=0.004, fades_s=2.0, ends_s=0.07, wide_cents=13, drive=2.6),
    "lead guitar": Instrument(_SAW[:10], begins_s=0.006, fades_s=2.2, ends_s=0.12, vibrato_cents=20, drive=3.2),
    "saw lead": Instrument(_SAW, begins_s=0.008, fades_s=1.2, ends_s=0.14, dulls_s=0.35, wide_cents=14),
    "square lead": Instrument(_SQUARE, begins_s=0.006, fades_s=0.9, ends_s=0.12, dulls_s=0.3, vibrato_cents=9),
    "pluck": Instrument(_SAW, begins_s=0.003, fades_s=0.28, ends_s=0.12, dulls_s=0.09, wide_cents=9),
    "stab": Instrument(_SAW, begins_s=0.004, fades_s=0.45, ends_s=0.1, dulls_s=0.2, wide_cents=16),
    "warm pad": Instrument(_SOFT_SAW, begins_s=0.5, ends_s=0.9, wide_cents=12),
    "slow pad": Instrument(_SOFT_SAW, begins_s=1.4, ends_s=2.2, wide_cents=10, vibrato_cents=3),
    "glass": Instrument(_BAR, begins_s=0.02, fades_s=1.8, ends_s=1.5, dulls_s=0.5, wide_cents=6),
}


def note(instrument: Instrument, pitch: int, held: int) -> Wave:
    """One note, left and right, of a MIDI pitch that is held for so many samples; it rings on for `ends_s`."""
    hertz = 440.0 * 2 ** ((pitch - 69) / 12)
    frames = held + samples(instrument.ends_s)
    shape = _shape(instrument, held, frames)
    apart = 2 ** (instrument.wide_cents / 2400)
    left = _voice(instrument, hertz / apart, frames)
    right = _voice(instrument, hertz * apart, frames) if instrument.wide_cents else left
    return np.stack([left, right], axis=1) * shape


def _voice(instrument: Instrument, hertz: float, frames: int) -> Wave:
    at = np.arange(frames, dtype=np.float64) * (hertz * _TABLE / RATE)
    if instrument.vibrato_cents:
        t = times(frames)
        reach = hertz * _TABLE * (2 ** (instrument.vibrato_cents / 1200) - 1) / (2 * np.pi * 5.3)
        at += reach * np.sin(np.float32(2 * np.pi * 5.3) * t) * np.minimum(t / 0.4, 1)
    places = at.astype(np.int64) & (_TABLE - 1)
    count = max(1, min(len(instrument.harmonics), int(_HIGHEST_HZ / hertz)))
    wave = _table(instrument.harmonics[:count])[places]
    if math.isfinite(instrument.dulls_s):
        share = np.float32(_DARKER_SHARE) + np.exp(-times(frames) / np.float32(instrument.dulls_s))
        wave = _table(instrument.harmonics[:2])[places] * (1 - share * 0.5) + wave * share
    if instrument.drive:
        wave = np.tanh(wave * np.float32(instrument.drive)) / np.float32(math.tanh(instrument.drive))
    return np.asarray(wave, dtype=np.float32)


def _shape(instrument: Instrument, held: int, frames: int) -> Wave:
    t = times(frames)
    shape = np.minimum(t / np.float32(instrument.begins_s), 1)
    if math.isfinite(instrument.fades_s):
        shape = shape * np.exp(-t / np.float32(instrument.fades_s))
    left = np.clip((frames - 1 - np.arange(frames, dtype=np.float32)) / np.float32(frames - held), 0, 1)
    return np.asarray((shape * left * left)[:, None], dtype=np.float32)


@lru_cache(maxsize=512)
def _table(levels: tuple[float, ...]) -> Wave:
    """One turn of a wave with these harmonics, at most 1 high."""
    spectrum = np.zeros(_TABLE // 2 + 1, dtype=np.complex128)
    spectrum[1 : len(levels) + 1] = np.array(levels) * -0.5j * _TABLE
    turn = np.fft.irfft(spectrum, _TABLE)
    return np.asarray(turn / np.abs(turn).max(), dtype=np.float32)
