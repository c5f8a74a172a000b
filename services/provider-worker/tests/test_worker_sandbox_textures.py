"""The sandbox's textures: no seam, the asked size, each material its own, the colours that were asked for (R56)."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from random import Random

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from media.seams import MOST_SEAM_RATIO, seam_ratio
from provider_worker.adapters.sandbox.drawing.colours import palette_of, parse, to_lab, to_rgb
from provider_worker.adapters.sandbox.tiling import materials
from provider_worker.adapters.sandbox.tiling.materials import Material
from provider_worker.adapters.sandbox.tiling.periodic import Torus, enlarged
from provider_worker.adapters.sandbox.tiling.texture import (
    MATERIALS,
    TextureBrief,
    laid,
    material_in,
    surface_of,
    tiled,
)

BRAND = tuple(parse(text) for text in ("#0F172A", "#38BDF8", "#F59E0B"))
every_material = pytest.mark.parametrize("material", MATERIALS, ids=lambda material: material.__name__)


def pixels_of(brief: TextureBrief, material: Material) -> npt.NDArray[np.float64]:
    return np.asarray(laid(brief, material), dtype=np.float64)


@every_material
@pytest.mark.parametrize(("width", "height"), [(192, 192), (320, 128), (130, 257)])
def test_opposite_edges_meet(material: Material, width: int, height: int) -> None:
    for seed in range(3):
        assert seam_ratio(laid(TextureBrief(width, height, seed), material)) < MOST_SEAM_RATIO


def test_an_enlarged_texture_has_no_seam_either() -> None:
    picture = laid(TextureBrief(2560, 512, 3), materials.cobbles)
    assert picture.size == (2560, 512)
    assert seam_ratio(picture) < MOST_SEAM_RATIO


def test_a_seam_is_seen_by_the_measure() -> None:
    assert seam_ratio(laid(TextureBrief(192, 192, 1), materials.marble).crop((0, 0, 150, 140))) > 1.5


@every_material
@pytest.mark.parametrize(("width", "height"), [(256, 256), (320, 130)])
def test_a_surface_goes_on_at_its_other_side(material: Material, width: int, height: int) -> None:
    """Where it is cut open for a picture is chosen, and may hide a seam inside: this is before that."""
    for seed in range(4):
        lab = surface_of(TextureBrief(width, height, seed), width, height, material).lab
        pixels = to_rgb(lab).astype(np.float64)
        for picture in (pixels, pixels.swapaxes(0, 1)):
            steps = np.abs(np.diff(picture, axis=0, append=picture[:1])).mean(axis=2)
            inside, edge = steps[:-1], steps[-1]
            assert edge.mean() <= inside.mean(axis=1).max() * 1.25
            assert np.quantile(edge, 0.98) <= np.quantile(inside, 0.98, axis=1).max() * 1.25


def test_noise_that_is_moved_by_a_hill_is_the_same_noise_moved() -> None:
    hills = np.random.default_rng(1).uniform(-1, 1, (6, 8)).astype(np.float32)
    for axis, pixels in ((0, 20), (1, 30)):
        moved = enlarged(np.roll(hills, 1, axis), 240, 120)
        assert np.allclose(moved, np.roll(enlarged(hills, 240, 120), pixels, axis), atol=1e-5)


@pytest.mark.parametrize("image_format", ["jpeg", "webp"])
def test_a_lossy_file_has_no_seam_either(image_format: str) -> None:
    data = tiled(TextureBrief(512, 512, 3, "cobblestones", image_format=image_format))
    assert seam_ratio(Image.open(BytesIO(data))) < MOST_SEAM_RATIO


@pytest.mark.parametrize("image_format", ["png", "jpeg", "webp"])
@pytest.mark.parametrize(("width", "height"), [(512, 512), (64, 300), (16, 16)])
def test_the_file_has_the_asked_size_and_format(image_format: str, width: int, height: int) -> None:
    data = tiled(TextureBrief(width, height, 7, "bricks", image_format=image_format))
    with Image.open(BytesIO(data)) as picture:
        picture.load()
        assert (picture.format, picture.size) == (image_format.upper(), (width, height))


@every_material
@pytest.mark.parametrize(("width", "height"), [(16, 16), (16, 200), (200, 17)])
def test_every_material_fills_every_shape(material: Material, width: int, height: int) -> None:
    assert laid(TextureBrief(width, height, 1), material).size == (width, height)


def test_the_same_brief_gives_the_same_bytes_and_another_seed_others() -> None:
    made = [tiled(TextureBrief(128, 128, seed, "stones")) for seed in (1, 1, 2)]
    assert made[0] == made[1] != made[2]


@pytest.mark.parametrize(
    ("words", "material"),
    [
        ("an old red brick wall", materials.bricks),
        ("worn oak planks", materials.planks),
        ("A surface texture of «wet cobblestones», fine detail", materials.cobbles),
        ("veined marble", materials.marble),
        ("scales of a dragon", materials.scallops),
        ("desert sand with bricks", materials.ripples),
        ("moss", materials.grass),
        ("leaves", materials.grass),
        ("tropical ocean water", materials.caustics),
        ("brushed steel", materials.brushed),
        ("something else", None),
    ],
)
def test_words_choose_the_material(words: str, material: Material | None) -> None:
    assert material_in(words) is material


def test_where_no_word_means_anything_the_seed_chooses() -> None:
    pictures = {laid(TextureBrief(48, 48, seed, "nothing of that sort")).tobytes() for seed in range(20)}
    assert len(pictures) == 20


@every_material
def test_the_brands_colours_are_the_colours_of_the_surface(material: Material) -> None:
    for seed in range(2):
        lab = to_lab(np.asarray(laid(TextureBrief(192, 192, seed, palette=BRAND), material)))
        hues = np.stack([to_lab(colour)[1:] for colour in BRAND])
        nearest = np.linalg.norm(lab[..., None, 1:] - hues, axis=-1).min(axis=-1)
        assert (nearest < 0.09).mean() > 0.5
        loud = np.linalg.norm(lab[..., None, 1:] - hues[1:], axis=-1).min(axis=-1)
        assert (loud < 0.09).mean() > 0.08


def test_a_colour_that_is_named_in_words_is_seen() -> None:
    def green(words: str) -> float:
        return float(to_lab(np.asarray(laid(TextureBrief(96, 96, 3, words))))[..., 1].mean())

    assert green("emerald woven cloth") < green("crimson woven cloth") - 0.1


@every_material
def test_a_texture_has_detail_and_is_no_flat_colour(material: Material) -> None:
    pixels = pixels_of(TextureBrief(256, 256, 5), material)
    assert pixels.std() > 8
    assert 25 < pixels.mean() < 235


@every_material
def test_a_surface_is_told_in_shares_of_one(material: Callable[..., materials.Surface]) -> None:
    random = Random(3)
    surface = material(Torus(64, 48, random), palette_of(BRAND, random))
    for field in (surface.height, surface.roughness):
        assert field.shape == (48, 64)
        assert field.min() >= 0
        assert field.max() <= 1
    assert surface.lab.shape == (48, 64, 3)
    assert np.isfinite(surface.lab).all()
