"""Real small pictures at no cost: drawn once for each size and colour, made different by a line of text inside."""

from __future__ import annotations

from functools import lru_cache

from PIL import Image

from provider_worker.adapters.sandbox.drawing.colours import Rgb, mixed
from provider_worker.adapters.sandbox.drawing.png import END, chunk, encoded

_TONES = 8


def stamped(width: int, height: int, colours: tuple[Rgb, ...], seed: int, reference: str) -> bytes:
    """A PNG of exactly this size in these colours; its bytes are different for each reference."""
    plain = _plain(width, height, colours[:2], seed % _TONES)
    return plain[: -len(END)] + chunk(b"tEXt", b"Reference\x00" + reference.encode("ascii", "backslashreplace")) + END


@lru_cache(maxsize=64)
def _plain(width: int, height: int, colours: tuple[Rgb, ...], tone: int) -> bytes:
    first, second = (*colours, *_HOUSE)[:2]
    share = tone / (_TONES - 1)
    corners = Image.new("RGB", (2, 2))
    corners.putdata([first, mixed(first, second, share), mixed(second, first, share), second])
    return encoded(corners.resize((width, height), Image.Resampling.BICUBIC))


_HOUSE: tuple[Rgb, Rgb] = ((31, 111, 235), (242, 193, 78))
