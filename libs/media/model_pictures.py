"""A small picture of a 3D model, drawn on the CPU: triangles, a buffer of depths, one light, the texture of its colour.

What it costs is bounded by the pixels of the picture and by `scenes.MOST_TRIANGLES`, whatever the file says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from media.errors import CorruptOutput, Reason, in_short
from media.headers import probe
from media.images import in_rgb
from media.meshes import Shape
from media.models import picture_in, source_of
from media.scenes import Floats, Triangles, triangles_shown
from media.wanted import THUMBNAIL_EDGE

_FINER = 1.5
"""It is drawn so many times as large, and edges are smooth when it shrinks."""
_FILLED = 0.86
"""The share of the picture's edge that the model takes."""
_AROUND, _ABOVE = np.radians(32), np.radians(22)
"""Where it is looked at from: this far to the right of its front, and this far above."""
_LIGHT = np.array([-0.45, 0.65, 0.62], np.float32)
_AMBIENT, _SHINE = 0.32, 0.85
_GROUND = ((246, 246, 248), (206, 209, 216))
_MOST_SAMPLES = 24_000_000
_AT_ONCE = 1 << 19
_TEXTURE_EDGE = 512
_MOST_TEXTURES = 8
_NEAREST = (1 << 31) - 1


@dataclass(frozen=True, slots=True)
class _Flat:
    """Triangles as the picture sees them.

    `box` is left, top, right and bottom of the pixels whose middles one may cover, all inclusive. What is linear over
    it stands as (at the left top of its box, per x, per y): `weights` of its three corners; `depth` between 0 and 1,
    nearest is 1. `shown` are the numbers of the triangles.
    """

    weights: Floats
    depth: Floats
    box: npt.NDArray[np.int32]
    shown: npt.NDArray[np.int64]


def picture_of(shape: Shape) -> Image.Image:
    """A square picture of a model that was read whole, from above and a little from the right.

    Raises `CorruptOutput` where the scene cannot be shown.
    """
    edge = round(THUMBNAIL_EDGE * _FINER)
    pixels = _ground(edge)
    try:
        with np.errstate(all="ignore"):  # huge numbers become what is no number, which no pixel shows
            triangles = triangles_shown(shape)
            if triangles is not None and len(triangles.corners):
                flat = _flat(triangles, edge)
                _shade(pixels, _nearest(flat, edge), flat, triangles, shape)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        # Whatever is not of the type or at the place that glTF gives it.
        raise CorruptOutput(Reason.UNDECODABLE, f"a scene that cannot be shown: {in_short(error)}") from None
    return Image.fromarray(pixels).resize((THUMBNAIL_EDGE, THUMBNAIL_EDGE), Image.Resampling.HAMMING)


def _ground(edge: int) -> npt.NDArray[np.uint8]:
    top, bottom = (np.array(colour, np.float32) for colour in _GROUND)
    share = np.linspace(0, 1, edge, dtype=np.float32)[:, None]
    rows = top * (1 - share) + bottom * share
    return np.repeat(np.rint(rows).astype(np.uint8)[:, None], edge, axis=1)


def _camera() -> Floats:
    """Rows: right, up and towards who looks."""
    forward = np.array([np.sin(_AROUND) * np.cos(_ABOVE), np.sin(_ABOVE), np.cos(_AROUND) * np.cos(_ABOVE)])
    right = np.array([np.cos(_AROUND), 0, -np.sin(_AROUND)])
    return np.stack((right, np.cross(forward, right), forward)).astype(np.float32)


def _flat(triangles: Triangles, edge: int) -> _Flat:
    corners = triangles.corners @ _camera().T
    low, high = corners.min(axis=(0, 1)), corners.max(axis=(0, 1))
    span = max(float((high - low)[:2].max()), 1e-12)
    corners[:, :, :2] = (corners[:, :, :2] - (low + high)[:2] / 2) * (_FILLED * edge / span)
    x, y = corners[:, :, 0] + edge / 2, edge / 2 - corners[:, :, 1]
    z = (corners[:, :, 2] - low[2]) / max(float(high[2] - low[2]), 1e-12)
    first = np.stack((np.ceil(x.min(axis=1) - 0.5), np.ceil(y.min(axis=1) - 0.5)), axis=1)
    last = np.stack((np.floor(x.max(axis=1) - 0.5), np.floor(y.max(axis=1) - 0.5)), axis=1)
    weights, good = _weights(x - first[:, 0, None], y - first[:, 1, None])
    good &= (first <= last).all(axis=1)
    box = np.concatenate((first, last), axis=1)[good].astype(np.int32)
    return _Flat(weights[good], np.einsum("nkc,nk->nc", weights[good], z[good]), box, np.flatnonzero(good))


