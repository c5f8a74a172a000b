"""The headline of a film: set once, laid over every frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import av
import numpy as np
import numpy.typing as npt
from PIL import Image

from provider_worker.adapters.sandbox.drawing.canvas import Box, Canvas, Picture
from provider_worker.adapters.sandbox.drawing.colours import Palette, Rgb, contrast, luminance
from provider_worker.adapters.sandbox.drawing.lettering import Block, Side, extent, lettered, veil_needed, veil_shape

_SEEN = 2.5
_HARDEST = 97
_APPEARS_S, _APPEARING_S = 0.15, 0.7
_RISE = 0.25

_FULL = np.uint16(256)

_Plane = npt.NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Headline:
    """Type in three planes, the two of colour half as wide and high: where it stands, how it covers, in which tones.

    `size` is that of the type in pixels; `covers` run from 0 to 256.
    """

    left: int
    top: int
    size: int
    covers: tuple[_Plane, _Plane, _Plane]
    tones: tuple[_Plane, _Plane, _Plane]

    def onto(self, frame: av.VideoFrame, share: float = 1.0) -> None:
        """Lay it over a frame of yuv420p; below a `share` of 1 it is still appearing, from a little below."""
        sunk = round(self.size * _RISE * (1 - share) ** 2 / 2) * 2
        for plane, covers, tones, half in zip(frame.planes, self.covers, self.tones, (0, 1, 1), strict=True):
            rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
            top, left = (self.top + sunk) >> half, self.left >> half
            area = rows[top : top + len(covers), left : left + covers.shape[1]]
            cover = covers[: len(area)]
            if share < 1:
                cover = ((cover * np.uint16(round(share * 256))) >> 8).astype(np.uint16)
            area[:] = ((area * (_FULL - cover) + tones[: len(area)] * cover) >> 8).astype(np.uint8)


def appeared(second: float) -> float:
    """How much of a headline is there at a second of a film that does not loop."""
    share = min(1.0, max(0.0, (second - _APPEARS_S) / _APPEARING_S))
    return share * share * (3 - 2 * share)


def typeset(block: Block, width: int, height: int, palette: Palette) -> Headline:
    """The block in the light ink of a palette, the rule above it in the first of its voices that stands out."""
    plain = Palette(((255, 255, 255), (255, 255, 255)), (0, 0, 0), (255, 255, 255))
    canvas = Canvas(width, height, plain, Random(0), (0.5, 0.5))  # noqa: S311 - draws nothing by chance
    white = lettered(canvas, canvas.flat((0, 0, 0)), block).convert("L")
    left, top, right, bottom = white.getbbox() or (0, 0, 2, 2)
    left, top = left & ~1, top & ~1
    cover = white.crop((left, top, min(width, right + 1 & ~1), min(height, bottom + 1 & ~1)))
    dark = float(luminance(palette.deep))
    seen = [voice for voice in palette.voices if contrast(float(luminance(voice)), dark) >= _SEEN]
    above = max(0, round(extent(block)[1]) - top)
    rule = seen[0] if seen else palette.paper
    inks = np.array([_yuv(rule)] * above + [_yuv(palette.paper)] * (cover.height - above), dtype=np.uint16)
    whole, half = (np.asarray(plane, dtype=np.uint16) for plane in (cover, cover.reduce(2)))
    whole, half = whole + whole // 128, half + half // 128
    return Headline(
        left,
        top,
        block.size,
        (whole, half, half),
        (inks[:, :1], inks[::2, 1:2], inks[::2, 2:]),
    )


def veiled(canvas: Canvas, words: Box, side: Side, grounds: Sequence[Picture]) -> Picture | None:
    """The mask of the veil of deep colour that these grounds need below the words, if they need any."""
    hardest = max(_light(ground, canvas, words) for ground in grounds)
    paper, deep = (float(luminance(one)) for one in (canvas.palette.paper, canvas.palette.deep))
    strength = veil_needed(paper, deep, hardest)
    return canvas.soft_mask(veil_shape(canvas, words, side) * strength) if strength else None


def _light(ground: Picture, canvas: Canvas, words: Box) -> float:
    """Luminance of the lighter spots below the words; the ground may be of any size."""
    across, down = ground.width / canvas.width, ground.height / canvas.height
    left, top, right, bottom = words
    box = (int(left * across), int(top * down), int(right * across) + 1, int(bottom * down) + 1)
    few = ground.crop(box).resize((32, 32), Image.Resampling.BOX)
    return float(np.percentile(luminance(np.asarray(few)), _HARDEST))


def _yuv(colour: Rgb) -> tuple[int, int, int]:
    """The three tones of a colour as ITU-R BT.709 has them."""
    red, green, blue = (value / 255 for value in colour)
    light = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    tones = 16 + 219 * light, 128 + 224 * (blue - light) / 1.8556, 128 + 224 * (red - light) / 1.5748
    return round(tones[0]), round(tones[1]), round(tones[2])
