"""A video written anew: MP4 of H.264 and AAC, or WebM of VP9 and Opus. The same frames become the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from io import BytesIO
from itertools import chain

import av
import numpy as np
from av.audio import AudioStream
from av.container import OutputContainer
from av.video.frame import PictureType
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from media.frames import FORMAT
from media.video_sound import Sound

# One thread, because the number of them is in the bytes, and a child may start none.
_PICTURES: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "mp4": ("libx264", {"preset": "veryfast", "crf": "19", "threads": "1"}),
    "webm": (
        "libvpx-vp9",
        {"deadline": "realtime", "cpu-used": "7", "crf": "28", "b": "0", "threads": "1", "row-mt": "0"},
    ),
}
_SOUNDS = {"mp4": "aac", "webm": "libopus"}
_SOUND_BITS = 96_000
"""For each channel and second."""
_CONTAINER: Mapping[str, Mapping[str, str]] = {
    "mp4": {"movflags": "+faststart", "fflags": "+bitexact", "max_interleave_delta": "0"},
    "webm": {"fflags": "+bitexact", "max_interleave_delta": "0"},
}
_KEYFRAME_S = 2
_MATRICES, _PRIMARIES, _TRANSFERS = {1, 5, 6, 9}, {1, 5, 6, 9}, {1, 4, 5, 6, 13, 14, 15, 16, 18}
"""What says how colours are meant, as in ISO/IEC 23091-2; an encoder refuses what makes no sense."""
_UNSPECIFIED = 2


def written(form: str, rate: Fraction, frames: Iterator[av.VideoFrame], sound: Sound | None) -> bytes:
    """The file, `form` being mp4 or webm, of frames of one size at a steady rate."""
    first = next(frames)
    shown = packed = 0
    out = BytesIO()
    with av.open(out, "w", format=form, options=dict(_CONTAINER[form]), io_open=_read_again(out)) as container:
        pictures = _picture_track(container, form, rate, first)
        track = _sound_track(container, form, sound) if sound is not None else None
        if sound is not None and track is not None:
            # All of it at once, it is small; the muxer holds it back until its pictures come.
            _sing(container, track, sound)
        for frame in chain([first], frames, [None]):
            if frame is not None:
                frame.pts, frame.time_base, frame.duration = shown, 1 / rate, 1
                frame.pict_type = PictureType.NONE
                shown += 1
            packets = pictures.encode(frame)
            packed += len(packets)
            container.mux(packets)
    if packed != shown:
        raise RuntimeError(f"{packed} frames were written of {shown}")
    return out.getvalue()


def _read_again(out: BytesIO) -> Callable[[str, int, dict[str, str]], BytesIO]:
    """To put its index in front, the muxer reads what it has written."""
    return lambda _url, _flags, _options: BytesIO(out.getvalue())


def _picture_track(container: OutputContainer, form: str, rate: Fraction, first: av.VideoFrame) -> VideoStream:
    codec, options = _PICTURES[form]
    stream = container.add_stream(codec, rate=rate, options=dict(options))
    assert isinstance(stream, VideoStream)
    context = stream.codec_context
    context.width, context.height, context.pix_fmt = first.width, first.height, FORMAT
    context.time_base = 1 / rate
    context.gop_size = max(1, round(_KEYFRAME_S * rate))
    context.color_range = ColorRange.MPEG
    context.colorspace = first.colorspace if first.colorspace in _MATRICES else _UNSPECIFIED
    context.color_primaries = first.color_primaries if first.color_primaries in _PRIMARIES else _UNSPECIFIED
    context.color_trc = first.color_trc if first.color_trc in _TRANSFERS else _UNSPECIFIED
    return stream


def _sound_track(container: OutputContainer, form: str, sound: Sound) -> AudioStream:
    stream = container.add_stream(_SOUNDS[form], rate=sound.rate, layout=sound.layout)
    assert isinstance(stream, AudioStream)
    stream.bit_rate = _SOUND_BITS * sound.wave.shape[1]
    return stream


def _sing(container: OutputContainer, track: AudioStream, sound: Sound) -> None:
    for at in range(0, len(sound.wave), sound.rate):
        part = np.ascontiguousarray(sound.wave[at : at + sound.rate].T)
        frame = av.AudioFrame.from_ndarray(part, format="fltp", layout=sound.layout)
        frame.sample_rate, frame.pts, frame.time_base = sound.rate, at, Fraction(1, sound.rate)
        container.mux(track.encode(frame))
    container.mux(track.encode(None))
