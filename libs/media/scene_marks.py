"""The mark in what lights and fills a scene: OpenEXR, Radiance and GLB. Pixels and vertices stay as they are."""

from __future__ import annotations

import json
import struct
from typing import Any

from media.exr import exr_blocks, exr_header
from media.xmp import COMMENT, DIGITAL_SOURCE_TYPE

_NAME = "digitalSourceType"
_HDR_FIRST_LINE = b"#?RADIANCE\n"
_HDR_COMMENT = f"# {COMMENT}: {DIGITAL_SOURCE_TYPE}\n".encode()
_JSON = 0x4E4F534A


def mark_exr(data: bytes) -> bytes:
    """As an attribute of the header. The table behind it says where each block of rows is, and they all move."""
    attributes, table = exr_header(data)
    value = DIGITAL_SOURCE_TYPE.encode()
    ours = f"{_NAME}\0string\0".encode() + struct.pack("<I", len(value)) + value
    form = f"<{exr_blocks(attributes)}Q"
    places = struct.unpack_from(form, data, table)
    moved = struct.pack(form, *(place + len(ours) for place in places))
    return b"".join([data[: table - 1], ours, b"\0", moved, data[table + len(moved) :]])


def exr_is_marked(data: bytes) -> bool:
    attributes, _ = exr_header(data)
    return attributes.get(_NAME.encode()) == DIGITAL_SOURCE_TYPE.encode()


def mark_hdr(data: bytes) -> bytes:
    """As a comment of the header."""
    return _HDR_FIRST_LINE + _HDR_COMMENT + data.removeprefix(_HDR_FIRST_LINE)


def hdr_is_marked(data: bytes) -> bool:
    return data.startswith(_HDR_COMMENT, len(_HDR_FIRST_LINE))


def mark_glb(data: bytes) -> bytes:
    """In the extras of `asset`, where glTF says what made a file."""
    document = _document(data)
    asset = document["asset"]
    extras = asset.get("extras")
    said = {"ai_generated": True, _NAME: DIGITAL_SOURCE_TYPE}
    asset["extras"] = {**extras, **said} if isinstance(extras, dict) else said
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    rest = data[20 + _json_length(data) :]
    return b"".join([struct.pack("<4sIIII", b"glTF", 2, 20 + len(text) + len(rest), len(text), _JSON), text, rest])


def glb_is_marked(data: bytes) -> bool:
    extras = _document(data)["asset"].get("extras")
    return isinstance(extras, dict) and extras.get(_NAME) == DIGITAL_SOURCE_TYPE


def _document(data: bytes) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(data[20 : 20 + _json_length(data)])
    return document


def _json_length(data: bytes) -> int:
    (length,) = struct.unpack_from("<I", data, 12)
    return int(length)
