"""Hostile MP4 and WebM files."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from media import Reason
from media.tests.hostile_files import Family, Hostile, noise
from media.tests.hostile_pictures import zeros
from media.tests.media_files import sound_as_mp4, video

LARGE, CUT, BROKEN, OUTSIDE, SILENT = (
    Reason.TOO_LARGE,
    Reason.CUT_OFF,
    Reason.UNDECODABLE,
    Reason.EXTERNAL,
    Reason.SILENT,
)
MP4, WEBM = Family("mp4", "mp4"), Family("webm", "webm")
_TABLES = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
_LINKS = (*_TABLES[:4], b"dinf", b"dref")
_FTYP = struct.pack(">I", 24) + b"ftypisom" + bytes(4) + b"isommp42"


def box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + name + body


def place(data: bytes, *path: bytes) -> tuple[int, int]:
    """Where a box begins and how long it is; each of the path is the first of its name."""
    at, end = 0, len(data)
    for name in path:
        while data[at + 4 : at + 8] != name:
            at += int.from_bytes(data[at : at + 4])
            assert at < end, name
        found, size = at, int.from_bytes(data[at : at + 4])
        at, end = found + 8, found + size
        at += {b"dref": 8, b"stsd": 8}.get(name, 0)
    return found, size


def with_box(data: bytes, path: tuple[bytes, ...], new: bytes) -> bytes:
    """The box at the end of the path becomes another, and those around it as long as they then are."""
    at, size = place(data, *path)
    grown = bytearray(data[:at] + new + data[at + size :])
    for depth in range(1, len(path)):
        outer, length = place(data, *path[:depth])
        struct.pack_into(">I", grown, outer, length + len(new) - size)
    return bytes(grown)


def _table(data: bytes, name: bytes, body: bytes) -> bytes:
    return with_box(data, (*_TABLES, name), box(name, body))


def _link(data: bytes, kind: bytes, body: bytes) -> bytes:
    entry = box(kind, body)
    return with_box(data, _LINKS, box(b"dref", struct.pack(">II", 0, 1) + entry))


def _mp4_tables(whole: bytes) -> Iterable[Hostile]:
    at, _ = place(whole, *_TABLES, b"stsz")
    for name, count in {"four billion": 2**32 - 1, "a hundred million": 10**8, "twenty million": 2 * 10**7}.items():
        yield MP4.file(f"{name} frames of one byte", BROKEN, _table(whole, b"stsz", struct.pack(">III", 0, 1, count)))
    yield MP4.patched("more frames than the table has", BROKEN, whole, at + 16, struct.pack(">I", 2**31))
    yield MP4.file(
        "frames of 4 GB", BROKEN, _table(whole, b"stsz", struct.pack(">III24I", 0, 0, 24, *[2**32 - 1] * 24))
    )
    sizes = struct.pack(">III", 0, 0, 200_000) + struct.pack(">I", 4000) * 200_000
    once = _table(_table(whole, b"stsz", sizes), b"stsc", struct.pack(">IIIII", 0, 1, 1, 1, 1))
    chunks = struct.pack(">II", 0, 200_000) + struct.pack(">I", 48) * 200_000
    yield MP4.file("the same bytes as two hundred thousand frames", BROKEN, lambda: _table(once, b"stco", chunks))
    for name, count in {"no entries": 0, "four billion entries": 2**32 - 1}.items():
        for table in (b"stco", b"stsc", b"stts"):
            at, _ = place(whole, *_TABLES, table)
            reason = SILENT if not count else BROKEN
            yield MP4.patched(f"{name} in {table.decode()}", reason, whole, at + 12, struct.pack(">I", count))
    at, _ = place(whole, *_TABLES, b"stco")
    yield MP4.patched("frames behind the end of the file", BROKEN, whole, at + 16, b"\x7f\xff\xff\xff")
    yield MP4.patched("frames in the header of the file", BROKEN, whole, at + 16, bytes(4))
    at, _ = place(whole, *_TABLES, b"stsd")
    for codec in (b"evil", b"png ", b"tiff", b"gif ", b"rle ", b"cvid", bytes(4)):
        yield MP4.patched(f"in the codec {codec!r}", BROKEN, whole, at + 20, codec)
    yield MP4.patched("no description of its frames", BROKEN, whole, at + 12, bytes(4))


def _mp4_pictures() -> Iterable[Hostile]:
    """What the frames themselves say against their container."""
    large, small = video(640, 480, codec="libx264"), video(64, 48, codec="libx264")
    for width, height in ((0, 0), (65_535, 65_535), (4097, 2304)):
        reason = BROKEN if not width else LARGE
        yield MP4.file(f"declares {width}x{height}", reason, _sized(video(), width, height))
    yield MP4.file(
        "frames of another size than it declares", BROKEN, with_box(large, (*_TABLES, b"stsd"), _stsd(small))
    )


def _stsd(data: bytes) -> bytes:
    at, size = place(data, *_TABLES, b"stsd")
    return data[at : at + size]


def _sized(data: bytes, width: int, height: int) -> bytes:
    at, _ = place(data, *_TABLES, b"stsd")
    return data[: at + 48] + struct.pack(">HH", width, height) + data[at + 52 :]


def _deep(levels: int) -> bytes:
    found = b""
    for _ in range(levels):
        found = box(b"moov", found)
    return _FTYP + found


def _indexed(data: bytes) -> bytes:
    """The index in front of the frames, as for players that begin before they have all of it."""
    at, size = place(data, b"moov")
    before, _ = place(data, b"mdat")
    chunks, _ = place(data, *_TABLES, b"stco")
    (count,) = struct.unpack_from(">I", data, chunks + 12)
    index = bytearray(data[at : at + size])
    for number in range(count):
        entry = chunks - at + 16 + 4 * number
        struct.pack_into(">I", index, entry, struct.unpack_from(">I", index, entry)[0] + size)
    return data[:before] + bytes(index) + data[before:at]


def mp4_files() -> Iterable[Hostile]:
    whole = video()
    indexed = _indexed(whole)
    yield from MP4.cuts(whole, [(12, CUT), (24, CUT), (32, BROKEN), (40, BROKEN), (0.3, CUT), (0.6, CUT)])
    yield from MP4.cuts(whole, [(0.95, CUT), (-1, CUT), (-100, CUT)])
    yield from MP4.cuts(indexed, [(0.31, CUT), (0.61, CUT), (0.96, CUT), (-2, CUT)])
    yield from _mp4_tables(whole)
    yield from _mp4_pictures()
    mdat, _ = place(whole, b"mdat")
    yield MP4.patched("damaged frames", BROKEN, video(codec="libx264"), mdat + 900, b"\xaa" * 2000)
    yield MP4.patched("frames that are zeros", BROKEN, whole, mdat + 8, bytes(4000))
    yield MP4.patched("a box of four bytes", BROKEN, whole, mdat, b"\0\0\0\4")
    yield MP4.patched("a box of 4 GB", CUT, whole, mdat, b"\xff\xff\xff\xff")
    huge = struct.pack(">I", 1) + b"free" + b"\x7f" + b"\xff" * 7
    yield MP4.file("a box of eight billion GB", CUT, whole[:mdat] + huge + whole[mdat:])
    yield MP4.file("no index", BROKEN, whole[: place(whole, b"moov")[0]])
    yield MP4.file("no frames", BROKEN, whole[:mdat] + whole[place(whole, b"moov")[0] :])
    yield MP4.file("an index in an index, ten thousand times", BROKEN, lambda: _deep(10_000))
    yield MP4.file("a hundred thousand boxes", LARGE, lambda: whole + box(b"free", b"") * 100_000)
    yield MP4.file("sound alone", SILENT, sound_as_mp4())
    yield MP4.file("two tracks of pictures", SILENT, _doubled(whole))
    for kind, body in {
        "a file of the machine": b"\0\0\0\0file:///etc/passwd\0",
        "an address": b"\0\0\0\0http://127.0.0.1:9/x.mp4\0",
        "a file beside it": b"\0\0\0\0../other.mp4\0",
        "nowhere": b"\0\0\0\0",
    }.items():
        yield MP4.file(f"frames in {kind}", OUTSIDE, _link(whole, b"url ", body))
    yield MP4.file("frames in a named file", OUTSIDE, _link(whole, b"urn ", b"\0\0\0\0name\0file:///etc/passwd\0"))
    yield MP4.file("frames in an alias", OUTSIDE, _link(whole, b"alis", b"\0\0\0\0" + noise(150)))
    packed = box(b"dcom", b"zlib") + box(b"cmvd", struct.pack(">I", 200 << 20) + zeros(200))
    yield MP4.file(
        "an index that is a bomb", BROKEN, _FTYP + box(b"mdat", noise(99)) + box(b"moov", box(b"cmov", packed))
    )
    pieces = video(options={"movflags": "frag_keyframe+empty_moov"})
    yield from MP4.cuts(pieces, [(0.32, CUT), (0.62, CUT)])
    run = pieces.index(b"trun")
    yield MP4.patched("a piece of four billion frames", BROKEN, pieces, run + 8, b"\xff\xff\xff\xff")
    bare = with_box(pieces, (b"moof", b"traf", b"trun"), box(b"trun", struct.pack(">II", 0, 20_000_000)))
    yield MP4.file("a piece of twenty million frames that are nowhere", LARGE, bare)
    for brand in (b"qt  ", b"avif", b"heic", b"M4A ", b"crx ", b"\0\0\0\0"):
        yield MP4.patched(f"of the brand {brand!r}", Reason.NOT_MEDIA, whole, 8, brand)
    yield MP4.file("only its magic", BROKEN, _FTYP)
    yield MP4.file("noise behind its magic", BROKEN, _FTYP + b"\0\0\x13\x90" + b"mdat" + noise(5000))
    yield MP4.file("zeros behind its magic", BROKEN, _FTYP + bytes(5000))


def _doubled(data: bytes) -> bytes:
    at, size = place(data, b"moov", b"trak")
    return with_box(data, (b"moov", b"trak"), data[at : at + size] * 2)


def _ebml(name: bytes, body: bytes, length: int | None = None) -> bytes:
    return name + (0x01 << 56 | (len(body) if length is None else length)).to_bytes(8) + body


def webm_files() -> Iterable[Hostile]:
    whole = video(form="webm", codec="libvpx-vp9")
    head = whole[: whole.index(b"\x18\x53\x80\x67")]
    yield from WEBM.cuts(whole, [(len(head), BROKEN), (len(head) + 4, CUT), (100, CUT), (300, CUT)])
    yield from WEBM.cuts(whole, [(0.3, CUT), (0.6, CUT), (0.95, CUT), (-1, CUT)])
    tracks, cluster = whole.rindex(b"\x16\x54\xae\x6b"), whole.index(b"\x1f\x43\xb6\x75")
    segment = len(head)
    yield WEBM.patched("a body of a hundred thousand TB", CUT, whole, segment + 4, b"\x01\xfe" + b"\xff" * 6)
    yield WEBM.patched("tracks of a hundred thousand TB", BROKEN, whole, tracks + 4, b"\x01\xfe" + b"\xff" * 6)
    yield WEBM.patched("a cluster of no kind", BROKEN, whole, cluster, bytes(4))
    codec = whole.index(b"V_VP9")
    for called, reason in {b"V_QQQ": BROKEN, b"V_PNG": BROKEN, b"V_AV9": BROKEN, bytes(5): SILENT}.items():
        yield WEBM.patched(f"in the codec {called!r}", reason, whole, codec, called)
    yield WEBM.patched("VP9 that says it is VP8", BROKEN, whole, codec, b"V_VP8")
    for name, mark in {"width": b"\xb0\x81\x40", "height": b"\xba\x81\x30"}.items():
        if mark in whole:
            yield WEBM.patched(f"a {name} of nothing", BROKEN, whole, whole.index(mark) + 2, b"\0")
    yield WEBM.file("only its head", BROKEN, head)
    yield WEBM.file("a body without tracks", BROKEN, head + _ebml(b"\x18\x53\x80\x67", b""))
    yield WEBM.file("tracks without frames", CUT, whole[:cluster])
    yield WEBM.file("ten thousand bodies in bodies", BROKEN, lambda: _bodies(head))
    yield WEBM.file("noise behind its head", BROKEN, head + noise(5000))
    yield WEBM.file("noise in its body", BROKEN, head + _ebml(b"\x18\x53\x80\x67", noise(5000)))
    yield WEBM.file("zeros behind its head", BROKEN, head + bytes(5000))
    matroska = video(form="matroska", codec="libx264")
    yield WEBM.file("a Matroska file", Reason.NOT_MEDIA, matroska)
    yield WEBM.file(
        "a Matroska file that says it is a WebM",
        BROKEN,
        matroska.replace(b"\x42\x82\x88matroska", b"\x42\x82\x84webm\xec\x82\0\0", 1),
    )
    yield from _huge_frames(whole)


def _huge_frames(small: bytes) -> Iterable[Hostile]:
    """The first frame itself says another size than the container."""
    at = small.index(b"\x49\x83\x42")
    width = 16_383
    bits = int.from_bytes(small[at + 3 : at + 12])
    # After the sync code of a VP9 key frame: three bits of colour, one of range, and twice sixteen of size.
    keep = bits & ((1 << 36) - 1)
    top = bits >> 68
    made = (top << 68 | (width - 1) << 52 | (width - 1) << 36 | keep).to_bytes(9)
    yield WEBM.patched("frames of 16383x16383 in 64x48", BROKEN, small, at + 3, made)


def _bodies(head: bytes) -> bytes:
    found = b""
    for _ in range(10_000):
        found = _ebml(b"\x18\x53\x80\x67", found)
    return head + found


def files() -> list[Hostile]:
    return [*mp4_files(), *webm_files()]
