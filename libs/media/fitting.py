"""A provider's own size made into the one that was asked for (R108): scaled until it covers it, and cut to it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

from PIL import Image, ImageOps

from media.errors import CorruptOutput, Reason
from media.facts import MAX_PICTURE_BYTES, Facts, read_whole
from media.headers import MAX_PIXELS, Probe, probe
from media.images import decode_whole

Fit = Literal["crop", "pad", "exact_only"]

_SAVING: Mapping[str, Mapping[str, Any]] = {
    "png": {"compress_level": 4},
    "jpeg": {"quality": 92, "subsampling": 0},
    "webp": {"quality": 90, "method": 4},
}


@dataclass(frozen=True, slots=True)
class FittedImage:
    """A picture that is what was asked for. `data` are its bytes where they are not those that came.

    `scale` is how much the native picture was enlarged (1.0 or less: not at all), `crop_share` how much of it was cut
    away; `sha256` is of the fitted bytes.
    """

    facts: Facts
    sha256: str
    native_width: int
    native_height: int
    method: Literal["none", "crop", "pad"] = "none"
    scale: float = 1.0
    crop_share: float = 0.0
    data: bytes | None = None


def fit_image(
    source: bytes | Path, width: int, height: int, image_format: str, fit: Fit, *, max_bytes: int = MAX_PICTURE_BYTES
) -> FittedImage:
    """Decode the whole picture and make it exactly `width` x `height` pixels in `image_format` (png, jpeg or webp).

    What is right already is left as it is, byte for byte. Decodes in this process: for bytes of others use `Checker`.
    Raises `CorruptOutput`, with WRONG_SIZE where `exact_only` forbids a fit; `OSError` where a file cannot be
    read and `MemoryError` where there is too little of it, which may not be the picture's fault.
    """
    data = read_whole(source, max_bytes)
    declared = probe(data)
    decode_whole(data, declared)
    same_size = (declared.width, declared.height) == (width, height)
    if not same_size and fit == "exact_only":
        found = f"{declared.width}x{declared.height}"
        raise CorruptOutput(Reason.WRONG_SIZE, f"{found} pixels, but exactly {width}x{height} were asked for")
    if same_size and declared.format == image_format:
        facts = Facts(declared.mime, len(data), width=width, height=height)
        return FittedImage(facts, hashlib.sha256(data).hexdigest(), width, height)
    made = _encoded(_fitted(data, declared, width, height, fit), image_format)
    facts = Facts(f"image/{image_format}", len(made), width=width, height=height)
    return FittedImage(
        facts,
        hashlib.sha256(made).hexdigest(),
        declared.width,
        declared.height,
        method="none" if same_size else ("pad" if fit == "pad" else "crop"),
        scale=_scale(declared, width, height, fit),
        crop_share=0.0 if fit == "pad" else _crop_share(declared, width, height),
        data=made,
    )


def _fitted(data: bytes, declared: Probe, width: int, height: int, fit: Fit) -> Image.Image:
    if width * height > MAX_PIXELS:
        raise CorruptOutput(Reason.TOO_LARGE, f"{width}x{height} pixels cannot be made")
    with Image.open(BytesIO(data), formats=[declared.format.upper()]) as opened:
        picture = opened.convert("RGBA" if opened.has_transparency_data else "RGB")
    if picture.size == (width, height):
        return picture
    if fit == "pad":
        return ImageOps.pad(picture, (width, height), Image.Resampling.LANCZOS, color=_ground(picture))
    return ImageOps.fit(picture, (width, height), Image.Resampling.LANCZOS)


def _ground(picture: Image.Image) -> tuple[int, ...]:
    """What a padded picture stands on: nothing where it can be transparent, else its own average colour."""
    if picture.mode == "RGBA":
        return (0, 0, 0, 0)
    average = picture.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
    return average if isinstance(average, tuple) else (0, 0, 0)


def _encoded(picture: Image.Image, image_format: str) -> bytes:
    if image_format == "jpeg" and picture.mode == "RGBA":
        ground = Image.new("RGB", picture.size, (255, 255, 255))
        ground.paste(picture, mask=picture.getchannel("A"))
        picture = ground
    file = BytesIO()
    picture.save(file, image_format, **_SAVING[image_format])
    return file.getvalue()


def _scale(declared: Probe, width: int, height: int, fit: Fit) -> float:
    across, down = width / declared.width, height / declared.height
    return round(min(across, down) if fit == "pad" else max(across, down), 4)


def _crop_share(declared: Probe, width: int, height: int) -> float:
    scale = max(width / declared.width, height / declared.height)
    return round(max(0.0, 1 - (width * height) / (declared.width * scale * declared.height * scale)), 4)
