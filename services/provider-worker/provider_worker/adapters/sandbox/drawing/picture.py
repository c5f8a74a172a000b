"""One picture from one brief."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from random import Random

import numpy as np
from PIL import Image

from provider_worker.adapters.sandbox.drawing import scenes_sharp, scenes_soft
from provider_worker.adapters.sandbox.drawing.canvas import Canvas, Picture, Point, grained
from provider_worker.adapters.sandbox.drawing.colours import Rgb, palette_of, to_lab
from provider_worker.adapters.sandbox.drawing.lettering import Align, Anchor, Place, extent, fitted, lettered, spoken
from provider_worker.adapters.sandbox.drawing.png import encoded

Scene = Callable[[Canvas], Picture]

_SCENES: tuple[Scene, ...] = (
    scenes_soft.aurora,
    scenes_sharp.papercut,
    scenes_sharp.dunes,
    scenes_soft.orbs,
    scenes_sharp.arcs,
    scenes_sharp.ribbons,
    scenes_sharp.tiles,
    scenes_sharp.rays,
    scenes_soft.bokeh,
)
SMALLEST = 16
"""Pixels of an edge that a composition needs."""
_FULL_DETAIL = 4_500_000
_SAME = 0.08
_PRESENT = 0.012


@dataclass(frozen=True, slots=True)
class Brief:
    """What to draw: exactly `width` x `height` pixels; `seed` decides all that the other fields leave open."""

    width: int
    height: int
    seed: int
    palette: tuple[Rgb, ...] = ()
    headline: str = ""
    image_format: str = "png"


def seed_of(prompt: str) -> int:
    """The seed of a prompt that came without one."""
    return int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:8])


def drawn(brief: Brief, scene: Scene | None = None) -> bytes:
    """The encoded picture; the same brief and scene always give the same bytes."""
    return saved(composed(brief, scene), brief.image_format)


def saved(picture: Picture, image_format: str) -> bytes:
    """The picture as a file."""
    if image_format == "png":
        return encoded(picture)
    file = BytesIO()
    picture.save(file, image_format, quality=90)
    return file.getvalue()


def composed(brief: Brief, scene: Scene | None = None) -> Picture:
    """The picture before it is encoded; `scene` overrides what the seed would choose."""
    random = Random(f"{brief.seed}")  # noqa: S311 - chance in a picture needs no secrecy
    palette = palette_of(brief.palette, random)
    chosen = random.choice(_SCENES)
    focus, place = arranged(brief, random)
    block = fitted(spoken(brief.headline), place)
    words = extent(block) if block else None
    shrink = max(1.0, math.sqrt(brief.width * brief.height / _FULL_DETAIL))
    size = max(1, round(brief.width / shrink)), max(1, round(brief.height / shrink))
    near = (words[0] / shrink, words[1] / shrink, words[2] / shrink, words[3] / shrink) if words else None
    picture = (scene or chosen)(Canvas(*size, palette, random, focus, near))
    if picture.size != (brief.width, brief.height):
        picture = picture.resize((brief.width, brief.height), Image.Resampling.BICUBIC)
    picture = grained(picture, 3)
    if block is not None:
        picture = lettered(Canvas(brief.width, brief.height, palette, random, focus, words), picture, block)
    _striped(picture, brief.palette or palette.voices[:3])
    return picture


def _striped(picture: Picture, brand: Sequence[Rgb]) -> None:
    """A stripe of the brand's colours along the lower edge, where the scene has swallowed one of them."""
    few = picture.resize((min(96, picture.width), min(96, picture.height)), Image.Resampling.NEAREST)
    seen = to_lab(np.asarray(few)).reshape(-1, 3)
    shares = [float((np.linalg.norm(seen - to_lab(colour), axis=1) < _SAME).mean()) for colour in brand]
    if min(shares) >= _PRESENT:
        return
    top = picture.height - max(1, round(min(picture.size) * 0.022))
    for number, colour in enumerate(brand):
        left, right = (round(picture.width * end / len(brand)) for end in (number, number + 1))
        picture.paste(colour, (left, top, right, picture.height))


def arranged(brief: Brief, random: Random) -> tuple[Point, Place]:
    """Where the motif sits and where the words stand, as the shape of the picture wants it."""
    width, height = brief.width, brief.height
    ratio = width / height
    if not brief.headline:
        focus = random.uniform(0.36, 0.64), random.uniform(0.4, 0.6)
        return focus, Place((0, 0, width, height), 1, 0, "left", "middle", "left")
    return _beside(width, height, random) if ratio >= 1.3 else _above_or_below(width, height, random)


def _beside(width: int, height: int, random: Random) -> tuple[Point, Place]:
    """Words on the left, the motif on the right."""
    banner = width >= 2 * height
    margin = height * (0.15 if banner else 0.1)
    box = (margin, margin * 1.7, width * (0.6 if banner else 0.58), height - margin)
    anchor: Anchor = "middle" if banner else random.choice(["middle", "bottom"])
    focus = random.uniform(0.76, 0.83), random.uniform(0.42, 0.58)
    return focus, Place(box, 2 if banner else 4, height * 0.27, "left", anchor, "left")


def _above_or_below(width: int, height: int, random: Random) -> tuple[Point, Place]:
    """Words in one half, the motif in the other; in a tall picture they keep clear of what apps lay over its ends."""
    below = random.random() < 0.5
    tall = width < 0.8 * height
    margin = width * 0.09
    if tall:
        top, bottom = (height * 0.58, height * 0.85) if below else (height * 0.15, height * 0.42)
    else:
        top, bottom = (height * 0.55, height - margin) if below else (margin * 1.8, height * 0.46)
    align: Align = random.choice(["left", "center"])
    focus = random.uniform(0.4, 0.6), 0.29 if below else 0.7
    place = Place(
        (margin, top, width - margin, bottom),
        4 if tall else 3,
        width * 0.19,
        align,
        "bottom" if below else "top",
        "bottom" if below else "top",
    )
    return focus, place


def scenes() -> Sequence[Scene]:
    """Every kind of composition there is."""
    return _SCENES
