"""Textures whose edges meet, measured and made."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from media import FinishedMedia, Wanted, finish_media
from media.seams import MOST_SEAM_RATIO, seam_ratio


def texture(width: int, height: int, grain: int = 24, seed: int = 1, slope: float = 60.0) -> Image.Image:
    """Patches of colour of so many pixels, brighter to the right and to the bottom: no edge meets its opposite."""
    chance = np.random.default_rng(seed)
    few = chance.integers(60, 190, (max(2, height // grain), max(2, width // grain), 3), dtype=np.uint8)
    patches = np.asarray(Image.fromarray(few).resize((width, height), Image.Resampling.BICUBIC), np.float32)
    down, across = np.mgrid[0:height, 0:width].astype(np.float32)
    light = (down / height + across / width - 1)[:, :, None] * slope
    grains = chance.normal(0, 4, (height, width, 3))
    return Image.fromarray(np.clip(patches + light + grains, 0, 255).astype(np.uint8))


def periodic(size: int) -> Image.Image:
    down, across = np.mgrid[0:size, 0:size] * (2 * np.pi / size)
    waves = [120 + 60 * np.sin(3 * across + n) + 50 * np.sin(2 * down + across + n) for n in range(3)]
    return Image.fromarray(np.stack(waves, axis=2).astype(np.uint8))


def saved(picture: Image.Image, form: str = "png") -> bytes:
    file = BytesIO()
    picture.save(file, form)
    return file.getvalue()


def tiled(picture: Image.Image, width: int, height: int, form: str = "png") -> FinishedMedia:
    return finish_media(saved(picture), Wanted(form, width, height, tileable=True))


def opened(found: FinishedMedia) -> Image.Image:
    assert found.data is not None
    return Image.open(BytesIO(found.data))


def worst_line_within(picture: Image.Image) -> float:
    """Of the picture laid beside itself and moved by half: the largest mean step at any line, against the mean of all.

    A cross in the middle would stand out.
    """
    pixels = np.asarray(picture.convert("RGB"), np.float32)
    moved = np.roll(pixels, (pixels.shape[0] // 2, pixels.shape[1] // 2), (0, 1))
    worst = 0.0
    for axis in (0, 1):
        steps = np.abs(np.diff(moved, axis=axis)).mean(axis=(1 - axis, 2))
        worst = max(worst, float(steps.max() / steps.mean()))
    return worst


def test_the_ratio_tells_edges_that_meet_from_those_that_do_not() -> None:
    assert 0.8 < seam_ratio(periodic(128)) < 1.2
    assert seam_ratio(texture(128, 128)) > 3
    assert seam_ratio(Image.new("RGB", (64, 64), "red")) == 0.0


def test_the_worse_direction_counts() -> None:
    across = Image.fromarray((120 + 60 * np.cos(np.tile(np.arange(64) * np.pi / 32, (64, 1)))).astype(np.uint8))
    assert seam_ratio(across) < 1.25
    half = np.asarray(across).copy()
    half[32:] //= 2
    assert seam_ratio(Image.fromarray(half)) > 10


@pytest.mark.parametrize("grain", [3, 8, 24, 90])
@pytest.mark.parametrize("shape", [(256, 256), (300, 180)])
def test_a_texture_is_made_to_tile_and_no_cross_is_seen(grain: int, shape: tuple[int, int]) -> None:
    came = texture(*shape, grain=grain)
    found = tiled(came, *shape)
    made = opened(found)
    assert seam_ratio(came) > MOST_SEAM_RATIO
    assert seam_ratio(made) <= MOST_SEAM_RATIO
    assert worst_line_within(made) < 1.6
    assert (made.size, found.method, found.scale) == (shape, "none", 1.0)


def test_a_slope_is_taken_away_as_a_whole_and_not_in_a_band_beside_the_edges() -> None:
    made = opened(tiled(texture(256, 256, grain=3), 256, 256))
    assert worst_line_within(made.reduce(16)) < 2


def test_its_middle_stays_as_it_was() -> None:
    came = texture(256, 256, slope=0.0)
    middle = (96, 96, 160, 160)
    before, after = (np.asarray(one.crop(middle), np.float32) for one in (came, opened(tiled(came, 256, 256))))
    assert np.abs(before - after).mean() < 3
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.99


def test_a_texture_that_tiles_already_stays_byte_for_byte() -> None:
    assert tiled(periodic(256), 256, 256).data is None


@pytest.mark.parametrize("size", [96, 512, 700])
def test_a_texture_that_tiles_still_does_at_another_size(size: int) -> None:
    found = tiled(periodic(256), size, size)
    made = np.asarray(opened(found), np.float32)
    assert 0.8 < seam_ratio(opened(found)) <= MOST_SEAM_RATIO  # less where an edge was smeared
    expected = np.asarray(periodic(size), np.float32)
    assert np.abs(made - expected).mean() < 4


def test_a_texture_of_another_shape_is_cut_and_then_made_to_tile() -> None:
    found = tiled(texture(400, 300), 256, 256)
    assert (found.crop_share, found.scale) == (0.25, 0.8533)
    assert opened(found).size == (256, 256)
    assert seam_ratio(opened(found)) <= MOST_SEAM_RATIO


@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
def test_the_edges_still_meet_in_every_format(form: str) -> None:
    assert seam_ratio(opened(tiled(texture(256, 256), 256, 256, form))) <= MOST_SEAM_RATIO


def test_transparency_tiles_as_well() -> None:
    came = texture(128, 128)
    came.putalpha(Image.linear_gradient("L").resize((128, 128)))
    made = opened(tiled(came, 128, 128))
    assert made.mode == "RGBA"
    alpha = np.asarray(made.getchannel("A"), np.int16)
    assert np.abs(alpha[0] - alpha[-1]).mean() < 3


def test_a_texture_becomes_the_same_bytes_each_time() -> None:
    came = texture(128, 128)
    assert tiled(came, 128, 128).sha256 == tiled(came, 128, 128).sha256


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.sampled_from(["noise", "checkers", "ramp", "lines"]),
    st.integers(0, 2**32 - 1),
)
def test_whatever_comes_the_edges_meet_afterwards(width: int, height: int, kind: str, seed: int) -> None:
    down, across = np.mgrid[0:height, 0:width]
    pixels = {
        "noise": np.random.default_rng(seed).integers(0, 256, (height, width)),
        "checkers": ((down // (1 + seed % 9) + across // (1 + seed % 7)) % 2) * 255,
        "ramp": (down + across) * 255 // (width + height),
        "lines": (across % (2 + seed % 5) == 0) * 255,
    }[kind]
    picture = Image.fromarray(pixels.astype(np.uint8)).convert("RGB")
    found = finish_media(saved(picture), Wanted("png", width, height, tileable=True))
    assert seam_ratio(picture if found.data is None else opened(found)) <= MOST_SEAM_RATIO
