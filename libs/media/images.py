"""Whole pictures: decoded to the last row before anybody keeps or shows them (R72, R90).

Bytes after the end of the picture are tolerated: providers and their caches pad files, and a picture that was paid
for is not thrown away for it. A file that is a picture and something else besides stays harmless because it is
served with our own Content-Type, `nosniff` and from an origin of its own.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from media.errors import CorruptOutput, Reason
from media.headers import Probe, probe

MAX_BYTES = 64 << 20
"""The largest file that is looked at."""


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What is true of a checked picture: MIME type by content, pixels, bytes."""

    mime: str
    width: int
    height: int
    size: int


def check_image(
    source: bytes | Path, width: int, height: int, image_format: str, *, max_bytes: int = MAX_BYTES
) -> ImageFacts:
    """Decode the whole picture and see that it is `width` x `height` pixels in `image_format` (png, jpeg or webp).

    Decodes in this process: for bytes of others use `Checker`. Raises `CorruptOutput`, and `OSError` where a file
    cannot be read or `MemoryError` where there is too little of it, which may not be the picture's fault.
    """
    data = read_whole(source, max_bytes)
    declared = probe(data)
    _compare(declared, width, height, image_format)
    decode_whole(data, declared)
    return ImageFacts(declared.mime, width, height, len(data))


def read_whole(source: bytes | Path, max_bytes: int = MAX_BYTES) -> bytes:
    """All bytes of a picture; raises `CorruptOutput` where there are more than `max_bytes`."""
    data = source if isinstance(source, bytes) else _read(source, max_bytes)
    if len(data) > max_bytes:
        raise CorruptOutput(Reason.TOO_LARGE, f"more than {max_bytes} bytes")
    return data


def decode_whole(data: bytes, declared: Probe) -> None:
    """Decode every row of a picture that `probe` has described; raises `CorruptOutput`, also for an animation."""
    if declared.animated:
        raise CorruptOutput(Reason.ANIMATED, "an animation, but a picture was asked for")
    if declared.format == "png":
        _walk_chunks(data)
    _decode(data, declared)


def _read(path: Path, max_bytes: int) -> bytes:
    with path.open("rb") as file:
        return file.read(max_bytes + 1)


def _compare(declared: Probe, width: int, height: int, image_format: str) -> None:
    if declared.format != image_format:
        raise CorruptOutput(Reason.WRONG_FORMAT, f"{declared.format}, but {image_format} was asked for")
    if (declared.width, declared.height) != (width, height):
        found = f"{declared.width}x{declared.height}"
        raise CorruptOutput(Reason.WRONG_SIZE, f"{found} pixels, but {width}x{height} were asked for")


def _walk_chunks(data: bytes) -> None:
    """See every checksum of a PNG and its end: the decoder itself skips those of the pixels."""
    at = 8
    view = memoryview(data)
    try:
        while True:
            length, name = struct.unpack_from(">I4s", data, at)
            (checksum,) = struct.unpack_from(">I", data, at + 8 + length)
            if zlib.crc32(view[at + 4 : at + 8 + length]) != checksum:
                raise CorruptOutput(Reason.UNDECODABLE, f"a checksum is wrong in {name.decode('latin-1')}")
            if name == b"acTL":
                raise CorruptOutput(Reason.ANIMATED, "an animation, but a picture was asked for")
            if name == b"IEND":
                return
            at += 12 + length
    except struct.error:
        raise CorruptOutput(Reason.UNDECODABLE, "the picture is cut off") from None


def _decode(data: bytes, declared: Probe) -> None:
    try:
        with Image.open(BytesIO(data), formats=[declared.format.upper()]) as image:
            if image.size != (declared.width, declared.height):
                raise CorruptOutput(Reason.UNDECODABLE, "the picture contradicts its header")
            image.load()
    except (CorruptOutput, MemoryError):
        raise
    except Exception as error:  # a decoder's errors have no common kind; all of them mean the same here
        raise CorruptOutput(Reason.UNDECODABLE, f"cannot be decoded: {_short(error)}") from None


def _short(error: Exception) -> str:
    return (str(error) or type(error).__name__)[:200]
