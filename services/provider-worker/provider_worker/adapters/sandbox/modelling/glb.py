"""Meshes with their skins as one GLB file (glTF 2.0), which leans on nothing outside of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pygltflib as gltf
from PIL import Image

from provider_worker.adapters.sandbox.drawing.colours import Array, to_rgb
from provider_worker.adapters.sandbox.drawing.png import encoded
from provider_worker.adapters.sandbox.modelling.mesh import Mesh, Skin
from provider_worker.adapters.sandbox.tiling.materials import Surface

_STEEPNESS = 5.0
_LARGEST_SHORT = 65_534


@dataclass(frozen=True, slots=True)
class Maps:
    """What a material is told by, as PNG files: colour, roughness (green) and metalness (blue), and normals (R53)."""

    base_color: bytes
    metallic_roughness: bytes
    normal: bytes


def maps_of(surface: Surface) -> Maps:
    """A surface without edges as the three maps of a PBR material."""
    rough = np.zeros((*surface.roughness.shape, 3), dtype=np.uint8)
    rough[..., 0] = 255
    rough[..., 1] = np.rint(surface.roughness * 255)
    rough[..., 2] = round(surface.metalness * 255)
    return Maps(_png(to_rgb(surface.lab)), _png(rough), _png(_normals(surface.height)))


def bound(meshes: Sequence[Mesh], skins: Mapping[Skin, Maps], name: str) -> bytes:
    """The file; the same meshes and skins always give the same bytes."""
    used: list[Skin] = sorted({mesh.skin for mesh in meshes})
    blob = _Blob()
    document = gltf.GLTF2(
        asset=gltf.Asset(version="2.0", generator="Backlot sandbox"),
        scene=0,
        scenes=[gltf.Scene(nodes=[0])],
        nodes=[gltf.Node(mesh=0, name=name)],
        samplers=[gltf.Sampler(magFilter=gltf.LINEAR, minFilter=gltf.LINEAR_MIPMAP_LINEAR)],
    )
    primitives = []
    for number, skin in enumerate(used):
        mesh = _joined([mesh for mesh in meshes if mesh.skin == skin])
        primitives.append(_primitive(document, blob, mesh, number))
    document.meshes = [gltf.Mesh(primitives=primitives, name=name)]
    for skin in used:
        document.materials.append(_material(document, blob, skins[skin]))
    data = bytes(blob.data)
    document.buffers = [gltf.Buffer(byteLength=len(data))]
    document.set_binary_blob(data)
    return b"".join(document.save_to_bytes())


class _Blob:
    """The binary chunk as it grows; every view begins at a multiple of four."""

    def __init__(self) -> None:
        self.data = bytearray()

    def view(self, document: gltf.GLTF2, content: bytes, target: int | None = None) -> int:
        start = len(self.data)
        self.data += content + b"\x00" * (-len(content) % 4)
        document.bufferViews.append(gltf.BufferView(buffer=0, byteOffset=start, byteLength=len(content), target=target))
        return len(document.bufferViews) - 1


def _primitive(document: gltf.GLTF2, blob: _Blob, mesh: Mesh, material: int) -> gltf.Primitive:
    def accessor(values: npt.NDArray[Any], kind: str, component: int, target: int, *, bounded: bool = False) -> int:
        document.accessors.append(
            gltf.Accessor(
                bufferView=blob.view(document, np.ascontiguousarray(values).tobytes(), target),
                componentType=component,
                count=len(values),
                type=kind,
                min=[float(value) for value in values.min(axis=0)] if bounded else None,
                max=[float(value) for value in values.max(axis=0)] if bounded else None,
            )
        )
        return len(document.accessors) - 1

    short = len(mesh.positions) <= _LARGEST_SHORT
    numbers = mesh.triangles.reshape(-1).astype(np.uint16 if short else np.uint32)
    attributes = gltf.Attributes(
        POSITION=accessor(mesh.positions, gltf.VEC3, gltf.FLOAT, gltf.ARRAY_BUFFER, bounded=True),
        NORMAL=accessor(mesh.normals, gltf.VEC3, gltf.FLOAT, gltf.ARRAY_BUFFER),
        TANGENT=accessor(mesh.tangents, gltf.VEC4, gltf.FLOAT, gltf.ARRAY_BUFFER),
        TEXCOORD_0=accessor(mesh.places, gltf.VEC2, gltf.FLOAT, gltf.ARRAY_BUFFER),
    )
    indices = accessor(
        numbers, gltf.SCALAR, gltf.UNSIGNED_SHORT if short else gltf.UNSIGNED_INT, gltf.ELEMENT_ARRAY_BUFFER
    )
    return gltf.Primitive(attributes=attributes, indices=indices, material=material)


def _material(document: gltf.GLTF2, blob: _Blob, maps: Maps) -> gltf.Material:
    def texture(png: bytes) -> int:
        document.images.append(gltf.Image(bufferView=blob.view(document, png), mimeType="image/png"))
        document.textures.append(gltf.Texture(sampler=0, source=len(document.images) - 1))
        return len(document.textures) - 1

    return gltf.Material(
        pbrMetallicRoughness=gltf.PbrMetallicRoughness(
            baseColorTexture=gltf.TextureInfo(index=texture(maps.base_color)),
            metallicRoughnessTexture=gltf.TextureInfo(index=texture(maps.metallic_roughness)),
            metallicFactor=1.0,
            roughnessFactor=1.0,
        ),
        normalTexture=gltf.NormalMaterialTexture(index=texture(maps.normal)),
        alphaCutoff=None,
    )


def _joined(meshes: Sequence[Mesh]) -> Mesh:
    starts = np.cumsum([0, *(len(mesh.positions) for mesh in meshes[:-1])]).astype(np.uint32)
    return Mesh(
        np.concatenate([mesh.positions for mesh in meshes]),
        np.concatenate([mesh.normals for mesh in meshes]),
        np.concatenate([mesh.tangents for mesh in meshes]),
        np.concatenate([mesh.places for mesh in meshes]),
        np.concatenate([mesh.triangles + start for mesh, start in zip(meshes, starts, strict=True)]),
        meshes[0].skin,
    )


def _normals(height: Array) -> npt.NDArray[np.uint8]:
    """Directions as colours: red to the right, green upwards, blue towards the viewer."""
    steep = _STEEPNESS * height.shape[1] / 512
    right = (np.roll(height, 1, 1) - np.roll(height, -1, 1)) * steep
    up = (np.roll(height, -1, 0) - np.roll(height, 1, 0)) * steep
    directions = np.stack([right, up, np.ones_like(height)], axis=-1)
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    return np.asarray(np.rint((directions * 0.5 + 0.5) * 255), dtype=np.uint8)


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    return encoded(Image.fromarray(np.ascontiguousarray(pixels)))
