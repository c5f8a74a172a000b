"""Whole pictures: decoded to the last row before anybody keeps or shows them (R72, R90).

Bytes after the end of the picture are tolerated: providers and their caches pad files, and a picture that was paid
for is not thrown away for it. A file that is a picture and something else besides stays harmless because it is
served with our own Content-Type, `nosniff` and from an origin of its own.
"""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

from PIL import Image

from media.errors import CorruptOutput, Reason, in_short
from media.facts import Facts
from media.headers import Probe, probe


def picture_facts(data: bytes) -> Facts:
    """Decode a whole PNG, JPEG or WebP; raises `CorruptOutput`, and `MemoryError` where there is too little of it."""
    declared = probe(data)
    decode_whole(data, declared)
    return Facts(declared.mime, len(data), width=declared.width, height=declared.height)


def decode_whole(data: bytes, declared: Probe) -> Image.Image:
    """Every row of a picture that `probe` has described, decoded; raises `CorruptOutput`, also for an animation."""
    if declared.animated:
        raise CorruptOutput(Reason.ANIMATED, "an animation, but a picture was asked for")
    if declared.format == "png":
        _walk_chunks(data)
    return _decode(data, declared)


def in_rgb(picture: Image.Image) -> Image.Image:
    """The picture in RGB, or in RGBA where it has transparency; the same object where it is that already."""
    if picture.mode in {"RGB", "RGBA"}:
        return picture
    if picture.mode == "I;16":  # the conversion would take all that is brighter than 255 of 65535 for white
        return picture.convert("I").point(lambda value: value / 256).convert("L").convert("RGB")
    return picture.convert("RGBA" if picture.has_transparency_data else "RGB")


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
        raise CorruptOutput(Reason.CUT_OFF, "the picture is cut off") from None


def _decode(data: bytes, declared: Probe) -> Image.Image:
    try:
        with Image.open(BytesIO(data), formats=[declared.format.upper()]) as image:
            if image.size != (declared.width, declared.height):
                raise CorruptOutput(Reason.UNDECODABLE, "the picture contradicts its header")
            image.load()
            return image
    except (CorruptOutput, MemoryError):
        raise
    except Exception as error:  # a decoder's errors have no common kind; all of them mean the same here
        raise CorruptOutput(Reason.UNDECODABLE, f"cannot be decoded: {in_short(error)}") from None
