"""How loud a mix is (ITU-R BS.1770-5, EBU R 128), and making it as loud as wanted without clipping."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from provider_worker.adapters.sandbox.sounding.waves import RATE, Wave

_STEP = RATE // 10
_STEPS_IN_BLOCK = 4
_SILENCE_LUFS = -70.0
_QUIET_LU = 10.0
_LIMITER_STEP = 64
_LIMITER_REACH = 12
_PASSES = 3
_NEAR_LU = 0.1
_SHELF = ((1.53512485958697, -2.69169618940638, 1.19839281085285), (1.0, -1.69065929318241, 0.73248077421585))
_HIGH_PASS = ((1.0, -2.0, 1.0), (1.0, -1.99004745483398, 0.99007225036621))

Energies = npt.NDArray[np.floating[Any]]


def integrated(mix: Wave) -> float:
    """Loudness of the whole in LUFS, without its silences; -70 where there is nothing else."""
    blocks = _blocks(mix)
    heard = blocks[_lufs(blocks) > _SILENCE_LUFS]
    if not len(heard):
        return _SILENCE_LUFS
    kept = heard[_lufs(heard) > float(_lufs(heard.mean())) - _QUIET_LU]
    return float(_lufs(kept.mean()))


def loudest(mix: Wave) -> float:
    """Loudness of the loudest 400 ms in LUFS."""
    return float(_lufs(_blocks(mix).max()))


def amplified(mix: Wave, decibels: float) -> Wave:
    return mix * np.float32(10 ** (decibels / 20))


def mastered(mix: Wave, lufs: float, peak: float) -> Wave:
    """The mix at this integrated loudness, no sample of it above `peak` (0-1); its peaks give way to that."""
    loud = mix
    missing = lufs - integrated(mix)
    for _ in range(_PASSES):
        loud = limited(amplified(mix, missing), peak)
        error = lufs - integrated(loud)
        if abs(error) < _NEAR_LU:
            break
        missing += error
    return loud


def limited(mix: Wave, peak: float) -> Wave:
    """Turned down smoothly around whatever exceeds `peak`, ahead of it as well as after it."""
    steps = math.ceil(len(mix) / _LIMITER_STEP)
    padded = np.pad(np.maximum(np.abs(mix[:, 0]), np.abs(mix[:, 1])), (0, steps * _LIMITER_STEP - len(mix)))
    allowed = np.minimum(1, peak / np.maximum(padded.reshape(steps, -1).max(axis=1), 1e-9))
    if allowed.min() >= 1:
        return mix
    # The least of a wider window, then the mean of a narrower one: at no sample is the gain above what it allows.
    least = sliding_window_view(np.pad(allowed, _LIMITER_REACH + 1, mode="edge"), 2 * _LIMITER_REACH + 3).min(axis=1)
    calm = sliding_window_view(np.pad(least, _LIMITER_REACH, mode="edge"), 2 * _LIMITER_REACH + 1).mean(axis=1)
    middles = (np.arange(steps) + 0.5) * _LIMITER_STEP
    gain = np.interp(np.arange(len(mix)), middles, calm).astype(np.float32)
    turned_down: Wave = mix * gain[:, None]
    return turned_down


def _blocks(mix: Wave) -> Energies:
    """Weighted energy of every 400 ms, one each 100 ms; a shorter mix is followed by silence."""
    steps = max(_STEPS_IN_BLOCK, math.ceil(len(mix) / _STEP))
    energy = np.zeros(steps, dtype=np.float64)
    whole = len(mix) // _STEP
    for channel in range(2):
        rows = mix[: whole * _STEP, channel].reshape(whole, _STEP)
        energy[:whole] += _weighted(rows)
        rest = mix[whole * _STEP :, channel]
        if len(rest):
            energy[whole] += _weighted(np.pad(rest, (0, _STEP - len(rest)))[None, :])[0]
    blocks: Energies = sliding_window_view(energy, _STEPS_IN_BLOCK).mean(axis=1)
    return blocks


def _weighted(rows: Wave) -> Energies:
    power = np.abs(np.fft.rfft(rows, axis=1)) ** 2
    energy: Energies = (power @ _weights()) * (2 / _STEP**2)
    return energy


@lru_cache(maxsize=1)
def _weights() -> Energies:
    """What the ear makes of each frequency, as a share of its power."""
    turn = np.exp(-2j * np.pi * np.fft.rfftfreq(_STEP))
    powers = np.stack([turn**0, turn, turn**2])
    answer = np.ones_like(turn)
    for above, below in (_SHELF, _HIGH_PASS):
        answer *= (np.array(above) @ powers) / (np.array(below) @ powers)
    weights: Energies = (np.abs(answer) ** 2).astype(np.float32)
    return weights


def _lufs(energy: Energies | np.floating[Any]) -> Energies:
    levels: Energies = -0.691 + 10 * np.log10(np.maximum(energy, 1e-12))
    return levels
