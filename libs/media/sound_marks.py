"""The mark in WAV, MP3 and FLAC: tags beside the samples, of which not one is read."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from media.riff import riff_chunks, riff_of
from media.vorbis_comments import comments_of, says_so, vendor_of
from media.xmp import COMMENT, DIGITAL_SOURCE_TYPE, PACKET, SOURCE_TAG

_INFO = b"INFO"
_WAV_XMP, _WAV_CREDENTIALS = b"_PMX", b"C2PA"
_WAV_COMMENT = f"{COMMENT}: {DIGITAL_SOURCE_TYPE}".encode()

_ID3_FOOTER = 0x10
_VORBIS_COMMENT, _LAST_BLOCK = 4, 0x80


def mark_wav(data: bytes) -> bytes:
    """Our comment in place of other texts, and XMP; credentials go, for the file they speak of is no longer this."""
    comment = _WAV_COMMENT + bytes(2 - len(_WAV_COMMENT) % 2)
    info = _INFO + struct.pack("<4sI", b"ICMT", len(comment)) + comment
    kept = [(name, body) for name, body in riff_chunks(data) if not _is_wav_text(name, body)]
    return riff_of(b"WAVE", [*kept, (b"LIST", info), (_WAV_XMP, PACKET)])


def wav_is_marked(data: bytes) -> bool:
    return any(name == _WAV_XMP and body == PACKET for name, body in riff_chunks(data))


def _is_wav_text(name: bytes, body: bytes | memoryview) -> bool:
    return name in {_WAV_XMP, _WAV_CREDENTIALS} or (name == b"LIST" and body[:4] == _INFO)


def mark_mp3(data: bytes) -> bytes:
    """Our tag (ID3v2.4) in place of any other, credentials among them."""
    return _id3_tag() + data[_id3_end(data) :]


def mp3_is_marked(data: bytes) -> bool:
    return _source_frame() in data[: _id3_end(data)]


def _id3_end(data: bytes) -> int:
    """Where the first frame of sound begins: a file may begin with several tags."""
    at = 0
    while data.startswith(b"ID3", at):
        size = sum((byte & 0x7F) << shift for byte, shift in zip(data[at + 6 : at + 10], (21, 14, 7, 0), strict=True))
        at += 10 + size + (10 if data[at + 5] & _ID3_FOOTER else 0)
    return at


def _id3_tag() -> bytes:
    comment = _id3_frame(b"COMM", b"\x03eng\0" + COMMENT.encode())
    frames = comment + _source_frame() + _id3_frame(b"PRIV", b"XMP\0" + PACKET)
    return b"ID3\x04\0\0" + _syncsafe(len(frames)) + frames


def _source_frame() -> bytes:
    return _id3_frame(b"TXXX", b"\x03" + f"{SOURCE_TAG}\0{DIGITAL_SOURCE_TYPE}".encode())


def _id3_frame(name: bytes, body: bytes) -> bytes:
    return name + _syncsafe(len(body)) + bytes(2) + body


def _syncsafe(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def mark_flac(data: bytes) -> bytes:
    """Our comments in place of any other; what else stands before the samples stays."""
    blocks, samples = _flac_blocks(data)
    comments = (_VORBIS_COMMENT, comments_of(_vendor(blocks)))
    made = [blocks[0], comments, *(block for block in blocks[1:] if block[0] != _VORBIS_COMMENT)]
    parts = [b"fLaC"]
    for number, (kind, body) in enumerate(made, start=1):
        last = _LAST_BLOCK if number == len(made) else 0
        parts += [bytes([kind | last]) + len(body).to_bytes(3, "big"), body]
    return b"".join([*parts, data[samples:]])


def flac_is_marked(data: bytes) -> bool:
    blocks, _ = _flac_blocks(data)
    return any(kind == _VORBIS_COMMENT and says_so(body) for kind, body in blocks)


def _flac_blocks(data: bytes) -> tuple[list[tuple[int, bytes]], int]:
    """Kind and body of each block of metadata, and where the samples begin."""
    found, at, last = list[tuple[int, bytes]](), 4, False
    while not last:
        last, length = bool(data[at] & _LAST_BLOCK), int.from_bytes(data[at + 1 : at + 4], "big")
        found.append((data[at] & 0x7F, data[at + 4 : at + 4 + length]))
        at += 4 + length
    return found, at


def _vendor(blocks: Sequence[tuple[int, bytes]]) -> bytes:
    return next((vendor_of(body) for kind, body in blocks if kind == _VORBIS_COMMENT), b"")
