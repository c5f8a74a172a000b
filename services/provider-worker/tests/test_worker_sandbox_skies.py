"""The sandbox's environment maps: a sun that lights a scene, no seam behind the viewer, two formats (R57)."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import OpenEXR
import pytest

from provider_worker.adapters.sandbox.drawing.colours import parse
from provider_worker.adapters.sandbox.lighting.sky import SkyBrief, lit, sky_of

Light = npt.NDArray[np.floating[Any]]
WORDS = [
    "noon by the sea",
    "a clear morning",
    "sunset over mountains",
    "dusk",
    "night",
    "overcast",
    "storm",
    "alien",
    "x",
]
every_sky = pytest.mark.parametrize("words", WORDS)


def brightness(light: Light) -> Light:
    return np.asarray(light @ np.array([0.2126, 0.7152, 0.0722]))


def irradiance_of(light: Light, where: npt.NDArray[np.bool_]) -> float:
    """How much light comes from there, each pixel by the share of the sphere it covers."""
    height, width = light.shape[:2]
    rows = np.cos((0.5 - (np.arange(height) + 0.5) / height) * np.pi)
    solid = np.broadcast_to(rows[:, None], (height, width)) * (np.pi / height) * (2 * np.pi / width)
    return float((brightness(light) * solid * where).sum())


@every_sky
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_sun_far_brighter_than_the_sky_stands_above_the_horizon(words: str, seed: int) -> None:
    light = brightness(sky_of(SkyBrief(512, 256, seed, words)))
    above = light[:128]
    assert light.max() > 50 * np.median(above)
    assert np.unravel_index(light.argmax(), light.shape)[0] < 128


@every_sky
def test_the_sun_lights_a_scene_as_much_as_a_good_part_of_the_sky_does(words: str) -> None:
    light = sky_of(SkyBrief(512, 256, 4, words))
    sun = brightness(light) > 25 * np.median(brightness(light)[:128])
    above = np.zeros(sun.shape, dtype=bool)
    above[:128] = True
    assert 0 < sun.mean() < 0.01
    assert irradiance_of(light, sun) > 0.2 * irradiance_of(light, above & ~sun)


@every_sky
def test_left_and_right_meet_behind_the_viewer(words: str) -> None:
    for seed in range(3):
        light = np.clip(sky_of(SkyBrief(512, 256, seed, words)), 0, 2)
        inside = np.abs(np.diff(light, axis=1)).mean(axis=(0, 2))
        assert np.abs(light[:, 0] - light[:, -1]).mean() < 1.25 * np.quantile(inside, 0.97)


@every_sky
def test_the_poles_are_points_and_the_ground_is_darker_than_the_sky(words: str) -> None:
    light = np.clip(sky_of(SkyBrief(512, 256, 2, words)), 0, 4)
    for row in (light[0], light[-1]):
        assert row.std(axis=0).max() < 0.1 * (row.mean() + 0.05)
    assert brightness(light[200:]).mean() < brightness(light[:120]).mean()


def test_an_exr_is_read_by_its_own_library_as_it_was_made(tmp_path: Path) -> None:
    brief = SkyBrief(256, 128, 5, "sunset")
    path = tmp_path / "sky.exr"
    path.write_bytes(lit(brief))
    with OpenEXR.File(str(path)) as file:
        pixels = file.channels()["RGB"].pixels
    assert (pixels.shape, pixels.dtype) == ((128, 256, 3), np.float16)
    assert np.allclose(pixels, sky_of(brief), rtol=0.001, atol=0.001)


def test_an_hdr_holds_the_same_light() -> None:
    brief = SkyBrief(256, 128, 5, "sunset", format="hdr")
    data = lit(brief)
    assert data.startswith(b"#?RADIANCE\n")
    with av.open(BytesIO(data), "r", format="hdr_pipe") as container:
        [frame] = list(container.decode(video=0))
    pixels = frame.to_ndarray(format="gbrpf32le")
    wanted = sky_of(brief)
    assert pixels.shape == (128, 256, 3)
    # Three bytes share one exponent: a dark channel beside a bright one is coarse.
    assert np.allclose(pixels, wanted, atol=1e-3 + wanted.max(axis=-1, keepdims=True) / 100)


@pytest.mark.parametrize("name", ["exr", "hdr"])
def test_the_same_brief_gives_the_same_bytes_and_another_seed_others(name: str) -> None:
    made = [lit(SkyBrief(128, 64, seed, "sky", format=name)) for seed in (1, 1, 2)]
    assert made[0] == made[1] != made[2]


def test_words_choose_the_hour() -> None:
    def sky(words: str) -> Light:
        return np.clip(sky_of(SkyBrief(256, 128, 3, words)), 0, 3)[:60]

    noon, night, sunset = sky("noon"), sky("«night» with noon in the template"), sky("sunset")
    assert brightness(night).mean() < 0.3 * brightness(noon).mean()
    assert sunset[40:, :, 0].mean() > sunset[40:, :, 2].mean()
    assert noon[..., 2].mean() > noon[..., 0].mean()


def test_a_clear_sky_has_no_clouds() -> None:
    def unrest(words: str) -> float:
        light = brightness(np.clip(sky_of(SkyBrief(512, 256, 8, words)), 0, 2))[20:100]
        return float(np.median(np.abs(np.diff(light, axis=1)) / (light[:, 1:] + 0.01)))

    assert unrest("clear noon") < 0.5 * unrest("cloudy noon")


def test_a_brand_tints_the_sky() -> None:
    pink = (parse("#FF0066"), parse("#FF66AA"))
    plain, tinted = (np.clip(sky_of(SkyBrief(256, 128, 3, "noon", palette)), 0, 3)[:60] for palette in ((), pink))
    assert (tinted[..., 0] / tinted.sum(axis=-1)).mean() > (plain[..., 0] / plain.sum(axis=-1)).mean() + 0.1


def test_nothing_in_a_sky_is_negative_or_beyond_half_floats() -> None:
    light = sky_of(SkyBrief(2048, 1024, 1, "noon"))
    assert light.shape == (1024, 2048, 3)
    assert np.isfinite(light).all()
    assert light.min() >= 0
    assert light.max() < 65_504
