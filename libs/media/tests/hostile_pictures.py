"""Hostile PNG, JPEG, WebP and GIF files."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from media import Reason
from media.tests.hostile_files import Family, Hostile, Make, noise

EMPTY, LARGE, ANIMATED, CUT, BROKEN, FORMAT, MIXED = (
    Reason.EMPTY,
    Reason.TOO_LARGE,
    Reason.ANIMATED,
    Reason.CUT_OFF,
    Reason.UNDECODABLE,
    Reason.WRONG_FORMAT,
    Reason.MIXED,
)
MAGIC = b"\x89PNG\r\n\x1a\n"


def pixels(width: int = 64, height: int = 48, mode: str = "RGB") -> Image.Image:
    shape = (height, width, len(mode)) if len(mode) > 1 else (height, width)
    return Image.fromarray(np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8), mode)


def saved(form: str, picture: Image.Image | None = None, **options: Any) -> bytes:
    file = BytesIO()
    (picture or pixels()).save(file, form, **options)
    return file.getvalue()


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def header(width: int = 8, height: int = 8, *rest: int) -> bytes:
    """`rest`: depth, type of colour, compression, filter, interlacing."""
    return chunk(b"IHDR", struct.pack(">II5B", width, height, *(rest or (8, 2, 0, 0, 0))))


def png_of(*chunks: bytes) -> bytes:
    return MAGIC + b"".join(chunks) + END


END = chunk(b"IEND", b"")
ROWS = (b"\0" + noise(24)) * 8
DATA = chunk(b"IDAT", zlib.compress(ROWS))


@cache
def zeros(mebibytes: int) -> bytes:
    """So many zeros, deflated to a thousandth."""
    packer = zlib.compressobj(9)
    parts = [packer.compress(bytes(1 << 20)) for _ in range(mebibytes)]
    return b"".join([*parts, packer.flush()])


def _deep_png(name: bytes, before: bytes) -> Make:
    return lambda: png_of(header(), chunk(name, before + zeros(200)), DATA)


def _many_texts() -> bytes:
    return png_of(header(), chunk(b"zTXt", b"k\0\0" + zeros(1)) * 80, DATA)


def png_files() -> Iterable[Hostile]:
    png, whole = Family("png", "png"), saved("png")
    yield from png.cuts(whole, [(8, BROKEN), (12, BROKEN), (20, BROKEN), (29, CUT), (40, CUT)])
    yield from png.cuts(whole, [(0.3, CUT), (0.6, CUT), (0.95, CUT), (-12, CUT), (-5, CUT), (-1, CUT)])
    for name, at in (("header", 29), ("pixels", whole.index(b"IDAT") + 40), ("end", len(whole) - 1)):
        yield png.patched(f"wrong checksum of the {name}", BROKEN, whole, at, bytes([whole[at] ^ 1]))
    for width, height in ((0, 8), (8, 0), (0, 0)):
        yield png.file(f"declares {width}x{height}", BROKEN, png_of(header(width, height), DATA))
    for width, height in ((40_001, 1000), (100_000, 100_000), (2**31 - 1, 1), (1, 2**31), (2**32 - 1, 2**32 - 1)):
        yield png.file(f"declares {width}x{height}", LARGE, png_of(header(width, height), DATA))
    for name, rest in {
        "a depth of 3 bits": (3, 2, 0, 0, 0),
        "a depth of 255 bits": (255, 2, 0, 0, 0),
        "a type of colour that there is not": (8, 7, 0, 0, 0),
        "a compression that there is not": (8, 2, 1, 0, 0),
        "a filter that there is not": (8, 2, 0, 9, 0),
        "an interlacing that there is not": (8, 2, 0, 0, 9),
    }.items():
        yield png.file(f"declares {name}", BROKEN, png_of(header(8, 8, *rest), DATA))
    yield png.file("more rows than there are", BROKEN, png_of(header(8, 800), DATA))
    yield png.file("wider rows than there are", BROKEN, png_of(header(800, 8), DATA))
    yield png.file("six thousand times more pixels than there are", BROKEN, png_of(header(6000, 6000), DATA))
    yield png.file("fewer rows than there are", BROKEN, png_of(header(8, 4), DATA))
    yield png.file("interlaced rows that are not", BROKEN, png_of(header(8, 8, 8, 2, 0, 0, 1), DATA))
    yield png.file("no pixels", BROKEN, png_of(header()))
    yield png.file("pixels of no length", BROKEN, png_of(header(), chunk(b"IDAT", b"")))
    yield png.file("pixels that are not deflated", BROKEN, png_of(header(), chunk(b"IDAT", noise(400))))
    yield png.file(
        "pixels with a wrong sum", BROKEN, png_of(header(), chunk(b"IDAT", zlib.compress(ROWS)[:-4] + b"nope"))
    )
    yield png.file("pixels that end early", BROKEN, png_of(header(), chunk(b"IDAT", zlib.compress(ROWS)[:30])))
    yield png.file(
        "an archive behind the pixels", BROKEN, png_of(header(), chunk(b"IDAT", zlib.compress(ROWS) + noise(99)))
    )
    yield png.file(
        "a row with a filter that there is not", BROKEN, png_of(header(), chunk(b"IDAT", zlib.compress(b"\x09" * 200)))
    )
    yield png.file("no header", BROKEN, png_of(DATA))
    yield png.file("a second header that is larger", BROKEN, png_of(header(), header(6000, 6000), DATA))
    yield png.file("a palette that is missing", BROKEN, png_of(header(8, 8, 8, 3, 0, 0, 0), DATA))
    yield png.file("a chunk with a name of zeros", BROKEN, png_of(header(), chunk(bytes(4), b"x"), DATA))
    yield png.file("a chunk without which it cannot be shown", BROKEN, png_of(header(), chunk(b"EVIL", b"x"), DATA))
    for length in (2**31, 2**32 - 1, 2**32 - 12):
        body = struct.pack(">I", length) + b"tEXt" + noise(50)
        yield png.file(f"a chunk of {length} bytes", CUT, MAGIC + header() + body + DATA + END)
    yield png.file("a hundred thousand chunks", LARGE, lambda: png_of(header(), chunk(b"tEXt", b"") * 100_000, DATA))
    yield png.file("a bomb of pixels", BROKEN, _deep_png(b"IDAT", b""))
    yield png.file("a bomb of text", BROKEN, _deep_png(b"zTXt", b"k\0\0"))
    yield png.file("a bomb of international text", BROKEN, _deep_png(b"iTXt", b"k\0\1\0\0\0"))
    yield png.file("a bomb of colours", BROKEN, _deep_png(b"iCCP", b"k\0\0"))
    yield png.file("eighty small bombs of text", BROKEN, _many_texts)
    yield png.file("an animation", ANIMATED, saved("png", save_all=True, append_images=[pixels(64, 48).rotate(90)]))
    yield png.file("an animation of one picture", ANIMATED, png_of(header(), chunk(b"acTL", bytes(8)), DATA))
    yield png.file("noise behind its magic", BROKEN, MAGIC + noise(5000))
    yield png.file("zeros behind its magic", BROKEN, MAGIC + bytes(5000))


def _segment(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, kind, len(body) + 2) + body


def _jpeg_with_size(whole: bytes, width: int, height: int) -> bytes:
    at = whole.index(b"\xff\xc0") if b"\xff\xc0" in whole else whole.index(b"\xff\xc2")
    return whole[: at + 5] + struct.pack(">HH", height, width) + whole[at + 9 :]


def _without(whole: bytes, mark: bytes) -> bytes:
    """A JPEG without the segments of this kind."""
    while (at := whole.find(mark)) >= 0:
        (length,) = struct.unpack_from(">H", whole, at + 2)
        whole = whole[:at] + whole[at + 2 + length :]
    return whole


def scan_bomb(scans: int = 1000) -> bytes:
    """A progressive JPEG of 100 kB that says the same thing a thousand times: 12 s of decoding."""
    data = saved("jpeg", Image.new("L", (4096, 4096), 90), progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * scans + b"\xff\xd9"


def jpeg_files() -> Iterable[Hostile]:
    jpeg, whole = Family("jpeg", "jpeg"), saved("jpeg")
    yield from jpeg.cuts(whole, [(3, BROKEN), (4, BROKEN), (10, BROKEN), (20, BROKEN), (100, BROKEN), (200, BROKEN)])
    yield from jpeg.cuts(whole, [(0.3, BROKEN), (0.6, BROKEN), (0.95, BROKEN), (-2, BROKEN), (-1, BROKEN)])
    for width, height in ((0, 48), (64, 0), (0, 0)):
        yield jpeg.file(f"declares {width}x{height}", BROKEN, _jpeg_with_size(whole, width, height))
    for width, height in ((65_535, 65_535), (65_535, 611), (6_325, 6_325)):
        yield jpeg.file(f"declares {width}x{height}", LARGE, _jpeg_with_size(whole, width, height))
    yield jpeg.file("more rows than there are", BROKEN, _jpeg_with_size(whole, 64, 480))
    yield jpeg.file("thirty megapixels that are not there", BROKEN, _jpeg_with_size(whole, 6000, 5000))
    yield jpeg.file(
        "twenty progressive megapixels that are not there",
        BROKEN,
        _jpeg_with_size(saved("jpeg", progressive=True, subsampling=0), 5000, 4000),
    )
    yield jpeg.file(
        "forty progressive megapixels",
        LARGE,
        _jpeg_with_size(saved("jpeg", progressive=True, subsampling=0), 8000, 5000),
    )
    yield jpeg.file("half of it, and an end", BROKEN, whole[: len(whole) // 2] + b"\xff\xd9")
    for name, mark in (("quantisation", b"\xff\xdb"), ("size", b"\xff\xc0"), ("scan", b"\xff\xda")):
        yield jpeg.file(f"without its {name}", BROKEN, _without(whole, mark))
    at = whole.index(b"\xff\xc0")
    yield jpeg.patched("no colours", BROKEN, whole, at + 9, b"\0")
    yield jpeg.patched("two hundred colours", BROKEN, whole, at + 9, b"\xc8")
    yield jpeg.patched("a depth of 12 bits", BROKEN, whole, at + 4, b"\x0c")
    yield jpeg.patched("a colour that is sampled 15 times", BROKEN, whole, at + 11, b"\xff")
    yield jpeg.patched("a colour that is never sampled", BROKEN, whole, at + 11, b"\0")
    yield jpeg.patched("a lossless frame", BROKEN, whole, at + 1, b"\xc3")
    yield jpeg.patched("an arithmetic frame that is not", BROKEN, whole, at + 1, b"\xc9")
    yield jpeg.file("a segment of no length", BROKEN, b"\xff\xd8\xff\xe0\0\0" + whole[2:])
    yield jpeg.file("a segment of one byte", BROKEN, b"\xff\xd8\xff\xe0\0\1" + whole[2:])
    yield jpeg.file("a segment that reaches out", BROKEN, b"\xff\xd8\xff\xe1\xff\xff" + whole[2:])
    yield jpeg.file("codes that reach out", BROKEN, whole.replace(b"\xff\xc4\0", b"\xff\xc4\x40", 1))
    yield jpeg.file("two thousand segments", BROKEN, b"\xff\xd8" + _segment(0xE1, b"Exif\0\0") * 2000 + whole[2:])
    yield jpeg.file("a megabyte of fill bytes that end in nothing", BROKEN, lambda: b"\xff\xd8" + b"\xff" * (1 << 20))
    yield jpeg.file("a thousand scans", LARGE, scan_bomb)
    yield jpeg.file(
        "a second frame that is larger",
        BROKEN,
        whole[:at] + whole[at : at + 19] + _jpeg_with_size(whole, 6000, 6000)[at:],
    )
    yield jpeg.file(
        "a scan of noise",
        BROKEN,
        whole[: whole.index(b"\xff\xda") + 14] + noise(3000).replace(b"\xff", b"\xfe") + b"\xff\xd9",
    )
    yield jpeg.file("noise behind its magic", BROKEN, b"\xff\xd8\xff" + noise(5000))
    yield jpeg.file("zeros behind its magic", BROKEN, b"\xff\xd8\xff" + bytes(5000))


def riff(form: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(struct.pack("<4sI", name, len(data)) + data + b"\0" * (len(data) % 2) for name, data in chunks)
    return struct.pack("<4sI4s", b"RIFF", 4 + len(body), form) + body


def _canvas(width: int, height: int, flags: int = 0) -> tuple[bytes, bytes]:
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"VP8X", bytes([flags, 0, 0, 0]) + size


def _lossless(width: int, height: int, body: bytes = b"") -> tuple[bytes, bytes]:
    return b"VP8L", b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + body


def webp_files() -> Iterable[Hostile]:
    webp, lossy, lossless = Family("webp", "webp"), saved("webp"), saved("webp", lossless=True)
    yield from webp.cuts(lossy, [(12, BROKEN), (16, BROKEN), (24, BROKEN), (29, BROKEN)])
    yield from webp.cuts(lossy, [(0.3, CUT), (0.6, CUT), (0.95, CUT), (-1, CUT)])
    yield from webp.cuts(lossless, [(22, BROKEN), (0.4, CUT), (0.7, CUT), (-2, CUT)])
    yield webp.patched("a file of 4 GB", CUT, lossy, 4, b"\xfe\xff\xff\xff")
    yield webp.patched("a file of no length", BROKEN, lossy, 4, bytes(4))
    yield webp.patched("a picture of 4 GB", CUT, lossy, 16, b"\xfe\xff\xff\xff")
    yield webp.patched("a picture of no length", CUT, lossy, 16, bytes(4))
    yield webp.patched("a picture of half its length", CUT, lossy, 16, struct.pack("<I", len(lossy) // 2))
    yield webp.patched("0x48 pixels", BROKEN, lossy, 26, bytes(2))
    yield webp.patched("16383x16383 pixels", LARGE, lossy, 26, b"\xff\x3f\xff\x3f")
    yield webp.patched("ten times wider than it is", BROKEN, lossy, 26, b"\x80\x02")
    yield webp.patched("a frame that is no key frame", BROKEN, lossy, 20, bytes([lossy[20] | 1]))
    yield webp.patched("no signature of a frame", BROKEN, lossy, 23, b"xxx")
    yield webp.patched("lossless of version 7", BROKEN, lossless, 24, bytes([lossless[24] | 0xE0]))
    yield webp.patched("no signature of lossless", BROKEN, lossless, 20, b"\x2e")
    yield webp.file("16384x16384 pixels of nothing", LARGE, riff(b"WEBP", _lossless(16384, 16384, bytes(20))))
    yield webp.file(
        "forty megapixels of nothing in forty bytes",
        LARGE,
        saved("webp", Image.new("RGBA", (8000, 5000)), lossless=True, method=0),
    )
    yield webp.file(
        "a canvas of 16777216x16777216", LARGE, riff(b"WEBP", _canvas(1 << 24, 1 << 24), (b"VP8 ", lossy[20:]))
    )
    yield webp.file(
        "a canvas that is larger than its picture", BROKEN, riff(b"WEBP", _canvas(640, 480), (b"VP8 ", lossy[20:]))
    )
    yield webp.file("a canvas without a picture", BROKEN, riff(b"WEBP", _canvas(64, 48)))
    yield webp.file(
        "a picture larger than its canvas", BROKEN, riff(b"WEBP", _canvas(8, 8), _lossless(16384, 16384, noise(500)))
    )
    yield webp.file(
        "sixteen lossless megapixels that are noise", BROKEN, riff(b"WEBP", _lossless(4000, 4000, noise(500_000)))
    )
    yield webp.file(
        "an alpha of noise",
        BROKEN,
        riff(b"WEBP", _canvas(64, 48, 0x10), (b"ALPH", b"\x01" + noise(300)), (b"VP8 ", lossy[20:])),
    )
    yield webp.file("no picture at all", BROKEN, riff(b"WEBP"))
    yield webp.file("a picture under a name of zeros", BROKEN, riff(b"WEBP", (bytes(4), lossy[20:])))
    yield webp.file("an animation", ANIMATED, saved("webp", save_all=True, append_images=[pixels(64, 48).rotate(90)]))
    yield webp.file("an animation of no picture", ANIMATED, riff(b"WEBP", _canvas(64, 48, 2), (b"ANIM", bytes(6))))
    yield webp.file("noise behind its magic", BROKEN, b"RIFF\x90\x13\0\0WEBP" + noise(5000))
    yield webp.file("noise behind the name of a lossy picture", BROKEN, b"RIFF\x90\x13\0\0WEBPVP8 " + noise(5000))
    yield webp.file(
        "noise behind the name of a lossless picture", BROKEN, b"RIFF\x90\x13\0\0WEBPVP8L\x7c\x13\0\0" + noise(4988)
    )
    yield webp.file("zeros behind its magic", BROKEN, b"RIFF\x90\x13\0\0WEBP" + bytes(5000))


def gif_files() -> Iterable[Hostile]:
    """A GIF is refused whatever is in it."""
    gif, whole = Family("gif", "png"), saved("gif")
    yield gif.file("a whole one", FORMAT, whole)
    yield gif.file("of the older kind", FORMAT, b"GIF87a" + whole[6:])
    yield gif.file("an animation", FORMAT, saved("gif", save_all=True, append_images=[pixels(64, 48).rotate(90)]))
    yield from gif.cuts(whole, [(6, FORMAT), (13, FORMAT), (0.5, FORMAT), (-1, FORMAT)])
    yield gif.file("65535x65535 pixels", FORMAT, whole[:6] + b"\xff\xff\xff\xff" + whole[10:])
    yield gif.file("that is a script", FORMAT, b"GIF89a/*" + bytes(8) + b"*/=1;alert(document.domain);//")
    yield gif.file("noise behind its magic", FORMAT, b"GIF89a" + noise(5000))


def files() -> list[Hostile]:
    return [*png_files(), *jpeg_files(), *webp_files(), *gif_files()]
