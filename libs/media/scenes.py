"""What a 3D model's scene shows, as triangles in one space, ready to be drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from media.meshes import Accessors, Shape

Floats = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]

MOST_TRIANGLES = 400_000
"""A small picture of more is drawn from every second, third and so on."""
MOST_PARTS = 2_000
"""So many primitives are shown; a mesh that is shown twice counts twice."""

_TRIANGLES, _STRIP, _FAN = 4, 5, 6
_NUMBERS = {5120: np.int8, 5121: np.uint8, 5122: np.int16, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
_STILL: Matrix = np.eye(4)
_FARTHEST = 1e15
"""Beyond it the square of a distance is more than a float holds."""


@dataclass(frozen=True, slots=True)
class Triangles:
    """`corners` and `normals` have three vectors for each triangle, `places` where in its texture each corner lies;
    `materials` are numbers, -1 for none."""

    corners: Floats
    normals: Floats
    places: Floats
    materials: npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class _Part:
    primitive: Mapping[str, Any]
    matrix: Matrix
    triangles: int


def triangles_shown(shape: Shape) -> Triangles | None:
    """Those of a model that was read whole, None where nothing is shown.

    Raises whatever Python raises where something is not of the type or at the place that glTF gives it.
    """
    parts = list(islice(_parts(shape), MOST_PARTS))
    every = max(1, -(-sum(part.triangles for part in parts) // MOST_TRIANGLES))
    found = [one for part in parts if (one := _triangles(part, shape, every)) is not None]
    if not found:
        return None
    return Triangles(
        np.concatenate([one.corners for one in found]),
        np.concatenate([one.normals for one in found]),
        np.concatenate([one.places for one in found]),
        np.concatenate([one.materials for one in found]),
    )


def _parts(shape: Shape) -> Iterator[_Part]:
    document = shape.document
    nodes, meshes = document.get("nodes", ()), document.get("meshes", ())
    accessors = Accessors(shape)
    left = [(root, _STILL) for root in dict.fromkeys(_roots(document))]
    while left:
        number, parent = left.pop()
        node = nodes[number]
        matrix = parent @ _matrix(node)
        left.extend((child, matrix) for child in node.get("children", ()))
        if "mesh" in node:
            for primitive in meshes[node["mesh"]]["primitives"]:
                if (count := _count(primitive, accessors)) > 0:
                    yield _Part(primitive, matrix, count)


def _roots(document: Mapping[str, Any]) -> Sequence[int]:
    scenes, nodes = document.get("scenes", ()), document.get("nodes", ())
    if scenes:
        number = document.get("scene", 0)
        roots: Sequence[int] = scenes[number if 0 <= number < len(scenes) else 0].get("nodes", ())
        return roots
    inside = {child for node in nodes for child in node.get("children", ())}
    return [number for number in range(len(nodes)) if number not in inside]


def _matrix(node: Mapping[str, Any]) -> Matrix:
    if "matrix" in node:
        return np.array(node["matrix"], np.float64).reshape(4, 4).T
    if not node.keys() & {"rotation", "scale", "translation"}:
        return _STILL
    made = _STILL.copy()
    made[:3, :3] = _turn(*node.get("rotation", (0, 0, 0, 1))) * np.array(node.get("scale", (1, 1, 1)), np.float64)
    made[:3, 3] = node.get("translation", (0, 0, 0))
    return made


def _turn(x: float, y: float, z: float, w: float) -> Matrix:
    """The matrix of a unit quaternion."""
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ],
        np.float64,
    )


def _count(primitive: Mapping[str, Any], accessors: Accessors) -> int:
    corners = accessors.count(primitive.get("indices", primitive["attributes"]["POSITION"]))
    mode = primitive.get("mode", _TRIANGLES)
    if mode == _TRIANGLES:
        return corners // 3
    return corners - 2 if mode in {_STRIP, _FAN} else 0


def _triangles(part: _Part, shape: Shape, every: int) -> Triangles | None:
    attributes = part.primitive["attributes"]
    vertices = _numbers_of(shape, attributes["POSITION"])
    if vertices is None:
        return None
    chosen = _corners_of(part, shape, every)
    corners = _moved(vertices[chosen], part.matrix)
    if every > 1:  # they cover for those that are left out
        middle = corners.mean(axis=1, keepdims=True)
        corners = middle + (corners - middle) * np.float32(1.4 * every**0.5)
    good = (np.abs(corners) < _FARTHEST).all(axis=(1, 2))  # what is no number is not less than anything
    chosen, corners = chosen[good], corners[good]
    return Triangles(
        corners,
        _normals(shape, attributes.get("NORMAL"), chosen, corners, part.matrix),
        _places(part, shape, chosen),
        np.full(len(corners), part.primitive.get("material", -1), np.int32),
    )


def _corners_of(part: _Part, shape: Shape, every: int) -> npt.NDArray[np.int64]:
    """The numbers of the vertices of each triangle."""
    first = np.arange(0, part.triangles, every)
    mode = part.primitive.get("mode", _TRIANGLES)
    if mode == _TRIANGLES:
        order = first[:, None] * 3 + np.arange(3)
    elif mode == _STRIP:
        order = first[:, None] + np.arange(3)
    else:
        order = np.stack((np.zeros_like(first), first + 1, first + 2), axis=1)
    if "indices" not in part.primitive:
        return order
    indices = _numbers_of(shape, part.primitive["indices"])
    if indices is None:
        raise ValueError("indices without bytes")
    chosen: npt.NDArray[np.int64] = indices[order, 0].astype(np.int64)
    return chosen


def _moved(corners: npt.NDArray[Any], matrix: Matrix) -> Floats:
    return (corners.astype(np.float64) @ matrix[:3, :3].T + matrix[:3, 3]).astype(np.float32)


def _normals(shape: Shape, number: Any, chosen: npt.NDArray[np.int64], corners: Floats, matrix: Matrix) -> Floats:
    """Of each corner: what the model says, else at a right angle to its triangle."""
    given = None if number is None else _numbers_of(shape, number)
    if given is None or given.shape[1] != 3:
        flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        return np.repeat(flat[:, None], 3, axis=1)
    turned = np.stack([np.cross(matrix[(n + 1) % 3, :3], matrix[(n + 2) % 3, :3]) for n in range(3)])
    return (given[chosen].astype(np.float64) @ turned.T).astype(np.float32)


def _places(part: _Part, shape: Shape, chosen: npt.NDArray[np.int64]) -> Floats:
    material = shape.document.get("materials", ())[part.primitive["material"]] if "material" in part.primitive else {}
    texture = material.get("pbrMetallicRoughness", {}).get("baseColorTexture", {})
    number = part.primitive["attributes"].get(f"TEXCOORD_{texture.get('texCoord', 0)}")
    given = None if number is None else _numbers_of(shape, number)
    if given is None or given.shape[1] != 2:
        return np.zeros((*chosen.shape, 2), np.float32)
    found: Floats = given[chosen].astype(np.float32)
    if given.dtype.kind != "f":
        found /= np.float32(np.iinfo(given.dtype).max)
    return found


def _numbers_of(shape: Shape, number: int) -> npt.NDArray[Any] | None:
    """The elements of an accessor in rows, without a copy; None where it has no bytes but zeros."""
    found = shape.document["accessors"][number]
    if "bufferView" not in found:
        return None
    kind, width = np.dtype(_NUMBERS[found["componentType"]]), _WIDTHS[found["type"]]
    stride = shape.stride(found["bufferView"]) or kind.itemsize * width
    return np.ndarray(
        (found["count"], width),
        kind,
        shape.view(found["bufferView"]),
        found.get("byteOffset", 0),
        (stride, kind.itemsize),
    )
