"""Media of one kind made into exactly what was asked for (R50, R108): one way in for every kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from media.endings import see_alone, without_tail
from media.errors import CorruptOutput, Reason
from media.facts import MAX_BYTES, read_whole
from media.formats import MIMES, START, sniffed
from media.wanted import FinishedMedia, Wanted

_PICTURE, _SKY, _VIDEO, _SOUND, _MODEL = "picture", "sky", "video", "sound", "model"
_KINDS: Mapping[str, str] = {
    "png": _PICTURE,
    "jpeg": _PICTURE,
    "webp": _PICTURE,
    "exr": _SKY,
    "hdr": _SKY,
    "mp4": _VIDEO,
    "webm": _VIDEO,
    "wav": _SOUND,
    "mp3": _SOUND,
    "ogg": _SOUND,
    "flac": _SOUND,
    "glb": _MODEL,
}
_KINDS_BY_MIME = {MIMES[name]: kind for name, kind in _KINDS.items()}


def is_video(wanted: Wanted) -> bool:
    """Whether making it takes a hundred times as long as anything else."""
    return _KINDS.get(wanted.format) == _VIDEO


def finish_media(source: bytes | Path, wanted: Wanted, *, max_bytes: int = MAX_BYTES) -> FinishedMedia:
    """Find out by content what this is, decode all of it and make it what is wanted.

    What is right already is left as it is, byte for byte, but for what follows its end: that is cut off. The same bytes
    become the same bytes each time. Decodes and encodes in this process: for bytes of others use `Checker`. Raises
    `CorruptOutput`, with WRONG_FORMAT where this kind of media cannot become the wanted one and WRONG_SIZE where
    `exact_only` forbids a fit; `OSError` where a file cannot be read and `MemoryError` where there is too little of it,
    which may not be the media's fault.
    """
    data = read_whole(source, max_bytes)
    mime = sniffed(data[:START])
    finish = _WAYS.get((_KINDS_BY_MIME.get(mime, ""), _KINDS[wanted.format]))
    if finish is None:
        raise CorruptOutput(Reason.WRONG_FORMAT, f"{mime}, but {wanted.format} was asked for")
    alone = without_tail(data, mime)
    finished = finish(alone, wanted)
    see_alone(alone if finished.data is None else finished.data)
    return finished if finished.data is not None or alone is data else replace(finished, data=alone)


# The libraries take 35 MB and more, which only a child that uses them should pay for.
def _picture(data: bytes, wanted: Wanted) -> FinishedMedia:
    from media.picture_finishing import finish_picture  # noqa: PLC0415

    return finish_picture(data, wanted)


def _sky(data: bytes, wanted: Wanted) -> FinishedMedia:
    from media.sky_finishing import finish_sky  # noqa: PLC0415

    return finish_sky(data, wanted)


def _video(data: bytes, wanted: Wanted) -> FinishedMedia:
    from media.video_finishing import finish_video  # noqa: PLC0415

    return finish_video(data, wanted)


def _sound(data: bytes, wanted: Wanted) -> FinishedMedia:
    from media.sound_finishing import finish_sound  # noqa: PLC0415

    return finish_sound(data, wanted)


def _model(data: bytes, wanted: Wanted) -> FinishedMedia:
    from media.model_finishing import finish_model  # noqa: PLC0415

    return finish_model(data, wanted)


_WAYS: Mapping[tuple[str, str], Callable[[bytes, Wanted], FinishedMedia]] = {
    (_PICTURE, _PICTURE): _picture,
    (_PICTURE, _SKY): _sky,
    (_SKY, _SKY): _sky,
    (_VIDEO, _VIDEO): _video,
    (_SOUND, _SOUND): _sound,
    (_MODEL, _MODEL): _model,
}
