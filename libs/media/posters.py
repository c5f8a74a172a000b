"""What stands for a sound or a video in a page of pictures."""

from __future__ import annotations

from itertools import pairwise

import av
import numpy as np
from av.video.reformatter import Interpolation
from PIL import Image, ImageDraw

from media.wanted import THUMBNAIL_EDGE
from media.waves import Wave

_WAVE_SIZE = (THUMBNAIL_EDGE, THUMBNAIL_EDGE // 2)
_BARS, _MARGIN, _FINENESS = 64, 24, 2
_GROUND, _INK = "#eef1f5", "#475569"
_SMALLEST = 0.02


def waveform(wave: Wave) -> Image.Image:
    """How loud the sound is from its beginning to its end, as upright bars about a middle line."""
    width, height = (edge * _FINENESS for edge in _WAVE_SIZE)
    picture = Image.new("RGB", (width, height), _GROUND)
    draw = ImageDraw.Draw(picture)
    margin = _MARGIN * _FINENESS
    pitch = (width - 2 * margin) / _BARS
    for number, level in enumerate(_levels(wave)):
        left, half = margin + pitch * number, level * (height / 2 - margin)
        box = (left + pitch * 0.2, height / 2 - half, left + pitch * 0.8, height / 2 + half)
        draw.rounded_rectangle(box, radius=pitch * 0.3, fill=_INK)
    return picture.reduce(_FINENESS)


def _levels(wave: Wave) -> list[float]:
    """From _SMALLEST to 1; the root makes what is quiet seen beside what is loud."""
    edges = np.linspace(0, len(wave), _BARS + 1).astype(int)
    parts = [wave[start : max(end, start + 1)] for start, end in pairwise(edges)]
    power = np.array([float(np.sqrt(np.mean(np.square(part)))) if len(part) else 0.0 for part in parts])
    return [max(_SMALLEST, float(level)) for level in np.sqrt(power / max(power.max(), 1e-6))]


def poster(frame: av.VideoFrame) -> Image.Image:
    """A frame as a small picture."""
    scale = min(1.0, THUMBNAIL_EDGE / max(frame.width, frame.height))
    width, height = (max(1, round(edge * scale)) for edge in (frame.width, frame.height))
    small = frame.reformat(width, height, "rgb24", interpolation=Interpolation.AREA, threads=1)
    return Image.fromarray(small.to_ndarray())
