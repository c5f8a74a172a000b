"""Where media ends, and what else is in its file.

Providers and their caches pad files, so that a little padding with zeros is no harm anywhere. Anything else behind the
end, a page in a comment or an archive makes a file two things at once. Such an upload is refused. Of a result that was
paid for, what follows the end is cut off, so that nothing but the media is kept.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping

from media.boxes import mp4_end
from media.elements import webm_end
from media.errors import CorruptOutput, Reason
from media.exr import exr_end
from media.jpegs import jpeg_end, jpegs_end
from media.mp3_frames import mp3_end
from media.pngs import png_end
from media.riff import riff_end

MOST_PADDING = 4096
"""So many zeros behind its end are no harm: a page of memory, or a block of a disk."""

# Each has so many letters that noise of 256 MiB holds one of them in one file of ten thousand at most.
_PAGE = re.compile(rb"(?i:<(?:script|html[\s>]|\?php\s|!doctype\s))|%PDF-[12]\.")
_ARCHIVE, _ARCHIVE_WITHIN = b"PK\5\6", 22 + (1 << 16)


def without_tail(data: bytes, mime: str) -> bytes:
    """The media alone; the same object where nothing follows its end."""
    end = _end(data, mime)
    return data[:end] if 0 < end < len(data) else data


def see_end(data: bytes, mime: str) -> None:
    """Raises `CorruptOutput` where more than a little padding follows the end of the media."""
    end = jpegs_end(data) if mime == "image/jpeg" else _end(data, mime)
    if len(data) - end > MOST_PADDING or data.count(0, end) < len(data) - end:
        raise CorruptOutput(Reason.MIXED, f"something else is in the file: {len(data) - end} bytes behind its end")


def see_alone(data: bytes) -> None:
    """Raises `CorruptOutput` where media is something else besides, for those who do not ask what it is."""
    if _PAGE.search(data) is not None:
        raise CorruptOutput(Reason.MIXED, "something else is in the file: a page or a script")
    at = data.rfind(_ARCHIVE, max(len(data) - _ARCHIVE_WITHIN, 0))
    if at >= 0 and at + 22 + int.from_bytes(data[at + 20 : at + 22], "little") == len(data):
        raise CorruptOutput(Reason.MIXED, "something else is in the file: an archive")


def _end(data: bytes, mime: str) -> int:
    """Behind the media; behind the file where nothing says how long it is, or where what says so is damaged."""
    end = _ENDS.get(mime)
    if end is None:
        return len(data)
    try:
        return min(end(data), len(data))
    except (CorruptOutput, LookupError, ValueError, struct.error):
        return len(data)


def _ogg_end(data: bytes) -> int:
    at = data.rfind(b"OggS")
    lengths = data[at + 27 : at + 27 + data[at + 26]]
    return at + 27 + len(lengths) + sum(lengths)


def _glb_end(data: bytes) -> int:
    return int.from_bytes(data[8:12], "little")


def _hdr_end(data: bytes) -> int:
    from media.skies import hdr_end  # noqa: PLC0415 - as in checking

    return hdr_end(data)


_ENDS: Mapping[str, Callable[[bytes], int]] = {
    "image/png": png_end,
    "image/jpeg": jpeg_end,
    "image/webp": riff_end,
    "image/x-exr": exr_end,
    "image/vnd.radiance": _hdr_end,
    "video/mp4": mp4_end,
    "video/webm": webm_end,
    "audio/wav": riff_end,
    "audio/mpeg": mp3_end,
    "audio/ogg": _ogg_end,
    "model/gltf-binary": _glb_end,
}
"""FLAC does not say how long it is; its decoder refuses what follows it."""
