"""A picture without edges: everything that is computed on it goes on at the other side."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

import numpy as np
import numpy.typing as npt
from PIL import Image

from provider_worker.adapters.sandbox.drawing.colours import Array

_MARGIN = 4
"""Cells that an enlarged grid is lent from its other side: more than a bicubic filter looks at."""


@dataclass(frozen=True, slots=True)
class Torus:
    """Pixels whose right edge meets the left one and whose lower edge meets the upper one."""

    width: int
    height: int
    random: Random

    @property
    def shape(self) -> tuple[int, int]:
        return self.height, self.width

    def counts(self, number: float, stretch: float = 1.0) -> tuple[int, int]:
        """Whole numbers of cells across and down, of `number` along the shorter edge; `stretch` of 2 makes them twice
        as long as they are high."""
        cell = min(self.width, self.height) / number
        wide, tall = cell * math.sqrt(stretch), cell / math.sqrt(stretch)
        return max(1, round(self.width / wide)), max(1, round(self.height / tall))

    def grid(self, across: int, down: int) -> tuple[Array, Array]:
        """x of every column in 0 to `across` and y of every row in 0 to `down`, to be broadcast."""
        x = (np.arange(self.width, dtype=np.float32) + 0.5) * np.float32(across / self.width)
        y = (np.arange(self.height, dtype=np.float32) + 0.5) * np.float32(down / self.height)
        return x[None, :], y[:, None]

    def noise(self, number: float, octaves: int = 1, stretch: float = 1.0) -> Array:
        """A landscape around 0, hardly beyond -1 and 1, with `number` hills along the shorter edge."""
        total = np.zeros(self.shape, dtype=np.float32)
        weight = 1.0
        for _ in range(octaves):
            across, down = self.counts(number, stretch)
            if across > self.width or down > self.height:
                break
            values = self.chance.uniform(-1, 1, (down, across)).astype(np.float32)
            total += enlarged(values, self.width, self.height) * np.float32(weight)
            number, weight = number * 2, weight * 0.5
        return total

    @property
    def chance(self) -> np.random.Generator:
        """Another one each time."""
        return np.random.default_rng(self.random.getrandbits(64))

    def slope(self, height: Array, reach: float = 0.004) -> Array:
        """How much a landscape rises towards the upper left, which is where light comes from."""
        step = max(1, round(min(self.width, self.height) * reach))
        rise: Array = height - np.roll(height, (step, step), (0, 1))
        return rise

    def warped(self, field: Array, by: Array, strength: float) -> Array:
        """`field` as seen through glass of the thickness `by`; `strength` in shorter edges."""
        reach = strength * min(self.width, self.height)
        rows = (np.arange(self.height)[:, None] + np.rint(by * reach).astype(np.int32)) % self.height
        columns = (np.arange(self.width)[None, :] + np.rint(np.roll(by, 97, 0) * reach).astype(np.int32)) % self.width
        return np.asarray(field[rows, columns])


@dataclass(frozen=True, slots=True)
class Cells:
    """For each pixel the number of the nearest point, the distance to it and to the border, in cells."""

    number: npt.NDArray[np.int32]
    centre: Array
    border: Array


def cells(torus: Torus, across: int, down: int, jitter: float, *, bonded: bool = False) -> Cells:
    """Points in `across` x `down` places, each up to `jitter` cells away from its own; `bonded` moves every other row
    by half a place, which needs an even number of rows."""
    points = torus.chance.uniform(-jitter / 2, jitter / 2, (2, down, across)).astype(np.float32) + np.float32(0.5)
    if bonded:
        points[0, 1::2] += np.float32(0.5)
    x, y = torus.grid(across, down)
    column, row = np.floor(x).astype(np.intp)[0], np.floor(y).astype(np.intp)[:, 0]
    within_x, within_y = x - np.floor(x), y - np.floor(y)
    aspect = np.float32((torus.width / across) / (torus.height / down))
    nearest = np.full(torus.shape, np.inf, dtype=np.float32)
    second = nearest.copy()
    number = np.zeros(torus.shape, dtype=np.int32)
    for below in (-1, 0, 1):
        for right in (-2, -1, 0, 1) if bonded else (-1, 0, 1):
            there = np.ix_((row + below) % down, (column + right) % across)
            away = np.hypot((points[0][there] + right - within_x) * aspect, points[1][there] + below - within_y)
            closer = away < nearest
            second = np.minimum(second, np.where(closer, nearest, away))
            number = np.where(closer, (there[0] * across + there[1]).astype(np.int32), number)
            nearest = np.minimum(nearest, away)
    return Cells(number, nearest, second - nearest)


def enlarged(values: Array, width: int, height: int) -> Array:
    """A small grid as a large smooth one that goes on at its other side."""
    down, across = values.shape
    padded = np.pad(values, ((_MARGIN, _MARGIN), (_MARGIN, _MARGIN)), mode="wrap")
    box = (_MARGIN, _MARGIN, _MARGIN + across, _MARGIN + down)
    large = Image.fromarray(padded).resize((width, height), Image.Resampling.BICUBIC, box=box)
    return np.asarray(large, dtype=np.float32)
