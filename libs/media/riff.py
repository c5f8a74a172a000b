"""RIFF files, which WebP and WAV are: a list of chunks, each with a name of four bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

Chunk = tuple[bytes, bytes | memoryview]


def riff_chunks(data: bytes) -> Iterator[Chunk]:
    """Name and body of each chunk. One that declares more than there is, as written into a pipe, has what is there."""
    view, at = memoryview(data), 12
    while at + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, at)
        yield name, view[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def riff_of(form: bytes, chunks: Sequence[Chunk]) -> bytes:
    """The file of these chunks; `form` is WEBP or WAVE."""
    parts: list[bytes | memoryview] = []
    for name, body in chunks:
        parts += [struct.pack("<4sI", name, len(body)), body, b"\0" * (len(body) % 2)]
    size = 4 + sum(map(len, parts))
    return b"".join([struct.pack("<4sI4s", b"RIFF", size, form), *parts])
