"""Media of every kind, looked at to its last byte (R72)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from media.endings import see_alone, see_end, without_tail
from media.errors import CorruptOutput, Reason
from media.facts import MAX_BYTES, Facts, read_whole
from media.formats import START, sniffed
from media.images import picture_facts
from media.models import MIME as GLB
from media.models import model_facts

PICTURES = frozenset({"image/png", "image/jpeg", "image/webp"})
SKIES = frozenset({"image/x-exr", "image/vnd.radiance"})


def check_media(source: bytes | Path, *, max_bytes: int = MAX_BYTES) -> Facts:
    """Find out by content what this is, decode all of it and say what is true of it.

    Refused is also what is something else besides, and what has more than a little padding behind its end.

    PNG, JPEG, WebP, OpenEXR and Radiance pictures; MP4 and WebM; WAV, MP3, OGG and FLAC; GLB. Decodes in this process:
    for bytes of others use `Checker`. Raises `CorruptOutput`; `OSError` where a file cannot be read and `MemoryError`
    where there is too little of it, which may not be the media's fault.

    A cut is seen wherever the file itself says how long it is. An MP3 without a count of its frames does not, nor a
    WAV or WebM that was written into a pipe: hold their `duration_s` against what was asked for.
    """
    data = read_whole(source, max_bytes)
    mime = sniffed(data[:START])
    if mime == GLB:  # says to the byte how long it is
        facts = model_facts(data)
    else:
        facts = replace(_facts(without_tail(data, mime), mime), size=len(data))
        see_end(data, mime)
    see_alone(data)
    return facts


def _facts(data: bytes, mime: str) -> Facts:
    if mime in PICTURES:
        return picture_facts(data)
    if mime in SKIES:
        return _sky(data, mime)
    match mime.partition("/")[0]:
        case "audio":
            return _sound(data, mime)
        case "video":
            return _video(data, mime)
        case _:
            raise CorruptOutput(Reason.WRONG_FORMAT, f"{mime}, which nobody asks for")


# The decoders' libraries take 35 MB, which only a child that uses them should pay for.
def _sky(data: bytes, mime: str) -> Facts:
    from media.skies import sky_facts  # noqa: PLC0415

    return sky_facts(data, mime)


def _sound(data: bytes, mime: str) -> Facts:
    from media.sounds import sound_facts  # noqa: PLC0415

    return sound_facts(data, mime)


def _video(data: bytes, mime: str) -> Facts:
    from media.videos import video_facts  # noqa: PLC0415

    return video_facts(data, mime)
