"""Pictures of light beyond white, OpenEXR and Radiance: environment maps that Three.js loads (R57).

FFmpeg decodes EXR, but takes rows that are missing for black ones: that all of them are there is seen before.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import av
import av.logging

from media.errors import CorruptOutput, Reason, in_short
from media.exr import exr_block_bytes, exr_blocks, exr_header, exr_rows, exr_size, exr_top
from media.facts import Facts

EXR = "image/x-exr"
MOST_PIXELS = 8192 * 4096
"""16 bytes a pixel when decoded."""

_TILED, _DEEP, _PARTS = 0x200, 0x800, 0x1000
_RADIANCE_SIZE = re.compile(rb"\n\n-Y ([1-9][0-9]{0,5}) \+X ([1-9][0-9]{0,5})\n")
_LONGEST_HEADER = 1 << 14
_RUN_LENGTHS = range(8, 0x8000)


def sky_facts(data: bytes, mime: str) -> Facts:
    """Decode a whole OpenEXR picture in scan lines, or a whole Radiance picture; raises `CorruptOutput`."""
    width, height = declared_size(data, mime)
    if mime == EXR:  # of an HDR any four bytes are a colour
        decoded(data, mime, (width, height))
    return Facts(mime, len(data), width=width, height=height)


def declared_size(data: bytes, mime: str) -> tuple[int, int]:
    """Width and height of a picture all of whose rows are there; raises `CorruptOutput`."""
    if mime != EXR:
        return _hdr(data)[:2]
    try:
        return _see_every_row(data)
    except (struct.error, ValueError, KeyError, IndexError):
        raise CorruptOutput(Reason.CUT_OFF, "an EXR that ends within its header") from None


def decoded(data: bytes, mime: str, size: tuple[int, int]) -> av.VideoFrame:
    """The pixels of a picture that declares this size; raises `CorruptOutput`."""
    try:
        decoder = av.CodecContext.create("exr" if mime == EXR else "hdr", "r")
        decoder.thread_count = 1
        with _complaints() as complaints:
            frame = next(iter([*decoder.decode(av.Packet(data)), *decoder.decode(None)]), None)
    except MemoryError:
        raise
    except Exception as error:  # PyAV has its own, FFmpeg's numbers become others; all of them mean the same here
        raise CorruptOutput(Reason.UNDECODABLE, f"cannot be decoded: {in_short(error)}") from None
    if not isinstance(frame, av.VideoFrame) or frame.is_corrupt or (frame.width, frame.height) != size:
        raise CorruptOutput(Reason.UNDECODABLE, "the picture contradicts its header")
    if complaints:
        raise CorruptOutput(Reason.UNDECODABLE, f"cannot be decoded: {complaints[0][2].strip()}")
    return frame


@contextmanager
def _complaints() -> Iterator[list[tuple[int, str, str]]]:
    """What FFmpeg says is wrong: rows that it cannot decode are black, and nothing else tells."""
    level, skip = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)
    try:
        with av.logging.Capture() as logs:
            yield logs
    finally:
        av.logging.set_level(level)
        av.logging.set_skip_repeated(skip)


def _see_every_row(data: bytes) -> tuple[int, int]:
    """Width and height; every block of rows in the table lies in the file, to its last byte."""
    (flags,) = struct.unpack_from("<I", data, 4)
    if flags & (_TILED | _DEEP | _PARTS):
        raise CorruptOutput(Reason.UNDECODABLE, "an EXR in tiles, in parts or of depth, but scan lines were asked for")
    attributes, table = exr_header(data)
    width, height = exr_size(attributes)
    _see_size(width, height)
    blocks = exr_blocks(attributes)
    for number in range(blocks):
        (at,) = struct.unpack_from("<Q", data, table + 8 * number)
        (length,) = struct.unpack_from("<I", data, at + 4) if at + 8 <= len(data) else (len(data),)
        if at < table + 8 * blocks or at + 8 + length > len(data):
            raise CorruptOutput(Reason.CUT_OFF, f"the picture is cut off: block {number + 1} of {blocks} is missing")
        if length > exr_block_bytes(attributes):
            raise CorruptOutput(Reason.UNDECODABLE, f"block {number + 1} of {blocks} is longer than its rows")
        if struct.unpack_from("<i", data, at) != (exr_top(attributes) + number * exr_rows(attributes),):
            raise CorruptOutput(Reason.UNDECODABLE, f"block {number + 1} of {blocks} holds other rows")
    return width, height


def hdr_end(data: bytes) -> int:
    """Behind the last row; raises `CorruptOutput` where one is missing."""
    return _hdr(data)[2]


def _hdr(data: bytes) -> tuple[int, int, int]:
    """Width, height and end of a picture whose rows are all there, flat or run-length encoded."""
    size = _RADIANCE_SIZE.search(data, 0, _LONGEST_HEADER)
    if size is None:
        raise CorruptOutput(Reason.UNDECODABLE, "an HDR without its size")
    height, width = int(size[1]), int(size[2])
    _see_size(width, height)
    at = size.end()
    try:
        for _ in range(height):
            at = _row_end(data, at, width)
    except IndexError:
        at = len(data) + 1
    if at > len(data):
        raise CorruptOutput(Reason.CUT_OFF, "the picture is cut off")
    return width, height, at


def _row_end(data: bytes, at: int, width: int) -> int:
    if width not in _RUN_LENGTHS or data[at : at + 4] != bytes((2, 2, width >> 8, width & 0xFF)):
        return at + 4 * width
    at += 4
    for _ in range(4):
        left = width
        while left > 0:
            count = data[at]
            same = count > 0x80
            left -= count & 0x7F if same else count
            at += 2 if same else 1 + count
            if not count:
                raise CorruptOutput(Reason.UNDECODABLE, "a run of no length")
        if left < 0:
            raise CorruptOutput(Reason.UNDECODABLE, "a row longer than the picture is wide")
    return at


def _see_size(width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise CorruptOutput(Reason.UNDECODABLE, f"declares {width}x{height} pixels")
    if width * height > MOST_PIXELS:
        raise CorruptOutput(Reason.TOO_LARGE, f"declares {width}x{height} pixels, {MOST_PIXELS} are allowed")
