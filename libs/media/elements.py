"""WebM files, by their elements (RFC 8794): where they end, and that each lies inside of the one around it."""

from __future__ import annotations

from media.errors import CorruptOutput, Reason

MOST_ELEMENTS = 65_536
_SEGMENT = b"\x18\x53\x80\x67"


def webm_end(data: bytes) -> int:
    """Behind its segment; behind the file where it does not say how long it is."""
    found = _segment(data)
    return len(data) if found is None or found[1] is None else min(found[1], len(data))


def see_elements(data: bytes) -> None:
    """Raises `CorruptOutput` for a segment that is cut off, and for a part of it that reaches out of it."""
    try:
        found = _segment(data)
        if found is None:
            return
        at, end = found
        if end is not None and end > len(data):
            raise CorruptOutput(Reason.CUT_OFF, f"the video is cut off: {len(data) - at} of {end - at} bytes")
        _see_parts(data, at, len(data) if end is None else end)
    except IndexError:
        raise CorruptOutput(Reason.CUT_OFF, "the video ends within its header") from None


def _see_parts(data: bytes, at: int, end: int) -> None:
    for _ in range(MOST_ELEMENTS):
        if at >= end:
            return
        name = data[at : at + _width(data[at])]
        body, length = _number(data, at + len(name))
        if length is None:  # of a cluster that was written as a stream; what follows may be inside of it or not
            return
        if body + length > end:
            raise CorruptOutput(Reason.UNDECODABLE, f"a part {name.hex()} that reaches out of the video")
        at = body + length
    raise CorruptOutput(Reason.TOO_LARGE, f"more than {MOST_ELEMENTS} parts")


def _segment(data: bytes) -> tuple[int, int | None] | None:
    """Where the body of the segment begins and says that it ends; None where there is no segment behind the head."""
    body, length = _number(data, 4)
    if length is None or data[body + length : body + length + 4] != _SEGMENT:
        return None
    at, size = _number(data, body + length + 4)
    return at, None if size is None else at + size


def _number(data: bytes, at: int) -> tuple[int, int | None]:
    """What follows a number, and the number: how many bytes it has is in its first one. None: it is not known."""
    width = _width(data[at])
    value = int.from_bytes(data[at : at + width]) & ((1 << 7 * width) - 1)
    return at + width, None if value == (1 << 7 * width) - 1 else value


def _width(first: int) -> int:
    return 9 - first.bit_length()
