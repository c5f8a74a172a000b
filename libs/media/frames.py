"""Frames of a video made to fit: scaled, and cut or laid on a ground, as planes of brightness and two colours."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

from media.wanted import Wanted

Plane = npt.NDArray[np.uint8]

FORMAT = "yuv420p"
_HALVED = (0, 1, 1)
"""Both planes of colour are half as wide and half as high."""
_BLACK = (16, 128, 128)
_PLAIN = 6.0
"""An edge of no more contrast than this can be continued by one colour."""


@dataclass(frozen=True, slots=True)
class Placing:
    """A picture scaled to `inner`, its left upper corner at `left`, `top` of a canvas; what lies outside is cut away.

    All of them are even where the canvas differs from the picture.
    """

    canvas: tuple[int, int]
    inner: tuple[int, int]
    left: int
    top: int
    scale: float
    crop_share: float


def placing(native: tuple[int, int], wanted: Wanted) -> Placing:
    """Where a picture of this size goes; edges that may be anything keep its shape, and all become even."""
    canvas = _canvas(native, wanted)
    across, down = (Fraction(edge, came) for edge, came in zip(canvas, native, strict=True))
    if wanted.fit == "pad":
        scale = min(across, down)
        width, height = (max(2, 2 * math.floor(edge * scale / 2)) for edge in native)
        left, top = (canvas[0] - width) // 4 * 2, (canvas[1] - height) // 4 * 2
        return Placing(canvas, (width, height), left, top, round(float(scale), 4), 0.0)
    scale = max(across, down)
    width, height = (2 * math.ceil(edge * scale / 2) for edge in native)
    kept = Fraction(canvas[0] * canvas[1]) / (native[0] * scale * native[1] * scale)
    return Placing(
        canvas,
        (width, height),
        -_cut(width, canvas[0], wanted.focus[0]),
        -_cut(height, canvas[1], wanted.focus[1]),
        round(float(scale), 4),
        round(max(0.0, 1 - float(kept)), 4),
    )


def _canvas(native: tuple[int, int], wanted: Wanted) -> tuple[int, int]:
    width, height = wanted.width, wanted.height
    if not width and not height:
        return native[0] // 2 * 2, native[1] // 2 * 2
    return (
        width or _even(native[0] * height / native[1]),
        height or _even(native[1] * width / native[0]),
    )


def _even(edge: float) -> int:
    return max(2, 2 * round(edge / 2))


def _cut(inner: int, canvas: int, focus: float) -> int:
    """How much is cut away on the left or above, so that the focus is as near to the middle as it can be."""
    return min(max(round(focus * inner - canvas / 2), 0), inner - canvas) // 2 * 2


class FrameFitter:
    """Frames in their order, each of them placed; keeps the ground that the first of them stands on."""

    def __init__(self, place: Placing) -> None:
        self._place = place
        self._scaler = VideoReformatter()
        self._ground: tuple[int, ...] | None = None

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame as `FORMAT`; the same object where there is nothing to do."""
        full = frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")
        inner = self._scaler.reformat(
            frame,
            *self._place.inner,
            format=FORMAT,
            interpolation=Interpolation.BICUBIC,
            src_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )
        if self._place.inner == self._place.canvas:
            return inner
        made = _like(inner, *self._place.canvas)
        if self._ground is None:
            self._ground = _ground(inner, self._place)
        for canvas, picture, tone, half in zip(planes(made), planes(inner), self._ground, _HALVED, strict=True):
            _lay(canvas, picture, tone, self._place.left >> half, self._place.top >> half)
        return made


def _lay(canvas: Plane, picture: Plane, tone: int, left: int, top: int) -> None:
    height = min(picture.shape[0] - max(0, -top), canvas.shape[0] - max(0, top))
    width = min(picture.shape[1] - max(0, -left), canvas.shape[1] - max(0, left))
    if (height, width) != canvas.shape:
        canvas[:] = tone
    part = picture[max(0, -top) :, max(0, -left) :][:height, :width]
    canvas[max(0, top) :, max(0, left) :][:height, :width] = part


def _ground(inner: av.VideoFrame, place: Placing) -> tuple[int, ...]:
    """The colour of the two edges that are continued, where each of them has one colour; else black."""
    beside = place.top == 0
    edges = [_edges(plane, beside=beside) for plane in planes(inner)]
    if max(edge.std() for edge in edges[0]) > _PLAIN or abs(edges[0][0].mean() - edges[0][1].mean()) > _PLAIN:
        return _BLACK
    return tuple(round(float((first.mean() + second.mean()) / 2)) for first, second in edges)


def _edges(plane: Plane, *, beside: bool) -> tuple[Plane, Plane]:
    return (plane[:, 0], plane[:, -1]) if beside else (plane[0], plane[-1])


def blended(frame: av.VideoFrame, other: av.VideoFrame, share: float) -> av.VideoFrame:
    """A frame, and so much of another of the same size over it."""
    made = _like(frame, frame.width, frame.height)
    weight = round(share * 256)
    for target, first, second in zip(planes(made), planes(frame), planes(other), strict=True):
        target[:] = (first.astype(np.uint16) * (256 - weight) + second.astype(np.uint16) * weight + 128) >> 8
    return made


def _like(frame: av.VideoFrame, width: int, height: int) -> av.VideoFrame:
    made = av.VideoFrame(width, height, FORMAT)
    made.pts, made.time_base = frame.pts, frame.time_base
    made.colorspace, made.color_range = frame.colorspace, frame.color_range
    made.color_trc, made.color_primaries = frame.color_trc, frame.color_primaries
    return made


def planes(frame: av.VideoFrame) -> list[Plane]:
    """What a frame of `FORMAT` consists of; to write into them is to change it."""
    return [
        np.asarray(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
        for plane in frame.planes
    ]
