"""Pictures of light beyond white, OpenEXR and Radiance: environment maps that Three.js loads (R57).

FFmpeg decodes EXR, but takes rows that are missing for black ones: that all of them are there is seen before.
"""

from __future__ import annotations

import re
import struct
from io import BytesIO

import av

from media.errors import CorruptOutput, Reason, in_short
from media.facts import Facts

MOST_PIXELS = 8192 * 4096
"""16 bytes a pixel when decoded."""

_TILED, _DEEP, _PARTS = 0x200, 0x800, 0x1000
# Rows that are compressed together, by the number of the compression (OpenEXR file layout).
_ROWS_TOGETHER = {0: 1, 1: 1, 2: 1, 3: 16, 4: 32, 5: 16, 6: 32, 7: 32, 8: 32, 9: 256}
_RADIANCE_SIZE = re.compile(rb"\n\n-Y ([1-9][0-9]{0,5}) \+X ([1-9][0-9]{0,5})\n")
_LONGEST_HEADER = 1 << 14
_RUN_LENGTHS = range(8, 0x8000)


def sky_facts(data: bytes, mime: str) -> Facts:
    """Decode a whole OpenEXR picture in scan lines, or a whole Radiance picture; raises `CorruptOutput`."""
    width, height = _exr_size(data) if mime == "image/x-exr" else _hdr_size(data)
    return Facts(mime, len(data), width=width, height=height)


def _exr_size(data: bytes) -> tuple[int, int]:
    try:
        width, height = _see_every_row(data)
    except (struct.error, ValueError, KeyError, IndexError):
        raise CorruptOutput(Reason.CUT_OFF, "an EXR that ends within its header") from None
    try:
        with av.open(BytesIO(data), "r", format="exr_pipe") as container:
            context = container.streams.video[0].codec_context
            context.thread_count = 1
            frame = next(container.decode(video=0), None)
    except MemoryError:
        raise
    except Exception as error:  # PyAV has its own, FFmpeg's numbers become others; all of them mean the same here
        raise CorruptOutput(Reason.UNDECODABLE, f"cannot be decoded: {in_short(error)}") from None
    if frame is None or frame.is_corrupt or (frame.width, frame.height) != (width, height):
        raise CorruptOutput(Reason.UNDECODABLE, "the picture contradicts its header")
    return width, height


def _see_every_row(data: bytes) -> tuple[int, int]:
    """Width and height; every block of rows in the table lies in the file, to its last byte."""
    (flags,) = struct.unpack_from("<I", data, 4)
    if flags & (_TILED | _DEEP | _PARTS):
        raise CorruptOutput(Reason.UNDECODABLE, "an EXR in tiles, in parts or of depth, but scan lines were asked for")
    attributes, table = _attributes(data)
    left, top, right, bottom = struct.unpack("<4i", attributes[b"dataWindow"])
    width, height = right - left + 1, bottom - top + 1
    _see_size(width, height)
    blocks = -(-height // _ROWS_TOGETHER[attributes[b"compression"][0]])
    for number in range(blocks):
        (at,) = struct.unpack_from("<Q", data, table + 8 * number)
        (length,) = struct.unpack_from("<I", data, at + 4) if at + 8 <= len(data) else (len(data),)
        if at < table + 8 * blocks or at + 8 + length > len(data):
            raise CorruptOutput(Reason.CUT_OFF, f"the picture is cut off: block {number + 1} of {blocks} is missing")
    return width, height


def _attributes(data: bytes) -> tuple[dict[bytes, bytes], int]:
    """The header's attributes by name, and where it ends."""
    found, at = {}, 8
    while data[at]:
        name_end = data.index(0, at)
        type_end = data.index(0, name_end + 1)
        (length,) = struct.unpack_from("<I", data, type_end + 1)
        found[data[at:name_end]] = data[type_end + 5 : type_end + 5 + length]
        at = type_end + 5 + length
    return found, at + 1


def _hdr_size(data: bytes) -> tuple[int, int]:
    """Of a picture whose rows are all there, flat or run-length encoded: any four bytes are a colour."""
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
    return width, height


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
