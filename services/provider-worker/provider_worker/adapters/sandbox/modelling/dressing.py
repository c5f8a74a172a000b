"""The pictures of its skins for a model of others that was laid bare: from there to its file."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence

from provider_worker.adapters.sandbox.modelling.given import Bare
from provider_worker.adapters.sandbox.modelling.glb import Maps
from provider_worker.adapters.sandbox.modelling.looks import MAPS
from provider_worker.adapters.sandbox.modelling.packing import appended


def skins_of(bare: Bare) -> int:
    """How many it wears."""
    return len(bare.pictures) // len(MAPS)


def dressed(bare: Bare, skins: Sequence[Maps]) -> bytes:
    """The GLB file in these skins, of which there are `skins_of` it."""
    document, packed = json.loads(bare.document), bytearray(bare.binary)
    pictures = [png for maps in skins for png in (maps.base_color, maps.metallic_roughness, maps.normal)]
    for number, png in zip(bare.pictures, pictures, strict=True):
        document["bufferViews"][number] = {"buffer": 0, "byteOffset": appended(packed, png), "byteLength": len(png)}
    document["buffers"] = [{"byteLength": len(packed)}]
    # pygltflib loses whatever is empty in the extras of others, and reads none that are no object.
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    return _chunked((b"JSON", text + b" " * (-len(text) % 4)), (b"BIN\0", packed + bytes(-len(packed) % 4)))


def _chunked(*chunks: tuple[bytes, bytes | bytearray]) -> bytes:
    body = [part for kind, data in chunks for part in (struct.pack("<I4s", len(data), kind), data)]
    return b"".join([struct.pack("<4sII", b"glTF", 2, 12 + sum(map(len, body))), *body])
