"""RIFF files, which WebP and WAV are: a list of chunks, each with a name of four bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from media.errors import CorruptOutput, Reason

Chunk = tuple[bytes, bytes | memoryview]
MOST_CHUNKS = 65_536


def riff_chunks(data: bytes) -> Iterator[Chunk]:
    """Name and body of each chunk. One that declares more than there is, as written into a pipe, has what is there."""
    view, at = memoryview(data), 12
    while at + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, at)
        yield name, view[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def riff_end(data: bytes) -> int:
    """Behind its last byte as it declares, or as its samples declare, whichever is later: many declare one of them."""
    declared = 8 + int.from_bytes(data[4:8], "little")
    at, sampled = 12, data[8:12] != b"WAVE"
    for _ in range(MOST_CHUNKS):
        if at + 8 > len(data) or (at >= declared and sampled):
            break
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        sampled = sampled or data[at : at + 4] == b"data"
        at += 8 + length + length % 2
    return max(declared, at)


def see_chunks(data: bytes) -> None:
    """Raises `CorruptOutput` for a file that is cut off within a chunk, and for too many of them."""
    missing = 8 + int.from_bytes(data[4:8], "little") - len(data)
    at = 12
    for _ in range(MOST_CHUNKS):
        if missing > 0:
            raise CorruptOutput(Reason.CUT_OFF, f"cut off: {missing} bytes are missing")
        if at + 8 > len(data):
            return
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + length + length % 2
        missing = at - length % 2 - len(data)
    raise CorruptOutput(Reason.TOO_LARGE, f"more than {MOST_CHUNKS} chunks")


def riff_of(form: bytes, chunks: Sequence[Chunk]) -> bytes:
    """The file of these chunks; `form` is WEBP or WAVE."""
    parts: list[bytes | memoryview] = []
    for name, body in chunks:
        parts += [struct.pack("<4sI", name, len(body)), body, b"\0" * (len(body) % 2)]
    size = 4 + sum(map(len, parts))
    return b"".join([struct.pack("<4sI4s", b"RIFF", size, form), *parts])
