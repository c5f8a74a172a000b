"""3D models of others, for tests: written part by part, and read again by a reader of their own."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Sequence
from io import BytesIO
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pygltflib as gltf
from PIL import Image

from media.tests.media_files import glb_of, png

Numbers = npt.NDArray[Any]

CUBE = np.array(list(product((-1, 1), repeat=3)), np.float32)
FACES = np.array(
    [0, 1, 3, 0, 3, 2, 4, 6, 7, 4, 7, 5, 0, 4, 5, 0, 5, 1, 2, 3, 7, 2, 7, 6, 0, 2, 6, 0, 6, 4, 1, 5, 7, 1, 7, 3],
    np.uint16,
).reshape(-1, 3)
"""A cube of eight vertices, which all of its sides share."""

SKIN = png(8, 8)
_KINDS = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}
_TYPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}


class Model:
    """A GLB on its way. What it holds are numbers of accessors, buffer views and so on, as glTF has them."""

    def __init__(self) -> None:
        self.binary = b""
        self.document: dict[str, Any] = {
            "asset": {"version": "2.0"},
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": [{"mesh": 0}],
            "meshes": [],
            "accessors": [],
            "bufferViews": [],
        }

    def view(self, content: bytes, **more: Any) -> int:
        self.binary += bytes(-len(self.binary) % 4)
        view = {"buffer": 0, "byteOffset": len(self.binary), "byteLength": len(content), **more}
        self.binary += content
        self.document["bufferViews"].append(view)
        return len(self.document["bufferViews"]) - 1

    def accessor(self, rows: Numbers, **more: Any) -> int:
        rows = rows.reshape(len(rows), -1)
        if "bufferView" not in more and more.pop("stored", True):
            more["bufferView"] = self.view(rows.tobytes())
        about = {"componentType": _KINDS[rows.dtype.str[1:]], "count": len(rows), "type": _TYPES[rows.shape[1]]}
        if rows.dtype.kind == "f" and rows.shape[1] == 3:
            about |= {"min": rows.min(axis=0).tolist(), "max": rows.max(axis=0).tolist()}
        self.document["accessors"].append({**about, **more})
        return len(self.document["accessors"]) - 1

    def mesh(self, *primitives: dict[str, Any], **more: Any) -> Model:
        self.document["meshes"].append({"primitives": list(primitives), **more})
        return self

    def textured(self, *maps: str, **more: Any) -> int:
        """A material with pictures of its own."""
        for name in ("images", "textures", "samplers", "materials"):
            self.document.setdefault(name, [])
        used = {}
        for name in maps:
            self.document["images"].append({"bufferView": self.view(SKIN), "mimeType": "image/png"})
            self.document["textures"].append({"source": len(self.document["images"]) - 1})
            used[name] = {"index": len(self.document["textures"]) - 1}
        surface = {name: used.pop(name) for name in ("baseColorTexture", "metallicRoughnessTexture") if name in used}
        self.document["materials"].append({"pbrMetallicRoughness": surface, **used, **more})
        return len(self.document["materials"]) - 1

    def file(self) -> bytes:
        return glb_of({**self.document, "buffers": [{"byteLength": len(self.binary)}]}, self.binary)

    def file_in_words(self) -> bytes:
        """With its numbers in an address, and no binary chunk."""
        uri = f"data:application/gltf-buffer;base64,{base64.b64encode(self.binary).decode()}"
        return glb_of({**self.document, "buffers": [{"byteLength": len(self.binary), "uri": uri}]}, b"")


def cube(**more: Any) -> Model:
    """Without places, normals and materials; `more` is of its primitive."""
    model = Model()
    attributes = {"POSITION": model.accessor(CUBE)}
    return model.mesh({"attributes": attributes, "indices": model.accessor(FACES.ravel()), **more})


def places(model: Model, rows: Numbers) -> Model:
    """Places on the skin for the first primitive."""
    model.document["meshes"][0]["primitives"][0]["attributes"]["TEXCOORD_0"] = model.accessor(rows)
    return model


def document_of(data: bytes) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(data[20 : 20 + struct.unpack_from("<I", data, 12)[0]])
    return document


def rows_in(data: bytes, number: int) -> Numbers:
    """The elements of an accessor, read by the rules of glTF, one by one."""
    document = gltf.GLTF2.load_from_bytes(data)
    found = document.accessors[number]
    kind = {value: name for name, value in _KINDS.items()}[found.componentType]
    width = {value: count for count, value in _TYPES.items()}[found.type]

    def element(view_number: int, start: int, place: int, kind: str, width: int) -> Numbers:
        view, size = document.bufferViews[view_number], np.dtype(kind).itemsize * width
        at = (view.byteOffset or 0) + (start or 0) + place * (view.byteStride or size)
        return np.frombuffer(_buffer(document, view.buffer), f"<{kind}", width, at)

    if found.bufferView is None:
        rows = [np.zeros(width, f"<{kind}") for _ in range(found.count)]
    else:
        rows = [element(found.bufferView, found.byteOffset, place, kind, width) for place in range(found.count)]
    for place in range(found.sparse.count if found.sparse else 0):
        indices, values = found.sparse.indices, found.sparse.values
        index_kind = {value: name for name, value in _KINDS.items()}[indices.componentType]
        [index] = element(indices.bufferView, indices.byteOffset, place, index_kind, 1)
        rows[index] = element(values.bufferView, values.byteOffset, place, kind, width)
    return np.stack(rows)


def _buffer(document: gltf.GLTF2, number: int) -> bytes:
    uri = document.buffers[number].uri
    return base64.b64decode(uri.partition(",")[2]) if uri else document.binary_blob()


def corners(data: bytes, attribute: str = "POSITION", mesh: int = 0, primitive: int = 0) -> Numbers:
    """An attribute of the corners of each triangle, in order."""
    found = document_of(data)["meshes"][mesh]["primitives"][primitive]
    rows: Numbers = rows_in(data, found["attributes"][attribute])
    numbers = rows_in(data, found["indices"])[:, 0].tolist() if "indices" in found else range(len(rows))
    chosen: Numbers = rows[np.array(_triangles(list(numbers), found.get("mode", 4)))]
    return chosen


def _triangles(numbers: Sequence[int], mode: int) -> list[tuple[int, int, int]]:
    """glTF 2.0, 3.7.2.1."""
    several = range(len(numbers) - 2)
    if mode == gltf.TRIANGLE_STRIP:
        return [(numbers[n], numbers[n + 1 + n % 2], numbers[n + 2 - n % 2]) for n in several]
    if mode == gltf.TRIANGLE_FAN:
        return [(numbers[n + 1], numbers[n + 2], numbers[0]) for n in several]
    return [(numbers[n], numbers[n + 1], numbers[n + 2]) for n in range(0, len(numbers), 3)]


def picture_in(data: bytes, number: int) -> Image.Image:
    document = gltf.GLTF2.load_from_bytes(data)
    view = document.bufferViews[document.images[number].bufferView]
    content = document.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]
    return Image.open(BytesIO(content)).convert("RGB")
