"""Environment maps (R57): all directions on a picture twice as wide as high, in the light that a scene is lit with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import numpy as np

from media.errors import CorruptOutput, Reason
from media.facts import MAX_PICTURE_BYTES, Facts, read_whole
from media.formats import MIMES, START, sniffed
from media.headers import probe
from media.images import decode_whole
from media.light import Light, Plane, cleaned, encoded, light_of_picture, light_of_sky, middle_of, scaled, shown
from media.seams import MOST_SEAM_RATIO, close_edges, smooth_part
from media.skies import declared_size
from media.thumbnails import webp_thumbnail
from media.wanted import THUMBNAIL_EDGE, FinishedMedia, Wanted

MOST_FINISHED_PIXELS = 4096 * 2048
"""More is never asked for, and what comes with more is not decoded: it takes 70 bytes a pixel to finish one."""
_STEP = 1 / 128
"""A relative step that no Radiance picture tells, with one exponent for three colours of eight bits."""
_FAINT = 0.02
"""Below this share of what is in the middle of its brightness a difference is none."""
_SLACK = 0.01
"""So far from twice its height may a width be that comes: it is stretched by so little."""
_SKIES = {"image/x-exr", "image/vnd.radiance"}


def finish_sky(data: bytes, wanted: Wanted) -> FinishedMedia:
    """Decode a whole picture and make it an environment map, exr or hdr, whose left edge continues its right one.

    A PNG, JPEG or WebP becomes the light that its colours stand for, none of it beyond white: `from_ldr`. Raises
    `CorruptOutput`, with WRONG_SIZE where the picture does not go once around, and `MemoryError` where there is too
    little of it.
    """
    mime = sniffed(data[:START])
    from_ldr = mime not in _SKIES
    came, native = _light_of_ldr(data) if from_ldr else _light(data, mime)
    size = _size(native, wanted)
    clean = cleaned(came)
    light = clean if (native.width, native.height) == size else scaled(clean, size)
    if sky_seam(light) > MOST_SEAM_RATIO:
        light = _mended(light)
    thumbnail = None
    if wanted.thumbnail:
        small = (THUMBNAIL_EDGE, THUMBNAIL_EDGE // 2)
        thumbnail = webp_thumbnail(shown(light if size[0] <= small[0] else scaled(light, small)))
    if light is came and mime == MIMES[wanted.format]:
        return FinishedMedia(native, hashlib.sha256(data).hexdigest(), native, thumbnail=thumbnail)
    made = encoded(light, wanted.format)
    return FinishedMedia(
        facts=Facts(MIMES[wanted.format], len(made), width=size[0], height=size[1]),
        sha256=hashlib.sha256(made).hexdigest(),
        native=native,
        scale=round(size[0] / (native.width or 1), 4),
        from_ldr=from_ldr,
        data=made,
        thumbnail=thumbnail,
    )


def sky_seam(light: Light) -> float:
    """The mean step from the right edge to the left one, as a multiple of the mean step between neighbours in a row.

    Steps as eyes see them, in shares of the brightness. About 1 where the edges meet.
    """
    return _seam(_as_seen(light, middle_of(light)))


def _seam(seen: Iterable[Plane]) -> float:
    edge = within = least = 0.0
    for plane in seen:
        edge += float(np.abs(plane[:, 0] - plane[:, -1]).mean())
        within += float(np.abs(np.diff(plane, axis=1)).mean())
        least += _STEP
    return edge / max(within, least)


def _mended(light: Light) -> Light:
    """The jump at the edges is taken away as from a texture's, but from left to right alone: poles do not meet."""
    middle = middle_of(light)
    seen = list(_as_seen(light, middle))
    for plane in seen:
        jump = plane[:, -1] - plane[:, 0]
        # With its mirror image below it, the last row is a neighbour of itself and not of the first one.
        smooth = smooth_part(np.zeros(plane.shape[1], np.float32), np.concatenate((jump, jump[::-1])))
        np.subtract(plane, smooth[: len(plane)], out=plane)
    if _seam(seen) > MOST_SEAM_RATIO:
        for plane in seen:
            close_edges(plane.T)
    red, green, blue = ((np.exp(plane) - np.float32(_FAINT)) * np.float32(middle) for plane in seen)
    return cleaned((red, green, blue))


def _as_seen(light: Light, middle: float) -> Iterator[Plane]:
    return (np.log(plane / np.float32(middle) + np.float32(_FAINT)) for plane in light)


def _light(data: bytes, mime: str) -> tuple[Light, Facts]:
    size = declared_size(data, mime)
    _see_shape(size)
    return light_of_sky(data, mime, size), Facts(mime, len(data), width=size[0], height=size[1])


def _light_of_ldr(data: bytes) -> tuple[Light, Facts]:
    declared = probe(read_whole(data, MAX_PICTURE_BYTES))
    _see_shape((declared.width, declared.height))
    light = light_of_picture(decode_whole(data, declared))
    return light, Facts(declared.mime, len(data), width=declared.width, height=declared.height)


def _see_shape(size: tuple[int, int]) -> None:
    if abs(size[0] - 2 * size[1]) > _SLACK * size[0]:
        raise CorruptOutput(Reason.WRONG_SIZE, f"{size[0]}x{size[1]} pixels, but a sky is twice as wide as high")
    if size[0] * size[1] > MOST_FINISHED_PIXELS:
        raise CorruptOutput(Reason.TOO_LARGE, f"{size[0]}x{size[1]} pixels, {MOST_FINISHED_PIXELS} are allowed")


def _size(native: Facts, wanted: Wanted) -> tuple[int, int]:
    size = (wanted.width or native.width or 0, wanted.height or native.height or 0)
    _see_shape(size)
    if size != (native.width, native.height) and wanted.fit == "exact_only":
        found = f"{native.width}x{native.height}"
        raise CorruptOutput(Reason.WRONG_SIZE, f"{found} pixels, but exactly {size[0]}x{size[1]} were asked for")
    return size
