"""Whole 3D models: GLB (glTF 2.0), read by a small parser of our own with limits on everything it counts.

What it passes leans on nothing outside of the file and points at nothing outside of its buffers.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from media.errors import CorruptOutput, Reason, in_short
from media.facts import Facts
from media.headers import Probe, probe
from media.images import decode_whole
from media.meshes import Accessors, Shape, triangles_of

MIME = "model/gltf-binary"
MOST_JSON_BYTES = 8 << 20
MOST_OF_A_KIND = 65_536
"""Nodes, accessors, buffer views and so on, each."""
MOST_PICTURES = 32
MOST_PICTURE_PIXELS = 160_000_000
"""Of all of them together: nine of 4096x4096, which take 5 s to decode."""
MOST_VALUES = 400_000
"""Lists and objects in its document: Python takes 200 bytes for each."""

# What Three.js shows without a decoder of its own; a required extension is one that cannot be left out.
_EXTENSIONS = {
    "KHR_texture_transform",
    "KHR_mesh_quantization",
    "KHR_lights_punctual",
    "EXT_texture_webp",
    "EXT_mesh_gpu_instancing",
}
_MATERIAL_EXTENSIONS = "KHR_materials_"
_JSON, _BIN = 0x4E4F534A, 0x004E4942
_MAPS = {
    "base_color": ("pbrMetallicRoughness", "baseColorTexture"),
    "metallic_roughness": ("pbrMetallicRoughness", "metallicRoughnessTexture"),
    "normal": ("normalTexture",),
    "occlusion": ("occlusionTexture",),
    "emissive": ("emissiveTexture",),
}


@dataclass(frozen=True, slots=True)
class Model:
    """A GLB that was read whole, and what is true of it."""

    facts: Facts
    shape: Shape


def model_facts(data: bytes) -> Facts:
    """What is true of a whole GLB, as `read_model`."""
    return read_model(data).facts


def read_model(data: bytes) -> Model:
    """Read a whole GLB and decode the pictures in it; raises `CorruptOutput`.

    `triangles` are those of all primitives of all meshes, each counted once however often it is shown.
    """
    try:
        document, binary = _parts(data)
        _see_document(document)
        shape = Shape(document, _buffers(document, binary))
        accessors = Accessors(shape)
        accessors.see_all()
        triangles = sum(triangles_of(primitive, accessors) for primitive in _primitives(document))
        _see_nodes(document)
        pictures = _pictures(document, shape)
        maps = _maps(document, pictures)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, struct.error, RecursionError) as error:
        # Whatever is not of the type or at the place that glTF gives it.
        raise CorruptOutput(Reason.UNDECODABLE, f"not a valid glTF 2.0 document: {in_short(error)}") from None
    if not triangles:
        raise CorruptOutput(Reason.SILENT, "a 3D model without a triangle")
    return Model(Facts(MIME, len(data), triangles=triangles, maps=maps), shape)


def _parts(data: bytes) -> tuple[Mapping[str, Any], memoryview]:
    """The JSON document and the binary chunk."""
    magic, version, length = struct.unpack_from("<4sII", data)
    if (magic, version) != (b"glTF", 2):
        raise CorruptOutput(Reason.UNDECODABLE, f"GLB of version {version}, but 2 was asked for")
    if length != len(data):
        reason = Reason.CUT_OFF if length > len(data) else Reason.UNDECODABLE
        raise CorruptOutput(reason, f"declares {length} bytes, but has {len(data)}")
    chunks = _chunks(data)
    if not chunks or chunks[0][0] != _JSON:
        raise CorruptOutput(Reason.UNDECODABLE, "a GLB without its JSON chunk")
    if len(chunks[0][1]) > MOST_JSON_BYTES:
        raise CorruptOutput(Reason.TOO_LARGE, f"a JSON chunk of more than {MOST_JSON_BYTES} bytes")
    text = bytes(chunks[0][1])
    if text.count(b"{") + text.count(b"[") > MOST_VALUES:
        raise CorruptOutput(Reason.TOO_LARGE, f"more than {MOST_VALUES} lists and objects")
    document = json.loads(text.decode("utf-8"), parse_constant=_no_constant)
    if not isinstance(document, dict):
        raise CorruptOutput(Reason.UNDECODABLE, "the JSON chunk is no object")
    return document, chunks[1][1] if len(chunks) > 1 and chunks[1][0] == _BIN else memoryview(b"")


def _chunks(data: bytes) -> list[tuple[int, memoryview]]:
    found: list[tuple[int, memoryview]] = []
    at, view = 12, memoryview(data)
    while at < len(data):
        length, kind = struct.unpack_from("<II", data, at)
        if length % 4 or at + 8 + length > len(data):
            raise CorruptOutput(Reason.UNDECODABLE, f"a chunk of {length} bytes, which is no multiple of 4 or too many")
        if len(found) >= MOST_OF_A_KIND:
            raise CorruptOutput(Reason.TOO_LARGE, f"more than {MOST_OF_A_KIND} chunks")
        found.append((kind, view[at + 8 : at + 8 + length]))
        at += 8 + length
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _see_document(document: Mapping[str, Any]) -> None:
    version = document["asset"]["version"]
    if not str(version).startswith("2."):
        raise CorruptOutput(Reason.UNDECODABLE, f"glTF {str(version)[:10]}, but 2.0 was asked for")
    for name in document.get("extensionsRequired", ()):
        if name not in _EXTENSIONS and not str(name).startswith(_MATERIAL_EXTENSIONS):
            raise CorruptOutput(Reason.EXTERNAL, f"it cannot be shown without the extension {str(name)[:60]}")
    for kind, values in document.items():
        if isinstance(values, list) and len(values) > MOST_OF_A_KIND:
            raise CorruptOutput(Reason.TOO_LARGE, f"{len(values)} {kind[:40]}, {MOST_OF_A_KIND} are allowed")


def _buffers(document: Mapping[str, Any], binary: memoryview) -> list[memoryview]:
    """The bytes of each buffer: the binary chunk is the first one that has no address."""
    found = []
    for number, buffer in enumerate(document.get("buffers", ())):
        data = memoryview(_inside(buffer["uri"])) if "uri" in buffer else binary if number == 0 else binary[:0]
        if not isinstance(buffer["byteLength"], int) or not 0 < buffer["byteLength"] <= len(data):
            raise CorruptOutput(Reason.CUT_OFF, f"buffer {number} declares {buffer['byteLength']} bytes of {len(data)}")
        found.append(data[: buffer["byteLength"]])
    return found


def _inside(uri: str) -> bytes:
    """The bytes of a `data:` address; every other one leads out of the file."""
    head, comma, body = uri.partition(",")
    if not head.startswith("data:") or not comma or not head.endswith(";base64"):
        raise CorruptOutput(Reason.EXTERNAL, f"it needs a file beside it: {uri[:60]}")
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error:
        raise CorruptOutput(Reason.UNDECODABLE, "an address with data that is no base64") from None


def _primitives(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = [primitive for mesh in document.get("meshes", ()) for primitive in mesh["primitives"]]
    if len(found) > MOST_OF_A_KIND:
        raise CorruptOutput(Reason.TOO_LARGE, f"{len(found)} primitives, {MOST_OF_A_KIND} are allowed")
    for primitive in found:
        _see_index(primitive.get("material"), document.get("materials", ()), "material")
    return found


def _see_nodes(document: Mapping[str, Any]) -> None:
    """A node has one parent at most and a scene begins at nodes without one: nobody walks in a circle."""
    nodes = document.get("nodes", ())
    children = [child for node in nodes for child in node.get("children", ())]
    for node in nodes:
        _see_index(node.get("mesh"), document.get("meshes", ()), "mesh")
    for child in children:
        _see_index(child, nodes, "node")
    inside = set(children)
    if len(inside) != len(children):
        raise CorruptOutput(Reason.UNDECODABLE, "a node with two parents")
    for scene in document.get("scenes", ()):
        for root in scene.get("nodes", ()):
            _see_index(root, nodes, "node")
            if root in inside:
                raise CorruptOutput(Reason.UNDECODABLE, "a scene that begins at a node inside another")


def _pictures(document: Mapping[str, Any], shape: Shape) -> int:
    """How many pictures there are, all of them decoded whole, one after the other."""
    images = document.get("images", ())
    if len(images) > MOST_PICTURES:
        raise CorruptOutput(Reason.TOO_LARGE, f"{len(images)} pictures, {MOST_PICTURES} are allowed")
    declared = [_probed(number, image, shape) for number, image in enumerate(images)]
    if sum(one.width * one.height for one in declared) > MOST_PICTURE_PIXELS:
        raise CorruptOutput(Reason.TOO_LARGE, f"pictures of more than {MOST_PICTURE_PIXELS} pixels")
    for number, image in enumerate(images):
        data = picture_in(image, shape)
        with _of_picture(number):
            decode_whole(data, declared[number])
    return len(images)


def _probed(number: int, image: Mapping[str, Any], shape: Shape) -> Probe:
    data = picture_in(image, shape)
    with _of_picture(number):
        return probe(data)


@contextmanager
def _of_picture(number: int) -> Iterator[None]:
    try:
        yield
    except CorruptOutput as error:
        raise CorruptOutput(Reason.UNDECODABLE, f"picture {number} in it: {error}") from None


def picture_in(image: Mapping[str, Any], shape: Shape) -> bytes:
    """The file of a picture, which is inside of the model's; raises `CorruptOutput` where it is not."""
    return _inside(image["uri"]) if "uri" in image else bytes(shape.view(image["bufferView"]))


def _maps(document: Mapping[str, Any], pictures: int) -> tuple[str, ...]:
    """The kinds of textures that its materials use, each of which leads to a picture."""
    textures = document.get("textures", ())
    found = set()
    for material in document.get("materials", ()):
        for name, path in _MAPS.items():
            used: Any = material
            for key in path:
                used = used.get(key, {})
            if used:
                _see_index(used["index"], textures, "texture")
                _see_index(source_of(textures[used["index"]]), range(pictures), "picture")
                found.add(name)
    return tuple(name for name in _MAPS if name in found)


def source_of(texture: Mapping[str, Any]) -> Any:
    """The number of a texture's picture."""
    webp = texture.get("extensions", {}).get("EXT_texture_webp", {})
    return texture["source"] if "source" in texture else webp["source"]


def _see_index(index: Any, among: Sequence[Any], what: str) -> None:
    """None points at nothing, which is right."""
    if index is None:
        return
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(among):
        raise CorruptOutput(Reason.UNDECODABLE, f"{what} {str(index)[:20]} is not there")
