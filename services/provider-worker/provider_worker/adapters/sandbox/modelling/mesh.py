"""Triangles: skins over curved grids and flat faces, never more of them than there may be."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from provider_worker.adapters.sandbox.drawing.colours import Array

Skin = Literal[0, 1]
Shape = Callable[[Array, Array], Array]
"""Places in space for u around and v upwards, both 0 to 1; seen from outside u grows to the left."""

FEWEST = 12
"""Triangles that a part needs to be something."""


@dataclass(frozen=True, slots=True)
class Mesh:
    """Vertices with their normals and places on the skin, and triangles as their numbers, seen from outside
    counter-clockwise.

    A tangent points to where the skin goes to the right; its fourth number says on which side of it the skin's upper
    end is, as glTF has it.
    """

    positions: Array
    normals: Array
    tangents: Array
    places: Array
    triangles: npt.NDArray[np.uint32]
    skin: Skin = 0


@dataclass(frozen=True, slots=True)
class Part:
    """A closed curved piece of a thing. `weight` is its share of the triangles, `longer` how many times as many
    it wants around as upwards, `repeat` how often its skin goes around it and up.

    A `ring` meets itself upwards as well; anything else ends in two points.
    """

    shape: Shape
    weight: float = 1.0
    longer: float = 1.0
    repeat: tuple[float, float] = (2.0, 1.0)
    skin: Skin = 0
    ring: bool = False


def meshes_of(parts: Sequence[Part], most: int) -> list[Mesh]:
    """The parts with `most` triangles at most; where there are too few for all, the last ones are left out."""
    kept = list(parts[: max(1, most // FEWEST)])
    spare = most - FEWEST * len(kept)
    whole = sum(part.weight for part in kept)
    return [_covered(part, FEWEST + int(spare * part.weight / whole)) for part in kept]


def _covered(part: Part, most: int) -> Mesh:
    around = max(3, int(math.sqrt(most * part.longer / 2)))
    up = max(2, most // (2 * around) if part.ring else most // (2 * around) + 1)
    if part.ring and up < 3:
        around, up = 3, max(2, most // 6)
    u, v = np.linspace(0, 1, around + 1), np.linspace(0, 1, up + 1)
    at = np.asarray(part.shape(u[None, :], v[:, None]), dtype=np.float64)
    at[:, -1] = at[:, 0]
    if part.ring:
        at[-1] = at[0]
    else:
        at[0], at[-1] = at[0].mean(axis=0), at[-1].mean(axis=0)
    places = np.stack(
        np.broadcast_arrays(u[None, :] * part.repeat[0], (1 - v[:, None]) * part.repeat[1]), axis=-1
    ).reshape(-1, 2)
    along, normals = _directions(at, ring=part.ring)
    return Mesh(
        positions=at.reshape(-1, 3).astype(np.float32),
        normals=normals.reshape(-1, 3).astype(np.float32),
        tangents=tangents(along.reshape(-1, 3), normals.reshape(-1, 3), -1),
        places=places.astype(np.float32),
        triangles=_triangles(around, up, ring=part.ring),
        skin=part.skin,
    )


def _directions(at: Array, *, ring: bool) -> tuple[Array, Array]:
    """Around and outwards."""
    left, right = np.roll(at[:, :-1], 1, axis=1), np.roll(at[:, :-1], -1, axis=1)
    around = right - left
    around = np.concatenate([around, around[:, :1]], axis=1)
    if ring:
        upward = np.roll(at[:-1], -1, axis=0) - np.roll(at[:-1], 1, axis=0)
        upward = np.concatenate([upward, upward[:1]], axis=0)
    else:
        upward = np.asarray(np.gradient(at, axis=0))
    found = np.cross(upward, around)
    if not ring:  # at its two ends a row is one point
        found[0], found[-1] = unit(found[1]).mean(axis=0), unit(found[-2]).mean(axis=0)
        around[0], around[-1] = around[1], around[-2]
    return around, unit(found)


def tangents(along: Array, normals: Array, side: int) -> Array:
    """Those of vertices, by where the skin goes and by `normals` of length one; `side` is their fourth number."""
    flat = along - normals * (along * normals).sum(axis=-1, keepdims=True)
    # Any direction will do where the skin has none.
    other = np.cross(normals, np.where(np.abs(normals[:, :1]) < 0.9, [1.0, 0, 0], [0, 1.0, 0]))
    lost = np.linalg.norm(flat, axis=-1, keepdims=True) < 1e-9
    found = np.concatenate([unit(np.where(lost, other, flat)), np.full((len(along), 1), side)], axis=1)
    return found.astype(np.float32)


def unit(vectors: Array) -> Array:
    """Of length one; what has none points upwards."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    upright = np.zeros_like(vectors)
    upright[..., 1] = 1
    found: Array = np.where(length > 1e-12, vectors / np.maximum(length, 1e-12), upright)
    return found


def _triangles(around: int, up: int, *, ring: bool) -> npt.NDArray[np.uint32]:
    corner = (np.arange(up)[:, None] * (around + 1) + np.arange(around)[None, :]).astype(np.uint32)
    above, beside, across = corner + around + 1, corner + 1, corner + around + 2
    first = np.stack([corner, above, across], axis=-1)
    second = np.stack([corner, across, beside], axis=-1)
    if not ring:
        first, second = first[:-1], second[1:]
    return np.concatenate([first.reshape(-1, 3), second.reshape(-1, 3)])


def faces(outlines: Sequence[Array], skin: Skin = 0, scale: float = 1.0) -> Mesh:
    """Flat faces with sharp edges, each given by its corners, seen from outside counter-clockwise."""
    positions, normals, sides, places, triangles = [], [], [], [], []
    start = 0
    for corners in outlines:
        normal = unit(np.cross(corners[1] - corners[0], corners[2] - corners[0]))
        side = unit(corners[1] - corners[0])
        upward = np.cross(normal, side)
        positions.append(corners)
        normals.append(np.broadcast_to(normal, corners.shape))
        sides.append(np.broadcast_to(side, corners.shape))
        places.append(np.stack([corners @ side, -(corners @ upward)], axis=-1) * scale)
        count = len(corners)
        triangles += [(start, start + number, start + number + 1) for number in range(1, count - 1)]
        start += count
    return Mesh(
        np.concatenate(positions).astype(np.float32),
        np.concatenate(normals).astype(np.float32),
        tangents(np.concatenate(sides), np.concatenate(normals), 1),
        np.concatenate(places).astype(np.float32),
        np.array(triangles, dtype=np.uint32),
        skin,
    )


def count_of(meshes: Sequence[Mesh]) -> int:
    return sum(len(mesh.triangles) for mesh in meshes)
