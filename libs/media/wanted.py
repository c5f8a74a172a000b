"""What media is to become, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from media.facts import Facts

Fit = Literal["crop", "pad", "exact_only"]
Method = Literal["none", "crop", "pad"]

THUMBNAIL_EDGE = 512
"""A thumbnail is a WebP whose longer edge has at most so many pixels."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of media, as far as its kind has it; `format` is png, jpeg, webp, exr, hdr, mp4, webm, wav, mp3,
    ogg, flac or glb.

    `width` and `height` in pixels, 0 where they may be anything. `focus` is the point that a crop keeps nearest to its
    middle, as shares of width and height. `duration_s` in seconds. `loop`: the end meets the beginning. `tileable`: the
    edges meet. `loudness_lufs` is the integrated loudness of a sound (EBU R 128). `thumbnail`: make one.
    """

    format: str
    width: int = 0
    height: int = 0
    fit: Fit = "crop"
    focus: tuple[float, float] = (0.5, 0.5)
    duration_s: float | None = None
    loop: bool = False
    tileable: bool = False
    loudness_lufs: float | None = None
    thumbnail: bool = False


@dataclass(frozen=True, slots=True)
class FinishedMedia:
    """Media that is what was wanted. `data` are its bytes where they are not those that came.

    `facts` and `sha256` are of the finished bytes, `native` of those that came. `scale` is how much the native picture
    was enlarged (1.0 or less: not at all), `crop_share` how much of it was cut away. `length_adjusted`: time was cut
    off or added, or no number of frames lasts as long as was asked for. `from_ldr`: light was asked for beyond white,
    but a picture without any came. `thumbnail` is a WebP; None where none was asked for, and where the media is small
    enough itself.
    """

    facts: Facts
    sha256: str
    native: Facts
    method: Method = "none"
    scale: float = 1.0
    crop_share: float = 0.0
    length_adjusted: bool = False
    from_ldr: bool = False
    data: bytes | None = None
    thumbnail: bytes | None = None
