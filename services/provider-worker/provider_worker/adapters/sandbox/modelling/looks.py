"""What a document says of its looks: taken off, and put on anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pygltflib as gltf

MAPS = ("base_color", "metallic_roughness", "normal")
"""The pictures of a skin, in their order."""

_TRANSFORM = "KHR_texture_transform"
_LOOKS = ("material", "texture", "image")
_COLOUR = "COLOR_"
_KEPT = ("name", "extras", "extensions", "doubleSided")
"""Of a material: which sides of a triangle there are is a matter of its shape."""


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """All objects in a document, but for those that glTF leaves to its users."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            yield one
            left.extend(inner for name, inner in one.items() if name != "extras")
        elif isinstance(one, list):
            left.extend(one)


def placed_in(material: Mapping[str, Any]) -> Mapping[str, Any]:
    """How its pictures lie on its triangles: packed places are nowhere without that. Nothing where they lie by another
    set of places."""
    used = material.get("pbrMetallicRoughness", {}).get("baseColorTexture", {})
    found = used.get("extensions", {}).get(_TRANSFORM, {})
    if found.get("texCoord", used.get("texCoord", 0)) != 0:
        return {}
    return {name: found[name] for name in ("offset", "rotation", "scale") if name in found}


def strip(document: dict[str, Any]) -> None:
    """Takes off textures, colours of vertices, and every extension that has to do with them."""
    found = list(objects(document))
    worn = {name for one in found for name, value in _extensions(one) if _is_look(name) or _shows_pictures(value)}
    for one in found:
        _keep(one, "extensions", {name: value for name, value in _extensions(one) if name not in worn})
    for names in ("extensionsUsed", "extensionsRequired"):
        _keep(document, names, [name for name in document.get(names, ()) if name not in worn and not _is_look(name)])
    for names in ("textures", "images", "samplers"):
        document.pop(names, None)
    for mesh in document["meshes"]:
        for primitive in mesh["primitives"]:
            _uncolour(primitive, document)


def _extensions(one: Mapping[str, Any]) -> Sequence[tuple[str, Any]]:
    return list(one["extensions"].items()) if "extensions" in one else ()


def _is_look(name: str) -> bool:
    return any(word in name.lower() for word in _LOOKS)


def _shows_pictures(extension: Any) -> bool:
    return any(_is_look(name) for one in objects(extension) for name in one)


def _keep(one: dict[str, Any], name: str, left: Any) -> None:
    """glTF has no empty lists and objects."""
    if left:
        one[name] = left
    else:
        one.pop(name, None)


def _uncolour(primitive: Mapping[str, Any], document: Mapping[str, Any]) -> None:
    for names in (primitive["attributes"], *primitive.get("targets", ())):
        for name in [name for name in names if name.startswith(_COLOUR)]:
            del names[name]


def dress(document: dict[str, Any], skins: Mapping[int, int], placed: Sequence[Mapping[str, Any]]) -> None:
    """Materials of `skins`, each with its `MAPS`; -1 is for what has no material yet. `placed` as in `placed_in`."""
    materials = document.setdefault("materials", [])
    for number, material in enumerate(materials):
        materials[number] = _dressed(material, skins.get(number, 0), placed[number])
    if -1 in skins:
        materials.append(_dressed({}, skins[-1], {}))
        for primitive in (primitive for mesh in document["meshes"] for primitive in mesh["primitives"]):
            primitive.setdefault("material", len(materials) - 1)
    if any(placed):
        document.setdefault("extensionsUsed", []).append(_TRANSFORM)
    pictures = len(MAPS) * (max(skins.values()) + 1)
    document["samplers"] = [{"magFilter": gltf.LINEAR, "minFilter": gltf.LINEAR_MIPMAP_LINEAR}]
    document["textures"] = [{"sampler": 0, "source": number} for number in range(pictures)]


def _dressed(material: Mapping[str, Any], skin: int, placed: Mapping[str, Any]) -> dict[str, Any]:
    how = {"extensions": {_TRANSFORM: placed}} if placed else {}
    colour, rough, normal = ({"index": skin * len(MAPS) + number, **how} for number in range(len(MAPS)))
    return {
        **{name: material[name] for name in _KEPT if name in material},
        "pbrMetallicRoughness": {"baseColorTexture": colour, "metallicRoughnessTexture": rough},
        "normalTexture": normal,
    }
