"""Whole videos: every frame and every sample decoded, and held against what the file itself declares.

The demuxer is named, never guessed: others of them read playlists, and open what stands in these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from media.boxes import see_boxes
from media.elements import see_elements
from media.errors import CorruptOutput, Reason, in_short
from media.facts import Facts
from media.frame_sizes import see_frame_size

_DEMUXERS = {"video/mp4": "mov", "video/webm": "matroska"}
# What browsers play; a file may name any decoder there is, and some of them are seldom looked at.
_OPEN = {"vp8", "vp9", "libvpx", "libvpx-vp9", "av1", "libdav1d", "libaom-av1"}
_OPEN_SOUNDS = {"opus", "libopus", "vorbis", "libvorbis"}
_DECODERS = {"mov": _OPEN | {"h264", "hevc", "mpeg4"}, "matroska": _OPEN}
_SOUNDS = {
    "mov": _OPEN_SOUNDS | {"aac", "mp3", "mp3float", "flac", "ac3", "pcm_s16le"},
    "matroska": _OPEN_SOUNDS,
}
_ROUNDING = Fraction(2, 1000)
_SLACK = Fraction(1, 4)
"""So many seconds, or one part in twenty, may a container declare more than its frames take."""


Watch = Callable[[av.VideoFrame | av.AudioFrame], None]


@dataclass(slots=True)
class _Seen:
    """What came out of the decoders so far; times in seconds, `sound_end` of the last sample."""

    frames: int = 0
    samples: int = 0
    start: Fraction | None = None
    end: Fraction = Fraction(0)
    sound_end: Fraction = Fraction(0)


def _unwatched(_: av.VideoFrame | av.AudioFrame) -> None:
    """Whoever wants the facts alone."""


def video_facts(data: bytes, mime: str, watch: Watch = _unwatched) -> Facts:
    """Decode a whole MP4 or WebM; raises `CorruptOutput`, also where there is not one frame.

    `watch` is shown every frame of pictures and of sound as it comes out of its decoder.
    """
    if mime == "video/webm":
        see_elements(data)
    else:
        see_boxes(data)
    with decoding(), opened(data, mime) as container:
        return _facts(container, mime, len(data), watch)


def opened(data: bytes, mime: str) -> InputContainer:
    """An MP4 or WebM, read by the demuxer that is named."""
    return av.open(BytesIO(data), "r", format=_DEMUXERS[mime])


@contextmanager
def decoding() -> Iterator[None]:
    """Whatever goes wrong within is the media's fault and becomes `CorruptOutput`; only `MemoryError` may not be."""
    try:
        yield
    except (CorruptOutput, MemoryError):
        raise
    except Exception as error:  # PyAV has its own, FFmpeg's numbers become others; all of them mean the same here
        raise CorruptOutput(Reason.UNDECODABLE, f"cannot be decoded: {in_short(error)}") from None


def _facts(container: InputContainer, mime: str, size: int, watch: Watch) -> Facts:
    stream = picture_track(container)
    seen = _decoded(container, stream, watch)
    if not seen.frames or seen.start is None:
        raise CorruptOutput(Reason.SILENT, "a video without a frame")
    duration = seen.end - seen.start
    _compare(container, stream, seen, duration)
    duration = _even(seen.frames, duration, stream.average_rate)
    return Facts(
        mime,
        size,
        width=stream.codec_context.width,
        height=stream.codec_context.height,
        duration_s=round(float(duration), 3),
        frames=seen.frames,
        fps=round(float(seen.frames / duration), 3) if duration else None,
        has_audio=seen.samples > 0,
    )


def _even(frames: int, duration: Fraction, rate: Fraction | None) -> Fraction:
    """What so many frames take at their rate, where their times come to that but for WebM's whole milliseconds."""
    even = frames / rate if rate else duration
    return even if abs(even - duration) <= _ROUNDING else duration


def picture_track(container: InputContainer) -> VideoStream:
    """The one track of pictures, with decoders in this thread alone; raises for what no browser plays."""
    pictures, sounds = container.streams.video, container.streams.audio
    if len(pictures) != 1:
        raise CorruptOutput(Reason.SILENT, f"{len(pictures)} tracks of pictures, but one was asked for")
    form = container.format.name.partition(",")[0]
    for stream, known in ((pictures[0], _DECODERS[form]), *((sound, _SOUNDS[form]) for sound in sounds)):
        context = stream.codec_context
        if context is None or context.name not in known:
            name = "something unknown" if context is None else context.name
            raise CorruptOutput(Reason.UNDECODABLE, f"a track in {name}, which browsers do not play")
        context.thread_count = 1
    see_frame_size(pictures[0].codec_context.width, pictures[0].codec_context.height)
    return pictures[0]


def _decoded(container: InputContainer, stream: VideoStream, watch: Watch) -> _Seen:
    seen = _Seen()
    size = (stream.codec_context.width, stream.codec_context.height)
    for frame in _frames(container, stream):
        if not isinstance(frame, av.VideoFrame):
            seen.samples += frame.samples
            seen.sound_end = max(seen.sound_end, _end(frame, Fraction(frame.samples, frame.sample_rate)))
            watch(frame)
            continue
        if frame.is_corrupt:
            raise CorruptOutput(Reason.UNDECODABLE, f"frame {seen.frames + 1} is damaged")
        if (frame.width, frame.height) != size:
            raise CorruptOutput(Reason.UNDECODABLE, "the size changes within the video")
        seen.frames += 1
        at = _end(frame, Fraction(0))
        seen.start = at if seen.start is None else min(seen.start, at)
        seen.end = max(seen.end, _end(frame, (frame.duration or 0) * (frame.time_base or Fraction(0))))
        watch(frame)
    return seen


def _end(frame: av.VideoFrame | av.AudioFrame, duration: Fraction) -> Fraction:
    if frame.pts is None or frame.time_base is None:
        raise CorruptOutput(Reason.UNDECODABLE, "nobody knows when a frame is shown")
    return frame.pts * frame.time_base + duration


def _frames(container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame | av.AudioFrame]:
    for packet in container.demux(stream, *container.streams.audio):
        if packet.is_corrupt:
            raise CorruptOutput(Reason.UNDECODABLE, "a packet is damaged")
        for frame in packet.decode():
            if isinstance(frame, av.VideoFrame | av.AudioFrame):
                yield frame


def _compare(container: InputContainer, stream: VideoStream, seen: _Seen, duration: Fraction) -> None:
    """A file whose index stands in front can lose its end and still open."""
    if seen.frames < stream.frames:
        raise CorruptOutput(Reason.CUT_OFF, f"the video is cut off: {seen.frames} of {stream.frames} frames")
    declared, found = _lengths(container, stream, seen, duration)
    if declared - found > max(_SLACK, declared / 20):
        raise CorruptOutput(Reason.CUT_OFF, f"the video is cut off: {float(found):.2f} of {float(declared):.2f} s")


def _lengths(
    container: InputContainer, stream: VideoStream, seen: _Seen, duration: Fraction
) -> tuple[Fraction, Fraction]:
    """What is declared in seconds, 0 where nothing is, and what there is of it: a WebM speaks of its longest track."""
    if stream.duration and stream.time_base:
        return stream.duration * stream.time_base, duration
    return Fraction(container.duration or 0, av.time_base), max(seen.end, seen.sound_end)
