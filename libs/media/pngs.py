"""PNG files, by their chunks: every checksum, and exactly as many pixels as are declared."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from media.errors import CorruptOutput, Reason

MOST_CHUNKS = 65_536
_KNOWN = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Of an interlaced picture: its first column and row, and the steps to the next ones."""
_BLOCK = 1 << 16


class Chunk(NamedTuple):
    name: bytes
    body: memoryview
    end: int


def see_png(data: bytes) -> None:
    """Raises `CorruptOutput` for a wrong checksum, an animation, and pixels that are too few or too many.

    The decoder itself skips the checksums of the pixels, and takes no notice of rows that are missing.
    """
    shape: tuple[int, ...] | None = None
    pixels: list[memoryview] = []
    for name, body, end in chunks(data):
        if zlib.crc32(body, zlib.crc32(name)) != int.from_bytes(data[end - 4 : end]):
            raise CorruptOutput(Reason.UNDECODABLE, f"a checksum is wrong in {name.decode('latin-1')}")
        if name == b"acTL":
            raise CorruptOutput(Reason.ANIMATED, "an animation, but a picture was asked for")
        if not name[0] & 0x20 and name not in _KNOWN:
            raise CorruptOutput(Reason.UNDECODABLE, f"nobody knows its chunk {name.decode('latin-1')}")
        if name == b"IHDR":
            shape = _shape(body, second=shape is not None)
        elif name == b"IDAT":
            pixels.append(body)
    if shape is None:
        raise CorruptOutput(Reason.UNDECODABLE, "a PNG without its header chunk")
    _see_pixels(pixels, _inflated_bytes(*shape))


def chunks(data: bytes) -> Iterator[Chunk]:
    """All of them, the last one IEND; raises `CorruptOutput`."""
    at, view = 8, memoryview(data)
    for _ in range(MOST_CHUNKS):
        try:
            length, name = struct.unpack_from(">I4s", data, at)
        except struct.error:
            raise CorruptOutput(Reason.CUT_OFF, "the picture is cut off") from None
        end = at + 12 + length
        if end > len(data):
            raise CorruptOutput(Reason.CUT_OFF, "the picture is cut off")
        yield Chunk(name, view[at + 8 : end - 4], end)
        if name == b"IEND":
            return
        at = end
    raise CorruptOutput(Reason.TOO_LARGE, f"more than {MOST_CHUNKS} chunks")


def png_end(data: bytes) -> int:
    """Behind its last chunk; raises `CorruptOutput` where there is none."""
    end = len(data)
    for chunk in chunks(data):
        end = chunk.end
    return end


def _shape(body: memoryview, *, second: bool) -> tuple[int, ...]:
    if len(body) != 13 or second:
        raise CorruptOutput(Reason.UNDECODABLE, "a header chunk that is none")
    width, height, depth, colours, compression, filtering, interlaced = struct.unpack(">II5B", body)
    if colours not in _SAMPLES or depth not in {1, 2, 4, 8, 16} or compression or filtering or interlaced > 1:
        raise CorruptOutput(Reason.UNDECODABLE, "a header chunk that declares what there is not")
    return width, height, depth * _SAMPLES[colours], interlaced


def _inflated_bytes(width: int, height: int, bits: int, interlaced: int) -> int:
    """Of all rows, each with the byte that names its filter."""
    total = 0
    for left, top, across, down in _PASSES if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + -(-columns * bits // 8))
    return total


def _see_pixels(pixels: list[memoryview], expected: int) -> None:
    """Never has more than a block of them in memory."""
    inflater, found = zlib.decompressobj(), 0
    try:
        for part in pixels:
            rest: bytes | memoryview = part
            while rest and not inflater.eof and found <= expected:
                found += len(inflater.decompress(rest, _BLOCK))
                rest = inflater.unconsumed_tail
            if inflater.unused_data or (inflater.eof and rest is part and len(part)):
                raise CorruptOutput(Reason.UNDECODABLE, "something else is behind its pixels")
        while found <= expected and (more := inflater.decompress(b"", _BLOCK)):
            found += len(more)
    except zlib.error as error:
        raise CorruptOutput(Reason.UNDECODABLE, f"its pixels cannot be inflated: {error}") from None
    if found != expected or not inflater.eof:
        amount = "more" if found > expected else "fewer"
        raise CorruptOutput(Reason.UNDECODABLE, f"has pixels for {amount} rows than it declares")
