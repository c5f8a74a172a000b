"""MP3 files, by their frames: where the last one ends."""

from __future__ import annotations

import re

_SYNC = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xf6\xf7\xfa\xfb]")
_RATES = (44_100, 48_000, 32_000)
_KBITS = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBITS_OF_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_MPEG_1 = 3
_TAG, _TAG_BYTES = b"TAG", 128
_APE, _APE_FOOTER = b"APETAGEX", 32


def mp3_end(data: bytes) -> int:
    """Behind the last frame and the tags that follow it (ID3v1, APE). What decoders skip between frames is in it."""
    at = end = 0
    while (found := _SYNC.search(data, at)) is not None:
        at = found.start()
        length = _length(data, at)
        if not length or at + length > len(data) or not _goes_on(data, at + length, follows=at == end):
            at += 1
            continue
        at = end = at + length
    return _behind_tags(data, end or len(data))


def _goes_on(data: bytes, at: int, *, follows: bool) -> bool:
    """Whether a frame that ends here is one: noise looks like a frame now and then, but not like two."""
    return follows or bool(_length(data, at))


def _length(data: bytes, at: int) -> int:
    """Of the frame that begins here, in bytes; 0 where none does."""
    if at + 4 > len(data) or data[at] != 0xFF or data[at + 1] & 0xE6 != 0xE2:
        return 0
    version, bits, rate, padded = data[at + 1] >> 3 & 3, data[at + 2] >> 4, data[at + 2] >> 2 & 3, data[at + 2] >> 1 & 1
    if version == 1 or bits in {0, 15} or rate == 3:
        return 0
    if version == _MPEG_1:
        return 144_000 * _KBITS[bits] // _RATES[rate] + padded
    return 72_000 * _KBITS_OF_2[bits] // (_RATES[rate] // (2 if version else 4)) + padded


def _behind_tags(data: bytes, at: int) -> int:
    if data.startswith(_APE, at):
        at = min(at + _APE_FOOTER + int.from_bytes(data[at + 12 : at + 16], "little"), len(data))
    return at + _TAG_BYTES if data.startswith(_TAG, at) and at + _TAG_BYTES <= len(data) else at
