"""Hostile WAV, MP3, OGG and FLAC files."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from media import Reason
from media.tests.hostile_files import Family, Hostile, noise
from media.tests.hostile_pictures import riff
from media.tests.media_files import sound

LARGE, CUT, BROKEN, SILENT = Reason.TOO_LARGE, Reason.CUT_OFF, Reason.UNDECODABLE, Reason.SILENT
_PCM, _FLOAT, _MP3_IN_WAV, _GSM = 1, 3, 0x55, 0x31


def wav(
    form: int = _PCM, channels: int = 2, rate: int = 22_050, bits: int = 16, block: int | None = None, body: bytes = b""
) -> bytes:
    step = channels * bits // 8 & 0xFFFF if block is None else block
    described = struct.pack("<HHIIHH", form, channels, rate, rate * step & 0xFFFFFFFF, step, bits)
    return riff(b"WAVE", (b"fmt ", described), (b"data", body or noise(4000)))


def wav_files() -> Iterable[Hostile]:
    family, whole = Family("wav", "wav"), sound(0.5)
    yield from family.cuts(whole, [(12, CUT), (16, CUT), (30, CUT), (40, CUT), (44, CUT)])
    yield from family.cuts(whole, [(0.3, CUT), (0.6, CUT), (0.95, CUT), (-1, CUT)])
    for channels in (0, 9, 255, 65_535):
        yield family.file(f"{channels} channels", BROKEN, wav(channels=channels))
    for rate in (0, 1, 7_999, 192_001, 2**31, 2**32 - 1):
        yield family.file(f"{rate} samples a second", BROKEN, wav(rate=rate))
    for bits in (0, 64, 65_535):
        yield family.file(f"{bits} bits a sample", BROKEN, wav(bits=bits))
    yield family.file("blocks of no length", BROKEN, wav(block=0))
    yield family.file("blocks that are too long", BROKEN, wav(block=4096))
    for name, form in {"nothing known": 0xBEEF, "zeros": 0, "MP3": _MP3_IN_WAV, "GSM": _GSM}.items():
        yield family.file(f"samples in {name}", BROKEN, wav(form))
    yield family.file("numbers that are none", SILENT, wav(_FLOAT, bits=32, body=b"\xff" * 4000))
    yield family.file("no format", BROKEN, riff(b"WAVE", (b"data", noise(4000))))
    yield family.file("no samples", CUT, riff(b"WAVE", (b"fmt ", wav()[20:36])))
    yield family.file("samples of no length", SILENT, riff(b"WAVE", (b"fmt ", wav()[20:36]), (b"data", b"")))
    yield family.file("nothing but zeros", SILENT, wav(body=bytes(4000)))
    yield family.patched("samples of 4 GB", CUT, whole, 40, b"\xf0\xff\xff\xff")
    yield family.patched("a format of 4 GB", CUT, whole, 16, b"\xff\xff\xff\x7f")
    yield family.patched("a format of no length", CUT, whole, 16, bytes(4))
    yield family.file("two hours", LARGE, lambda: wav(channels=1, rate=8_000, bits=8, body=b"\x81\x7f" * 8_000 * 3600))
    yield family.file(
        "a hundred thousand chunks",
        LARGE,
        lambda: riff(b"WAVE", *([(b"LIST", b"")] * 100_000), (b"fmt ", wav()[20:36]), (b"data", noise(400))),
    )
    yield family.file("noise behind its magic", CUT, b"RIFF\x90\x13\0\0WAVE" + noise(5000))
    yield family.file("zeros behind its magic", CUT, b"RIFF\x90\x13\0\0WAVE" + bytes(5000))


def _flac_info(channels: int, rate: int, bits: int, samples: int) -> bytes:
    packed = rate << 44 | (channels - 1) << 41 | (bits - 1) << 36 | samples
    return b"fLaC" + b"\x80\0\0\x22" + struct.pack(">HH", 4096, 4096) + bytes(6) + packed.to_bytes(8) + bytes(16)


def flac_files() -> Iterable[Hostile]:
    flac, whole = Family("flac", "flac"), sound(0.5, "FLAC")
    yield from flac.cuts(whole, [(4, BROKEN), (8, BROKEN), (20, BROKEN), (42, BROKEN)])
    yield from flac.cuts(whole, [(0.3, BROKEN), (0.6, BROKEN), (0.95, BROKEN), (-1, BROKEN)])
    for rate in (0, 1, 655_350, 1_048_575):
        yield flac.file(f"{rate} samples a second", BROKEN, _flac_info(2, rate, 16, 4096) + whole[42:])
    for bits in (1, 2, 32):
        yield flac.file(f"{bits} bits a sample", BROKEN, _flac_info(2, 22_050, bits, 4096) + noise(4000))
    yield flac.file("eight channels of two", BROKEN, _flac_info(8, 22_050, 16, 11_025) + whole[42:])
    for name, samples in {"a day": 22_050 * 86_400, "as much as can be said": 2**36 - 1}.items():
        yield flac.file(f"declares {name}", LARGE, _flac_info(2, 22_050, 16, samples) + noise(4000))
    yield flac.patched("twice as long as it is", BROKEN, whole, 22, (2 * 11_025).to_bytes(4))
    yield flac.patched("a block of metadata that reaches out", BROKEN, whole, 43, b"\xff\xff\xff")
    yield flac.patched("no information about it", BROKEN, whole, 4, b"\x04")
    picture = struct.pack(">II", 3, 0xFFFFFFF0) + bytes(40)
    reaching = whole[:4] + b"\x00" + whole[5:42] + b"\x86" + len(picture).to_bytes(3) + picture
    yield flac.file("a picture of 4 GB in it", BROKEN, reaching + noise(3000))
    at = len(whole) // 2
    yield flac.patched("a damaged frame", BROKEN, whole, at, noise(300))
    yield flac.file("silence", SILENT, sound(0.5, "FLAC", loudness=0))
    yield flac.file("noise behind its magic", BROKEN, b"fLaC" + noise(5000))
    yield flac.file("noise behind its header", BROKEN, whole[:42] + noise(5000))
    yield flac.file("zeros behind its magic", BROKEN, b"fLaC" + bytes(5000))


def ogg_files() -> Iterable[Hostile]:
    ogg, whole = Family("ogg", "ogg"), sound(1.0, "OGG")
    yield from ogg.cuts(whole, [(4, CUT), (27, CUT), (58, CUT), (100, CUT)])
    yield from ogg.cuts(whole, [(0.3, CUT), (0.6, CUT), (0.95, CUT), (-1, CUT)])
    first = whole.index(b"\x01vorbis")
    yield ogg.patched("version 9", BROKEN, whole, first + 7, b"\x09")
    yield ogg.patched("no channels", BROKEN, whole, first + 11, b"\0")
    yield ogg.patched("255 channels", BROKEN, whole, first + 11, b"\xff")
    yield ogg.patched("no samples a second", BROKEN, whole, first + 12, bytes(4))
    yield ogg.patched("4 billion samples a second", BROKEN, whole, first + 12, b"\xff\xff\xff\xff")
    yield ogg.patched("a wrong checksum", BROKEN, whole, 22, bytes([whole[22] ^ 1]))
    yield ogg.patched("a version of pages that there is not", BROKEN, whole, 4, b"\x07")
    yield ogg.patched("pages of nothing known", BROKEN, whole, first, b"\x01walrus")
    comments = whole.index(b"\x03vorbis")
    yield ogg.patched("a comment of 4 GB", BROKEN, whole, comments + 7, b"\xf0\xff\xff\xff")
    yield ogg.patched("damaged pages", BROKEN, whole, len(whole) // 2, noise(400))
    yield ogg.file("its pages twice in disorder", BROKEN, whole[58:] + whole)
    yield ogg.file("silence", SILENT, sound(0.5, "OGG", loudness=0))
    yield ogg.file("noise behind its magic", CUT, b"OggS" + noise(5000))
    yield ogg.file(
        "noise in a page that says that it is the last", BROKEN, b"OggS\0\6" + bytes(20) + b"\1\xff" + noise(5000)
    )
    yield ogg.file("zeros behind its magic", CUT, b"OggS" + bytes(5000))


def _id3(size: int, body: bytes) -> bytes:
    length = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + length + body


def mp3_files() -> Iterable[Hostile]:
    mp3, whole = Family("mp3", "mp3"), sound(1.0, "MP3")
    yield from mp3.cuts(whole, [(2, Reason.NOT_MEDIA), (4, BROKEN), (30, BROKEN), (100, BROKEN)])
    yield from mp3.cuts(whole, [(0.3, BROKEN), (0.6, CUT), (0.95, CUT), (-100, CUT)])
    yield mp3.file("a tag and no sound", BROKEN, _id3(300, bytes(300)))
    yield mp3.file("a tag of 256 MB", BROKEN, _id3(0xFFFFFFF, bytes(3000)))
    yield mp3.file("a tag that reaches over the end", BROKEN, _id3(90_000, whole))
    yield mp3.file("a frame of a tag with 2 GB", BROKEN, _id3(40, b"APIC\x7f\xff\xff\xff\0\0" + bytes(30)) + noise(900))
    yield mp3.file("ten thousand tags", BROKEN, lambda: _id3(10, b"TIT2\0\0\0\0\0\0") * 10_000)
    yield mp3.file("a megabyte of tag and a page", BROKEN, lambda: _id3(1 << 20, bytes(1 << 20)) + b"<html>" * 500)
    yield mp3.file("silence", SILENT, sound(0.5, "MP3", loudness=0))
    yield mp3.file("frames that are noise", BROKEN, b"\xff\xfb\x90\x00" + noise(5000).replace(b"\xff", b"\xfe"))
    yield mp3.file("zeros behind its magic", BROKEN, b"ID3" + bytes(5000))
    yield mp3.file("noise behind its magic", BROKEN, b"ID3" + noise(5000))
    yield mp3.file("one frame alone", BROKEN, whole[:208])
    yield mp3.file("ten hours", LARGE, _ten_hours)
    yield mp3.patched("a damaged middle", CUT, whole, len(whole) // 3, noise(1500).replace(b"\xff", b"\xfe"))


def quiet_frames(hours: float) -> bytes:
    """An MP3 of 8 kbit/s at 8 kHz without a count of its frames: the same 72 bytes for as long as that."""
    frame = b"\xff\xe3\x18\xc4" + bytes(68)
    return frame * round(hours * 3600 * 8000 / 576)


def _ten_hours() -> bytes:
    return quiet_frames(10)


def files() -> list[Hostile]:
    return [*wav_files(), *mp3_files(), *ogg_files(), *flac_files()]
