"""Whole pictures: decoded to the last row before anybody keeps or shows them (R72, R90).

What follows the end of the picture is not looked at here: see `media.endings`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO

from PIL import Image

from media.errors import CorruptOutput, Reason, in_short
from media.facts import Facts
from media.headers import Probe, probe
from media.jpegs import MOST_DECODED_BYTES, see_effort, see_rows
from media.pngs import see_png
from media.riff import see_chunks

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ON_ITS_SIDE = frozenset(_TURNS[value] for value in (5, 6, 7, 8))


def picture_facts(data: bytes) -> Facts:
    """Decode a whole PNG, JPEG or WebP; its width and height are as it is shown, upright.

    Raises `CorruptOutput`, and `MemoryError` where there is too little of it.
    """
    declared = probe(data)
    turn = turn_of(decode_whole(data, declared))
    shown = (declared.width, declared.height)
    width, height = shown[::-1] if turn in _ON_ITS_SIDE else shown
    return Facts(declared.mime, len(data), width=width, height=height)


def decode_whole(data: bytes, declared: Probe) -> Image.Image:
    """Every row of a picture that `probe` has described, decoded; raises `CorruptOutput`, also for an animation."""
    if declared.animated:
        raise CorruptOutput(Reason.ANIMATED, "an animation, but a picture was asked for")
    _SEEN_BEFORE[declared.format](data, declared)
    return _decode(data, declared)


def turn_of(picture: Image.Image) -> Image.Transpose | None:
    """What makes a picture upright, by what EXIF says of it: whoever cuts or measures it means what is seen."""
    try:
        return _TURNS.get(picture.getexif().get(_ORIENTATION, 1))
    except Exception:  # EXIF that cannot be read says nothing, and whoever shows the picture ignores it as well
        return None


def in_rgb(picture: Image.Image) -> Image.Image:
    """The picture in RGB, or in RGBA where it has transparency; the same object where it is that already."""
    if picture.mode in {"RGB", "RGBA"}:
        return picture
    if picture.mode == "I;16":  # the conversion would take all that is brighter than 255 of 65535 for white
        return picture.convert("I").point(lambda value: value / 256).convert("L").convert("RGB")
    return picture.convert("RGBA" if picture.has_transparency_data else "RGB")


def _see_webp(data: bytes, declared: Probe) -> None:
    """Its decoder has the whole picture four times, as four bytes a pixel."""
    see_chunks(data)
    if declared.width * declared.height * 16 > MOST_DECODED_BYTES:
        most = MOST_DECODED_BYTES // 16
        raise CorruptOutput(
            Reason.TOO_LARGE, f"declares {declared.width}x{declared.height} pixels, {most} are allowed in a WebP"
        )


def _see_jpeg(data: bytes, declared: Probe) -> None:
    see_effort(data, declared.width, declared.height)
    see_rows(data)


_SEEN_BEFORE: Mapping[str, Callable[[bytes, Probe], None]] = {
    "png": lambda data, _: see_png(data),
    "jpeg": _see_jpeg,
    "webp": _see_webp,
}


def _decode(data: bytes, declared: Probe) -> Image.Image:
    try:
        with Image.open(BytesIO(data), formats=[declared.format.upper()]) as image:
            if image.size != (declared.width, declared.height):
                raise CorruptOutput(Reason.UNDECODABLE, "the picture contradicts its header")
            image.load()
            return image
    except (CorruptOutput, MemoryError):
        raise
    except Exception as error:  # a decoder's errors have no common kind; all of them mean the same here
        raise CorruptOutput(Reason.UNDECODABLE, f"cannot be decoded: {in_short(error)}") from None
