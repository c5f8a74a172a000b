"""A small picture of media that stays as it is, such as what a user uploads."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from media.facts import MAX_BYTES, read_whole
from media.finishing import finish_media
from media.formats import MIMES, START, sniffed
from media.thumbnails import webp_thumbnail
from media.wanted import Wanted

_POINTS = 4096
_FORMATS = {mime: name for name, mime in MIMES.items()}


def preview(source: bytes | Path, *, max_bytes: int = MAX_BYTES) -> bytes | None:
    """A WebP that stands for media in a list; None for a picture that is small enough itself.

    Decodes in this process: for bytes of others use `Checker`. Raises as `check_media`.
    """
    data = read_whole(source, max_bytes)
    mime = sniffed(data[:START])
    match mime.partition("/")[0]:
        case "video":
            return _of_video(data, mime)
        case "audio":
            return _of_sound(data, mime)
        case _:
            return finish_media(data, Wanted(_FORMATS[mime], thumbnail=True)).thumbnail


# The libraries take 35 MB and more, which only a child that uses them should pay for.
def _of_video(data: bytes, mime: str) -> bytes | None:
    from media.posters import poster  # noqa: PLC0415
    from media.videos import video_facts  # noqa: PLC0415
    from media.watching import Watcher  # noqa: PLC0415

    seen = Watcher()
    video_facts(data, mime, seen)
    return None if seen.poster is None else webp_thumbnail(poster(seen.poster))


def _of_sound(data: bytes, mime: str) -> bytes:
    """A sound may take an hour: of each part only its loudness is kept."""
    import numpy as np  # noqa: PLC0415
    import soundfile  # noqa: PLC0415

    from media.posters import waveform  # noqa: PLC0415
    from media.sounds import sound_facts  # noqa: PLC0415

    sound_facts(data, mime)
    with soundfile.SoundFile(BytesIO(data)) as file:
        parts = file.blocks(max(1, file.frames // _POINTS), dtype="float32", always_2d=True)
        loudness = [float(np.sqrt(np.mean(np.square(part)))) for part in parts]
    return webp_thumbnail(waveform(np.array(loudness, dtype=np.float32).reshape(-1, 1)))
