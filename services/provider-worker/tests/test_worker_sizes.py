"""The nearest native size, as providers.md section 13 computes it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provider_worker.adapters.sizes import fitted, nearest, sizes_under

FREE = {"multiple": 16, "max_edge": 3840, "min_px": 655_360, "max_px": 8_294_400, "max_ratio": 3}
FLASH = [
    (1024, 1024),
    (832, 1248),
    (1248, 832),
    (864, 1184),
    (1184, 864),
    (896, 1152),
    (1152, 896),
    (768, 1344),
    (1344, 768),
    (1536, 672),
]


@pytest.mark.parametrize(
    ("asked", "native"),
    [
        ((1280, 720), (1280, 720)),
        ((1920, 1080), (1920, 1088)),
        ((1200, 480), (1280, 512)),
        ((1080, 1920), (1088, 1920)),
        ((1080, 1080), (1088, 1088)),
        ((512, 512), (816, 816)),
    ],
)
def test_a_free_size_model_is_asked_for_the_size_or_the_next_on_its_grid(
    asked: tuple[int, int], native: tuple[int, int]
) -> None:
    found = nearest(*asked, sizes_under(FREE, *asked))
    assert (found.width, found.height) == native
    assert found.crop < 0.008
    assert found.upscale == 1.0


@pytest.mark.parametrize(
    ("asked", "native", "crop", "upscale"),
    [
        ((1280, 720), (1344, 768), 0.016, 1.0),
        ((1920, 1080), (1344, 768), 0.016, 1.43),
        ((1200, 480), (1536, 672), 0.086, 1.0),
        ((1080, 1920), (768, 1344), 0.016, 1.43),
        ((1080, 1080), (1024, 1024), 0.0, 1.05),
    ],
)
def test_of_fixed_sizes_the_one_that_loses_least_is_taken(
    asked: tuple[int, int], native: tuple[int, int], crop: float, upscale: float
) -> None:
    found = nearest(*asked, FLASH)
    assert (found.width, found.height) == native
    assert (round(found.crop, 3), round(found.upscale, 2)) == (crop, upscale)


def test_the_same_size_loses_nothing() -> None:
    assert (fitted(640, 480, 640, 480).crop, fitted(640, 480, 640, 480).upscale) == (0.0, 1.0)


@settings(max_examples=200, deadline=None)
@given(st.integers(64, 3840), st.integers(64, 3840))
def test_every_size_that_is_offered_keeps_the_rule(width: int, height: int) -> None:
    for wide, tall in sizes_under(FREE, width, height):
        assert wide % 16 == tall % 16 == 0
        assert 655_360 <= wide * tall <= 8_294_400
        assert max(wide, tall) <= min(3840, 3 * min(wide, tall))
