"""Loudness and true peak after ITU-R BS.1770-4, written down once more, so that tests need not believe the filter."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Wave = npt.NDArray[np.float64]

_RATE = 48_000
# Annex 1, tables 1 and 2: the head, and what the ear does not hear of the bass; both for 48 kHz.
_STAGES = (
    ((1.53512485958697, -2.69169618940638, 1.19839281085285), (1.0, -1.69065929318241, 0.73248077421585)),
    ((1.0, -2.0, 1.0), (1.0, -1.99004745483398, 0.99007225036621)),
)


def integrated(wave: Wave) -> float:
    """LUFS of a wave of 48 kHz, a column for each channel."""
    weighted = _weighted(wave)
    block, step = round(0.4 * _RATE), round(0.1 * _RATE)
    power = np.array(
        [np.sum(np.mean(weighted[at : at + block] ** 2, axis=0)) for at in range(0, len(weighted) - block + 1, step)]
    )
    loud = power[_lufs(power) > -70]
    return float(_lufs(np.mean(loud[_lufs(loud) > _lufs(np.mean(loud)) - 10])))


def _weighted(wave: Wave) -> Wave:
    turn = np.exp(-1j * np.linspace(0, np.pi, len(wave) + 1))
    response = np.ones_like(turn)
    for above, below in _STAGES:
        response *= sum(k * turn**n for n, k in enumerate(above)) / sum(k * turn**n for n, k in enumerate(below))
    spectrum = np.fft.rfft(wave, 2 * len(wave), axis=0) * response[:, None]
    return np.asarray(np.fft.irfft(spectrum, axis=0)[: len(wave)])


def _lufs(power: npt.ArrayLike) -> npt.NDArray[np.float64]:
    return np.asarray(-0.691 + 10 * np.log10(np.maximum(power, 1e-12)))


def true_peak(wave: Wave) -> float:
    """dBTP: the largest value between the samples, too."""
    finer = np.fft.irfft(np.fft.rfft(wave, axis=0), 4 * len(wave), axis=0) * 4
    return 20 * float(np.log10(np.max(np.abs(finer))))
