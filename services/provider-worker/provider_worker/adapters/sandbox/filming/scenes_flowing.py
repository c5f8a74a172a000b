"""Scenes without an outline: silk, and waves, rings and rays that are read from one row of colours."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from provider_worker.adapters.sandbox.drawing.canvas import Canvas, Picture, pasted, smooth
from provider_worker.adapters.sandbox.drawing.colours import Array, Rgb, mixed, tinted, to_lab, to_rgb

Moving = Callable[[float], Picture]
"""A picture of any size for a moment. A moment is a number of turns, and a whole turn later it is the same picture."""

_ROW = 1_024
_Phases = npt.NDArray[np.int16]
_Layer = tuple[Picture, Picture]


def silk(canvas: Canvas) -> Moving:
    """Points of colour that wander in circles and run into each other."""
    x, y = canvas.grid()
    random = canvas.random
    wide, tall = canvas.width / canvas.short, canvas.height / canvas.short
    voices, deep = canvas.palette.voices, canvas.palette.deep
    colours = [to_lab(one) for one in (voices[0], voices[1], voices[-1], tinted(voices[0], 0.1), deep, deep, deep)]
    homes = [(random.uniform(0.35, 0.9) * wide, random.uniform(0.05, 0.95) * tall) for _ in colours]
    homes[0] = (canvas.focus_px[0] / canvas.short, canvas.focus_px[1] / canvas.short)
    last = 1.05 * wide, random.uniform(-0.1, 1.1) * tall
    homes[4:] = [(-0.05 * wide, 0.4 * tall), (0.25 * wide, 1.05 * tall), last]
    orbits = [(random.uniform(0.1, 0.24), random.choice((-1, 1)), random.uniform(0, math.tau)) for _ in colours]
    bends, others = ([_wave(canvas, x, y, 2.4 / (1 + 0.6 * number)) for number in range(3)] for _ in range(2))

    def at(moment: float) -> Picture:
        turn = math.tau * moment
        bend, other = (_summed(waves, turn) for waves in (bends, others))
        across, down = x + 0.16 * bend, y + 0.13 * other
        total, weights = np.zeros((*x.shape, 3), dtype=np.float32), np.zeros_like(x)
        for colour, (home_x, home_y), (reach, way, start) in zip(colours, homes, orbits, strict=True):
            angle = way * turn + start
            at_x, at_y = home_x + reach * math.cos(angle), home_y + reach * math.sin(angle)
            near = 1 / (((across - at_x) ** 2 + (down - at_y) ** 2) * 6 + 0.1)
            weight = near * near * near
            total += colour * weight[..., None]
            weights += weight
        lab = total / weights[..., None]
        lab[..., 0] += 0.03 * np.sin(bend * 5 + (x - y) * 2.2)
        return Image.fromarray(to_rgb(lab), "RGB")

    return at


def ribbons(canvas: Canvas) -> Moving:
    """Satin bands that flow across the picture, each shining where it turns to the light."""
    random, voices = canvas.random, canvas.palette.voices
    x, y = _fine_grid(canvas)
    angle = random.choice((-1, 1)) * random.uniform(0.25, 0.6)
    phases = _phases((y * math.cos(angle) + x * math.sin(angle)) / random.uniform(1.1, 1.5))
    length, start = random.uniform(1.3, 2.0), random.uniform(0, math.tau)
    row = _bands([voices[0], mixed(voices[0], canvas.palette.deep, 0.6), voices[1], canvas.palette.deep], shine=0.1)
    way = random.choice((-1, 1))

    def at(moment: float) -> Picture:
        turn = math.tau * moment
        along = x[0] * math.tau / length
        swing = 0.16 * np.sin(along + way * turn + start) + 0.06 * np.sin(2.3 * along - turn)
        down = 0.08 * np.sin(y[:, 0] * math.tau / 1.7 + turn + start)
        moved = phases + _phases(swing)[None, :] + _phases(down)[:, None] - np.int16(round(_ROW * (moment % 1)))
        return _coloured(row, moved)

    return at


def rings(canvas: Canvas) -> Moving:
    """Rings that run outward from a sun, as on water."""
    voices, deep = canvas.palette.voices, canvas.palette.deep
    x, y = _fine_grid(canvas)
    distance = np.hypot(x - canvas.focus_px[0] / canvas.short, y - canvas.focus_px[1] / canvas.short)
    phases = _phases(distance**0.85 / canvas.random.uniform(0.75, 0.95))
    row = _bands([mixed(voices[0], deep, 0.35), voices[0], voices[1], deep], shine=0.05)
    start = canvas.random.uniform(0, math.tau)
    under_the_sun = _standing(canvas, _sun(canvas))

    def at(moment: float) -> Picture:
        turn = math.tau * moment
        swing = 0.035 * np.sin(x[0] * 4.2 + turn + start)
        moved = phases + _phases(swing)[None, :] - np.int16(round(_ROW * (moment % 1)))
        return under_the_sun(_coloured(row, moved))

    return at


def rays(canvas: Canvas) -> Moving:
    """A sunburst that turns behind its sun and fades into the ground."""
    voices, deep = canvas.palette.voices, canvas.palette.deep
    x, y = _fine_grid(canvas)
    beams = canvas.random.choice((14, 16, 20))
    across, down = x - canvas.focus_px[0] / canvas.short, y - canvas.focus_px[1] / canvas.short
    phases = _phases(np.arctan2(down, across) * beams / math.tau)
    row = _bands([voices[0], tinted(voices[0], -0.09)], shine=0.02, edge=0.06)
    far = canvas.soft_mask(smooth((canvas.focus_distance() - 0.5) / 1.3) * 0.8)
    glow = canvas.soft_mask(smooth(1 - canvas.focus_distance() / 0.6) * 0.55)
    grounds: list[_Layer] = [(canvas.flat(deep), far), (canvas.flat(tinted(voices[1], 0.1)), glow)]
    under_the_sun = _standing(canvas, [*grounds, *_sun(canvas)])

    def at(moment: float) -> Picture:
        # Two beams on in one turn: slow enough to look at, and the same picture again.
        return under_the_sun(_coloured(row, phases - np.int16(round(_ROW * (moment * 2 % 1)))))

    return at


def _sun(canvas: Canvas) -> list[_Layer]:
    """A disc with a light rim, where the motif sits."""
    voices = canvas.palette.voices
    fx, fy = canvas.focus_px
    radius = max(1.0, min(canvas.short * 0.2, canvas.room(fx, fy) * 0.9))
    body = canvas.filled(canvas.gradient(tinted(voices[1], 0.06), voices[1]))
    rim = canvas.flat(canvas.palette.paper)
    return [(rim, canvas.disc_mask(fx, fy, radius * 1.08)), (body, canvas.disc_mask(fx, fy, radius))]


def _standing(canvas: Canvas, layers: Sequence[_Layer]) -> Callable[[Picture], Picture]:
    """Lays over a picture, at the cost of one layer, all that does not move."""
    together = Image.new("RGBA", (canvas.width, canvas.height))
    for over, mask in layers:
        layer = over.convert("RGBA")
        layer.putalpha(mask)
        together.alpha_composite(layer)
    colours, mask = together.convert("RGB"), together.getchannel("A")

    def laid(picture: Picture) -> Picture:
        pasted(picture, colours, mask)
        return picture

    return laid


def _summed(waves: Sequence[Array], turn: float) -> Array:
    height = np.zeros_like(waves[0])
    for number, wave in enumerate(waves):
        height += np.sin(wave + turn) / (1 + number)
    return height


def _wave(canvas: Canvas, x: Array, y: Array, length: float) -> Array:
    angle = canvas.random.uniform(0, math.tau)
    wave: Array = (x * math.cos(angle) + y * math.sin(angle)) * math.tau / length + canvas.random.uniform(0, math.tau)
    return wave


def _fine_grid(canvas: Canvas) -> tuple[Array, Array]:
    """x and y of every pixel in units of the short edge."""
    across = (np.arange(canvas.width, dtype=np.float32) + 0.5) / canvas.short
    down = (np.arange(canvas.height, dtype=np.float32) + 0.5) / canvas.short
    x, y = np.meshgrid(across, down)
    return x, y


def _phases(rows: Array) -> _Phases:
    """Places in a row of colours for distances in whole rows."""
    return np.rint(rows * _ROW).astype(np.int16)


def _bands(colours: Sequence[Rgb], *, shine: float, edge: float = 0.014) -> npt.NDArray[np.uint32]:
    """A row that runs through the colours and back to the first, each lighter in its middle; `edge` is how soft."""
    place = np.arange(_ROW, dtype=np.float32) * (len(colours) / _ROW)
    number = place.astype(np.int64)
    within = place - number
    share = smooth((within - 1 + edge * len(colours)) / (edge * len(colours)))[:, None]
    labs = np.stack([to_lab(colour) for colour in colours])
    lab = labs[number] * (1 - share) + labs[(number + 1) % len(colours)] * share
    lab[:, 0] += shine * np.sin(np.pi * within) ** 2 - shine / 2
    packed = np.zeros((_ROW, 4), dtype=np.uint8)
    packed[:, :3] = to_rgb(lab)
    return packed.view(np.uint32)[:, 0]


def _coloured(row: npt.NDArray[np.uint32], phases: _Phases) -> Picture:
    height, width = phases.shape
    pixels = row[phases & np.int16(_ROW - 1)]
    return Image.frombytes("RGB", (width, height), pixels.tobytes(), "raw", "RGBX")
