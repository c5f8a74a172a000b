"""A film of one picture or of two: it begins with exactly the one, and ends with exactly the other (R47)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from random import Random

import av
from PIL import Image

from provider_worker.adapters.sandbox.drawing.canvas import Canvas, Picture
from provider_worker.adapters.sandbox.drawing.colours import palette_of
from provider_worker.adapters.sandbox.drawing.lettering import extent, fitted, spoken
from provider_worker.adapters.sandbox.drawing.picture import Brief, arranged
from provider_worker.adapters.sandbox.filming.encoding import encoded
from provider_worker.adapters.sandbox.filming.film import FilmBrief, frame_of
from provider_worker.adapters.sandbox.filming.headline import appeared, typeset, veiled
from provider_worker.adapters.sandbox.sounding.ambience import ambience
from provider_worker.adapters.sandbox.sounding.waves import RATE

_CHANGE = (0.3, 0.7)
"""From when to when, of the whole, one picture turns into the other."""

Shot = Callable[[float], Picture]
"""The picture at a share of the film, from 0 to 1."""


def filmed_from(brief: FilmBrief, first: Picture, last: Picture | None) -> bytes:
    """The encoded film, of pictures of its size; the same always gives the same bytes."""
    sound = ambience(brief.seed, round(brief.frames / brief.fps * RATE), loop=brief.loop)
    return encoded(brief.film_format, brief.fps, pictures_from(brief, first, last), sound)


def pictures_from(brief: FilmBrief, first: Picture, last: Picture | None) -> Iterator[av.VideoFrame]:
    """Its frames in yuv420p. A headline comes after the first picture, and is gone before the last."""
    random = Random(f"{brief.seed}")  # noqa: S311 - chance in a film needs no secrecy
    palette = palette_of(brief.palette, random)
    focus, place = arranged(Brief(brief.width, brief.height, brief.seed, brief.palette, brief.headline), random)
    shot = _shot(brief, first, last, random)
    block = fitted(spoken(brief.headline), place)
    headline = typeset(block, brief.width, brief.height, palette) if block else None
    veil = None
    if block is not None:
        canvas = Canvas(brief.width, brief.height, palette, random, focus, extent(block))
        veil = veiled(canvas, extent(block), block.veil_from, [first, last or first])
    end = brief.frames if brief.loop else max(1, brief.frames - 1)
    for number in range(brief.frames):
        picture = shot(number / end)
        there = appeared(number / brief.fps)
        if brief.loop or last is not None:
            there = min(there, appeared((end - number) / brief.fps))
        if veil is not None and there > 0:
            picture = picture.copy()
            picture.paste(palette.deep, mask=veil.point(lambda value, share=there: value * share))
        frame = frame_of(picture, brief)
        if headline is not None:
            headline.onto(frame, there)
        yield frame


def _shot(brief: FilmBrief, first: Picture, last: Picture | None, random: Random) -> Shot:
    """A slow way into the picture: and out of it again where the film loops, or into the other one."""
    towards, nearer = (random.uniform(0.2, 0.8), random.uniform(0.2, 0.8)), random.uniform(0.1, 0.16)
    if last is not None:
        return lambda share: _changed(first, last, share, nearer, towards)
    if brief.loop:
        return lambda share: _zoomed(first, nearer * (1 - math.cos(math.tau * share)) / 2, towards)
    return lambda share: _zoomed(first, nearer * _eased(share), towards)


def _changed(first: Picture, last: Picture, share: float, nearer: float, towards: tuple[float, float]) -> Picture:
    begin, end = _CHANGE
    mixed = _eased(min(1.0, max(0.0, (share - begin) / (end - begin))))
    if mixed == 0:
        return _zoomed(first, nearer * _eased(share), towards)
    if mixed == 1:
        return _zoomed(last, nearer * _eased(1 - share), towards)
    one, other = _zoomed(first, nearer * _eased(share), towards), _zoomed(last, nearer * _eased(1 - share), towards)
    return Image.blend(one, other, mixed)


def _zoomed(picture: Picture, by: float, towards: tuple[float, float]) -> Picture:
    """The same object where there is nothing to zoom."""
    if by <= 0:
        return picture
    width, height = picture.width / (1 + by), picture.height / (1 + by)
    left, top = (picture.width - width) * towards[0], (picture.height - height) * towards[1]
    return picture.resize(picture.size, Image.Resampling.BILINEAR, box=(left, top, left + width, top + height))


def _eased(share: float) -> float:
    return share * share * (3 - 2 * share)
