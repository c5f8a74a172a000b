"""The comments that FLAC, Vorbis and Opus have in common."""

from __future__ import annotations

import struct

from media.xmp import DIGITAL_SOURCE_TYPE, SOURCE_TAG, TAGS


def comments_of(vendor: bytes) -> bytes:
    """The mark as comments; `vendor` is who encoded the sound."""
    texts = [f"{name}={value}".encode() for name, value in TAGS.items()]
    said = b"".join(struct.pack("<I", len(text)) + text for text in texts)
    return struct.pack("<I", len(vendor)) + vendor + struct.pack("<I", len(texts)) + said


def vendor_of(comments: bytes) -> bytes:
    """The vendor of other comments."""
    (length,) = struct.unpack_from("<I", comments)
    return comments[4 : 4 + length]


def says_so(comments: bytes) -> bool:
    """Whether the mark is among the comments."""
    return f"{SOURCE_TAG}={DIGITAL_SOURCE_TYPE}".encode() in comments
