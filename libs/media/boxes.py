"""MP4 files, by their boxes (ISO/IEC 14496-12): where they end, and tables that a reader may believe."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from media.errors import CorruptOutput, Reason
from media.frame_sizes import see_frame_size

MOST_BOXES = 65_536
MOST_SAMPLES = 1_000_000
"""Frames of pictures and sound together: three hours of both. A reader keeps 40 bytes for each."""

_AT_THE_TOP = {
    *(b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"uuid", b"mfra", b"sidx", b"ssix"),
    *(b"prft", b"emsg", b"meta", b"udta", b"pdin"),
}
_WITHIN = {b"moov", b"trak", b"mdia", b"minf", b"dinf", b"stbl", b"moof", b"traf", b"mvex", b"edts"}
_DEEPEST = 8
_ENTRIES = {b"stco": 4, b"co64": 8, b"stsc": 12, b"stts": 8, b"ctts": 8, b"stss": 4}
_PICTURES = {b"avc1", b"avc3", b"hvc1", b"hev1", b"mp4v", b"vp08", b"vp09", b"av01"}
_SOUNDS = {b"mp4a", b"Opus", b"fLaC", b"ac-3", b".mp3", b"sowt", b"ipcm"}
_ITSELF = 1
_RUN_FIELDS = (0x100, 0x200, 0x400, 0x800)
_RUN_STARTS = (0x001, 0x004)


class Box(NamedTuple):
    """Where it and its body begin, and where it says that it ends."""

    name: bytes
    start: int
    body: int
    end: int


def boxes(data: bytes, at: int = 0, end: int | None = None) -> Iterator[Box]:
    """Side by side; the last one may say that it goes on behind the end. Raises `CorruptOutput` for too many."""
    end = len(data) if end is None else min(end, len(data))
    for _ in range(MOST_BOXES):
        if at + 8 > end:
            return
        size, name, body = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8], at + 8
        if size == 1:
            size, body = int.from_bytes(data[at + 8 : at + 16]), at + 16
        elif size == 0:
            size = end - at
        yield Box(name, at, body, at + size)
        if size < 8:
            return
        at += size
    raise CorruptOutput(Reason.TOO_LARGE, f"more than {MOST_BOXES} boxes")


def mp4_end(data: bytes) -> int:
    """Behind the last box that is one: what is behind it has no name, or none that is known and no length that fits."""
    at = 0
    for box in boxes(data):
        known = box.name in _AT_THE_TOP
        if not known and (box.end > len(data) or box.end < box.body or not box.name.isalnum()):
            return at
        at = box.end
    return min(at, len(data))


def see_boxes(data: bytes) -> None:
    """Raises `CorruptOutput` for a box that is cut off, tables that lie about what there is, and frames elsewhere."""
    for box in boxes(data):
        if box.end > len(data):
            missing = box.end - len(data)
            raise CorruptOutput(Reason.CUT_OFF, f"cannot be decoded: cut off, {missing} bytes are missing")
    samples = sum(_samples(data, box) for box in _inner(data, 0, len(data), 0))
    if samples > MOST_SAMPLES:
        raise CorruptOutput(Reason.TOO_LARGE, f"declares {samples} frames, {MOST_SAMPLES} are allowed")


def _inner(data: bytes, at: int, end: int, depth: int) -> Iterator[Box]:
    for box in boxes(data, at, end):
        if box.end > end or box.end < box.body:
            raise CorruptOutput(Reason.UNDECODABLE, f"a box {_said(box.name)} that reaches out of the one around it")
        if box.name in _WITHIN and depth < _DEEPEST:
            yield from _inner(data, box.body, box.end, depth + 1)
        else:
            yield box


def _samples(data: bytes, box: Box) -> int:
    """How many frames it declares; what it points at is seen."""
    try:
        if box.name in _ENTRIES:
            _see_entries(data, box, 4, _ENTRIES[box.name])
        elif box.name == b"stsz":
            return _sizes(data, box)
        elif box.name == b"trun":
            return _run(data, box)
        elif box.name == b"dref":
            _see_links(data, box)
        elif box.name == b"stsd":
            _see_descriptions(data, box)
        elif box.name == b"cmov":
            raise CorruptOutput(Reason.UNDECODABLE, "an index that is deflated, which browsers do not read")
    except struct.error:
        raise CorruptOutput(Reason.UNDECODABLE, f"a box {_said(box.name)} that is too short") from None
    return 0


def _see_entries(data: bytes, box: Box, before: int, width: int) -> int:
    (count,) = struct.unpack_from(">I", data, box.body + before)
    if box.body + before + 4 + count * width > box.end:
        raise CorruptOutput(Reason.UNDECODABLE, f"declares {count} entries of {_said(box.name)}, which are not there")
    return int(count)


def _sizes(data: bytes, box: Box) -> int:
    size, count = struct.unpack_from(">II", data, box.body + 4)
    total = size * count
    if not size:
        _see_entries(data, box, 8, 4)
        if count <= MOST_SAMPLES:
            total = sum(struct.unpack_from(f">{count}I", data, box.body + 12))
    if total > len(data):
        raise CorruptOutput(Reason.UNDECODABLE, f"declares frames of {total} bytes in a file of {len(data)}")
    return int(count)


def _run(data: bytes, box: Box) -> int:
    flags, count = struct.unpack_from(">II", data, box.body)
    before = 4 + 4 * sum(bool(flags & field) for field in _RUN_STARTS)
    width = 4 * sum(bool(flags & field) for field in _RUN_FIELDS)
    if box.body + 4 + before + count * width > box.end:
        raise CorruptOutput(Reason.UNDECODABLE, f"declares a run of {count} frames, which are not there")
    return int(count)


def _see_links(data: bytes, box: Box) -> None:
    for link in boxes(data, box.body + 8, box.end):
        (flags,) = struct.unpack_from(">I", data, link.body)
        if not flags & _ITSELF or link.name not in {b"url ", b"urn ", b"alis"}:
            raise CorruptOutput(Reason.EXTERNAL, "its frames are in another file")


def _see_descriptions(data: bytes, box: Box) -> None:
    """Of frames in tracks of pictures and of sound; others, of texts and times, are not read."""
    for entry in boxes(data, box.body + 8, box.end):
        if entry.name in _PICTURES:
            width, height = struct.unpack_from(">HH", data, entry.body + 24)
            see_frame_size(width, height)
        elif entry.name not in _SOUNDS and _handler(data, box) in {b"vide", b"soun"}:
            raise CorruptOutput(Reason.UNDECODABLE, f"a track in {_said(entry.name)}, which browsers do not play")


def _handler(data: bytes, description: Box) -> bytes:
    """Of the track: its box stands before its tables."""
    at = data.rfind(b"hdlr", 0, description.start)
    return data[at + 12 : at + 16] if at >= 0 else b""


def _said(name: bytes) -> str:
    return repr(name.decode("latin-1"))
