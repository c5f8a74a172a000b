"""A place on the skin for every vertex of a document that has none there; triangles stay where they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pygltflib as gltf

from media import CorruptOutput, Reason
from media.meshes import Shape
from provider_worker.adapters.sandbox.drawing.colours import Array
from provider_worker.adapters.sandbox.modelling.accessors import Added, rows_of
from provider_worker.adapters.sandbox.modelling.mesh import tangents, unit
from provider_worker.adapters.sandbox.modelling.unwrapping import Numbers, Unwrapped, unwrapped

MOST_CORNERS = 4_000_000
"""Vertices and corners of triangles that are given a place; the largest file of 20 MiB has 3 million."""
MOST_PARTS = 10_000
"""Primitives that are given places; that takes 3 s."""

_PLACES = "TEXCOORD_0"
_DIRECTIONS = "TANGENT"
_FARTHEST = 1e15


@dataclass(frozen=True, slots=True)
class _Bare:
    """A primitive without places; `triangles` are the numbers of its vertices."""

    primitive: dict[str, Any]
    positions: Array
    triangles: Numbers


def lay(shape: Shape, added: Added) -> None:
    """Gives places to the primitives of `added.document`, which is that of `shape` with other looks.

    Raises `CorruptOutput` where that would take too much.
    """
    meshes = [[part for part in mesh["primitives"] if _is_bare(part)] for mesh in added.document["meshes"]]
    _see_few([part for bare in meshes for part in bare], shape)
    for bare in filter(None, meshes):
        _lay_over([_read(shape, part) for part in bare], shape, added)


def _is_bare(primitive: Mapping[str, Any]) -> bool:
    return _PLACES not in primitive["attributes"]


def _see_few(bare: Sequence[Mapping[str, Any]], shape: Shape) -> None:
    """A few vertices may be shared by very many: each is given places of its own."""
    accessors = shape.document["accessors"]
    vertices = sum(accessors[part["attributes"]["POSITION"]]["count"] for part in bare)
    corners = sum(accessors[part["indices"]]["count"] for part in bare if "indices" in part)
    for count, most, what in ((len(bare), MOST_PARTS, "parts"), (vertices + corners, MOST_CORNERS, "vertices")):
        if count > most:
            raise CorruptOutput(Reason.TOO_LARGE, f"{count} {what} without places on a skin, {most} can be given some")


def _lay_over(parts: Sequence[_Bare], shape: Shape, added: Added) -> None:
    """As large on all parts of a mesh."""
    low = np.min([part.positions.min(axis=0) for part in parts], axis=0)
    high = np.max([part.positions.max(axis=0) for part in parts], axis=0)
    extent = max(float((high - low).max()), 1e-12)
    for part in parts:
        _take(unwrapped(part.positions, part.triangles, low, extent), part, shape, added)


def _read(shape: Shape, primitive: dict[str, Any]) -> _Bare:
    positions = rows_of(shape, primitive["attributes"]["POSITION"]).astype(np.float64)
    if positions.shape[1] != len("xyz"):
        raise ValueError(f"positions of {positions.shape[1]} numbers")
    # What is no number, or is beyond what a float can be measured by, is somewhere.
    positions = np.nan_to_num(positions, posinf=0, neginf=0).clip(-_FARTHEST, _FARTHEST)
    if "indices" in primitive:
        corners = rows_of(shape, primitive["indices"])[:, 0].astype(np.int64)
    else:
        corners = np.arange(len(positions))
    return _Bare(primitive, positions, _triangles(corners, primitive.get("mode", gltf.TRIANGLES)))


def _triangles(corners: Numbers, mode: int) -> Numbers:
    """Rows of three, all seen from the same side; of points and lines there are none."""
    if mode == gltf.TRIANGLES:
        return corners[: len(corners) // 3 * 3].reshape(-1, 3)
    if mode == gltf.TRIANGLE_STRIP and len(corners) > 2:
        rows = np.lib.stride_tricks.sliding_window_view(corners, 3).copy()
        rows[1::2] = rows[1::2, [0, 2, 1]]
        return rows
    if mode == gltf.TRIANGLE_FAN and len(corners) > 2:
        return np.stack([corners[1:-1], corners[2:], np.broadcast_to(corners[0], len(corners) - 2)], axis=1)
    return np.zeros((0, 3), np.int64)


def _take(laid: Unwrapped, part: _Bare, shape: Shape, added: Added) -> None:
    primitive, attributes = part.primitive, part.primitive["attributes"]
    normals = attributes.get("NORMAL")
    given = [attributes, *primitive.get("targets", ())]
    for names in given:
        names.pop(_DIRECTIONS, None)  # they were those of another skin
        names.pop(_PLACES, None)
    if len(laid.vertices) > len(part.positions):
        primitive["mode"], primitive["indices"] = gltf.TRIANGLES, added.indices(laid.triangles)
        for names in given:
            for name, number in names.items():
                names[name] = added.again(number, rows_of(shape, number)[laid.vertices])
    attributes[_PLACES] = added.floats(laid.places)
    if normals is not None and len(laid.triangles):
        outwards = np.nan_to_num(rows_of(shape, normals)[laid.vertices].astype(np.float64))
        attributes[_DIRECTIONS] = added.floats(tangents(laid.along, unit(outwards), 1))
