"""A provider's own picture made into the one that was asked for (R108): scaled until it covers it, and cut to it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from io import BytesIO
from typing import Any

from PIL import Image, ImageOps

from media.errors import CorruptOutput, Reason
from media.facts import MAX_PICTURE_BYTES, Facts, read_whole
from media.formats import MIMES
from media.headers import MAX_PIXELS, probe
from media.images import decode_whole, in_rgb, turn_of
from media.thumbnails import webp_thumbnail
from media.wanted import THUMBNAIL_EDGE, FinishedMedia, Method, Wanted

Size = tuple[int, int]
Box = tuple[float, float, float, float]

_SAVING: Mapping[str, Mapping[str, Any]] = {
    "png": {"compress_level": 4},
    "jpeg": {"quality": 92, "subsampling": 0},
    "webp": {"quality": 90, "method": 4},
}
_SAVING_TILES: Mapping[str, Mapping[str, Any]] = {
    "png": {"compress_level": 1},
    "jpeg": {"quality": 97, "subsampling": 0},
    "webp": {"lossless": True, "method": 0},
}
"""What a lossy format does to opposite edges is not the same, and where it is too much, nothing may be lost. A texture
may have 16 million pixels, so that little time is spent on making it small."""
_MOST_ON_AN_EDGE = {"webp": 16_383, "jpeg": 65_500}


def finish_picture(data: bytes, wanted: Wanted) -> FinishedMedia:
    """Decode a whole PNG, JPEG or WebP and make it the picture that is wanted.

    Raises `CorruptOutput`, and `MemoryError` where there is too little of it.
    """
    declared = probe(read_whole(data, MAX_PICTURE_BYTES))
    came = decode_whole(data, declared)
    turn = turn_of(came)
    picture = came if turn is None else came.transpose(turn)
    size = (wanted.width or picture.width, wanted.height or picture.height)
    _see_size(picture.size, size, wanted)
    method: Method = "none"
    if picture.size != size:
        method = "pad" if wanted.fit == "pad" else "crop"
    made = _tile(picture, size, wanted) if wanted.tileable else _fitted(picture, size, wanted)
    native = Facts(declared.mime, len(data), width=declared.width, height=declared.height)
    thumbnail = webp_thumbnail(made) if wanted.thumbnail and max(size) > THUMBNAIL_EDGE else None
    if made is came and declared.format == wanted.format:
        return FinishedMedia(native, hashlib.sha256(data).hexdigest(), native, thumbnail=thumbnail)
    finished = _encoded(made, wanted.format, (_SAVING_TILES if wanted.tileable else _SAVING)[wanted.format])
    return FinishedMedia(
        facts=Facts(MIMES[wanted.format], len(finished), width=size[0], height=size[1]),
        sha256=hashlib.sha256(finished).hexdigest(),
        native=native,
        method=method,
        scale=_scale(picture.size, size, method),
        crop_share=_crop_share(picture.size, size, method),
        data=finished,
        thumbnail=thumbnail,
    )


def _see_size(native: Size, size: Size, wanted: Wanted) -> None:
    if native != size and wanted.fit == "exact_only":
        found = f"{native[0]}x{native[1]}"
        raise CorruptOutput(Reason.WRONG_SIZE, f"{found} pixels, but exactly {size[0]}x{size[1]} were asked for")
    if size[0] * size[1] > MAX_PIXELS or max(size) > _MOST_ON_AN_EDGE.get(wanted.format, max(size)):
        raise CorruptOutput(Reason.TOO_LARGE, f"{size[0]}x{size[1]} pixels cannot be made")


def _fitted(picture: Image.Image, size: Size, wanted: Wanted) -> Image.Image:
    if picture.size == size:
        return picture
    plain = in_rgb(picture)
    if wanted.fit == "pad":
        return ImageOps.pad(plain, size, Image.Resampling.LANCZOS, color=_ground(plain))
    return plain.resize(size, Image.Resampling.LANCZOS, box=_kept(plain.size, size, wanted.focus))


def _tile(picture: Image.Image, size: Size, wanted: Wanted) -> Image.Image:
    """Fitted, and its edges meet."""
    from media.seams import tile  # noqa: PLC0415 - numpy takes 20 MB, which only textures should pay for

    if wanted.fit == "pad":
        return tile(_fitted(picture, size, wanted), size)
    box = _kept(picture.size, size, wanted.focus)
    if box == (0, 0, *picture.size):
        return tile(picture, size)
    whole = (round(box[0]), round(box[1]), max(round(box[2]), round(box[0]) + 1), max(round(box[3]), round(box[1]) + 1))
    return tile(picture.crop(whole), size)


def _kept(native: Size, size: Size, focus: tuple[float, float]) -> Box:
    """The largest part of a picture that has the shape of `size`, with the focus nearest to its middle."""
    scale = max(size[0] / native[0], size[1] / native[1])
    width, height = min(size[0] / scale, native[0]), min(size[1] / scale, native[1])
    left = min(max(focus[0] * native[0] - width / 2, 0.0), native[0] - width)
    top = min(max(focus[1] * native[1] - height / 2, 0.0), native[1] - height)
    return (left, top, left + width, top + height)


def _ground(picture: Image.Image) -> tuple[int, ...]:
    """What a padded picture stands on: nothing where it can be transparent, else its own average colour."""
    if picture.mode == "RGBA":
        return (0, 0, 0, 0)
    average = picture.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
    return average if isinstance(average, tuple) else (0, 0, 0)


def _encoded(picture: Image.Image, image_format: str, options: Mapping[str, Any]) -> bytes:
    plain = in_rgb(picture)
    if image_format == "jpeg" and plain.mode == "RGBA":
        ground = Image.new("RGB", plain.size, (255, 255, 255))
        ground.paste(plain, mask=plain.getchannel("A"))
        plain = ground
    file = BytesIO()
    plain.save(file, image_format, **options)
    return file.getvalue()


def _scale(native: Size, size: Size, method: Method) -> float:
    across, down = size[0] / native[0], size[1] / native[1]
    return round(min(across, down) if method == "pad" else max(across, down), 4)


def _crop_share(native: Size, size: Size, method: Method) -> float:
    if method != "crop":
        return 0.0
    scale = max(size[0] / native[0], size[1] / native[1])
    share = 1 - (size[0] * size[1]) / (native[0] * scale * native[1] * scale)
    return min(round(max(0.0, share), 4), 0.9999)  # some of it is always kept
