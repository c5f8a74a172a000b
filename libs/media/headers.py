"""What a picture declares about itself, read from its header: nothing is decoded, no library is trusted with it."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from media.errors import CorruptOutput, Reason
from media.formats import START, sniffed

MAX_PIXELS = 40_000_000
"""The most pixels a picture may declare: four times the largest that a provider makes, 160 MB decoded. Of a WebP
and of a progressive JPEG it is less, for their decoders take more."""

_MOST_SEGMENTS = 1000
_START_OF_FRAME = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}


@dataclass(frozen=True, slots=True)
class Probe:
    """Type by content and declared pixels; `format` is png, jpeg or webp."""

    format: str
    width: int
    height: int
    animated: bool = False

    @property
    def mime(self) -> str:
        return f"image/{self.format}"


def probe(source: bytes | Path, *, max_pixels: int = MAX_PIXELS) -> Probe:
    """Read what kind of picture this is and how large it says it is.

    Raises `CorruptOutput` for anything but PNG, JPEG and WebP and for more than `max_pixels`; `OSError` where a file
    cannot be read.
    """
    if isinstance(source, bytes):
        return _probe(BytesIO(source), max_pixels)
    with source.open("rb") as file:
        return _probe(file, max_pixels)


def _probe(file: BinaryIO, max_pixels: int) -> Probe:
    start = file.read(START)
    reader = _reader_of(sniffed(start))
    try:
        found = reader(start, file)
    except (struct.error, IndexError):
        raise CorruptOutput(Reason.UNDECODABLE, "the picture ends within its header") from None
    if found.width < 1 or found.height < 1:
        raise CorruptOutput(Reason.UNDECODABLE, f"declares {found.width}x{found.height} pixels")
    if found.width * found.height > max_pixels:
        raise CorruptOutput(Reason.TOO_LARGE, f"declares {found.width}x{found.height} pixels, {max_pixels} are allowed")
    return found


def _reader_of(mime: str) -> Callable[[bytes, BinaryIO], Probe]:
    reader = _READERS.get(mime)
    if reader is None:
        raise CorruptOutput(Reason.WRONG_FORMAT, f"{mime}, but a PNG, JPEG or WebP picture was asked for")
    return reader


def _png(start: bytes, _: BinaryIO) -> Probe:
    length, name, width, height = struct.unpack_from(">I4sII", start, 8)
    if (length, name) != (13, b"IHDR"):
        raise CorruptOutput(Reason.UNDECODABLE, "a PNG without its header chunk")
    return Probe("png", width, height)


def _jpeg(_: bytes, file: BinaryIO) -> Probe:
    file.seek(2)
    for _number in range(_MOST_SEGMENTS):
        mark, kind = file.read(1)[0], file.read(1)[0]
        while kind == 0xFF:
            kind = file.read(1)[0]
        if mark != 0xFF:
            break
        if kind in _WITHOUT_LENGTH:
            continue
        (length,) = struct.unpack(">H", file.read(2))
        if kind in _START_OF_FRAME:
            height, width = struct.unpack_from(">xHH", file.read(5))
            return Probe("jpeg", width, height)
        file.seek(length - 2, 1)
    raise CorruptOutput(Reason.UNDECODABLE, "a JPEG without a frame")


def _webp(start: bytes, _: BinaryIO) -> Probe:
    kind = start[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(start[at : at + 3], "little") + 1 for at in (24, 27))
        return Probe("webp", width, height, animated=bool(start[20] & 0x02))
    if kind == b"VP8L" and start[20] == 0x2F:
        (bits,) = struct.unpack_from("<I", start, 21)
        return Probe("webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8 " and start[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", start, 26)
        return Probe("webp", width & 0x3FFF, height & 0x3FFF)
    raise CorruptOutput(Reason.UNDECODABLE, "a WebP without a picture")


_READERS: Mapping[str, Callable[[bytes, BinaryIO], Probe]] = {
    "image/png": _png,
    "image/jpeg": _jpeg,
    "image/webp": _webp,
}
