"""Videos that tell which of their frames one sees, which part of them, and when their sound is heard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from io import BytesIO

import av
import numpy as np
import numpy.typing as npt
from av.audio import AudioStream
from av.video.stream import VideoStream

Pixels = npt.NDArray[np.uint8]
Draw = Callable[[int], Pixels]

_BITS = 8
SOUND_RATE = 48_000
_SOUNDS = {"mp4": "aac", "webm": "libopus"}
_CODECS = {"mp4": "libx264", "webm": "libvpx-vp9"}


def numbered(width: int = 128, height: int = 72) -> Draw:
    """Each frame is its own number, in bars of black and white."""

    def drawn(number: int) -> Pixels:
        picture = np.full((height, width, 3), 40, np.uint8)
        for bit in range(_BITS):
            if number >> bit & 1:
                picture[:, width * bit // _BITS : width * (bit + 1) // _BITS] = 220
        return picture

    return drawn


def numbers(data: bytes) -> list[int]:
    """The number of each frame of a `numbered` video."""
    found = []
    for frame in shown(data):
        width = frame.shape[1] // _BITS
        bars = [frame[:, width * bit + width // 4 : width * (bit + 1) - width // 4].mean() for bit in range(_BITS)]
        found.append(sum(1 << bit for bit, bar in enumerate(bars) if bar > 130))
    return found


def wandering(width: int = 160, height: int = 90, *, period: int | None = None) -> Draw:
    """Soft light that moves on and grows; after `period` frames it is where it was."""
    down, across = np.mgrid[0:height, 0:width]

    def drawn(number: int) -> Pixels:
        turn = 2 * np.pi * number / (period or 1000)
        light = 128 + 60 * np.sin(across / 9 + turn * (1 if period else 20)) * np.cos(down / 7)
        grown = light if period else light + number * 0.8
        return np.repeat(np.clip(grown, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)

    return drawn


def film(
    draw: Draw,
    frames: int,
    *,
    fps: Fraction | int = 24,
    form: str = "mp4",
    codec: str | None = None,
    sound: npt.NDArray[np.float32] | None = None,
    times: list[int] | None = None,
    pix_fmt: str = "yuv420p",
) -> bytes:
    """A video of these pictures; `sound` has a row for each channel, `times` say in milliseconds when each is shown."""
    file = BytesIO()
    first = draw(0)
    with av.open(file, "w", format=form) as container:
        pictures = container.add_stream(codec or _CODECS[form], rate=fps, options={"crf": "12", "threads": "1"})
        assert isinstance(pictures, VideoStream)
        pictures.width, pictures.height, pictures.pix_fmt = first.shape[1], first.shape[0], pix_fmt
        pictures.codec_context.time_base = Fraction(1, 1000) if times else 1 / Fraction(fps)
        layout = "mono" if sound is not None and len(sound) == 1 else "stereo"
        track = container.add_stream(_SOUNDS[form], rate=SOUND_RATE, layout=layout) if sound is not None else None
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(draw(number), format="rgb24")
            frame.pts, frame.time_base = (times[number], Fraction(1, 1000)) if times else (number, 1 / Fraction(fps))
            container.mux(pictures.encode(frame))
        container.mux(pictures.encode(None))
        if isinstance(track, AudioStream) and sound is not None:
            tone = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound), format="fltp", layout=layout)
            tone.sample_rate, tone.pts, tone.time_base = SOUND_RATE, 0, Fraction(1, SOUND_RATE)
            container.mux(track.encode(tone))
            container.mux(track.encode(None))
    return file.getvalue()


def shown(data: bytes) -> Iterator[Pixels]:
    """What each frame looks like."""
    with av.open(BytesIO(data), "r") as container:
        for frame in container.decode(video=0):
            yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def heard(data: bytes) -> npt.NDArray[np.float32]:
    """The first channel of a video's sound."""
    with av.open(BytesIO(data), "r") as container:
        return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])


def codecs(data: bytes) -> set[str]:
    with av.open(BytesIO(data)) as container:
        return {stream.codec_context.codec.canonical_name for stream in container.streams}


def tone(seconds: float, *, channels: int = 2, pitch: float = 440.0) -> npt.NDArray[np.float32]:
    wave = 0.3 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * SOUND_RATE)) / SOUND_RATE)
    return np.repeat(wave[None, :].astype(np.float32), channels, axis=0)
