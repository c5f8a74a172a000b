"""What is true of checked media."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from media.errors import CorruptOutput, Reason

MAX_BYTES = 256 << 20
"""The largest file that is looked at; it is held in memory as a whole."""
MAX_PICTURE_BYTES = 64 << 20
"""The largest picture that is made to fit."""


@dataclass(frozen=True, slots=True)
class Facts:
    """MIME type by content, and bytes; the rest where the kind has it.

    `width` and `height` in pixels; `duration_s` in seconds as decoded, to the last sample or the end of the last
    frame; `frames` of a video; `sample_rate` in Hz; `has_audio` of a video: there is a track of sound, silent or not.
    `maps` are the textures that a 3D model's materials use: base_color, metallic_roughness, normal, occlusion,
    emissive.
    """

    mime: str
    size: int
    width: int | None = None
    height: int | None = None
    duration_s: float | None = None
    frames: int | None = None
    fps: float | None = None
    has_audio: bool | None = None
    sample_rate: int | None = None
    channels: int | None = None
    triangles: int | None = None
    maps: tuple[str, ...] = ()


def read_whole(source: bytes | Path, max_bytes: int = MAX_BYTES) -> bytes:
    """All bytes of a file; raises `CorruptOutput` where there are none or more than `max_bytes`."""
    data = source if isinstance(source, bytes) else _read(source, max_bytes)
    if not data:
        raise CorruptOutput(Reason.EMPTY, "zero bytes")
    if len(data) > max_bytes:
        raise CorruptOutput(Reason.TOO_LARGE, f"more than {max_bytes} bytes")
    return data


def _read(path: Path, max_bytes: int) -> bytes:
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size > max_bytes:  # and is not read
            raise CorruptOutput(Reason.TOO_LARGE, f"more than {max_bytes} bytes")
        return file.read(max_bytes + 1)
