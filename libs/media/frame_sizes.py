"""How large the frames of a video may be."""

from __future__ import annotations

from media.errors import CorruptOutput, Reason

MOST_FRAME_PIXELS = 4096 * 2304
"""More than any provider makes; a decoder keeps up to 17 frames of 1.5 bytes a pixel."""


def see_frame_size(width: int, height: int) -> None:
    """Raises `CorruptOutput` for frames of no pixels and of too many."""
    if width < 1 or height < 1:
        raise CorruptOutput(Reason.UNDECODABLE, f"declares {width}x{height} pixels")
    if width * height > MOST_FRAME_PIXELS:
        raise CorruptOutput(Reason.TOO_LARGE, f"declares {width}x{height} pixels, {MOST_FRAME_PIXELS} are allowed")
