"""The colours of a picture, as somebody would name them who looks at it."""

from __future__ import annotations

import numpy as np
from PIL import Image

from provider_worker.adapters.sandbox.drawing.canvas import Picture
from provider_worker.adapters.sandbox.drawing.colours import Rgb, to_lab

_FEW = 96
_TRIED = 12
_MOST = 5
_LEAST_SHARE = 0.01
_APART = 0.09


def sampled(picture: Picture) -> tuple[Rgb, ...]:
    """Those that fill most of it, in order, each unlike the others; at least one."""
    small = picture.resize((min(_FEW, picture.width), min(_FEW, picture.height)), Image.Resampling.BOX).convert("RGB")
    reduced = small.quantize(_TRIED, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    numbers, counts = np.unique(np.asarray(reduced), return_counts=True)
    tones = np.asarray(reduced.getpalette() or [0, 0, 0], dtype=np.uint8).reshape(-1, 3)
    found = list[Rgb]()
    for at in np.argsort(-counts, kind="stable"):
        red, green, blue = (int(value) for value in tones[numbers[at]])
        colour = red, green, blue
        rare = found and counts[at] < _LEAST_SHARE * small.width * small.height
        if not rare and all(np.linalg.norm(to_lab(colour) - to_lab(other)) >= _APART for other in found):
            found.append(colour)
    return tuple(found[:_MOST])
