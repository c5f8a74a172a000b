"""The numbers in the accessors of a model of others, which was read whole, and what is added to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pygltflib as gltf

from media import CorruptOutput, Reason
from media.meshes import Shape
from media.models import MOST_OF_A_KIND

Rows = npt.NDArray[Any]

MOST_ADDED = 64 << 20
"""Bytes that a model may grow by; a primitive may share its vertices with thousands of others."""

MORE_PARTS = "with a skin it would have more parts than a model may have"

_KINDS: Mapping[int, str] = {
    gltf.BYTE: "<i1",
    gltf.UNSIGNED_BYTE: "<u1",
    gltf.SHORT: "<i2",
    gltf.UNSIGNED_SHORT: "<u2",
    gltf.UNSIGNED_INT: "<u4",
    gltf.FLOAT: "<f4",
}
_WIDTHS: Mapping[str, int] = {
    gltf.SCALAR: 1, gltf.VEC2: 2, gltf.VEC3: 3, gltf.VEC4: 4, gltf.MAT2: 4, gltf.MAT3: 9, gltf.MAT4: 16
}  # fmt: skip
_LARGEST_SHORT = 65_534


def rows_of(shape: Shape, number: int) -> Rows:
    """The elements of an accessor, wherever they lie, each a row of components as they are stored."""
    found = shape.document["accessors"][number]
    kind, width, count = np.dtype(_KINDS[found["componentType"]]), _WIDTHS[found["type"]], found["count"]
    rows = _stored(shape, found, kind, count, width) if "bufferView" in found else np.zeros((count, width), kind)
    if "sparse" in found:
        sparse = found["sparse"]
        index_kind = np.dtype(_KINDS[sparse["indices"]["componentType"]])
        places = _stored(shape, sparse["indices"], index_kind, sparse["count"], 1)[:, 0]
        rows[places] = _stored(shape, sparse["values"], kind, sparse["count"], width)
    return rows


def _stored(shape: Shape, place: Mapping[str, Any], kind: np.dtype[Any], count: int, width: int) -> Rows:
    step = shape.stride(place["bufferView"]) or kind.itemsize * width
    view = shape.view(place["bufferView"])
    return np.ndarray((count, width), kind, view, place.get("byteOffset", 0), (step, kind.itemsize)).copy()


@dataclass(slots=True)
class Added:
    """What is added to `document`: `data` are the bytes of new buffer views, by their numbers."""

    document: dict[str, Any]
    data: dict[int, bytes] = field(default_factory=dict)
    _left: int = MOST_ADDED

    def again(self, number: int, rows: Rows) -> int:
        """An accessor as the one of this number, of other elements, among which are no new ones."""
        old = self.document["accessors"][number]
        kept = {name: value for name, value in old.items() if name not in {"byteOffset", "sparse"}}
        return self._accessor({**kept, "count": len(rows)}, rows, gltf.ARRAY_BUFFER)

    def floats(self, rows: Rows) -> int:
        """An accessor of these vectors."""
        about = {"componentType": gltf.FLOAT, "count": len(rows), "type": f"VEC{rows.shape[1]}"}
        return self._accessor(about, rows.astype("<f4"), gltf.ARRAY_BUFFER)

    def indices(self, numbers: npt.NDArray[np.int64]) -> int:
        """An accessor of numbers of vertices."""
        short = int(numbers.max()) <= _LARGEST_SHORT
        kind = gltf.UNSIGNED_SHORT if short else gltf.UNSIGNED_INT
        about = {"componentType": kind, "count": numbers.size, "type": gltf.SCALAR}
        return self._accessor(about, numbers.reshape(-1, 1).astype(_KINDS[kind]), gltf.ELEMENT_ARRAY_BUFFER)

    def nothing(self, count: int) -> int:
        """An accessor of so many vectors of zeros, which take no bytes."""
        about = {"componentType": gltf.FLOAT, "count": count, "type": gltf.VEC3, "min": [0, 0, 0], "max": [0, 0, 0]}
        self.document["accessors"].append(about)
        return len(self.document["accessors"]) - 1

    def _accessor(self, about: Mapping[str, Any], rows: Rows, target: int) -> int:
        size = rows.shape[1] * rows.itemsize
        # Each vertex begins at a multiple of four.
        odd = target == gltf.ARRAY_BUFFER and size % 4
        packed = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), size)
        packed = np.pad(packed, ((0, 0), (0, 4 - odd))) if odd else packed
        self._see_room(packed.size)
        view = {"buffer": 0, "byteLength": packed.size, "target": target}
        self.document["bufferViews"].append({**view, "byteStride": packed.shape[1]} if odd else view)
        number = len(self.document["bufferViews"]) - 1
        self.data[number] = packed.tobytes()
        self.document["accessors"].append({**about, "bufferView": number})
        return len(self.document["accessors"]) - 1

    def _see_room(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise CorruptOutput(Reason.TOO_LARGE, f"a skin for it would take more than {MOST_ADDED >> 20} MiB")
        if len(self.document["accessors"]) >= MOST_OF_A_KIND:
            raise CorruptOutput(Reason.TOO_LARGE, MORE_PARTS)
