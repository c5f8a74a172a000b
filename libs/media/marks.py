"""The mark that says that a machine has made a file: in every format, readable without us (EU AI Act, Article 50).

It is IPTC's `DigitalSourceType`: as XMP where the format carries that, else under its name where the format keeps such
things. Whoever changes a file marks it anew.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from media.errors import CorruptOutput, Reason, in_short
from media.ogg_marks import mark_ogg, ogg_is_marked
from media.picture_marks import jpeg_is_marked, mark_jpeg, mark_png, mark_webp, png_is_marked, webp_is_marked
from media.scene_marks import exr_is_marked, glb_is_marked, hdr_is_marked, mark_exr, mark_glb, mark_hdr
from media.sound_marks import flac_is_marked, mark_flac, mark_mp3, mark_wav, mp3_is_marked, wav_is_marked
from media.video_marks import mark_mp4, mark_webm, mp4_is_marked, webm_is_marked


@dataclass(frozen=True, slots=True)
class _Way:
    """`place`: where in a file the mark is, for the record."""

    place: str
    mark: Callable[[bytes], bytes]
    is_marked: Callable[[bytes], bool]


_XMP = "XMP"
_TAGS = "tags"
_WAYS: Mapping[str, _Way] = {
    "image/png": _Way(_XMP, mark_png, png_is_marked),
    "image/jpeg": _Way(_XMP, mark_jpeg, jpeg_is_marked),
    "image/webp": _Way(_XMP, mark_webp, webp_is_marked),
    "image/x-exr": _Way("header attribute", mark_exr, exr_is_marked),
    "image/vnd.radiance": _Way("header comment", mark_hdr, hdr_is_marked),
    "video/mp4": _Way(_XMP, mark_mp4, mp4_is_marked),
    "video/webm": _Way(_TAGS, mark_webm, webm_is_marked),
    "audio/wav": _Way("XMP and comment", mark_wav, wav_is_marked),
    "audio/mpeg": _Way("XMP and tags", mark_mp3, mp3_is_marked),
    "audio/ogg": _Way(_TAGS, mark_ogg, ogg_is_marked),
    "audio/flac": _Way(_TAGS, mark_flac, flac_is_marked),
    "model/gltf-binary": _Way("asset.extras", mark_glb, glb_is_marked),
}


def marked(data: bytes, mime: str) -> bytes:
    """The file with the mark; the same bytes where it has it already, and the same bytes from the same bytes.

    For media that was decoded whole: pixels, samples and frames are copied as they are. Credentials (C2PA) of others
    go, for they speak of other bytes. Raises `CorruptOutput` where the file has no place for it.
    """
    way = _way(mime)
    try:
        return data if way.is_marked(data) else way.mark(data)
    except (struct.error, LookupError, ValueError) as error:
        raise CorruptOutput(Reason.UNDECODABLE, f"the mark has no place in it: {in_short(error)}") from None


def is_marked(data: bytes, mime: str) -> bool:
    """Whether the file has the mark; raises as `marked`."""
    try:
        return _way(mime).is_marked(data)
    except (struct.error, LookupError, ValueError) as error:
        raise CorruptOutput(Reason.UNDECODABLE, f"nothing can be said of a mark in it: {in_short(error)}") from None


def mark_place(mime: str) -> str | None:
    """Where in a file of this type the mark is; None where there is no place for one."""
    way = _WAYS.get(mime)
    return way.place if way else None


def _way(mime: str) -> _Way:
    way = _WAYS.get(mime)
    if way is None:
        raise CorruptOutput(Reason.WRONG_FORMAT, f"{mime} has no place for a mark")
    return way
