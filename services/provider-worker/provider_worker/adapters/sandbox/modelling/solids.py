"""Shapes that things are put together from."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from provider_worker.adapters.sandbox.drawing.colours import Array
from provider_worker.adapters.sandbox.modelling.mesh import Shape

Point = tuple[float, float, float]


def turned(profile: Sequence[tuple[float, float]], flutes: Callable[[Array, Array], Array] | None = None) -> Shape:
    """What a lathe makes of a line of (radius, height) from the foot on the axis to its other end on the axis.

    `flutes` says by what the radius is multiplied, for the turn (in radians) and the height.
    """
    line = np.array(profile)
    length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    share = length / length[-1]

    def shape(u: Array, v: Array) -> Array:
        radius, height = np.interp(v, share, line[:, 0]), np.interp(v, share, line[:, 1])
        turn = u * math.tau
        if flutes is not None:
            radius = radius * flutes(turn, height)
        return _stacked(radius * np.cos(turn), height, radius * np.sin(turn))

    return shape


def rounded(line: Sequence[tuple[float, float]], steps: int = 12) -> list[tuple[float, float]]:
    """A curve through the points of a line (Catmull-Rom)."""
    points = np.array([line[0], *line, line[-1]])
    found: list[tuple[float, float]] = []
    for before, start, end, after in zip(points[:-3], points[1:-2], points[2:-1], points[3:], strict=True):
        for share in np.linspace(0, 1, steps, endpoint=False):
            curved = 0.5 * (
                2 * start
                + (end - before) * share
                + (2 * before - 5 * start + 4 * end - after) * share**2
                + (3 * start - before - 3 * end + after) * share**3
            )
            found.append((max(0.0, float(curved[0])), float(curved[1])))
    return [*found, (float(points[-1][0]), float(points[-1][1]))]


def blob(centre: Point, size: Point, *, square: float = 1.0, tilt: float = 0.0, turn: float = 0.0) -> Shape:
    """A superellipsoid: `square` below 1 makes it a box with round corners; tilted forwards, then turned."""

    def shape(u: Array, v: Array) -> Array:
        around, up = u * math.tau, (v - 0.5) * math.pi
        level = _power(np.cos(up), square)
        x = size[0] * level * _power(np.cos(around), square)
        y = size[1] * _power(np.sin(up), square) * np.ones_like(u)
        z = size[2] * level * _power(np.sin(around), square)
        y, z = y * math.cos(tilt) - z * math.sin(tilt), y * math.sin(tilt) + z * math.cos(tilt)
        x, z = x * math.cos(turn) + z * math.sin(turn), z * math.cos(turn) - x * math.sin(turn)
        return _stacked(x + centre[0], y + centre[1], z + centre[2])

    return shape


def bumpy(shape: Shape, centre: Point, bumps: Callable[[Array], Array]) -> Shape:
    """A shape that swells away from its centre; `bumps` says by what share, for directions."""

    def swollen(u: Array, v: Array) -> Array:
        away = shape(u, v) - np.array(centre)
        length = np.linalg.norm(away, axis=-1, keepdims=True)
        direction = away / np.maximum(length, 1e-9)
        found: Array = np.array(centre) + away * (1 + bumps(direction)[..., None])
        return found

    return swollen


def tube(path: Callable[[Array], Array], thickness: Callable[[Array], Array]) -> Shape:
    """A tube along a path (places for 0 to 1) that gets thin at both ends by what `thickness` says."""

    def shape(u: Array, v: Array) -> Array:
        here = path(v[:, 0])
        ahead = np.gradient(here, axis=0)
        ahead /= np.maximum(np.linalg.norm(ahead, axis=-1, keepdims=True), 1e-9)
        aside = np.cross(ahead, np.array([0.31, 0.2, 0.93]))
        aside /= np.maximum(np.linalg.norm(aside, axis=-1, keepdims=True), 1e-9)
        upward = np.cross(ahead, aside)
        turn, wide = -u * math.tau, thickness(v[:, 0])[:, None, None]
        around = np.cos(turn)[..., None] * aside[:, None] + np.sin(turn)[..., None] * upward[:, None]
        found: Array = here[:, None] + around * wide
        return found

    return shape


def hoop(centre: Point, radius: float, thickness: float, *, upright: bool = True, square: float = 1.0) -> Shape:
    """A torus, standing or lying; for parts that are a ring."""

    def shape(u: Array, v: Array) -> Array:
        turn, round_it = v * math.tau, u * math.tau
        out = radius + thickness * _power(np.cos(round_it), square)
        side = thickness * _power(np.sin(round_it), square) * np.ones_like(v)
        if upright:
            return _stacked(out * np.cos(turn) + centre[0], out * np.sin(turn) + centre[1], side + centre[2])
        return _stacked(out * np.sin(turn) + centre[0], side + centre[1], out * np.cos(turn) + centre[2])

    return shape


def _power(value: Array, exponent: float) -> Array:
    found: Array = np.sign(value) * np.abs(value) ** exponent
    return found


def _stacked(x: Array, y: Array, z: Array) -> Array:
    return np.stack(np.broadcast_arrays(x, y, z), axis=-1).astype(np.float64)
