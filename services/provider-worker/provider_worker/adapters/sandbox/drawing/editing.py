"""Pictures that are made of pictures: recoloured, or drawn anew where a mask says so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from provider_worker.adapters.sandbox.drawing.canvas import Canvas, Picture, pasted, smooth
from provider_worker.adapters.sandbox.drawing.colours import Palette, Rgb, lightness, to_lab, to_rgb
from provider_worker.adapters.sandbox.drawing.picture import SMALLEST, Brief, Scene, composed

_ROWS = 256
_WASH = 0.4


def edited(ground: Picture) -> Scene:
    """The scene that shows `ground`: in the colours of the palette, with a wash of one of them from the focus."""

    def scene(canvas: Canvas) -> Picture:
        voices = canvas.random.sample(canvas.palette.voices, 2)
        share = canvas.random.uniform(0.8, 1.0)
        shown = ground.resize((canvas.width, canvas.height), Image.Resampling.BICUBIC)
        picture = recoloured(shown, Palette((voices[0],), canvas.palette.deep, canvas.palette.paper), share)
        wash = smooth(1 - canvas.focus_distance() / canvas.random.uniform(0.5, 0.9)) * _WASH
        pasted(picture, voices[1], canvas.soft_mask(wash))
        return picture

    return scene


def recoloured(picture: Picture, palette: Palette, share: float) -> Picture:
    """As light and as dark everywhere as it was, but `share` (0-1) of the way to the colours of the palette."""
    stops: list[Rgb] = sorted({palette.deep, *palette.voices, palette.paper}, key=lightness)
    tones = to_lab(stops)
    pixels = np.asarray(picture)
    made = np.empty_like(pixels)
    # In strips, because what lies between two systems of colour takes five times the memory of a picture.
    for top in range(0, len(pixels), _ROWS):
        lab = to_lab(pixels[top : top + _ROWS])
        for tint in (1, 2):
            lab[..., tint] = lab[..., tint] * (1 - share) + np.interp(lab[..., 0], tones[:, 0], tones[:, tint]) * share
        made[top : top + _ROWS] = to_rgb(lab)
    return Image.fromarray(made)


def inpainted(brief: Brief, ground: Picture, mask: Picture) -> Picture:
    """`ground`, and where `mask` is white, what the brief asks for without its words: a hole is no place for them."""
    left, top, right, bottom = mask.getbbox() or (0, 0, 1, 1)
    size = right - left, bottom - top
    inside = composed(replace(brief, width=max(SMALLEST, size[0]), height=max(SMALLEST, size[1]), headline=""))
    made = ground.copy()
    made.paste(inside.crop((0, 0, *size)), (left, top), mask.crop((left, top, right, bottom)))
    return made
