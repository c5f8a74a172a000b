"""Video of an exact size and length: plain blocks and one that wanders over them, as MP4 of H.264 and AAC."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator, Mapping
from fractions import Fraction
from io import BytesIO
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.audio import AudioStream

from simulator.generation import Output
from simulator.media.sounds import tune

FPS = 24
_RATE = 48_000
_CELLS = 8
_Plane = npt.NDArray[np.uint8]
# One thread, because the number of them is in the bytes.
_ENCODER = {"preset": "ultrafast", "crf": "30", "threads": "1"}


def video(width: int, height: int, duration_s: float, *, seed: int, audible: bool = True) -> Output:
    """An output of this size, both edges even, and this length in seconds."""
    return Output(
        "video", "video/mp4", seed, {"width": width, "height": height, "duration_s": duration_s, "audible": audible}
    )


def filmed(mime: str, seed: int, params: Mapping[str, Any]) -> bytes:
    """The file. There is one form of it, whatever `mime` says."""
    luck = random.Random(seed)  # noqa: S311 - a video, no secret
    width, height, duration = int(params["width"]), int(params["height"]), float(params["duration_s"])
    out = BytesIO()
    with av.open(out, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        pictures = container.add_stream("libx264", rate=FPS, options=_ENCODER)
        pictures.width, pictures.height, pictures.pix_fmt = width, height, "yuv420p"
        sound = container.add_stream("aac", rate=_RATE, layout="mono", bit_rate=48_000) if params["audible"] else None
        for frame in _frames(luck, width, height, round(duration * FPS)):
            container.mux(pictures.encode(frame))
        container.mux(pictures.encode(None))
        if sound is not None:
            _hear(container, sound, luck, duration)
    return out.getvalue()


def stamped(data: bytes, seed: int) -> bytes:
    """The same video with the seed in a box that players leave out."""
    note = str(seed).encode()
    return data + struct.pack(">I", 8 + len(note)) + b"free" + note


def _frames(luck: random.Random, width: int, height: int, number: int) -> Iterator[av.VideoFrame]:
    """A still of large blocks, and a light block that crosses it from corner to corner."""
    still = [_blocks(luck, width >> half, height >> half, low) for half, low in ((0, 40), (1, 90), (1, 90))]
    side = max(2, min(width, height) // 5) & ~1
    for index in range(number):
        share = index / max(1, number - 1)
        left, top = int((width - side) * share) & ~1, int((height - side) * share) & ~1
        planes = [plane.copy() for plane in still]
        for plane, half in zip(planes, (0, 1, 1), strict=True):
            plane[top >> half : (top + side) >> half, left >> half : (left + side) >> half] = 235 if half == 0 else 128
        frame = av.VideoFrame.from_ndarray(_packed(planes, width, height), format="yuv420p")
        frame.pts, frame.time_base = index, Fraction(1, FPS)
        yield frame


def _blocks(luck: random.Random, width: int, height: int, low: int) -> _Plane:
    tones = np.array([[luck.randrange(low, low + 76) for _ in range(_CELLS)] for _ in range(_CELLS)], np.uint8)
    rows, columns = (np.arange(size) * _CELLS // size for size in (height, width))
    return tones[rows[:, None], columns[None, :]]


def _packed(planes: list[_Plane], width: int, height: int) -> _Plane:
    """One array as PyAV wants it: the picture, and below it the two colours, each a quarter as large."""
    flat = np.concatenate([plane.ravel() for plane in planes])
    return flat.reshape(height * 3 // 2, width)


def _hear(container: av.container.OutputContainer, stream: AudioStream, luck: random.Random, duration: float) -> None:
    wave = tune(luck, _RATE, round(duration * _RATE))
    frame = av.AudioFrame.from_ndarray((wave * 32_767).astype(np.int16)[None, :], format="s16", layout="mono")
    frame.sample_rate = _RATE
    frame.pts = 0
    container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