def _weights(x: Floats, y: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """For each triangle and corner, its weight as a linear function; and which of them have an area."""
    x1, x2, y1, y2 = np.roll(x, -1, 1), np.roll(x, -2, 1), np.roll(y, -1, 1), np.roll(y, -2, 1)
    linear = np.stack((x1 * y2 - x2 * y1, y1 - y2, x2 - x1), axis=2)
    area = linear[:, :, 0].sum(axis=1)
    good = np.abs(area) > 1e-6
    linear /= np.where(good, area, 1)[:, None, None]
    return linear, good


def _nearest(flat: _Flat, edge: int) -> npt.NDArray[np.int64]:
    """For each pixel the number of the triangle that is seen there, -1 where none is."""
    seen = np.zeros(edge * edge, np.uint64)
    for chosen, wide, high in _alike(flat.box):
        _cover(seen, flat, chosen, (wide, high), edge)
    return np.where(seen > 0, (seen & np.uint64(0xFFFFFFFF)).astype(np.int64), -1).reshape(edge, edge)


def _alike(box: npt.NDArray[np.int32]) -> Iterator[tuple[npt.NDArray[np.int64], int, int]]:
    """Triangles whose boxes fit into one of so many pixels, smallest first, until all that is allowed is drawn."""
    wide, high = np.ceil(np.log2(box[:, 2:] - box[:, :2] + 1)).astype(np.int16).T
    kinds = (wide + high << 8) + (wide << 4) + high
    order = np.argsort(kinds, kind="stable")
    left, first = _MOST_SAMPLES, 0
    for kind, count in enumerate(np.bincount(kinds).tolist()):
        one_wide, one_high = kind >> 4 & 15, kind & 15
        samples = 1 << (one_wide + one_high)
        chosen = order[first : first + min(count, left // samples)]
        first += count
        left -= len(chosen) * samples
        step = max(1, _AT_ONCE // samples)
        for at in range(0, len(chosen), step):
            yield chosen[at : at + step], 1 << one_wide, 1 << one_high


def _cover(
    seen: npt.NDArray[np.uint64], flat: _Flat, chosen: npt.NDArray[np.int64], tile: tuple[int, int], edge: int
) -> None:
    box = flat.box[chosen]
    columns = box[:, 0, None] + np.arange(tile[0], dtype=np.int32)
    rows = box[:, 1, None] + np.arange(tile[1], dtype=np.int32)
    x, y = (np.arange(length, dtype=np.float32) + np.float32(0.5) for length in tile)
    inside = ((columns <= box[:, 2, None])[:, None, :]) & ((rows <= box[:, 3, None])[:, :, None])
    for corner in range(3):
        start, per_x, per_y = flat.weights[chosen, corner].T[:, :, None]
        inside &= (start + per_x * x)[:, None, :] + (per_y * y)[:, :, None] >= -1e-5
    which, row, column = np.nonzero(inside)
    start, per_x, per_y = flat.depth[chosen].T
    depth = start[which] + per_x[which] * x[column] + per_y[which] * y[row]
    near = (np.clip(depth, 0, 1) * _NEAREST).astype(np.uint64) + np.uint64(1)
    key = near << np.uint64(32) | chosen[which].astype(np.uint64)
    pixel = rows[which, row].astype(np.int64) * edge + columns[which, column]
    np.maximum.at(seen, pixel.astype(np.int64, copy=False), key)


def _shade(
    pixels: npt.NDArray[np.uint8], nearest: npt.NDArray[np.int64], flat: _Flat, triangles: Triangles, shape: Shape
) -> None:
    rows, columns = np.nonzero(nearest >= 0)
    found = nearest[rows, columns]
    weights, box = flat.weights[found], flat.box[found]
    share = weights[:, :, 0] + weights[:, :, 1] * (columns - box[:, 0] + 0.5).astype(np.float32)[:, None]
    share += weights[:, :, 2] * (rows - box[:, 1] + 0.5).astype(np.float32)[:, None]
    number = flat.shown[found]
    places = np.einsum("nk,nkc->nc", share, triangles.places[number])
    lit = _lit(np.einsum("nk,nkc->nc", share, triangles.normals[number]))
    colours = _colours(places, triangles.materials[number], shape) * lit[:, None]
    pixels[rows, columns] = np.rint(np.clip(colours, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8)


def _lit(normals: Floats) -> Floats:
    """How much light a surface sends out; both of its sides are lit."""
    camera = _camera()
    length = np.linalg.norm(normals, axis=1)
    facing = np.where(normals @ camera[2] < 0, -1, 1) / np.where(length > 0, length, 1)
    light = (_LIGHT / np.linalg.norm(_LIGHT)) @ camera
    return np.nan_to_num(_AMBIENT + _SHINE * np.maximum((normals @ light) * facing, 0)).astype(np.float32)


def _colours(places: Floats, numbers: npt.NDArray[np.int32], shape: Shape) -> Floats:
    """The colour of a surface at each place, as light."""
    made = np.full((len(places), 3), 0.6, np.float32)
    textures = 0
    for number in np.unique(numbers).tolist():
        if number < 0:
            continue
        surface = shape.document["materials"][number].get("pbrMetallicRoughness", {})
        here = numbers == number
        factor = np.array(surface.get("baseColorFactor", (1, 1, 1, 1)), np.float32)[:3]
        if "baseColorTexture" in surface and textures < _MOST_TEXTURES:
            textures += 1
            made[here] = _looked_up(_texture(surface["baseColorTexture"], shape), places[here]) * factor
        else:
            made[here] = factor
    return made


def _texture(used: Mapping[str, Any], shape: Shape) -> Floats:
    document = shape.document
    data = picture_in(document["images"][source_of(document["textures"][used["index"]])], shape)
    with Image.open(BytesIO(data), formats=[probe(data).format.upper()]) as picture:
        picture.draft("RGB", (_TEXTURE_EDGE, _TEXTURE_EDGE))
        small = in_rgb(picture).convert("RGB")
    small.thumbnail((_TEXTURE_EDGE, _TEXTURE_EDGE), Image.Resampling.BOX)
    light = (np.asarray(small, np.float32) / 255) ** 2.2
    return light.astype(np.float32, copy=False)


def _looked_up(texture: Floats, places: Floats) -> Floats:
    """What lies at these places of a texture that repeats."""
    height, width = texture.shape[:2]
    around = np.nan_to_num(places % 1, nan=0.0)
    columns = np.minimum((around[:, 0] * width).astype(np.int64), width - 1)
    rows = np.minimum((around[:, 1] * height).astype(np.int64), height - 1)
    found: Floats = texture[rows, columns]
    return found
