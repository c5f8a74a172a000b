"""Places on a skin for triangles that have none: it is laid onto them from six sides, as paper around a box."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from provider_worker.adapters.sandbox.drawing.colours import Array

Numbers = npt.NDArray[np.int64]

REPEAT = 2.0
"""How often a skin goes along the longest edge of the box around a thing."""

# For each side of the box (-x, +x, -y, +y, -z, +z): where on it the skin goes to the right, and where downwards.
_RIGHT = np.array([[0, 0, 1], [0, 0, -1], [1, 0, 0], [1, 0, 0], [-1, 0, 0], [1, 0, 0]], np.float64)
_DOWN = np.array([[0, -1, 0], [0, -1, 0], [0, 0, -1], [0, 0, 1], [0, -1, 0], [0, -1, 0]], np.float64)
_SIDES = len(_RIGHT)
_FRONT = 5


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """Vertices with `places` on the skin, and `along`, where it goes to the right.

    A vertex whose triangles lie on several sides is there once for each: `vertices` are the numbers that they were
    given with, first all of them in their order, and `triangles` the new ones.
    """

    vertices: Numbers
    triangles: Numbers
    places: Array
    along: Array


def unwrapped(positions: Array, triangles: Numbers, low: Array, extent: float) -> Unwrapped:
    """`triangles` are numbers of `positions` in rows of three; the box around the thing begins at `low`."""
    sides = _sides(positions, triangles)
    keys, corners = np.unique((triangles * _SIDES + sides[:, None]).ravel(), return_inverse=True)
    given, side = keys // _SIDES, keys % _SIDES
    again = np.append(False, given[1:] == given[:-1])[: len(given)]
    count = len(positions)
    vertices = np.concatenate([np.arange(count), given[again]])
    numbers = np.where(again, count + np.cumsum(again) - 1, given)
    of_vertex = np.full(len(vertices), _FRONT)
    of_vertex[numbers] = side
    at = (positions[vertices] - low) * (REPEAT / extent)
    places = np.stack([(at * axis[of_vertex]).sum(axis=1) for axis in (_RIGHT, _DOWN)], axis=1)
    return Unwrapped(vertices, numbers[corners].reshape(-1, 3), places.astype(np.float32), _RIGHT[of_vertex])


def _sides(positions: Array, triangles: Numbers) -> Numbers:
    """The side that each triangle faces most."""
    first, second, third = (positions[triangles[:, corner]] for corner in range(3))
    facing = np.cross(second - first, third - first)
    axis = np.abs(facing).argmax(axis=1)
    outwards = np.take_along_axis(facing, axis[:, None], axis=1)[:, 0] >= 0
    return np.asarray(axis * 2 + outwards, dtype=np.int64)
