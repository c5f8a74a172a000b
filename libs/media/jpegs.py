"""JPEG files, by their segments: where they end, how much it takes to decode them, and whether every row is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from media.errors import CorruptOutput, Reason

MOST_DECODED_BYTES = 256 << 20
"""What the decoder of a picture may take for it: forty megapixels where it reads row by row."""
_MOST_SCANNED_PIXELS = 640_000_000
"""Each scan of a progressive JPEG goes over all of its pixels: sixteen of forty megapixels, which take 2 s."""

_MARK = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_END, _SCAN, _PROGRESSIVE, _ADOBE, _COMMENT = 0xD9, 0xDA, 0xC2, 0xEE, 0xFE
_SEVERAL = b"\xff\xe2"
_SEVERAL_NAME = b"MPF\0"


class Segment(NamedTuple):
    """From its mark up to what follows it; the pixels of a scan are behind their segment."""

    kind: int
    start: int
    end: int


def segments(data: bytes, at: int = 0) -> Iterator[Segment]:
    """Those of a picture that begins here, up to its end or that of the file."""
    at += 2
    while (found := _MARK.search(data, at)) is not None:
        kind, start = found[1][0], found.start()
        if kind in {_END, 0x01, 0xD8}:
            yield Segment(kind, start, found.end())
            at = found.end()
            if kind == _END:
                return
            continue
        at = found.end() + max(int.from_bytes(data[found.end() : found.end() + 2]), 2)
        yield Segment(kind, start, at)


def jpeg_end(data: bytes, at: int = 0) -> int:
    """Behind the picture that begins here; behind the file where it has no end."""
    return next((segment.end for segment in segments(data, at) if segment.kind == _END), len(data))


def jpegs_end(data: bytes) -> int:
    """Behind the last picture: cameras put small and bright versions behind the first one, which says so (MPF)."""
    at = jpeg_end(data)
    says = data.find(_SEVERAL, 0, at)
    if says < 0 or data[says + 4 : says + 8] != _SEVERAL_NAME:
        return at
    while data.startswith(b"\xff\xd8\xff", at):
        at = jpeg_end(data, at)
    return at


def see_effort(data: bytes, width: int, height: int) -> None:
    """Raises `CorruptOutput` where decoding it takes more memory or time than any picture that is asked for."""
    scans = sum(segment.kind == _SCAN for segment in segments(data))
    if scans * width * height > _MOST_SCANNED_PIXELS and scans > 1:
        raise CorruptOutput(Reason.TOO_LARGE, f"{scans} scans of {width}x{height} pixels")
    frame = next((segment for segment in segments(data) if segment.kind in _FRAMES), None)
    if frame is None:
        return
    sampled = _sampled(data[frame.start : frame.end])
    a_pixel = (1 if len(sampled) == 1 else 4) + (2 * sum(sampled) if scans > 1 else 0)
    needed = int(width * height * a_pixel)
    if needed > MOST_DECODED_BYTES:
        raise CorruptOutput(
            Reason.TOO_LARGE, f"{width}x{height} pixels in {scans} scans, which take {needed >> 20} MiB to decode"
        )


def _sampled(frame: bytes) -> list[float]:
    """The share of the pixels that each colour has."""
    factors = [frame[at] for at in range(11, min(len(frame), 10 + 3 * frame[9]), 3)] if len(frame) > 9 else []
    areas = [(factor >> 4) * (factor & 15) for factor in factors] or [1]
    return [area / max(*areas, 1) for area in areas]


def see_rows(data: bytes) -> None:
    """Raises `CorruptOutput` where rows are missing or damaged: Pillow's libjpeg makes them grey and is silent.

    FFmpeg tells. What it does not know at all it says nothing of.
    """
    import av  # noqa: PLC0415 - it takes 35 MB, which only a child that decodes JPEG should pay for

    decoder = av.CodecContext.create("mjpeg", "r")
    decoder.thread_count = 1
    decoder.options = {"err_detect": "explode"}
    try:
        for packet in (av.Packet(_bare(data)), None):
            decoder.decode(packet)
    except av.error.InvalidDataError:
        raise CorruptOutput(Reason.UNDECODABLE, "rows of the picture are missing or damaged") from None
    except av.error.FFmpegError:
        return


def _bare(data: bytes) -> bytes:
    """The picture alone: what is said about it may be wrong without harm, but for the colours that Adobe names."""
    parts, at = [], 0
    for kind, start, end in segments(data):
        if kind == _SCAN:
            break
        if (kind & 0xF0 == 0xE0 and kind != _ADOBE) or kind == _COMMENT:
            parts.append(data[at:start])
            at = end
    return b"".join([*parts, data[at : jpeg_end(data)]])
