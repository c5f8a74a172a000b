"""What is no media at all, one format behind another's magic, and files that are two things at once."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterable
from io import BytesIO

from media import Reason
from media.tests.hostile_files import Family, Hostile, noise
from media.tests.hostile_pictures import DATA, chunk, header, png_of, saved
from media.tests.media_files import exr, flat_hdr, glb, hdr, png, sound, video

BROKEN, CUT, FOREIGN, MIXED = Reason.UNDECODABLE, Reason.CUT_OFF, Reason.NOT_MEDIA, Reason.MIXED
PAGE = b"<!doctype html><html><script>alert(document.domain)</script></html>"
PHP = b"<?php system($_GET['c']); ?>"
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><image href="file:///etc/passwd"/></svg>'
ELF = b"\x7fELF\2\1\1" + bytes(9) + b"\2\0\x3e\0" + noise(400, 9)
EXE = b"MZ\x90\0" + bytes(56) + b"\x80\0\0\0" + noise(400, 8)
SCRIPT = b"#!/bin/sh\ncurl http://127.0.0.1/ | sh\n"


def archive() -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr(zipfile.ZipInfo("run.sh"), SCRIPT)
    return file.getvalue()


WHOLE = {
    "png": saved("png"),
    "jpeg": saved("jpeg"),
    "webp": saved("webp"),
    "exr": exr(),
    "hdr": hdr(),
    "mp4": video(),
    "webm": video(form="webm", codec="libvpx-vp9"),
    "wav": sound(0.5),
    "mp3": sound(0.5, "MP3"),
    "ogg": sound(0.5, "OGG"),
    "flac": sound(0.5, "FLAC"),
    "glb": glb(),
}
MAGICS = {
    "png": 8,
    "jpeg": 3,
    "webp": 16,
    "exr": 8,
    "hdr": 11,
    "mp4": 24,
    "webm": 40,
    "wav": 12,
    "mp3": 4,
    "ogg": 28,
    "flac": 8,
    "glb": 12,
}


def strangers() -> Iterable[Hostile]:
    """Nothing that is known, whatever it is said to be."""
    files = {
        "a page": PAGE,
        "a page behind a mark of its order": b"\xef\xbb\xbf" + PAGE,
        "a page behind an empty line": b"\r\n\t " + PAGE,
        "a page in UTF-16": b"\xff\xfe" + PAGE.decode().encode("utf-16-le"),
        "JSON": b'{"error": {"code": 429}}',
        "a list in JSON": b"[1, 2]",
        "a drawing": SVG,
        "a drawing with a prologue": b'<?xml version="1.0"?>' + SVG,
        "XML with an entity": b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>',
        "XML that is a bomb": b'<!DOCTYPE x [<!ENTITY a "aaaa">' + b'<!ENTITY b "&a;&a;">' * 30 + b"]><x>&b;</x>",
        "a PDF": PDF,
        "an archive": archive(),
        "gzip": b"\x1f\x8b\x08" + bytes(7) + noise(200),
        "a program of Linux": ELF,
        "a program of Windows": EXE,
        "a script": SCRIPT,
        "PHP": PHP,
        "a playlist": b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        "a list to join": b"ffconcat version 1.0\nfile '/etc/passwd'\n",
        "a manifest of a stream": b'<?xml version="1.0"?><MPD><BaseURL>http://127.0.0.1/</BaseURL></MPD>',
        "a description of a session": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=video 9 RTP/AVP 96\n",
        "a BMP": saved("bmp"),
        "a TIFF": saved("tiff"),
        "an icon": b"\0\0\1\0\1\0" + noise(300),
        "a PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n(/etc/passwd) (r) file\n",
        "a picture of ImageMagick": b"push graphic-context\nimage over 0,0 0,0 'https://127.0.0.1/x|ls'\n",
        "an AVI": b"RIFF\x90\x13\0\0AVI LIST" + noise(4000),
        "a RIFF of nothing": b"RIFF" + bytes(400),
        "an ASF": b"\x30\x26\xb2\x75\x8e\x66\xcf\x11" + noise(400),
        "an FLV": b"FLV\1\5\0\0\0\x09" + noise(400),
        "an MPEG stream": b"\0\0\1\xba" + noise(400),
        "a MIDI": b"MThd\0\0\0\6\0\1\0\1\0\x60MTrk" + noise(60),
        "an OBJ": b"mtllib http://127.0.0.1/x.mtl\nv 0 0 0\n",
        "a pickle": b"\x80\4\x95\x1a\0\0\0\0\0\0\0\x8c\5posix\x8c\6system\x93\x8c\2ls\x85R.",
        "a WebAssembly": b"\0asm\1\0\0\0" + noise(99),
        "a Java class": b"\xca\xfe\xba\xbe\0\0\0\x34" + noise(200),
        "one byte": b"\0",
        "one byte of a magic": b"\x89",
        "zeros": bytes(5000),
        "ones": b"\xff" * 5000,
        "noise": noise(5000, 77),
        "text": b"Lorem ipsum " * 400,
    }
    for number, (name, data) in enumerate(files.items()):
        kind = list(WHOLE)[number % len(WHOLE)]
        yield Family("strangers", kind).file(name, FOREIGN, data)
    for kind in WHOLE:
        yield Family("strangers", kind).file(f"nothing, said to be {kind}", Reason.EMPTY, b"")


def masked() -> Iterable[Hostile]:
    """One thing behind the magic of another."""
    bodies = {"a page": PAGE * 9, "an archive": archive(), "JSON": b'{"a": "' + b"b" * 300 + b'"}'}
    cut = {"exr", "wav", "ogg", "webm", "glb"}  # which tell what is missing
    for kind, length in MAGICS.items():
        family, reason = Family("masked", kind), CUT if kind in cut else BROKEN
        for name, body in bodies.items():
            yield family.file(f"{name} behind the magic of {kind}", reason, WHOLE[kind][:length] + body)
        if kind in {"webm", "glb"}:
            reason = BROKEN
        other = list(WHOLE)[(list(WHOLE).index(kind) + 1) % len(WHOLE)]
        body = WHOLE[other][MAGICS[other] :]
        yield family.file(f"the body of {other} behind the magic of {kind}", reason, WHOLE[kind][:length] + body)


def polyglots() -> Iterable[Hostile]:
    """Whole media, and something else besides."""
    tails = {
        "an archive": archive(),
        "a page": PAGE,
        "PHP": PHP,
        "a PDF": PDF,
        "a program": ELF,
        "a picture": png(5, 3),
    }
    for kind, whole in WHOLE.items():
        family = Family("polyglots", kind)
        for name, tail in tails.items():
            if kind == "flac":  # which does not say how long it is
                yield family.file(f"{name} behind flac", BROKEN, whole + tail)
            else:
                reason = BROKEN if kind == "glb" else MIXED
                yield family.followed(f"{name} behind {kind}", whole + tail, reason)
    for kind in ("png", "jpeg", "webp"):
        yield Family("polyglots", kind).followed(f"a megabyte of zeros behind {kind}", WHOLE[kind] + bytes(1 << 20))
        yield Family("polyglots", kind).followed(
            f"an archive behind zeros behind {kind}", WHOLE[kind] + bytes(512) + archive()
        )
    yield from inside()
    for name, front in {"a PDF": PDF, "a page": PAGE, "PHP": PHP, "a script": SCRIPT, "an archive": archive()}.items():
        yield Family("polyglots", "png").file(f"{name} in front of a picture", FOREIGN, front + WHOLE["png"])


def inside() -> Iterable[Hostile]:
    """Markup and archives where a format keeps comments."""
    png_family = Family("polyglots", "png")
    for name, body in {"a page": PAGE, "PHP": PHP, "a PDF": PDF}.items():
        yield png_family.file(
            f"{name} in a comment of png", MIXED, png_of(header(), chunk(b"tEXt", b"Comment\0" + body), DATA)
        )
        segment = b"\xff\xfe" + struct.pack(">H", len(body) + 2) + body
        yield Family("polyglots", "jpeg").file(
            f"{name} in a comment of jpeg", MIXED, WHOLE["jpeg"][:2] + segment + WHOLE["jpeg"][2:]
        )
        exif = b"EXIF" + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
        flagged = b"VP8X" + struct.pack("<I", 10) + b"\x08\0\0\0" + bytes([63, 0, 0, 47, 0, 0])
        inner = flagged + WHOLE["webp"][12:] + exif
        yield Family("polyglots", "webp").file(
            f"{name} in the EXIF of webp", MIXED, b"RIFF" + struct.pack("<I", 4 + len(inner)) + b"WEBP" + inner
        )
    tail = png_of(header(), DATA)[:-12] + chunk(b"zIPx", archive()) + png_of()[8:]
    yield png_family.file("an archive in a chunk of png", MIXED, _with_directory(tail))
    sound_data = WHOLE["wav"]
    listed = b"LIST" + struct.pack("<I", len(PAGE) + len(PAGE) % 2) + PAGE + b"\0" * (len(PAGE) % 2)
    grown = b"RIFF" + struct.pack("<I", len(sound_data) - 8 + len(listed)) + sound_data[8:] + listed
    yield Family("polyglots", "wav").file("a page in a list of wav", MIXED, grown)
    free = struct.pack(">I", len(PAGE) + 8) + b"free" + PAGE
    yield Family("polyglots", "mp4").followed("a page in a free box of mp4", WHOLE["mp4"] + free)
    yield Family("polyglots", "hdr").file(
        "a page in a comment of hdr", MIXED, flat_hdr(16, 8).replace(b"FORMAT", b"# " + PAGE + b"\nFORMAT")
    )


def _with_directory(data: bytes) -> bytes:
    """The end of the archive says that what follows it is its comment."""
    at = data.rindex(b"PK\5\6")
    comment = len(data) - at - 22
    body_at = data.rindex(b"zIPx")
    body = data[body_at + 4 : at] + data[at : at + 20] + struct.pack("<H", comment)
    (length,) = struct.unpack(">I", data[body_at - 4 : body_at])
    return data[: body_at - 4] + chunk(b"zIPx", body[:length]) + data[body_at + 4 + length + 4 :]


def files() -> list[Hostile]:
    return [*strangers(), *masked(), *polyglots()]
