"""Colours as designers mix them: in OKLab, where equal steps look equal (B. Ottosson, 2020)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]
Rgb = tuple[int, int, int]

_HEX = re.compile(r"#([0-9a-fA-F]{6}|[0-9a-fA-F]{3})(?![0-9a-zA-Z])")
_MOST = 6

_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ],
    dtype=np.float32,
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ],
    dtype=np.float32,
)
_FROM_LAB = np.linalg.inv(_TO_LAB)
_FROM_LMS = np.linalg.inv(_TO_LMS)

# Shown when a brief names no colour: each a base, two voices and an accent that go together.
_HOUSE = (
    ("#0B1D3A", "#1F6FEB", "#F2C14E"),
    ("#2D1E2F", "#E15A4F", "#F7B267"),
    ("#0F2E2A", "#1B998B", "#F4D35E"),
    ("#1B1B3A", "#7B5CFF", "#FF8FB1"),
    ("#222831", "#FF6B35", "#EFEFD0"),
    ("#10243E", "#3AAFA9", "#FF7E67"),
)


def parse(text: str) -> Rgb:
    """`#1a2b3c` or `#abc` as three bytes; raises `ValueError`."""
    found = _HEX.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text[:20]!r} is no colour such as #1a2b3c")
    digits = found[1] if len(found[1]) == 6 else "".join(digit * 2 for digit in found[1])
    return int(digits[0:2], 16), int(digits[2:4], 16), int(digits[4:6], 16)


def named_in(prompt: str) -> list[Rgb]:
    """The colours that a text names in hex, in order, each once."""
    return list(dict.fromkeys(parse(found[0]) for found in _HEX.finditer(prompt)))[:_MOST]


def to_lab(rgb: Any) -> Array:
    """sRGB bytes, last axis three, to OKLab."""
    share = np.asarray(rgb, dtype=np.float32) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4).astype(np.float32)
    lab: Array = np.cbrt(linear @ _TO_LMS.T) @ _TO_LAB.T
    return lab


def to_rgb(lab: Array) -> npt.NDArray[np.uint8]:
    """OKLab to sRGB bytes; what no screen shows is clipped."""
    linear = np.clip(((lab @ _FROM_LAB.T) ** 3) @ _FROM_LMS.T, 0, 1)
    share = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(share * 255), dtype=np.uint8)


def as_rgb(lab: Array) -> Rgb:
    red, green, blue = to_rgb(lab)
    return int(red), int(green), int(blue)


def mixed(first: Rgb, second: Rgb, share: float) -> Rgb:
    """The colour `share` of the way from `first` to `second`."""
    return as_rgb(to_lab(first) * np.float32(1 - share) + to_lab(second) * np.float32(share))


def changed(colour: Rgb, *, lightness: float, chroma: float | None = None, turn: float = 0.0) -> Rgb:
    """The same hue, turned by `turn` degrees, at another lightness (0-1) and at most this chroma (0-0.4)."""
    _, a, b = (float(value) for value in to_lab(colour))
    length = float(np.hypot(a, b))
    angle = float(np.arctan2(b, a)) + float(np.radians(turn))
    kept = length if chroma is None else min(length, chroma)
    return as_rgb(np.array([lightness, kept * np.cos(angle), kept * np.sin(angle)], dtype=np.float32))


def tinted(colour: Rgb, by: float) -> Rgb:
    """A lighter (or, below 0, darker) tone of the same colour."""
    return changed(colour, lightness=min(0.97, max(0.06, lightness(colour) + by)))


def lightness(colour: Rgb) -> float:
    return float(to_lab(colour)[0])


def chroma(colour: Rgb) -> float:
    _, a, b = (float(value) for value in to_lab(colour))
    return float(np.hypot(a, b))


def luminance(rgb: Any) -> Array:
    """Relative luminance as WCAG 2 defines it, last axis three."""
    share = np.asarray(rgb, dtype=np.float32) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    weighted: Array = (linear @ np.array([0.2126, 0.7152, 0.0722])).astype(np.float32)
    return weighted


def contrast(first: float, second: float) -> float:
    """The WCAG 2 contrast of two luminances, 1 to 21."""
    light, dark = max(first, second), min(first, second)
    return (light + 0.05) / (dark + 0.05)


@dataclass(frozen=True, slots=True)
class Palette:
    """Brand colours in the roles that a composition needs.

    `voices` are the brand's own colours, the loudest first, at least two; `deep` and `paper` are its dark and its
    light ground, taken from the brand where it has such colours.
    """

    voices: tuple[Rgb, ...]
    deep: Rgb
    paper: Rgb


def palette_of(brand: Sequence[Rgb], random: Random) -> Palette:
    """Give brand colours their roles; without any, one of the house's own sets."""
    colours = list(brand) or [parse(text) for text in random.choice(_HOUSE)]
    voices = [colour for colour in colours if 0.3 < lightness(colour) < 0.93 and chroma(colour) > 0.03]
    if not voices:
        voices = [max(colours, key=chroma)]
    if len(voices) == 1:
        voices.append(_companion(voices[0]))
    return Palette(tuple(voices), _deep(colours, voices[0]), _paper(colours, voices[0]))


def _companion(voice: Rgb) -> Rgb:
    """A neighbour on the colour wheel, as far from the voice in lightness as keeps both strong."""
    level = lightness(voice)
    return changed(voice, lightness=level - 0.2 if level > 0.6 else level + 0.2, turn=38)


def _deep(colours: Iterable[Rgb], voice: Rgb) -> Rgb:
    darkest = min(colours, key=lightness)
    return darkest if lightness(darkest) < 0.32 else changed(voice, lightness=0.2, chroma=0.07)


def _paper(colours: Iterable[Rgb], voice: Rgb) -> Rgb:
    lightest = max(colours, key=lightness)
    return lightest if lightness(lightest) > 0.93 else changed(voice, lightness=0.965, chroma=0.018)
