"""Samples cut, lengthened and closed to a loop. A wave has a row for each moment and a column for each channel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Wave = npt.NDArray[np.float32]

_CROSSFADE_S, _SHORTEST_CROSSFADE_S = 0.5, 0.02
_SHORTEST_FADE_S, _LONGEST_FADE_S, _FADE_SHARE = 0.01, 1.0, 20
_QUIET = 0.003
"""About -50 dB: what is below at the ends of a piece is left out where it is repeated."""
_UNHEARD = 1e-3
"""A step of so much is not heard, however smooth the sound around it is."""


def seam(wave: Wave, rate: int) -> float:
    """The step from the last sample to the first, as a share of the largest step nearby: up to 1 nothing clicks."""
    near = max(2, round(_SHORTEST_FADE_S * rate))
    step = np.max(np.abs(wave[0] - wave[-1]))
    around = max(_largest_step(wave[:near]), _largest_step(wave[-near:]), _UNHEARD)
    return float(step / around)


def _largest_step(wave: Wave) -> float:
    return float(np.max(np.abs(np.diff(wave, axis=0)), initial=0.0))


def trimmed(wave: Wave, count: int, rate: int) -> Wave:
    """The first `count` samples; they fade out over as long as was cut off, a twentieth of them or a second at most."""
    cut = len(wave) - count
    if cut <= 0:
        return wave
    longest = min(round(_LONGEST_FADE_S * rate), max(1, count // _FADE_SHARE))
    return _faded(wave[:count], min(longest, max(cut, round(_SHORTEST_FADE_S * rate))))


def padded(wave: Wave, count: int, rate: int) -> Wave:
    """Silence added behind the sound until there are `count` samples."""
    if len(wave) >= count:
        return wave
    ended = _faded(wave, min(len(wave), round(_SHORTEST_FADE_S * rate)))
    return np.concatenate([ended, np.zeros((count - len(wave), wave.shape[1]), np.float32)])


def _faded(wave: Wave, samples: int) -> Wave:
    made = wave.copy()
    made[len(made) - samples :] *= np.cos(_shares(samples) * np.pi / 2)[:, None]
    return made


def _shares(count: int) -> Wave:
    """From just above 0 to just below 1."""
    return (np.arange(1, count + 1, dtype=np.float32) / (count + 1)).astype(np.float32)


def lengthened(wave: Wave, count: int, rate: int) -> Wave:
    """At least `count` samples: the sound again and again, each time crossfaded into the next."""
    piece = _between_silences(wave)
    zone = max(1, min(round(_CROSSFADE_S * rate), len(piece) // 4))
    period = len(piece) - zone
    again = np.concatenate([crossfaded(piece[period:], piece[:zone]), piece[zone:period]])
    return np.concatenate([piece[:period], *[again] * -(-max(0, count - period) // period)])


def _between_silences(wave: Wave) -> Wave:
    heard = np.flatnonzero(np.max(np.abs(wave), axis=1) > _QUIET)
    return wave[heard[0] : heard[-1] + 1] if len(heard) else wave


def crossfade_length(lead: int, count: int, rate: int) -> int:
    """For how many samples a loop of `count` samples is crossfaded that `lead` samples are left out in front of."""
    wanted = min(max(lead, round(_SHORTEST_CROSSFADE_S * rate)), round(_CROSSFADE_S * rate))
    return max(1, min(wanted, count // 4))


def looped(wave: Wave, count: int, lead: int, zone: int) -> Wave:
    """`count` samples from `lead` on, of which the last `zone` turn into those before `lead`, so that the end meets it.

    Where there are too few before `lead`, they turn into its beginning, played backwards.
    """
    before = wave[np.abs(np.arange(lead - zone, lead))]
    end = lead + count
    return np.concatenate([wave[lead : end - zone], crossfaded(wave[end - zone : end], before)])


def crossfaded(ending: Wave, beginning: Wave) -> Wave:
    """One sound into another of the same length, equally loud all the way where that is not louder than both."""
    share = _shares(len(ending))[:, None]
    made = ending * np.cos(share * np.pi / 2) + beginning * np.sin(share * np.pi / 2)
    if np.max(np.abs(made), initial=0.0) <= max(np.max(np.abs(ending)), np.max(np.abs(beginning))):
        return np.asarray(made, np.float32)
    return np.asarray(ending * (1 - share) + beginning * share, np.float32)
