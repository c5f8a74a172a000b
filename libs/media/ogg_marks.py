"""The mark in OGG with Vorbis or Opus: comments in the second packet, behind which pages may have to be numbered anew.

FFmpeg could copy the packets with other tags, but gives their pages other positions: of its copy of a Vorbis file of
one second libsndfile reads four billion samples.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from media.errors import CorruptOutput, Reason
from media.vorbis_comments import comments_of, says_so, vendor_of

_HEAD = struct.Struct("<4sBBqIIIB")
_CONTINUED = 0x01
_NOTHING_ENDS = -1
_MOST_SEGMENTS = 255
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True, slots=True)
class _Page:
    """A page (RFC 3533). `lengths` are those of its segments: a packet ends with one of less than 255 bytes."""

    flags: int
    position: int
    stream: int
    number: int
    lengths: bytes
    body: bytes

    def written(self) -> bytes:
        head = (b"OggS", 0, self.flags, self.position, self.stream, self.number)
        rest = bytes([len(self.lengths)]) + self.lengths + self.body
        blank = _HEAD.pack(*head, 0, 0)[:-1] + rest
        return _HEAD.pack(*head, _checksum(blank), 0)[:-1] + rest


@dataclass(frozen=True, slots=True)
class _Codec:
    """How its packet of comments begins and ends, and how many packets of headers there are."""

    begins: bytes
    ends: bytes
    headers: int


_CODECS = {b"\x01vorbis": _Codec(b"\x03vorbis", b"\x01", 3), b"OpusHead": _Codec(b"OpusTags", b"", 2)}


def mark_ogg(data: bytes) -> bytes:
    """Our comments in place of any other."""
    pages, end, codec, packets = _headers(data)
    _, comments, *others = packets
    ours = codec.begins + comments_of(vendor_of(comments[len(codec.begins) :])) + codec.ends
    made = [pages[0], *_paged([ours, *others], pages[0].stream)]
    moved = len(made) - len(pages)
    parts = [page.written() for page in made]
    if not moved:
        return b"".join([*parts, data[end:]])
    for page, _ in _pages(data, end):
        same_stream = page.stream == pages[0].stream
        parts.append(replace(page, number=page.number + moved).written() if same_stream else page.written())
    return b"".join(parts)


def ogg_as_stream(data: bytes, stream: int) -> bytes:
    """The same pages with this serial number, which encoders draw by lot."""
    return b"".join(replace(page, stream=stream).written() for page, _ in _pages(data, 0))


def ogg_is_marked(data: bytes) -> bool:
    return says_so(_headers(data)[3][1])


def _headers(data: bytes) -> tuple[list[_Page], int, _Codec, list[bytes]]:
    """The pages before the first one with sound, where they end, the codec, and the packets in them."""
    pages = list[_Page]()
    for page, end in _pages(data, 0):
        pages.append(page)
        codec = next((found for begins, found in _CODECS.items() if pages[0].body.startswith(begins)), None)
        if codec is None:
            break
        packets = _packets(pages)
        if len(packets) >= codec.headers:
            return pages, end, codec, packets
    raise CorruptOutput(Reason.WRONG_FORMAT, "an OGG that is neither Vorbis nor Opus")


def _pages(data: bytes, at: int) -> Iterator[tuple[_Page, int]]:
    """Each page from `at`, and where the next one begins."""
    while data.startswith(b"OggS", at):
        _, _, flags, position, stream, number, _, count = _HEAD.unpack_from(data, at)
        lengths = data[at + _HEAD.size : at + _HEAD.size + count]
        start = at + _HEAD.size + count
        at = start + sum(lengths)
        yield _Page(flags, position, stream, number, lengths, data[start:at]), at


def _packets(pages: Sequence[_Page]) -> list[bytes]:
    """Those that end in these pages."""
    found, packet = list[bytes](), b""
    for page in pages:
        at = 0
        for length in page.lengths:
            packet += page.body[at : at + length]
            at += length
            if length < _MOST_SEGMENTS:
                found.append(packet)
                packet = b""
    return found


def _paged(packets: Sequence[bytes], stream: int) -> Iterator[_Page]:
    """Packets of headers, on the pages behind the first one."""
    lengths, body = bytearray(), b"".join(packets)
    for packet in packets:
        lengths += b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255])
    number, at, continued = 1, 0, False
    while lengths:
        here, lengths = bytes(lengths[:_MOST_SEGMENTS]), lengths[_MOST_SEGMENTS:]
        size = sum(here)
        ends = any(length < 255 for length in here)
        position = 0 if ends else _NOTHING_ENDS
        yield _Page(_CONTINUED if continued else 0, position, stream, number, here, body[at : at + size])
        number, at, continued = number + 1, at + size, here[-1] == 255


def _checksum(page: bytes) -> int:
    """That of zlib with its bits the other way round, from 0, and not inverted at the end."""
    found = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{found:032b}"[::-1], 2)
