"""Frames and their sound as a file: MP4 of H.264 and AAC, or WebM of VP9 and Opus."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from io import BytesIO
from itertools import chain
from typing import Any, Literal

import av
import numpy as np
from av.audio import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream

from provider_worker.adapters.sandbox.sounding.waves import RATE, Wave

FilmFormat = Literal["mp4", "webm"]

# One thread, because the number of them is in the bytes.
_PICTURES: Mapping[FilmFormat, tuple[str, Mapping[str, str]]] = {
    "mp4": ("libx264", {"preset": "ultrafast", "crf": "23", "threads": "1"}),
    "webm": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "crf": "30", "b": "0", "threads": "1"}),
}
_SOUNDS: Mapping[FilmFormat, str] = {"mp4": "aac", "webm": "libopus"}
_SOUND_BITS = 128_000
_CONTAINERS: Mapping[FilmFormat, Mapping[str, str]] = {
    "mp4": {"movflags": "+faststart", "fflags": "+bitexact", "max_interleave_delta": "0"},
    "webm": {"fflags": "+bitexact", "max_interleave_delta": "0"},
}
_KEYFRAME_S = 2
_BT709, _LIMITED = 1, 1


def encoded(film_format: FilmFormat, fps: int, frames: Iterator[av.VideoFrame], sound: Wave) -> bytes:
    """The file, of frames of one size in yuv420p, and of samples at 48 kHz."""
    first = next(frames)
    out = BytesIO()
    with av.open(
        out, "w", format=film_format, options=dict(_CONTAINERS[film_format]), io_open=_read_again(out)
    ) as container:
        pictures = _picture_track(container, film_format, fps, first)
        track = container.add_stream(_SOUNDS[film_format], rate=RATE, layout="stereo")
        assert isinstance(track, AudioStream)
        track.bit_rate = _SOUND_BITS
        _hear(container, track, sound)
        for number, frame in enumerate(chain((first,), frames)):
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(pictures.encode(frame))
        container.mux(pictures.encode(None))
    return out.getvalue()


def _read_again(out: BytesIO) -> Callable[[str, int, dict[str, Any]], BytesIO]:
    """To put its index in front, the muxer reads what it has written."""
    return lambda url, flags, options: BytesIO(out.getvalue())


def _picture_track(container: OutputContainer, film_format: FilmFormat, fps: int, first: av.VideoFrame) -> VideoStream:
    codec, options = _PICTURES[film_format]
    stream = container.add_stream(codec, rate=fps, options=dict(options))
    assert isinstance(stream, VideoStream)
    context = stream.codec_context
    context.width, context.height, context.pix_fmt = first.width, first.height, "yuv420p"
    context.time_base = Fraction(1, fps)
    context.gop_size = _KEYFRAME_S * fps
    context.color_range = _LIMITED
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    return stream


def _hear(container: OutputContainer, track: AudioStream, sound: Wave) -> None:
    """All of it at once: it is small, and the muxer holds it back until its pictures come."""
    for start in range(0, len(sound), RATE):
        part = np.ascontiguousarray(sound[start : start + RATE].T)
        frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
        container.mux(track.encode(frame))
    container.mux(track.encode(None))
