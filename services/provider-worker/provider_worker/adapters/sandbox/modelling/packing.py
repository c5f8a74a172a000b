"""The bytes of a document that has changed, in one buffer: what no view shows any more is not in it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

_ALIGNED = 8
"""What was aligned to so many bytes still is."""


def packed(
    document: dict[str, Any], buffers: Sequence[memoryview], data: Mapping[int, bytes], gone: Collection[int]
) -> bytearray:
    """The buffer that the views of `document` lie in from now on: `data` has the bytes of new ones, and of `gone`
    nothing is left. Views that share bytes still do."""
    views, packed = document["bufferViews"], bytearray()
    old = [view for number, view in enumerate(views) if number not in data and number not in gone]
    buffer, end, moved = -1, 0, 0
    for view in sorted(old, key=lambda view: (view["buffer"], view.get("byteOffset", 0))):
        start = view.get("byteOffset", 0)
        stop = start + view["byteLength"]
        if view["buffer"] != buffer or start > end:
            packed += bytes((start - len(packed)) % _ALIGNED)
            buffer, end, moved = view["buffer"], start, len(packed) - start
        packed += buffers[buffer][end:stop]
        end = max(end, stop)
        view["buffer"], view["byteOffset"] = 0, start + moved
    for number, content in data.items():
        views[number]["byteOffset"] = appended(packed, content)
    for number in gone:
        views[number] = {"buffer": 0, "byteLength": 1}
    return packed


def appended(packed: bytearray, content: bytes) -> int:
    """Where it begins."""
    packed += bytes(-len(packed) % _ALIGNED)
    start = len(packed)
    packed += content
    return start
