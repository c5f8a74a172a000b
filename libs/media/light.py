"""Light as numbers: pictures whose values are amounts of light, beyond white as well, and how they are written."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, TypeAlias

import av
import numpy as np
import numpy.typing as npt
from PIL import Image

from media.errors import CorruptOutput, Reason
from media.images import in_rgb
from media.skies import decoded

Plane: TypeAlias = npt.NDArray[np.float32]
Light: TypeAlias = tuple[Plane, Plane, Plane]
"""Red, green and blue, rows from top to bottom; 1.0 is white."""

BRIGHTEST = 65_504.0
"""The largest number that half floats have."""
_MIDDLE_GREY = 0.18
_FORMAT = "gbrpf32le"
_GBR, _GREY = (2, 0, 1), (0, 0, 0)
_PLANES: Mapping[str, tuple[type[np.floating[Any]], tuple[int, int, int]]] = {
    "gbrpf32le": (np.float32, _GBR),
    "gbrapf32le": (np.float32, _GBR),
    "grayf32le": (np.float32, _GREY),
    "gbrpf16le": (np.float16, _GBR),
    "gbrapf16le": (np.float16, _GBR),
    "grayf16le": (np.float16, _GREY),
}
"""In which planes FFmpeg keeps red, green and blue."""
_OPTIONS = {"exr": {"compression": "zip16", "format": "half"}, "hdr": {}}


def light_of_sky(data: bytes, mime: str, size: tuple[int, int]) -> Light:
    """The light of an OpenEXR or Radiance picture that declares this size; raises `CorruptOutput`."""
    frame = decoded(data, mime, size)
    if frame.format.name not in _PLANES:
        raise CorruptOutput(Reason.UNDECODABLE, f"channels that are no colours: {frame.format.name}")
    kind, places = _PLANES[frame.format.name]
    red, green, blue = (_values(frame, place, kind).astype(np.float32, copy=False) for place in places)
    return red, green, blue


def light_of_picture(picture: Image.Image) -> Light:
    """The light that the colours of an ordinary picture stand for (sRGB); transparent is black."""
    plain = in_rgb(picture)
    if plain.mode == "RGBA":
        ground = Image.new("RGB", plain.size)
        ground.paste(plain, mask=plain.getchannel("A"))
        plain = ground
    levels = np.arange(256, dtype=np.float32) / 255
    lights = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4).astype(np.float32)
    red, green, blue = (lights[np.asarray(channel)] for channel in plain.split())
    return red, green, blue


def cleaned(light: Light) -> Light:
    """Light that a renderer can sum up: neither negative nor beyond half floats; the same object where it is so.

    Raises `CorruptOutput` where a value is no number, which nobody can know the light of, and where all is dark.
    """
    lowest, highest = np.min([plane.min() for plane in light]), np.max([plane.max() for plane in light])
    if np.isnan(lowest) or np.isnan(highest):
        raise CorruptOutput(Reason.UNDECODABLE, "a sky with values that are no numbers")
    if highest <= 0:
        raise CorruptOutput(Reason.SILENT, "a sky without light")
    if lowest >= 0 and highest <= BRIGHTEST:
        return light
    red, green, blue = (np.clip(plane, 0, np.float32(BRIGHTEST)) for plane in light)
    return red, green, blue


def scaled(light: Light, size: tuple[int, int]) -> Light:
    """Another size of light that goes once around: what is left of its left edge is its right edge.

    Linear between pixels, and over all of them where it shrinks: a sharper filter would put dark rings around a sun.
    """
    height, width = light[0].shape
    margin = min(width, round(max(1.0, width / size[0])) + 1)
    box = (margin, 0, margin + width, height)
    red, green, blue = (
        np.asarray(
            Image.fromarray(np.pad(plane, ((0, 0), (margin, margin)), mode="wrap")).resize(
                size, Image.Resampling.BILINEAR, box=box
            )
        )
        for plane in light
    )
    return red, green, blue


def shown(light: Light) -> Image.Image:
    """An ordinary picture of it: exposed so that its middle is middle grey, highlights pressed together (Reinhard)."""
    brightness = np.maximum(_brightness(light), 1e-9)
    exposed = brightness * (_MIDDLE_GREY / middle_of(light))
    white = max(float(np.quantile(exposed, 0.995)), 1.0)
    share = exposed * (1 + exposed / white**2) / (1 + exposed) / brightness
    pressed = np.clip(np.stack(light, axis=2) * share[:, :, None], 0, 1)
    colours = np.where(pressed <= 0.0031308, pressed * 12.92, 1.055 * pressed ** (1 / 2.4) - 0.055)
    return Image.fromarray(np.rint(colours * 255).astype(np.uint8))


def middle_of(light: Light) -> float:
    """The brightness in the middle of what eyes see there: the geometric mean, with a floor under the dark."""
    return float(np.exp(np.log(_brightness(light) + 1e-4).mean()))


def _brightness(light: Light) -> Plane:
    found: Plane = 0.2126 * light[0] + 0.7152 * light[1] + 0.0722 * light[2]
    return found


def encoded(light: Light, image_format: str) -> bytes:
    """As exr (half floats, ZIP, scan lines) or hdr (RGBE, run-length encoded rows)."""
    height, width = light[0].shape
    encoder = av.CodecContext.create(image_format, "w")
    if not isinstance(encoder, av.VideoCodecContext):
        raise TypeError(f"{image_format} is no format of pictures")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, _FORMAT
    encoder.time_base, encoder.thread_count, encoder.options = Fraction(1, 25), 1, _OPTIONS[image_format]
    frame = av.VideoFrame(width, height, _FORMAT)
    for plane, place in zip(light, _GBR, strict=True):
        _values(frame, place, np.float32)[:] = plane
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


def _values(frame: av.VideoFrame, place: int, kind: type[np.floating[Any]]) -> npt.NDArray[np.floating[Any]]:
    """A plane of a frame, without a copy."""
    values = np.frombuffer(memoryview(frame.planes[place]), kind)
    return values.reshape(frame.height, -1)[:, : frame.width]
