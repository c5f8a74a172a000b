"""A model of others, its looks taken off: runs in a child process with limits, and nowhere else (architecture rule 9).

Everything keeps its number: extensions that nobody here knows may point at it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pygltflib as gltf

from media import CorruptOutput, Reason
from media.errors import in_short
from media.meshes import Accessors, Shape, triangles_of
from media.models import MOST_JSON_BYTES, MOST_OF_A_KIND, MOST_VALUES, read_model
from provider_worker.adapters.sandbox.modelling.accessors import MORE_PARTS, Added
from provider_worker.adapters.sandbox.modelling.laying import lay
from provider_worker.adapters.sandbox.modelling.looks import dress, objects, placed_in, strip
from provider_worker.adapters.sandbox.modelling.packing import packed

_COMPRESSIONS = ("KHR_draco_mesh_compression", "EXT_meshopt_compression", "KHR_meshopt_compression")
_TO_ACCESSORS = ("indices", "inverseBindMatrices", "input", "output")
_MOST_SKINS = 2
_ROOM = 4096
"""Bytes, and lists and objects, that are still to come: the pictures' views and the mark."""


@dataclass(frozen=True, slots=True)
class Bare:
    """A model that wears pictures which are still to be made: `pictures` are the numbers of their buffer views, in the
    order of `looks.MAPS` for each skin. `document` is JSON, `binary` its buffer without them."""

    document: bytes
    binary: bytes
    pictures: tuple[int, ...]


def bared(data: bytes) -> Bare:
    """A whole GLB without its looks; raises `CorruptOutput` where it is none, or cannot be dressed."""
    try:
        return _bared(read_model(data).shape)
    except CorruptOutput as error:
        _see_uncompressed([name for name in _COMPRESSIONS if name in error.message])
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        # Whatever is not of the type or at the place that glTF gives it, and nobody had to look at before.
        raise CorruptOutput(Reason.UNDECODABLE, f"not a valid glTF 2.0 document: {in_short(error)}") from None


def _bared(shape: Shape) -> Bare:
    document: dict[str, Any] = json.loads(json.dumps(shape.document))
    _see_uncompressed([name for name in _COMPRESSIONS if name in document.get("extensionsUsed", ())])
    views, accessors = set(_views(document)), set(_accessors(document))
    skins, placed = _skins(shape), [placed_in(material) for material in document.get("materials", ())]
    strip(document)
    added = Added(document)
    lay(shape, added)
    _fill_targets(document, added)
    dress(document, skins, placed)
    for number in accessors.difference(_accessors(document)):
        document["accessors"][number] = {"componentType": gltf.FLOAT, "count": 1, "type": gltf.SCALAR}
    gone = sorted(views.difference(_views(document)))
    pictures = [gone.pop(0) if gone else _one_more(document) for _ in document["textures"]]
    document["images"] = [{"bufferView": number, "mimeType": "image/png"} for number in pictures]
    binary = packed(document, shape.buffers, added.data, {*gone, *pictures})
    document["buffers"] = []
    return Bare(_text_of(document), bytes(binary), tuple(pictures))


def _see_uncompressed(found: Sequence[str]) -> None:
    if found:
        raise CorruptOutput(Reason.EXTERNAL, f"it is compressed by {found[0]}, and has to be saved without that")


def _skins(shape: Shape) -> Mapping[int, int]:
    """The skin of each material, -1 for none: the first one is that of most triangles."""
    shown, accessors = Counter[int](), Accessors(shape)
    for mesh in shape.document["meshes"]:
        for primitive in mesh["primitives"]:
            shown[primitive.get("material", -1)] += triangles_of(primitive, accessors)
    ordered = sorted(shown, key=lambda material: (-shown[material], material))
    return {material: place % _MOST_SKINS for place, material in enumerate(ordered)}


def _fill_targets(document: Mapping[str, Any], added: Added) -> None:
    """One that moved nothing but looks moves nothing: it has a weight, and keeps its number."""
    for primitive in (primitive for mesh in document["meshes"] for primitive in mesh["primitives"]):
        count = document["accessors"][primitive["attributes"]["POSITION"]]["count"]
        for target in primitive.get("targets", ()):
            if not target:
                target["POSITION"] = added.nothing(count)


def _one_more(document: dict[str, Any]) -> int:
    document["bufferViews"].append({})
    return len(document["bufferViews"]) - 1


def _views(document: Any) -> Iterator[int]:
    """The numbers of the buffer views that are named in it."""
    return (found["bufferView"] for found in objects(document) if isinstance(found.get("bufferView"), int))


def _accessors(document: Any) -> Iterator[int]:
    """The numbers of the accessors that are named in it, by all that glTF and the extensions for shapes name them."""
    for found in objects(document):
        named = [found.get(name) for name in _TO_ACCESSORS]
        for names in (found.get("attributes"), *(found.get("targets") or ())):
            named += names.values() if isinstance(names, dict) else ()
        yield from (number for number in named if isinstance(number, int))


def _text_of(document: Mapping[str, Any]) -> bytes:
    """As JSON; raises `CorruptOutput` where it has become larger than a model may be."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    values = text.count(b"{") + text.count(b"[")
    longest = max(len(document[name]) for name in ("accessors", "bufferViews", "materials"))
    if len(text) > MOST_JSON_BYTES - _ROOM or values > MOST_VALUES - _ROOM or longest > MOST_OF_A_KIND:
        raise CorruptOutput(Reason.TOO_LARGE, MORE_PARTS)
    return text
