"""What each effect is made of. A recipe adds to a desk of any length, and varies by the desk's chance."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np

from provider_worker.adapters.sandbox.sounding.desk import Desk
from provider_worker.adapters.sandbox.sounding.waves import (
    Wave,
    decay,
    ending,
    glide,
    hump,
    noise,
    samples,
    struck,
    swept_noise,
    times,
    tone,
)

Effect = Literal["click", "spin", "flip", "scratch", "match", "win", "lose", "countdown", "reveal", "confetti"]
Recipe = Callable[[Desk], None]

_BELL = ((1.0, 1.0, 0.30), (2.0, 0.35, 0.18), (3.01, 0.16, 0.09), (4.2, 0.08, 0.05))
_GLASS = ((1.0, 1.0, 0.42), (2.76, 0.4, 0.25), (5.4, 0.15, 0.12))
_SWITCH = ((1.0, 1.0, 0.005), (1.58, 0.6, 0.004), (2.7, 0.35, 0.003))
_WOOD = ((1.0, 1.0, 0.014), (2.57, 0.45, 0.008), (4.1, 0.2, 0.005))
_BRASS = (1.0, 0.8, 0.62, 0.45, 0.32, 0.22, 0.15, 0.1, 0.07, 0.05)
_HORN = (1.0, 0.55, 0.4, 0.22, 0.14, 0.08)
_BEEP = (1.0, 0.0, 0.33, 0.0, 0.12)
_MAJOR = (0, 4, 7, 12, 16, 19)
_NINTH = (0, 4, 7, 14)


def click(desk: Desk) -> None:
    """A switch: down and, softer, up again."""
    pitch = desk.around(1_900, 3_000)
    for at, level in ((0.0, 1.0), (desk.around(0.05, 0.08), 0.5)):
        desk.add(struck(pitch * desk.around(0.96, 1.05), 0.05, _SWITCH), at, level)
        desk.add(noise(desk.chance, samples(0.012), 2_500, 9_000) * decay(samples(0.012), 0.002), at, 0.7 * level)


def spin(desk: Desk) -> None:
    """A wheel of fortune that runs out; in a loop it goes on turning."""
    rate, pitch = desk.around(17, 23), desk.around(750, 1_050)
    for at, share in _teeth(desk, rate):
        level = 0.75 + 0.25 * share
        desk.add(struck(pitch * desk.around(0.97, 1.03), 0.07, _WOOD), at, level, desk.around(-0.25, 0.25))
        desk.add(noise(desk.chance, samples(0.01), 1_800, 6_000) * decay(samples(0.01), 0.002), at, 0.35 * level)
    air = noise(desk.chance, desk.frames, 250, 900)
    desk.add(air if desk.loop else air * np.linspace(1, 0, desk.frames, dtype=np.float32) ** 1.5, level=0.07)


def _teeth(desk: Desk, rate: float) -> list[tuple[float, float]]:
    """When a tooth of the wheel passes, and how fast the wheel still is, from 1 to 0."""
    if desk.loop:
        count = max(3, round(0.7 * rate * desk.seconds))
        return [(desk.seconds * number / count, 0.7) for number in range(count)]
    share = np.linspace(0, 1, 2_000)
    passed = np.cumsum(0.14 + 0.86 * (1 - share) ** 1.4) * rate * desk.seconds / 2_000
    ats = np.interp(np.arange(int(passed[-1])), passed, share)
    return [(float(at) * desk.seconds, 1 - float(at)) for at in ats]


def flip(desk: Desk) -> None:
    """A card that is turned over: through the air, and down."""
    whoosh = samples(min(desk.around(0.16, 0.24), desk.seconds * 0.4))
    air = swept_noise(desk.chance, whoosh, (700, 1_600, desk.around(3_000, 4_200))) * hump(whoosh, 0.75)
    desk.add(air, 0.0, 0.8)
    down = whoosh / 48_000
    snap = samples(0.06)
    desk.add(noise(desk.chance, snap, 1_200, 5_000) * decay(snap, 0.012), down, 1.1)
    desk.add(struck(desk.around(150, 210), 0.16, ((1.0, 1.0, 0.035), (1.7, 0.4, 0.02))), down, 0.9)


def scratch(desk: Desk) -> None:
    """A coin over a scratch card, back and forth."""
    strokes = max(2, round(desk.around(4.2, 6.0) * desk.seconds))
    length = desk.seconds / strokes
    frames = samples(length)
    for number in range(strokes):
        low = desk.around(1_300, 1_700) * (1.0 if number % 2 else 1.35)
        grain = 0.35 + np.abs(noise(desk.chance, frames, 40, 160)) * 1.6
        stroke = noise(desk.chance, frames, low, low * 4) * hump(frames, 0.45, 0.45) * grain
        desk.add(stroke.astype(np.float32), number * length, desk.around(0.8, 1.0), -0.2 if number % 2 else 0.2)


def match(desk: Desk) -> None:
    """Two bells that agree."""
    root = desk.around(780, 1_150)
    step = min(desk.around(0.1, 0.14), desk.seconds / 5)
    for number, half_tones in enumerate((0, int(desk.chance.choice((5, 7))))):
        desk.add(struck(_up(root, half_tones), desk.seconds, _BELL), number * step, 0.8 + 0.2 * number)


def win(desk: Desk) -> None:
    """A fanfare up the major chord, and the chord itself with a glitter on it."""
    root = desk.around(330, 440)
    steps = _MAJOR[: int(desk.chance.integers(4, 6))]
    step = min(0.13, 0.45 * desk.seconds / len(steps))
    for number, half_tones in enumerate(steps):
        desk.add(_blown(_up(root, half_tones), step * 1.15, _BRASS), number * step, 0.7)
    start = len(steps) * step
    rest = desk.seconds - start
    for pan, half_tones in ((-0.5, 0), (0.0, 4), (0.5, 7), (0.1, 12)):
        desk.add(_blown(_up(root, half_tones), rest * 0.96, _BRASS), start, 0.42, pan)
    for number in range(int(rest / 0.07)):
        pitch = _up(root, 24 + int(desk.chance.choice(_MAJOR[:4])))
        desk.add(struck(pitch, 0.3, _BELL), start + number * 0.07, 0.12, desk.around(-0.8, 0.8))


def lose(desk: Desk) -> None:
    """A horn that goes down by half tones and sinks on the last."""
    root = desk.around(200, 262)
    count = int(desk.chance.integers(3, 5))
    step = 0.55 * desk.seconds / (count - 1)
    for number in range(count - 1):
        desk.add(_blown(_up(root, -number), step * 0.9, _HORN, wah=True), number * step, 0.8)
    start = (count - 1) * step
    frames = samples(desk.seconds - start)
    low = _up(root, 1 - count)
    tremble = 1 + 0.025 * np.sin(2 * np.pi * 5.2 * times(frames))
    sinking = tone(glide(low, low * 0.8, frames, 1.8) * tremble, frames, _HORN)
    desk.add(sinking * _breath(frames, 0.03) * np.linspace(1, 0.35, frames, dtype=np.float32), start, 0.8)


def countdown(desk: Desk) -> None:
    """Three beeps, and a higher one that is longer."""
    pitch = desk.around(620, 860)
    slot = desk.seconds / 4
    for number in range(4):
        last = number == 3
        frames = samples(slot * 0.8 if last else min(0.14, slot * 0.45))
        beep = tone(pitch * (2 if last else 1), frames, _BEEP) * _breath(frames, 0.004)
        desk.add(beep, number * slot, 0.8)


def reveal(desk: Desk) -> None:
    """What grows until the curtain opens, and the light behind it."""
    opening = desk.seconds * desk.around(0.62, 0.7)
    frames = samples(opening)
    rise = np.linspace(0, 1, frames, dtype=np.float32) ** 2.2 * ending(frames, 0.01)
    root = desk.around(210, 290)
    desk.add(swept_noise(desk.chance, frames, (400, 900, 2_200, 5_000, 8_500)) * rise, 0.0, 0.5)
    for pan, ratio in ((-0.4, 0.5), (0.4, 0.503)):
        desk.add(tone(glide(root * ratio, root * ratio * 4, frames, 1.3), frames, _HORN) * rise, 0.0, 0.3, pan)
    tail = desk.seconds * 1.2 - opening
    splash = samples(tail)
    desk.add(noise(desk.chance, splash, 3_500, 12_000) * decay(splash, 0.3 * tail), opening, 0.4)
    for number, half_tones in enumerate(_NINTH):
        desk.add(struck(_up(root, 12 + half_tones), tail, _GLASS), opening, 0.42, 0.5 - number / 3)


def confetti(desk: Desk) -> None:
    """A popper, and paper that comes down for the rest of the time."""
    pop = samples(min(0.12, desk.seconds / 3))
    desk.add(noise(desk.chance, pop, 400, 7_000) * decay(pop, 0.02), 0.0, 1.2)
    desk.add(tone(glide(desk.around(150, 190), 60, pop), pop) * decay(pop, 0.04), 0.0, 0.8)
    rustle = noise(desk.chance, desk.frames, 5_000, 11_000) * decay(desk.frames, 0.4 * desk.seconds, 0.02)
    desk.add(rustle, 0.0, 0.09)
    for _ in range(max(20, int(desk.around(70, 95) * desk.seconds))):
        at = desk.seconds * float(desk.chance.beta(1.1, 2.2))
        scrap = samples(desk.around(0.006, 0.02))
        low = desk.around(4_500, 8_000)
        level = 0.55 * (1 - 0.6 * at / desk.seconds) * desk.around(0.4, 1.0)
        desk.add(noise(desk.chance, scrap, low, low * 1.6) * decay(scrap, 0.004), at, level, desk.around(-0.9, 0.9))


def _blown(pitch: float, seconds: float, weights: Sequence[float], *, wah: bool = False) -> Wave:
    """A note of a wind instrument; with `wah` a hand opens before the bell."""
    frames = samples(seconds)
    bright = tone(pitch, frames, weights)
    if wah:
        open_share = hump(frames, 0.35)
        bright = bright * open_share + tone(pitch, frames, weights[:2]) * (1 - open_share)
    return bright * _breath(frames, 0.018)


def _breath(frames: int, attack: float) -> Wave:
    rise = np.minimum(times(frames) / np.float32(attack), 1)
    return np.asarray(rise * ending(frames, min(0.05, frames / 48_000 / 4)), dtype=np.float32)


def _up(pitch: float, half_tones: int) -> float:
    return float(pitch * 2 ** (half_tones / 12))


RECIPES: Mapping[Effect, Recipe] = {
    "click": click,
    "spin": spin,
    "flip": flip,
    "scratch": scratch,
    "match": match,
    "win": win,
    "lose": lose,
    "countdown": countdown,
    "reveal": reveal,
    "confetti": confetti,
}
