"""What stands before the pixels of an OpenEXR picture in scan lines: attributes, and where each block of rows is."""

from __future__ import annotations

import struct
from collections.abc import Mapping

# Rows that are compressed together, by the number of the compression (OpenEXR file layout).
_ROWS_TOGETHER = {0: 1, 1: 1, 2: 1, 3: 16, 4: 32, 5: 16, 6: 32, 7: 32, 8: 32, 9: 256}

_HALF = 1


def exr_header(data: bytes) -> tuple[dict[bytes, bytes], int]:
    """The attributes by name, and where the table of blocks begins; IndexError or ValueError where they are cut off."""
    found, at = {}, 8
    while data[at]:
        name_end = data.index(0, at)
        type_end = data.index(0, name_end + 1)
        (length,) = struct.unpack_from("<I", data, type_end + 1)
        found[data[at:name_end]] = data[type_end + 5 : type_end + 5 + length]
        at = type_end + 5 + length
    return found, at + 1


def exr_end(data: bytes) -> int:
    """Behind the last block of rows; ValueError or another error where the table is cut off."""
    attributes, table = exr_header(data)
    places = struct.unpack_from(f"<{exr_blocks(attributes)}Q", data, table)
    if max(places) + 8 > len(data):
        raise ValueError("a block that is not there")
    ends: list[int] = [at + 8 + int.from_bytes(data[at + 4 : at + 8], "little") for at in places]
    return max(ends)


def exr_size(attributes: Mapping[bytes, bytes]) -> tuple[int, int]:
    """Width and height in pixels."""
    left, top, right, bottom = struct.unpack("<4i", attributes[b"dataWindow"])
    return right - left + 1, bottom - top + 1


def exr_block_bytes(attributes: Mapping[bytes, bytes]) -> int:
    """What a block of rows takes at most: one that compression makes no smaller is kept as it is."""
    channels, at, a_pixel = attributes[b"channels"], 0, 0
    while channels[at]:
        at = channels.index(0, at) + 1
        a_pixel += 2 if channels[at] == _HALF else 4
        at += 16
    return exr_size(attributes)[0] * a_pixel * exr_rows(attributes)


def exr_top(attributes: Mapping[bytes, bytes]) -> int:
    """The number of the first row."""
    return int(struct.unpack("<4i", attributes[b"dataWindow"])[1])


def exr_blocks(attributes: Mapping[bytes, bytes]) -> int:
    """How many blocks of rows there are."""
    _, height = exr_size(attributes)
    return -(-height // exr_rows(attributes))


def exr_rows(attributes: Mapping[bytes, bytes]) -> int:
    """How many rows a block has."""
    number: int = attributes[b"compression"][0]
    return _ROWS_TOGETHER[number]
