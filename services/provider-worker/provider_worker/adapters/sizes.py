"""Which of a provider's own sizes comes nearest to the asked one (spec/providers.md, section 13). Pure.

The least is lost where the least is cropped away and nothing is blown up; of equals the smaller is cheaper.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil

UPSCALE_WEIGHT = 0.5
UNSEEN_CROP = 0.01
"""A hundredth less of a picture is seen by nobody, and a size that saves it may have twice the pixels."""


@dataclass(frozen=True, slots=True)
class Native:
    """A size the provider makes, in pixels; `crop` is the share of it that is cut away, `upscale` 1.0 or more."""

    width: int
    height: int
    crop: float
    upscale: float

    @property
    def loss(self) -> tuple[float, int]:
        seen = max(0.0, self.crop - UNSEEN_CROP)
        return round(seen + UPSCALE_WEIGHT * (self.upscale - 1), 6), self.width * self.height


def nearest(width: int, height: int, sizes: Iterable[tuple[int, int]]) -> Native:
    """The best of `sizes` for a result of `width` x `height`; there must be one."""
    return min((fitted(width, height, *size) for size in sizes), key=lambda native: native.loss)


@lru_cache(maxsize=1024)
def nearest_under(rule: frozenset[tuple[str, int]], width: int, height: int) -> Native | None:
    """The best size a free-size model makes, or None; `rule` are the items of a `Capability`'s.

    Remembered, because it is asked for every item that is quoted.
    """
    sizes = sizes_under(dict(rule), width, height)
    return nearest(width, height, sizes) if sizes else None


def fitted(width: int, height: int, native_width: int, native_height: int) -> Native:
    """What becomes of a native size that is scaled until it covers the asked one, and cropped to it."""
    share = min(native_width / width, native_height / height)
    kept = (width * share) * (height * share) / (native_width * native_height)
    return Native(native_width, native_height, crop=max(0.0, 1 - kept), upscale=max(1.0, 1 / share))


def sizes_under(rule: Mapping[str, int], width: int, height: int) -> Sequence[tuple[int, int]]:
    """Sizes a free-size model makes that come near the shape of `width` x `height`; `rule` as `Capability` has it."""
    step = rule.get("multiple", 1)
    largest = rule.get("max_edge", 4096)
    found = []
    for tall in _edges(height, step, rule, largest):
        exact = tall * width / height
        found += [
            (wide, tall) for wide in {_down(exact, step), _up(exact, step)} if _allowed(wide, tall, rule, largest)
        ]
    return found


def _edges(height: int, step: int, rule: Mapping[str, int], largest: int) -> Iterable[int]:
    if step > 1:
        return range(_up(rule.get("min_edge", step), step), largest + 1, step)
    # Without a grid the asked size itself is the first choice; powers of two come where it is too small or too large.
    return sorted({min(max(height, rule.get("min_edge", 1)), largest), *(2**power for power in range(6, 13))})


def _allowed(width: int, height: int, rule: Mapping[str, int], largest: int) -> bool:
    long, short = max(width, height), min(width, height)
    return (
        short >= rule.get("min_edge", 1)
        and long <= largest
        and rule.get("min_px", 0) <= width * height <= rule.get("max_px", largest * largest)
        and long <= short * rule.get("max_ratio", largest)
    )


def _up(pixels: float, step: int) -> int:
    return ceil(pixels / step) * step


def _down(pixels: float, step: int) -> int:
    return max(step, int(pixels // step) * step)
