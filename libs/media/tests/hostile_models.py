"""Hostile 3D models."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from PIL import Image

from media import Reason
from media.tests.hostile_files import Family, Hostile, Make, noise
from media.tests.hostile_pictures import saved
from media.tests.media_files import document, glb, glb_of, glb_of_chunks, png

LARGE, CUT, BROKEN, OUTSIDE, SILENT = (
    Reason.TOO_LARGE,
    Reason.CUT_OFF,
    Reason.UNDECODABLE,
    Reason.EXTERNAL,
    Reason.SILENT,
)
GLB = Family("glb", "glb")
_ELSEWHERE = (
    "http://127.0.0.1:9/x",
    "https://example.org/x",
    "file:///etc/passwd",
    "../../../etc/passwd",
    "textures/x",
    "//example.org/x",
    "ftp://example.org/x",
    "data:text/html,<h1>x</h1>",
    "",
    "x\0.png",
)


def changed(change: Callable[[dict[str, Any]], Any], *, maps: tuple[str, ...] = ("baseColorTexture",)) -> bytes:
    made, binary = document(maps=maps)
    change(made)
    return glb_of(made, binary)


def text_of(text: bytes) -> bytes:
    return glb_of_chunks((b"JSON", text + b" " * (-len(text) % 4)))


def _nested(opening: bytes, closing: bytes) -> Make:
    return lambda: text_of(b'{"asset":{"version":"2.0"},"extras":' + opening * 900_000 + closing * 900_000 + b"}")


def _filled(part: bytes, count: int) -> Make:
    return lambda: text_of(b'{"asset":{"version":"2.0"},"extras":[' + b",".join([part] * count) + b"]}")


def _set(*path: Any) -> Callable[[dict[str, Any]], None]:
    """A change that puts the last of these at the place that the others lead to."""

    def change(made: dict[str, Any]) -> None:
        place: Any = made
        for step in path[:-2]:
            place = place[step]
        place[path[-2]] = path[-1]

    return change


def _structure() -> Iterable[Hostile]:
    whole = glb(maps=("baseColorTexture",))
    yield from GLB.cuts(whole, [(4, BROKEN), (8, BROKEN), (12, CUT), (16, CUT), (20, CUT), (0.3, CUT), (0.6, CUT)])
    yield from GLB.cuts(whole, [(0.95, CUT), (-1, CUT), (-4, CUT)])
    yield GLB.patched("version 1", BROKEN, whole, 4, b"\1\0\0\0")
    yield GLB.patched("version 4 billion", BROKEN, whole, 4, b"\xff\xff\xff\xff")
    yield GLB.patched("a length of 4 GB", CUT, whole, 8, b"\xff\xff\xff\xff")
    yield GLB.patched("no length", BROKEN, whole, 8, bytes(4))
    yield GLB.patched("a document of 4 GB", BROKEN, whole, 12, b"\xfc\xff\xff\xff")
    yield GLB.patched("a document of no length", BROKEN, whole, 12, bytes(4))
    yield GLB.patched("a document of 3 bytes", BROKEN, whole, 12, b"\3\0\0\0")
    yield GLB.patched("its chunks under other names", BROKEN, whole, 16, b"EVIL")
    yield GLB.file("its chunks in disorder", BROKEN, glb_of_chunks((b"BIN\0", bytes(64)), (b"JSON", b"{}  ")))
    yield GLB.file("no chunk", BROKEN, glb_of_chunks())
    yield GLB.file("zeros behind its magic", BROKEN, b"glTF" + bytes(5000))
    yield GLB.file("noise behind its magic", BROKEN, b"glTF" + noise(5000))
    yield GLB.file(
        "a hundred thousand chunks", LARGE, lambda: glb_of_chunks((b"JSON", b"{}  "), *[(b"EVIL", b"")] * 100_000)
    )
    for name, text in {
        "no JSON": b"<html></html>",
        "a list": b"[1]",
        "a number": b"1",
        "nothing": b"",
        "an empty object": b"{}",
        "zeros": bytes(64),
        "noise": noise(400, 5),
        "UTF-16": '{"asset":{"version":"2.0"}}'.encode("utf-16"),
        "a number that is none": b'{"asset":{"version":"2.0"},"x":NaN}',
        "two objects": b'{"asset":{"version":"2.0"}}{}',
        "half a document": b'{"asset":{"version":"2.0"},"meshes":[',
        "a digit five thousand times": b'{"asset":{"version":"2.0"},"scene":' + b"9" * 5000 + b"}",
        "glTF 1.0": b'{"asset":{"version":"1.0"}}',
    }.items():
        yield GLB.file(f"its document is {name}", BROKEN, text_of(text))


def _bombs() -> Iterable[Hostile]:
    yield GLB.file("lists in lists", LARGE, _nested(b"[", b"]"))
    yield GLB.file("objects in objects", LARGE, _nested(b'{"":', b"}"))
    yield GLB.file("two million lists", LARGE, _filled(b"[]", 2_000_000))
    yield GLB.file("a million objects", LARGE, _filled(b'{"a":0}', 1_000_000))
    yield GLB.file("two million numbers", LARGE, _filled(b"1.5", 2_000_000))
    yield GLB.file("nine megabytes of spaces", LARGE, lambda: text_of(b" " * (9 << 20)))
    yield GLB.file("nodes without end", LARGE, lambda: changed(_set("nodes", [{}] * 70_000)))
    yield GLB.file("primitives without end", LARGE, lambda: changed(_set("meshes", [{"primitives": [{}] * 70_000}])))
    yield GLB.file("thirty pictures of forty megapixels", LARGE, _many_pictures)
    yield GLB.file("thirty-three pictures", LARGE, lambda: changed(_set("images", [{"bufferView": 2}] * 33)))
    yield GLB.file("a picture that is a bomb", BROKEN, lambda: _with_picture(_huge_png()))


def same_indices() -> bytes:
    made, binary = document()
    indices = np.zeros(300_000, np.uint16).tobytes()
    made["bufferViews"].append({"buffer": 0, "byteOffset": len(binary), "byteLength": len(indices)})
    made["accessors"].append({"bufferView": 3, "componentType": 5123, "count": 300_000, "type": "SCALAR"})
    made["buffers"][0]["byteLength"] += len(indices)
    made["meshes"] = [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 2}] * 60_000}]
    return glb_of(made, binary + indices)


def _huge_png() -> bytes:
    data = png(8, 8)
    return data[:16] + struct.pack(">II", 100_000, 100_000) + data[24:]


def _with_picture(data: bytes, count: int = 1) -> bytes:
    made, binary = document(maps=("baseColorTexture",))
    made["bufferViews"][2] = {"buffer": 0, "byteOffset": len(binary), "byteLength": len(data)}
    made["images"] = [{"bufferView": 2, "mimeType": "image/png"}] * count
    made["buffers"][0]["byteLength"] = len(binary) + len(data)
    return glb_of(made, binary + data)


def _many_pictures() -> bytes:
    return _with_picture(saved("png", Image.new("RGB", (8000, 5000))), 30)


def _numbers() -> Iterable[Hostile]:
    for count in (-1, 0, 5, 2**31, 2**63, 10**30, 1.5, "4", None, True):
        yield GLB.file(f"an accessor of {count!r} elements", BROKEN, changed(_set("accessors", 0, "count", count)))
    for name, change in {
        "an accessor of no type": _set("accessors", 0, "type", "VEC9"),
        "an accessor of a kind that there is not": _set("accessors", 0, "componentType", 9999),
        "an accessor that begins outside": _set("accessors", 0, "byteOffset", 2**40),
        "an accessor that begins before its view": _set("accessors", 0, "byteOffset", -8),
        "an accessor of a view that is not there": _set("accessors", 0, "bufferView", 99),
        "an accessor of the view before the first": _set("accessors", 0, "bufferView", -1),
        "a view longer than its buffer": _set("bufferViews", 0, "byteLength", 2**40),
        "a view that begins outside": _set("bufferViews", 0, "byteOffset", 2**40),
        "a view of a buffer that is not there": _set("bufferViews", 0, "buffer", 7),
        "a view with steps of no length": _set("bufferViews", 0, "byteStride", 1),
        "a view with steps that lead outside": _set("bufferViews", 0, "byteStride", 2**31),
        "steps of less than nothing": _set("bufferViews", 0, "byteStride", -12),
        "sparse numbers that reach out": _set(
            "accessors",
            0,
            "sparse",
            {"count": 9**9, "indices": {"bufferView": 0, "componentType": 5125}, "values": {"bufferView": 0}},
        ),
        "numbers of vertices with a fraction": _set("accessors", 1, "componentType", 5126),
        "vertices in a list that is no list": _set("meshes", 0, "primitives", {"a": 1}),
        "a mesh that is a word": _set("meshes", ["mesh"]),
        "a primitive without a position": _set("meshes", 0, "primitives", 0, "attributes", {}),
        "a material that is not there": _set("meshes", 0, "primitives", 0, "material", 9),
        "a node with a mesh that is not there": _set("nodes", 0, "mesh", 9),
        "a node that is its own child": _set("nodes", 0, "children", [0]),
        "nodes in a circle": _set("nodes", [{"children": [1], "mesh": 0}, {"children": [0]}]),
        "a scene of a node that is not there": _set("scenes", 0, "nodes", [4]),
        "a texture that is not there": _set("materials", 0, "pbrMetallicRoughness", "baseColorTexture", "index", 5),
        "a texture of a picture that is not there": _set("textures", 0, "source", 5),
        "textures under a number": _set("textures", 5),
    }.items():
        yield GLB.file(name, BROKEN, changed(change))
    yield GLB.file("a buffer longer than it is", CUT, changed(_set("buffers", 0, "byteLength", 2**33)))
    yield GLB.file("a buffer of less than nothing", CUT, changed(_set("buffers", 0, "byteLength", -1)))
    yield GLB.file("a vertex that is not there", BROKEN, _pointing_outside())
    yield GLB.file("no meshes", SILENT, changed(lambda made: made.pop("meshes") and made["nodes"][0].pop("mesh")))
    yield GLB.file("points alone", SILENT, changed(_set("meshes", 0, "primitives", 0, "mode", 0)))
    yield GLB.file("a picture that is a page", BROKEN, _with_picture(b"<html></html>"))
    yield GLB.file("a picture that is cut off", BROKEN, _with_picture(png(8, 8)[:-20]))
    yield GLB.file("a picture that is another model", BROKEN, _with_picture(glb()))


def _pointing_outside() -> bytes:
    made, binary = document()
    at = made["bufferViews"][1]["byteOffset"]
    return glb_of(made, binary[:at] + b"\xff\xff" + binary[at + 2 :])


def _outside() -> Iterable[Hostile]:
    """What leans on a file elsewhere."""
    for address in _ELSEWHERE:
        yield GLB.file(f"a buffer at {address!r}", OUTSIDE, changed(_set("buffers", 0, "uri", address)))
        yield GLB.file(f"a picture at {address!r}", OUTSIDE, changed(_set("images", 0, {"uri": address})))
    for name in ("KHR_draco_mesh_compression", "EXT_meshopt_compression", "KHR_texture_basisu", "MSFT_lod", "x" * 5000):
        yield GLB.file(f"shown only with {name[:30]}", OUTSIDE, changed(_set("extensionsRequired", [name])))
    inside = "data:application/octet-stream;base64,"
    yield GLB.file("data that is no base64", BROKEN, changed(_set("buffers", 0, "uri", inside + "!!!")))
    page = base64.b64encode(b"<html><script>alert(1)</script></html>").decode()
    yield GLB.file(
        "a page as its picture", BROKEN, changed(_set("images", 0, {"uri": f"data:image/png;base64,{page}"}))
    )
    yield GLB.file(
        "a drawing as its picture", BROKEN, changed(_set("images", 0, {"uri": f"data:image/svg+xml;base64,{page}"}))
    )
    gltf = json.dumps(document()[0]).encode()
    yield GLB.file("a glTF that is no GLB", Reason.NOT_MEDIA, gltf)


def files() -> list[Hostile]:
    return [*_structure(), *_bombs(), *_numbers(), *_outside()]
