"""A provider's own size made into the one that was asked for (R108): scaled until it covers it, and cut to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from media.facts import MAX_PICTURE_BYTES, Facts, read_whole
from media.picture_finishing import finish_picture
from media.wanted import Fit, Method, Wanted


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
    method: Method = "none"
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
    wanted = Wanted(image_format, width, height, fit)
    found = finish_picture(read_whole(source, max_bytes), wanted)
    return FittedImage(
        found.facts,
        found.sha256,
        found.native.width or 0,
        found.native.height or 0,
        found.method,
        found.scale,
        found.crop_share,
        found.data,
    )
