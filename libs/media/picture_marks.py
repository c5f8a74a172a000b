"""The mark in PNG, JPEG and WebP: an XMP packet, put in among the metadata. Not one pixel is read."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from io import BytesIO

from PIL.PngImagePlugin import putchunk

from media.headers import probe
from media.riff import Chunk, riff_chunks, riff_of
from media.xmp import PACKET

_PNG_XMP = b"XML:com.adobe.xmp\0\0\0\0\0"
"""The keyword of an uncompressed international text without a language."""
_PNG_CREDENTIALS = b"caBX"

_JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_JPEG_MORE_XMP = b"http://ns.adobe.com/xmp/extension/\0"
_APP0, _APP1, _APP11, _SCAN = 0xE0, 0xE1, 0xEB, 0xDA
_JPEG_GONE = {_APP1: (_JPEG_XMP, _JPEG_MORE_XMP), _APP11: (b"JP",)}
"""How segments begin that do not stay: other packets, and boxes of credentials."""

_HAS_XMP, _HAS_ALPHA = 0x04, 0x10
_VP8L_ALPHA = 1 << 28


def mark_png(data: bytes) -> bytes:
    """Our packet in place of any other; credentials go, for the bytes they speak of are no longer these."""
    file, end = BytesIO(), len(data)
    file.write(data[:8])
    for name, start, end in _png_chunks(data):
        if name == _PNG_CREDENTIALS or _is_png_xmp(data, name, start):
            continue
        file.write(data[start:end])
        if name == b"IHDR":
            putchunk(file, b"iTXt", _PNG_XMP, PACKET)
    file.write(data[end:])
    return file.getvalue()


def png_is_marked(data: bytes) -> bool:
    return any(
        name == b"iTXt" and data[start + 8 : end - 4] == _PNG_XMP + PACKET for name, start, end in _png_chunks(data)
    )


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, begin and end of each chunk up to the last one."""
    at, name = 8, b""
    while name != b"IEND":
        length, name = struct.unpack_from(">I4s", data, at)
        yield name, at, at + 12 + length
        at += 12 + length


def _is_png_xmp(data: bytes, name: bytes, start: int) -> bool:
    return name == b"iTXt" and data.startswith(_PNG_XMP[:18], start + 8)


def mark_jpeg(data: bytes) -> bytes:
    """As `mark_png`. Behind JFIF and Exif, which have to come first."""
    first, others, scan = list[bytes](), list[bytes](), 2
    for kind, start, end in _jpeg_segments(data):
        scan = end
        body = data[start + 4 : end]
        if body.startswith(_JPEG_GONE.get(kind, ())):
            continue
        leads = kind == _APP0 or (kind == _APP1 and body.startswith(b"Exif\0"))
        (first if leads and not others else others).append(data[start:end])
    ours = _JPEG_XMP + PACKET
    return b"".join([data[:2], *first, struct.pack(">BBH", 0xFF, _APP1, 2 + len(ours)), ours, *others, data[scan:]])


def jpeg_is_marked(data: bytes) -> bool:
    return any(
        kind == _APP1 and data[start + 4 : end] == _JPEG_XMP + PACKET for kind, start, end in _jpeg_segments(data)
    )


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Kind, begin and end of each segment before the first scan."""
    at = 2
    while data[at] == 0xFF:
        while data[at + 1] == 0xFF:
            at += 1
        kind = data[at + 1]
        if kind == _SCAN:
            return
        (length,) = struct.unpack_from(">H", data, at + 2)
        yield kind, at, at + 2 + length
        at += 2 + length


def mark_webp(data: bytes) -> bytes:
    """As `mark_png`. Only the extended form of the file has a place for metadata."""
    chunks: list[Chunk] = [(name, body) for name, body in riff_chunks(data) if name not in {b"XMP ", b"C2PA"}]
    head = bytes(chunks.pop(0)[1]) if chunks[0][0] == b"VP8X" else _extended_head(data, *chunks[0])
    return riff_of(b"WEBP", [(b"VP8X", bytes([head[0] | _HAS_XMP]) + head[1:]), *chunks, (b"XMP ", PACKET)])


def _extended_head(data: bytes, name: bytes, body: bytes | memoryview) -> bytes:
    declared = probe(data)
    has_alpha = name == b"VP8L" and int.from_bytes(body[1:5], "little") & _VP8L_ALPHA
    sides = ((side - 1).to_bytes(3, "little") for side in (declared.width, declared.height))
    return bytes([_HAS_ALPHA if has_alpha else 0, 0, 0, 0]) + b"".join(sides)


def webp_is_marked(data: bytes) -> bool:
    return any(name == b"XMP " and body == PACKET for name, body in riff_chunks(data))
