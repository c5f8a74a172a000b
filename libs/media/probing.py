"""What the headers of media say: quick, and no more than a claim. What is true is found by `check_media`."""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path

from media.errors import CorruptOutput, Reason, in_short
from media.facts import MAX_BYTES, Facts, read_whole
from media.formats import START, sniffed
from media.headers import MAX_PIXELS, probe

_TABLE, _TABLE_SIZE = 0x80, 0x07


def probe_media(source: bytes | Path, *, max_bytes: int = MAX_BYTES) -> Facts:
    """Type by content and what the header declares, of every format that is known; nothing is decoded but a GLB.

    A GIF is told here, though it is never what is asked for: `frames` of an animation. Raises as `check_media`; for
    bytes of others use `Checker`.
    """
    data = read_whole(source, max_bytes)
    mime = sniffed(data[:START])
    kind = mime.partition("/")[0]
    if mime == "image/gif":
        return _gif(data)
    if mime in {"image/x-exr", "image/vnd.radiance"}:
        return _sky(data, mime)
    if kind == "image":
        declared = probe(data)
        return Facts(mime, len(data), width=declared.width, height=declared.height)
    return _model(data) if kind == "model" else _of_library(data, mime)


def _gif(data: bytes) -> Facts:
    try:
        width, height, flags = struct.unpack_from("<HHB", data, 6)
        frames = _gif_frames(data, 13 + _table_length(flags))
    except (struct.error, IndexError):
        raise CorruptOutput(Reason.CUT_OFF, "the picture is cut off") from None
    if not frames or not width or not height:
        raise CorruptOutput(Reason.UNDECODABLE, f"a GIF of {width}x{height} pixels and {frames} pictures")
    if width * height > MAX_PIXELS:
        raise CorruptOutput(Reason.TOO_LARGE, f"declares {width}x{height} pixels, {MAX_PIXELS} are allowed")
    return Facts("image/gif", len(data), width=width, height=height, frames=frames)


def _gif_frames(data: bytes, at: int) -> int:
    frames = 0
    while (block := data[at]) != 0x3B:
        if block == 0x2C:
            frames += 1
            at += 11 + _table_length(data[at + 9])
        elif block == 0x21:
            at += 2
        else:
            raise CorruptOutput(Reason.UNDECODABLE, f"a GIF with a block {block:#x}, which there is not")
        while length := data[at]:
            at += 1 + length
        at += 1
    return frames


def _table_length(flags: int) -> int:
    return 3 << (flags & _TABLE_SIZE) + 1 if flags & _TABLE else 0


def _sky(data: bytes, mime: str) -> Facts:
    from media.skies import declared_size  # noqa: PLC0415 - as in checking

    width, height = declared_size(data, mime)
    return Facts(mime, len(data), width=width, height=height)


def _model(data: bytes) -> Facts:
    from media.models import model_facts  # noqa: PLC0415

    return model_facts(data)


def _of_library(data: bytes, mime: str) -> Facts:
    try:
        return _video(data, mime) if mime.startswith("video/") else _sound(data, mime)
    except (CorruptOutput, MemoryError):
        raise
    except Exception as error:  # PyAV and libsndfile have their own; all of them mean the same here
        raise CorruptOutput(Reason.UNDECODABLE, f"cannot be read: {in_short(error)}") from None


def _video(data: bytes, mime: str) -> Facts:
    import av  # noqa: PLC0415

    with av.open(BytesIO(data), "r", format={"video/mp4": "mov", "video/webm": "matroska"}[mime]) as container:
        stream = container.streams.video[0]
        return Facts(
            mime,
            len(data),
            width=stream.codec_context.width,
            height=stream.codec_context.height,
            duration_s=container.duration / av.time_base if container.duration else None,
            frames=stream.frames or None,
            fps=round(float(stream.average_rate), 3) if stream.average_rate else None,
            has_audio=bool(container.streams.audio),
        )


def _sound(data: bytes, mime: str) -> Facts:
    import soundfile  # noqa: PLC0415

    with soundfile.SoundFile(BytesIO(data)) as file:
        length = file.frames / file.samplerate
        return Facts(mime, len(data), duration_s=length, sample_rate=file.samplerate, channels=file.channels)
