"""The numbers of a glTF mesh: accessors that stay inside their buffers, indices that stay inside their vertices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from media.errors import CorruptOutput, Reason

# Bytes of a component by the number that glTF gives it; and the letter that a memory view has for those of indices.
_SIZES = {5120: 1, 5121: 1, 5122: 2, 5123: 2, 5125: 4, 5126: 4}
_LETTERS: Mapping[int, Literal["B", "H", "I"]] = {5121: "B", 5123: "H", 5125: "I"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
_TRIANGLES, _STRIP, _FAN = 4, 5, 6
MOST_VERTICES = 20_000_000


@dataclass(frozen=True, slots=True)
class Shape:
    """A document and the bytes of its buffers."""

    document: Mapping[str, Any]
    buffers: Sequence[memoryview]

    def view(self, number: Any) -> memoryview:
        """The bytes of a buffer view; raises `CorruptOutput` where it reaches out of its buffer."""
        found = _at(self.document.get("bufferViews", ()), number)
        buffer: memoryview = _at(self.buffers, found["buffer"])
        start, length = _count(found.get("byteOffset", 0)), _count(found["byteLength"])
        if start + length > len(buffer):
            raise CorruptOutput(Reason.UNDECODABLE, f"buffer view {number} reaches out of its buffer")
        return buffer[start : start + length]

    def stride(self, number: Any) -> int | None:
        """How far apart the elements of a buffer view are in bytes, None where they lie side by side."""
        found = _at(self.document["bufferViews"], number).get("byteStride")
        return None if found is None else _count(found)


@dataclass(slots=True)
class Accessors:
    """The accessors of a shape, each looked at once."""

    shape: Shape
    _counts: dict[int, int] = field(default_factory=dict)
    _highest: dict[int, int] = field(default_factory=dict)

    def see_all(self) -> None:
        """Raises `CorruptOutput` where an accessor or a buffer view reaches out, whatever it is for."""
        for number in range(len(self.shape.document.get("bufferViews", ()))):
            self.shape.view(number)
        for number in range(len(self.shape.document.get("accessors", ()))):
            self.count(number)

    def count(self, number: Any) -> int:
        """How many elements an accessor has; raises `CorruptOutput` where one of them lies outside of its buffer."""
        known = self._counts.get(number)
        if known is None:
            known = self._counts[number] = self._seen(number)
        return known

    def _seen(self, number: Any) -> int:
        found = _at(self.shape.document.get("accessors", ()), number)
        count = _count(found["count"])
        size = _SIZES[found["componentType"]] * _WIDTHS[found["type"]]
        if not 0 < count <= MOST_VERTICES:
            raise CorruptOutput(Reason.UNDECODABLE, f"accessor {number} has {count} elements")
        if "bufferView" in found:
            self._see_inside(found, count, size, number)
        if "sparse" in found:
            sparse = found["sparse"]
            some = _count(sparse["count"])
            self._see_inside(sparse["indices"], some, _SIZES[sparse["indices"]["componentType"]], number)
            self._see_inside(sparse["values"], some, size, number)
        return count

    def _see_inside(self, place: Mapping[str, Any], count: int, size: int, number: Any) -> None:
        view = self.shape.view(place["bufferView"])
        stride = self.shape.stride(place["bufferView"]) or size
        if stride < size or _count(place.get("byteOffset", 0)) + stride * (count - 1) + size > len(view):
            raise CorruptOutput(Reason.UNDECODABLE, f"accessor {number} reaches out of its buffer view")

    def highest(self, number: Any) -> int:
        """The largest of an accessor of indices; many primitives may share it."""
        known = self._highest.get(number)
        if known is None:
            known = self._highest[number] = max(self.indices(number))
        return known

    def indices(self, number: Any) -> Sequence[int]:
        """The numbers of an accessor of indices."""
        count, found = self.count(number), self.shape.document["accessors"][number]
        letter = _LETTERS.get(found["componentType"])
        if letter is None or found["type"] != "SCALAR" or "bufferView" not in found:
            raise CorruptOutput(Reason.UNDECODABLE, f"accessor {number} has no indices")
        start = _count(found.get("byteOffset", 0))
        end = start + count * _SIZES[found["componentType"]]
        return self.shape.view(found["bufferView"])[start:end].cast(letter)


def triangles_of(primitive: Mapping[str, Any], accessors: Accessors) -> int:
    """How many triangles a primitive has; raises `CorruptOutput` where it points outside of its vertices."""
    counts = {name: accessors.count(number) for name, number in primitive["attributes"].items()}
    if len(set(counts.values())) != 1 or "POSITION" not in counts:
        raise CorruptOutput(Reason.UNDECODABLE, "vertices without a position, or with fewer of one attribute")
    for target in primitive.get("targets", ()):
        for number in target.values():
            accessors.count(number)
    corners = counts["POSITION"]
    if "indices" in primitive:
        highest = accessors.highest(primitive["indices"])
        if highest >= corners:
            raise CorruptOutput(Reason.UNDECODABLE, f"vertex {highest} of {corners}")
        corners = accessors.count(primitive["indices"])
    mode = primitive.get("mode", _TRIANGLES)
    if mode == _TRIANGLES:
        return corners // 3
    return max(corners - 2, 0) if mode in {_STRIP, _FAN} else 0


def _at(values: Sequence[Any], number: Any) -> Any:
    return values[_count(number)]


def _count(value: Any) -> int:
    """A whole number that is not negative: Python would take -1 for the last one."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{str(value)[:20]} is no count")
    return value
