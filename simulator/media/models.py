"""A torus as GLB: of about as many triangles as asked for, with the three maps of a PBR material inside."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from simulator.generation import Output
from simulator.media.images import drawn

MIME = "model/gltf-binary"
_FLOAT, _UINT32 = 5126, 5125
_VERTICES, _INDICES = 34962, 34963
_TOO_MANY = 8


def model(triangles: int, *, seed: int, texture: int = 256, pbr: bool = True) -> Output:
    """An output of about this many triangles, with square maps of `texture` pixels; without `pbr` base colour alone."""
    return Output("model", MIME, seed, {"triangles": triangles, "texture": texture, "pbr": pbr})


def built(mime: str, seed: int, params: Mapping[str, Any]) -> bytes:
    """The file. `too_many_tris` and `no_pbr` in the parameters are faults."""
    triangles = int(params["triangles"]) * (_TOO_MANY if params.get("too_many_tris") else 1)
    pbr = params["pbr"] and not params.get("no_pbr")
    maps = [drawn("image/png", seed, {"width": params["texture"], "height": params["texture"]})]
    if pbr:
        maps += [_flat((0, 140, 40)), _flat((128, 128, 255))]
    return _glb(*_torus(triangles), maps, pbr=pbr)


def _torus(triangles: int) -> tuple[list[npt.NDArray[np.float32]], npt.NDArray[np.uint32]]:
    """Positions, normals and texture coordinates; and three indices for each triangle."""
    around = max(3, round((triangles / 2) ** 0.5))
    across = max(3, round(triangles / 2 / around))
    u, v = np.meshgrid(np.linspace(0, 1, around + 1), np.linspace(0, 1, across + 1), indexing="ij")
    a, b = u.ravel() * 2 * np.pi, v.ravel() * 2 * np.pi
    normals = np.stack([np.cos(a) * np.cos(b), np.sin(b), np.sin(a) * np.cos(b)], axis=1)
    positions = 0.35 * normals + np.stack([np.cos(a), np.zeros_like(a), np.sin(a)], axis=1)
    first = (np.arange(around)[:, None] * (across + 1) + np.arange(across)[None, :]).ravel()
    second = first + across + 1
    faces = np.stack([first, first + 1, second, second, first + 1, second + 1], axis=1)
    coordinates = np.stack([u.ravel(), v.ravel()], axis=1)
    return [part.astype(np.float32) for part in (positions, normals, coordinates)], faces.ravel().astype(np.uint32)


def _glb(
    attributes: list[npt.NDArray[np.float32]], indices: npt.NDArray[np.uint32], maps: list[bytes], *, pbr: bool
) -> bytes:
    parts = [*(one.tobytes() for one in attributes), indices.tobytes(), *maps]
    binary, views = bytearray(), []
    for number, part in enumerate(parts):
        target = {} if number > 3 else {"target": _INDICES if number == 3 else _VERTICES}
        views.append({"buffer": 0, "byteOffset": len(binary), "byteLength": len(part), **target})
        binary += part + b"\x00" * (-len(part) % 4)
    positions = attributes[0]
    accessors: list[dict[str, Any]] = [
        {"bufferView": number, "componentType": _FLOAT, "count": len(one), "type": f"VEC{one.shape[1]}"}
        for number, one in enumerate(attributes)
    ]
    accessors[0] |= {"min": positions.min(axis=0).tolist(), "max": positions.max(axis=0).tolist()}
    accessors.append({"bufferView": 3, "componentType": _UINT32, "count": len(indices), "type": "SCALAR"})
    surface: dict[str, Any] = {"baseColorTexture": {"index": 0}}
    material: dict[str, Any] = {"pbrMetallicRoughness": surface}
    if pbr:
        surface["metallicRoughnessTexture"] = {"index": 1}
        material["normalTexture"] = {"index": 2}
    primitive = {"attributes": {"POSITION": 0, "NORMAL": 1, "TEXCOORD_0": 2}, "indices": 3, "material": 0}
    document = {
        "asset": {"version": "2.0", "generator": "simulator"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [primitive]}],
        "materials": [material],
        "textures": [{"source": number} for number in range(len(maps))],
        "images": [{"bufferView": 4 + number, "mimeType": "image/png"} for number in range(len(maps))],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": len(binary)}],
    }
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    size = 12 + 8 + len(text) + 8 + len(binary)
    head = struct.pack("<4sII", b"glTF", 2, size) + struct.pack("<I4s", len(text), b"JSON")
    return head + text + struct.pack("<I4s", len(binary), b"BIN\x00") + bytes(binary)


def _flat(colour: tuple[int, int, int]) -> bytes:
    out = BytesIO()
    Image.new("RGB", (16, 16), colour).save(out, "PNG")
    return out.getvalue()
