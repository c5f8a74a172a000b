"""Telling sounds apart by a few plain measures of their spectrum over time, and by the nearest centroid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import numpy.typing as npt
import soundfile

Samples = npt.NDArray[np.float64]

RATE = 48_000
_WINDOW, _HOP = 2_048, 512
_FLOOR = 1e-12


def heard(data: bytes) -> Samples:
    """The decoded samples, one row each."""
    samples, rate = soundfile.read(BytesIO(data), always_2d=True)
    assert rate == RATE
    return np.asarray(samples, dtype=np.float64)


def spectrogram(samples: Samples) -> Samples:
    """Power, a row for each 11 ms."""
    mono = np.pad(samples.mean(axis=1), (_WINDOW // 2, _WINDOW))
    rows = np.lib.stride_tricks.sliding_window_view(mono, _WINDOW)[::_HOP]
    return np.asarray(np.abs(np.fft.rfft(rows * np.hanning(_WINDOW), axis=1)) ** 2 + _FLOOR)


def rises(power: Samples) -> Samples:
    """How much louder, in dB over all bands, each moment is than the one before."""
    bands = np.add.reduceat(power, np.unique(np.geomspace(2, _WINDOW // 2, 24).astype(int)), axis=1)
    level = 10 * np.log10(np.maximum(bands, bands.max() * 1e-6))
    return np.asarray(np.clip(np.diff(level, axis=0), 0, None).mean(axis=1))


def brightness(power: Samples) -> float:
    """The middle of the spectrum in octaves."""
    octaves = np.log2(np.maximum(np.fft.rfftfreq(_WINDOW, 1 / RATE), 20))
    return float((power.sum(axis=0) * octaves).sum() / power.sum())


def beat(samples: Samples, slowest: float = 50, fastest: float = 200) -> tuple[float, float]:
    """The tempo whose pulse is clearest, and how clear it is (0-1)."""
    strength = rises(spectrogram(samples))
    strength = strength - strength.mean()
    spectrum = np.abs(np.fft.rfft(strength, 4 * len(strength))) ** 2
    alike = np.fft.irfft(spectrum)
    lags = np.arange(len(alike))
    tempos = 60 * RATE / _HOP / np.maximum(lags, 1)
    inside = (tempos >= slowest) & (tempos <= fastest) & (lags < len(strength))
    best = int(np.argmax(np.where(inside, alike, -np.inf)))
    return float(tempos[best]), float(alike[best] / alike[0])


def features(samples: Samples) -> Samples:
    """What tells one effect from another, whatever their lengths."""
    power = spectrogram(samples)
    energy = power.sum(axis=1)
    share = energy / energy.sum()
    at = np.linspace(0, 1, len(energy))
    level = 10 * np.log10(energy / energy.max() + 1e-6)
    active = level > -35
    weight = share[active] / share[active].sum()
    hertz = np.fft.rfftfreq(_WINDOW, 1 / RATE)
    octaves = np.log2(np.maximum(hertz, 20))
    centre = (power * octaves).sum(axis=1) / energy
    flat = np.log(power[:, 3:]).mean(axis=1) - np.log(power[:, 3:].mean(axis=1))
    crest = 10 * np.log10(power.max(axis=1) / power.mean(axis=1))
    strongest = octaves[power.argmax(axis=1)]
    onsets = _peaks(rises(power))
    middle = float((at * share).sum())
    first, last = (active & half for half in (at < middle, at >= middle))
    return np.array(
        [
            middle,
            np.sqrt(((at - middle) ** 2 * share).sum()),
            at[int(np.argmax(energy))],
            active.mean(),
            np.log2(active.sum()),
            (centre[active] * weight).sum(),
            (flat[active] * weight).sum(),
            (crest[active] * weight).sum(),
            np.log10(power[:, hertz > 5_000].sum() / power.sum() + 1e-4),
            np.log10(power[:, hertz < 300].sum() / power.sum() + 1e-4),
            np.log2(1 + len(onsets)),
            np.log2(1 + len(onsets) / (active.sum() * _HOP / RATE)),
            _mean(strongest[last], share[last]) - _mean(strongest[first], share[first]),
            np.std(level[active]),
        ]
    )


def _mean(values: Samples, weights: Samples) -> float:
    return float((values * weights).sum() / max(float(weights.sum()), _FLOOR))


def _peaks(strength: Samples) -> list[int]:
    """Where a sound begins: rises that stand out from those around them."""
    least = max(1.5, 0.25 * float(strength.max()))
    return [
        number
        for number in range(len(strength))
        if strength[number] >= least and strength[number] == strength[max(0, number - 3) : number + 4].max()
    ]


@dataclass(frozen=True, slots=True)
class Listener:
    """Knows the centroid of each kind in units of how far its examples are spread."""

    kinds: tuple[str, ...]
    centroids: Samples
    spread: Samples

    @classmethod
    def taught(cls, examples: Mapping[str, Sequence[Samples]]) -> Listener:
        kinds = tuple(examples)
        within = np.concatenate([np.array(examples[kind]) - np.mean(examples[kind], axis=0) for kind in kinds])
        spread = within.std(axis=0) + 1e-6
        centroids = np.array([np.mean(examples[kind], axis=0) for kind in kinds]) / spread
        return cls(kinds, centroids, spread)

    def kind_of(self, found: Samples) -> str:
        return self.kinds[int(np.argmin(np.linalg.norm(self.centroids - found / self.spread, axis=1)))]
