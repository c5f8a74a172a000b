"""Drawing surfaces: soft things are computed small and scaled up, sharp things are drawn large and scaled down."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageDraw

from provider_worker.adapters.sandbox.drawing.colours import Array, Palette, Rgb, to_lab, to_rgb

Point = tuple[float, float]
Box = tuple[float, float, float, float]
Picture = Image.Image

_SOFT_EDGE = 176
_GRAIN = 256


@dataclass(frozen=True, slots=True)
class Canvas:
    """What a scene draws on: pixels, colours, chance, and where its motif should sit (0-1 of width and height).

    `words` is the box in pixels that the headline will fill: lively things keep out of it.
    """

    width: int
    height: int
    palette: Palette
    random: Random
    focus: Point
    words: Box | None = None

    @property
    def short(self) -> int:
        return min(self.width, self.height)

    @property
    def long(self) -> int:
        return max(self.width, self.height)

    @property
    def focus_px(self) -> Point:
        return self.focus[0] * self.width, self.focus[1] * self.height

    @property
    def soft_size(self) -> tuple[int, int]:
        """Pixels of the small grid that soft things are computed on."""
        scale = max(1.0, self.long / _SOFT_EDGE)
        return max(2, round(self.width / scale)), max(2, round(self.height / scale))

    def grid(self) -> tuple[Array, Array]:
        """x and y of the soft grid in units of the short edge."""
        width, height = self.soft_size
        across = (np.arange(width, dtype=np.float32) + 0.5) / width * (self.width / self.short)
        down = (np.arange(height, dtype=np.float32) + 0.5) / height * (self.height / self.short)
        x, y = np.meshgrid(across, down)
        return x, y

    def focus_distance(self) -> Array:
        """Distance from the focus on the soft grid, in units of the short edge."""
        x, y = self.grid()
        distance: Array = np.hypot(x - self.focus_px[0] / self.short, y - self.focus_px[1] / self.short)
        return distance

    def scaled_up(self, lab: Array) -> Picture:
        """A soft grid of OKLab colours as a picture of full size."""
        return Image.fromarray(to_rgb(lab), "RGB").resize((self.width, self.height), Image.Resampling.BICUBIC)

    def soft_mask(self, share: Array) -> Picture:
        """A soft grid of 0-1 as a mask of full size."""
        small = Image.fromarray(np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8), "L")
        return small.resize((self.width, self.height), Image.Resampling.BICUBIC)

    def sharp_mask(self, draw: Callable[[ImageDraw.ImageDraw, float], None]) -> Picture:
        """What `draw` draws in white, with smooth edges; it gets the scale to multiply its pixels with."""
        large = Image.new("L", (self.width * 2, self.height * 2), 0)
        draw(ImageDraw.Draw(large), 2.0)
        return large.reduce(2)

    def polygon_mask(self, points: Sequence[Point]) -> Picture:
        return self.sharp_mask(lambda pen, scale: pen.polygon([(x * scale, y * scale) for x, y in points], fill=255))

    def disc_mask(self, x: float, y: float, radius: float) -> Picture:
        def draw(pen: ImageDraw.ImageDraw, scale: float) -> None:
            pen.ellipse([value * scale for value in (x - radius, y - radius, x + radius, y + radius)], fill=255)

        return self.sharp_mask(draw)

    def flat(self, colour: Rgb) -> Picture:
        return Image.new("RGB", (self.width, self.height), colour)

    def gradient(self, top: Rgb, bottom: Rgb) -> Picture:
        """From the colour `top` down to `bottom`: one pixel wide, for `pasted` or `filled`."""
        share = np.linspace(0, 1, 16, dtype=np.float32)[:, None]
        column = Image.fromarray(to_rgb(blend(top, bottom, share)), "RGB")
        return column.resize((1, self.height), Image.Resampling.BILINEAR)

    def filled(self, column: Picture) -> Picture:
        """A gradient as a picture of full width."""
        return column.resize((self.width, self.height), Image.Resampling.NEAREST)

    def room(self, x: float, y: float) -> float:
        """Pixels from a point to the headline; 0 inside it, without end where there is none."""
        if self.words is None:
            return math.inf
        left, top, right, bottom = self.words
        return math.hypot(max(left - x, 0, x - right), max(top - y, 0, y - bottom))

    def waves(self, count: int, longest: float) -> Array:
        """A calm landscape of heights around 0 on the soft grid: sines in random directions, in short edges."""
        x, y = self.grid()
        height = np.zeros_like(x)
        for number in range(count):
            length = longest / (1 + number * 0.7)
            angle = self.random.uniform(0, math.tau)
            along = (x * math.cos(angle) + y * math.sin(angle)) * math.tau / length
            height += np.sin(along + self.random.uniform(0, math.tau)) / (1 + number)
        return height


def blend(first: Rgb, second: Rgb, share: Array) -> Array:
    """OKLab colours `share` (0-1) of the way from `first` to `second`."""
    weight = share[..., None]
    return (to_lab(first) * (1 - weight) + to_lab(second) * weight).astype(np.float32)


def smooth(share: Array) -> Array:
    """An S-curve over 0-1 that is flat at both ends."""
    held = np.clip(share, 0, 1)
    return held * held * (3 - 2 * held)


def pasted(picture: Picture, over: Picture | Rgb, mask: Picture) -> None:
    """Lay a picture, a gradient or a colour over `picture` where `mask` is light; the dark rest costs nothing."""
    box = mask.getbbox()
    if box is None:
        return
    left, top, right, bottom = box
    if isinstance(over, tuple):
        picture.paste(over, box, mask.crop(box))
    elif over.width == 1 < picture.width:
        rows = over.crop((0, top, 1, bottom)).resize((right - left, bottom - top), Image.Resampling.NEAREST)
        picture.paste(rows, box, mask.crop(box))
    else:
        picture.paste(over.crop(box), box, mask.crop(box))


def screened(picture: Picture, light: Picture) -> Picture:
    """Add light as a second projector would."""
    return ImageChops.screen(picture, light)


def grained(picture: Picture, strength: int) -> Picture:
    """Film grain: it also hides the steps that eight bits leave in a soft gradient."""
    width, height = picture.size
    tile = _grain_tile(strength)
    grain = Image.new("L", picture.size)
    for top in range(0, height, _GRAIN):
        for left in range(0, width, _GRAIN):
            grain.paste(tile, (left, top))
    return ImageChops.add(picture, Image.merge("RGB", (grain, grain, grain)), offset=-strength)


@lru_cache(maxsize=8)
def _grain_tile(strength: int) -> Picture:
    random = np.random.default_rng(20)
    noise: npt.NDArray[np.float64] = random.triangular(-strength, 0, strength, (_GRAIN, _GRAIN))
    return Image.fromarray(np.rint(noise + strength).astype(np.uint8), "L")
