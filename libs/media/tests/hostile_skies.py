"""Hostile OpenEXR and Radiance pictures."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable

from media import Reason
from media.tests.hostile_files import Family, Hostile, noise
from media.tests.hostile_pictures import zeros
from media.tests.media_files import exr, flat_hdr, hdr

LARGE, CUT, BROKEN = Reason.TOO_LARGE, Reason.CUT_OFF, Reason.UNDECODABLE
_NO_ROWS_TOGETHER, _ZIP = 2, 3


def _attribute(name: bytes, kind: bytes, body: bytes) -> bytes:
    return name + b"\0" + kind + b"\0" + struct.pack("<I", len(body)) + body


def exr_of(
    width: int, height: int, blocks: list[bytes], *, compression: int = _ZIP, rows: int = 16, flags: int = 0
) -> bytes:
    """An EXR of three colours in half floats, of blocks as they are."""
    colours = b"".join(name + b"\0" + struct.pack("<IIII", 1, 0, 1, 1) for name in (b"B", b"G", b"R")) + b"\0"
    window = struct.pack("<4i", 0, 0, width - 1, height - 1)
    head = b"\x76\x2f\x31\x01" + struct.pack("<I", 2 | flags)
    head += _attribute(b"channels", b"chlist", colours) + _attribute(
        b"compression", b"compression", bytes([compression])
    )
    head += _attribute(b"dataWindow", b"box2i", window) + _attribute(b"displayWindow", b"box2i", window)
    head += _attribute(b"lineOrder", b"lineOrder", b"\0") + _attribute(b"pixelAspectRatio", b"float", b"\0\0\x80\x3f")
    head += _attribute(b"screenWindowCenter", b"v2f", bytes(8)) + _attribute(
        b"screenWindowWidth", b"float", b"\0\0\x80\x3f"
    )
    head += b"\0"
    at, table, body = len(head) + 8 * len(blocks), b"", b""
    for number, block in enumerate(blocks):
        table += struct.pack("<Q", at + len(body))
        body += struct.pack("<iI", number * rows, len(block)) + block
    return head + table + body


def dark_exr(width: int, height: int, *, last: bytes | None = None) -> bytes:
    """Half floats of nothing in blocks of sixteen rows; `last` is the last block."""
    block = zlib.compress(bytes(width * 16 * 6), 9)
    blocks = [block] * (-(-height // 16))
    return exr_of(width, height, blocks if last is None else [*blocks[:-1], last])


def exr_files() -> Iterable[Hostile]:
    family, whole = Family("exr", "exr"), exr()
    packed = exr(compression="zip16")
    yield from family.cuts(whole, [(4, CUT), (8, CUT), (20, CUT), (100, CUT), (300, CUT)])
    yield from family.cuts(whole, [(0.3, CUT), (0.6, CUT), (0.95, CUT), (-1, CUT)])
    yield from family.cuts(packed, [(0.4, CUT), (0.8, CUT), (-2, CUT)])
    for width, height in ((0, 8), (8, 0), (-5, 8)):
        yield family.file(f"declares {width}x{height}", BROKEN, exr_of(width, height, [b"x" * 48]))
    for width, height in ((8193, 4096), (100_000, 100_000), (2**31 - 1, 2**31 - 1)):
        yield family.file(f"declares {width}x{height}", LARGE, exr_of(width, height, [b"x" * 48]))
    for name, flag in {"in tiles": 0x200, "of depth": 0x800, "in parts": 0x1000}.items():
        yield family.file(name, BROKEN, exr_of(16, 16, [zlib.compress(bytes(1536))], flags=flag))
    yield family.file("a compression that there is not", CUT, exr_of(16, 16, [bytes(99)], compression=77))
    yield family.file("rows that are not deflated", BROKEN, exr_of(64, 16, [noise(400)]))
    yield family.file("rows that are too short", BROKEN, exr_of(64, 16, [zlib.compress(bytes(100))]))
    yield family.file("rows that become too long", BROKEN, exr_of(64, 16, [zlib.compress(bytes(900_000))]))
    yield family.file("a bomb of rows", BROKEN, lambda: exr_of(64, 16, [zeros(200)]))
    yield family.file("a huge sky whose last rows are noise", BROKEN, lambda: dark_exr(8192, 4096, last=noise(500)))
    yield family.file("a huge sky whose last rows are missing", CUT, lambda: dark_exr(8192, 4096)[:-9])
    for compression, name in ((4, "wavelets"), (5, "24 bits"), (6, "B44"), (8, "DWAA")):
        yield family.file(f"noise in {name}", BROKEN, exr_of(64, 16, [noise(700)], compression=compression))
    at = whole.index(b"dataWindow")
    yield family.file("no size", CUT, whole.replace(b"dataWindow", b"dataWidow\0", 1))
    yield family.patched("an attribute of 4 GB", CUT, whole, at + 17, b"\xff\xff\xff\xff")
    yield family.file("no colours", CUT, whole.replace(b"channels", b"chanels\0", 1))
    yield family.file("noise behind its magic", CUT, b"\x76\x2f\x31\x01\2\0\0\0" + noise(5000))
    yield family.file("zeros behind its magic", CUT, b"\x76\x2f\x31\x01" + bytes(5000))
    table = len(exr_of(16, 16, []))
    one = exr_of(16, 16, [zlib.compress(bytes(1536))])
    for place in (0, 4, 2**40, 2**64 - 1):
        yield family.patched(f"rows at byte {place}", CUT, one, table, struct.pack("<Q", place))
    yield family.patched("rows of 4 GB", CUT, one, table + 12, b"\xff\xff\xff\xff")
    yield family.patched("rows below the picture", BROKEN, one, table + 8, struct.pack("<i", 4096))
    yield family.patched("rows above the picture", BROKEN, one, table + 8, struct.pack("<i", -4096))


def hdr_files() -> Iterable[Hostile]:
    family, whole, flat = Family("hdr", "hdr"), hdr(), flat_hdr(16, 8)
    yield from family.cuts(whole, [(11, BROKEN), (20, BROKEN), (40, BROKEN)])
    yield from family.cuts(whole, [(0.3, CUT), (0.6, CUT), (0.95, CUT), (-1, CUT)])
    yield from family.cuts(flat, [(0.5, CUT), (-2, CUT)])
    for size in (
        b"-Y 0 +X 16",
        b"-Y 8 +X 0",
        b"-Y -8 +X 16",
        b"-Y 8 +X 99999999",
        b"-Y 8",
        b"+X 16 +Y 8",
        b"-Y a +X b",
    ):
        yield family.file(f"a size of {size.decode()}", BROKEN, flat.replace(b"-Y 8 +X 16", size))
    for size in (b"-Y 99999 +X 99999", b"-Y 4097 +X 8192", b"-Y 999999 +X 999999"):
        yield family.file(f"a size of {size.decode()}", LARGE, flat.replace(b"-Y 8 +X 16", size))
    for size in (b"-Y 9 +X 16", b"-Y 4096 +X 8192", b"-Y 8 +X 17"):
        yield family.file(f"a size of {size.decode()} that is not there", CUT, flat.replace(b"-Y 8 +X 16", size))
    head = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 8 +X 16\n"
    row = b"\2\2\0\x10"
    yield family.file("runs of no length", BROKEN, head + (row + b"\0" * 99) * 8)
    yield family.file("runs that are too long", BROKEN, head + (row + b"\xff\1" * 99) * 8)
    yield family.file("runs that are missing", CUT, head + row)
    yield family.file("a header without end", BROKEN, lambda: b"#?RADIANCE\n" + b"A=B\n" * 1_000_000)
    yield family.file("noise behind its magic", BROKEN, b"#?RADIANCE\n" + noise(5000))
    yield family.file("zeros behind its magic", BROKEN, b"#?RADIANCE\n" + bytes(5000))


def files() -> list[Hostile]:
    return [*exr_files(), *hdr_files()]
