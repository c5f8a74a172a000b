"""One film from one brief."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

import av
import numpy as np
from PIL import Image

from provider_worker.adapters.sandbox.drawing.canvas import Canvas, Picture, pasted
from provider_worker.adapters.sandbox.drawing.colours import Rgb, palette_of
from provider_worker.adapters.sandbox.drawing.lettering import extent, fitted, spoken
from provider_worker.adapters.sandbox.drawing.picture import Brief, arranged
from provider_worker.adapters.sandbox.filming import scenes_floating, scenes_flowing
from provider_worker.adapters.sandbox.filming.encoding import FilmFormat, encoded
from provider_worker.adapters.sandbox.filming.headline import Headline, appeared, typeset, veiled
from provider_worker.adapters.sandbox.filming.scenes_flowing import Moving
from provider_worker.adapters.sandbox.sounding.ambience import ambience
from provider_worker.adapters.sandbox.sounding.waves import RATE

Scene = Callable[[Canvas], Moving]

_SCENES: tuple[Scene, ...] = (
    scenes_flowing.silk,
    scenes_floating.orbs,
    scenes_flowing.ribbons,
    scenes_floating.lights,
    scenes_flowing.rings,
    scenes_flowing.rays,
)
_TURN_S = 6.0
"""How long a whole turn of a scene takes, about."""
_LONGEST_EDGE = 960
"""Scenes have no line so fine that it would be missed when they are scaled up from here."""
_LOOKS = (0.0, 0.2, 0.4, 0.6, 0.8)


@dataclass(frozen=True, slots=True)
class FilmBrief:
    """What to film: exactly `width` x `height`, both even, and `duration_s` to the frame.

    `loop`: the last frame meets the first. `seed` decides all that the other fields leave open.
    """

    width: int
    height: int
    duration_s: float
    seed: int
    fps: int = 24
    loop: bool = False
    palette: tuple[Rgb, ...] = ()
    headline: str = ""
    film_format: FilmFormat = "mp4"

    @property
    def frames(self) -> int:
        return max(1, round(self.duration_s * self.fps))


def filmed(brief: FilmBrief) -> bytes:
    """The encoded film with a soft sound; the same brief always gives the same bytes."""
    sound = ambience(brief.seed, round(brief.frames / brief.fps * RATE), loop=brief.loop)
    return encoded(brief.film_format, brief.fps, pictures(brief), sound)


def pictures(brief: FilmBrief, scene: Scene | None = None) -> Iterator[av.VideoFrame]:
    """Its frames in yuv420p; `scene` overrides what the seed would choose."""
    random = Random(f"{brief.seed}")  # noqa: S311 - chance in a film needs no secrecy
    palette = palette_of(brief.palette, random)
    chosen = random.choice(_SCENES)
    still = Brief(brief.width, brief.height, brief.seed, brief.palette, brief.headline)
    focus, place = arranged(still, random)
    block = fitted(spoken(brief.headline), place)
    words = extent(block) if block else None
    shrink = max(1.0, max(brief.width, brief.height) / _LONGEST_EDGE)
    near = (words[0] / shrink, words[1] / shrink, words[2] / shrink, words[3] / shrink) if words else None
    size = max(2, round(brief.width / shrink)), max(2, round(brief.height / shrink))
    canvas = Canvas(*size, palette, random, focus, near)
    moving = (scene or chosen)(canvas)
    headline = None
    if block is not None and near is not None:
        headline = typeset(block, brief.width, brief.height, palette)
        mask = veiled(canvas, near, block.veil_from, [moving(moment) for moment in _LOOKS])
        moving = _calmed(moving, canvas, mask) if mask else moving
    yield from _frames(brief, moving, headline)


def _frames(brief: FilmBrief, moving: Moving, headline: Headline | None) -> Iterator[av.VideoFrame]:
    turns = brief.frames / brief.fps / _TURN_S
    if brief.loop:
        turns = max(1, round(turns))
    for number in range(brief.frames):
        frame = frame_of(moving(turns * number / brief.frames), brief)
        if headline is not None:
            headline.onto(frame, 1.0 if brief.loop else appeared(number / brief.fps))
        yield frame


def frame_of(picture: Picture, brief: FilmBrief) -> av.VideoFrame:
    """A picture of any size as a frame of the film."""
    return av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24").reformat(
        brief.width,
        brief.height,
        "yuv420p",
        dst_colorspace="ITU709",
        interpolation="BILINEAR",
        threads=1,
    )


def _calmed(moving: Moving, canvas: Canvas, mask: Picture) -> Moving:
    deep = canvas.palette.deep
    masks: dict[tuple[int, int], Picture] = {mask.size: mask}

    def at(moment: float) -> Picture:
        picture = moving(moment)
        if picture.size not in masks:
            masks[picture.size] = mask.resize(picture.size, Image.Resampling.BILINEAR)
        pasted(picture, deep, masks[picture.size])
        return picture

    return at


def scenes() -> tuple[Scene, ...]:
    """Every kind of film there is."""
    return _SCENES
