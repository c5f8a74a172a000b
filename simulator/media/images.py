"""Pictures of an exact size: a small pattern scaled up, which is quick to draw and small as a file."""

from __future__ import annotations

import colorsys
import random
import struct
import zlib
from collections.abc import Mapping
from io import BytesIO
from typing import Any

from PIL import Image, ImageDraw

from simulator.generation import Output

FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP"}
_TONES = 8
_CELLS = 24


def picture(
    width: int, height: int, *, mime: str, seed: int, transparent: bool = False, quality: int | None = None
) -> Output:
    """An output of this size. `transparent` leaves the background out, in PNG and WebP."""
    params = {"width": width, "height": height, "transparent": transparent, "quality": quality}
    return Output("image", mime, seed, params)


def drawn(mime: str, seed: int, params: Mapping[str, Any]) -> bytes:
    """Blocks of one palette and a few shapes."""
    luck = random.Random(seed)  # noqa: S311 - a picture, no secret
    palette = _palette(luck)
    width, height = params["width"], params["height"]
    cells = Image.new("RGB", (_CELLS, max(1, round(_CELLS * height / width))))
    cells.putdata([luck.choice(palette) for _ in range(cells.width * cells.height)])
    image = cells.resize((width, height), Image.Resampling.NEAREST)
    pen = ImageDraw.Draw(image)
    shapes = [_box(luck, width, height) for _ in range(4)]
    for box in shapes:
        pen.ellipse(box, fill=luck.choice(palette))
    if params.get("transparent"):
        image.putalpha(_mask(width, height, shapes))
    return _encoded(image, mime, params.get("quality"))


def plain(mime: str, seed: int, params: Mapping[str, Any]) -> bytes:
    """One of a few pictures of this size, to be told apart by `stamped`."""
    return drawn(mime, seed % _TONES, params)


def stamped(data: bytes, mime: str, seed: int) -> bytes:
    """The same picture with the seed in a comment, so that the bytes are as many as there are seeds."""
    note = f"seed {seed}".encode()
    if mime == "image/png":
        chunk = b"tEXtComment\x00" + note
        end = len(data) - 12
        return (
            data[:end] + struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[end:]
        )
    if mime == "image/jpeg":
        return data[:2] + b"\xff\xfe" + struct.pack(">H", len(note) + 2) + note + data[2:]
    padded = note + b"\x00" * (len(note) % 2)
    body = data[8:] + b"SEED" + struct.pack("<I", len(note)) + padded
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _palette(luck: random.Random) -> list[tuple[int, int, int]]:
    hue = luck.random()
    tones = [(hue + 0.07 * step, 0.35 + 0.5 * luck.random(), 0.45 + 0.5 * luck.random()) for step in range(5)]
    return [tuple(int(255 * part) for part in colorsys.hsv_to_rgb(*tone)) for tone in tones]  # type: ignore[misc]


def _box(luck: random.Random, width: int, height: int) -> tuple[int, int, int, int]:
    size = max(2, int(min(width, height) * (0.15 + 0.3 * luck.random())))
    left, top = luck.randrange(max(1, width - size)), luck.randrange(max(1, height - size))
    return left, top, left + size, top + size


def _mask(width: int, height: int, shapes: list[tuple[int, int, int, int]]) -> Image.Image:
    mask = Image.new("L", (width, height), 0)
    for box in shapes:
        ImageDraw.Draw(mask).ellipse(box, fill=255)
    return mask


def _encoded(image: Image.Image, mime: str, quality: int | None) -> bytes:
    out = BytesIO()
    if mime == "image/png":
        image.save(out, "PNG", compress_level=1)
    elif mime == "image/jpeg":
        image.convert("RGB").save(out, "JPEG", quality=quality or 85)
    else:
        image.save(out, "WEBP", quality=quality or 80, method=0)
    return out.getvalue()
