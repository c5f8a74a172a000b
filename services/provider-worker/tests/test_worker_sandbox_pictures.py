"""What the sandbox draws: the asked size, the brand's colours, words that can be read, each picture its own."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from random import Random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from media import check_media
from provider_worker.adapters.sandbox.drawing.canvas import Canvas, Picture
from provider_worker.adapters.sandbox.drawing.colours import luminance, named_in, palette_of, parse, to_lab
from provider_worker.adapters.sandbox.drawing.lettering import Place, extent, fitted, lettered, spoken
from provider_worker.adapters.sandbox.drawing.picture import Brief, composed, drawn, scenes, seed_of

Rgb = tuple[int, int, int]

BRANDS = {
    "navy, sky and amber": ("#0F172A", "#38BDF8", "#F59E0B"),
    "neon": ("#FF0055", "#00E5FF"),
    "forest": ("#14532D", "#84CC16", "#FDE68A"),
    "one violet": ("#7C3AED",),
    "ember": ("#DC2626", "#F97316", "#FACC15"),
    "teal and pink on black": ("#0EA5A4", "#F472B6", "#111827"),
    "black and white": ("#000000", "#FFFFFF"),
    "one grey": ("#808080",),
}
SHAPES = [(320, 180), (300, 120), (180, 320), (200, 200)]
NAMED_SIZES = [(1280, 720), (1920, 1080), (1200, 480), (1080, 1920), (1080, 1080)]


def brand(name: str) -> tuple[Rgb, ...]:
    return tuple(parse(text) for text in BRANDS[name])


@settings(max_examples=150, deadline=None)
@given(
    width=st.integers(16, 220),
    height=st.integers(16, 220),
    seed=st.integers(0, 2**63),
    name=st.sampled_from(sorted(BRANDS)),
    headline=st.sampled_from(["", "Neon Nights"]) | st.text(max_size=60),
    image_format=st.sampled_from(["png", "png", "jpeg", "webp"]),
)
@example(width=16, height=16, seed=0, name="neon", headline="A very long headline", image_format="png")
@example(width=220, height=16, seed=1, name="neon", headline="A very long headline", image_format="png")
def test_dimensions_of_what_is_drawn_match_what_was_asked(
    width: int, height: int, seed: int, name: str, headline: str, image_format: str
) -> None:
    data = drawn(Brief(width, height, seed, brand(name), headline, image_format))
    facts = check_media(data)
    assert (facts.mime, facts.width, facts.height) == (f"image/{image_format}", width, height)


@pytest.mark.parametrize(("width", "height"), [*NAMED_SIZES, (4096, 16), (16, 4096)])
def test_the_named_sizes_and_the_extremes_are_exact(width: int, height: int) -> None:
    facts = check_media(drawn(Brief(width, height, 7, brand("neon"), "Neon Nights")))
    assert (facts.mime, facts.width, facts.height) == ("image/png", width, height)


@pytest.mark.parametrize("scene", scenes(), ids=lambda scene: scene.__name__)
@pytest.mark.parametrize(("width", "height"), [(16, 16), (16, 90), (90, 16), (300, 200)])
def test_every_kind_of_composition_fills_every_shape(
    scene: Callable[[Canvas], Picture], width: int, height: int
) -> None:
    assert composed(Brief(width, height, 3, brand("ember"), "Neon Nights"), scene).size == (width, height)


def test_the_same_brief_gives_the_same_bytes() -> None:
    brief = Brief(320, 180, 11, brand("forest"), "Neon Nights")
    assert drawn(brief) == drawn(brief)


def test_another_seed_gives_another_picture() -> None:
    pictures = [drawn(Brief(320, 180, seed, brand("forest"), "Neon Nights")) for seed in range(40)]
    assert len(set(pictures)) == 40


def test_another_prompt_gives_another_seed() -> None:
    assert seed_of("a fox") == seed_of("a fox")
    assert seed_of("a fox") != seed_of("a fox.")


def test_seeds_lead_to_every_kind_of_composition() -> None:
    """Two pictures of one composition are nearer to each other than forty of any are wide apart."""
    small = [composed(Brief(160, 90, seed, brand("neon"))).resize((16, 9)) for seed in range(40)]
    flat = np.array([np.asarray(picture, dtype=np.float32).ravel() for picture in small])
    apart = np.linalg.norm(flat[:, None] - flat[None, :], axis=2) / np.sqrt(flat.shape[1])
    assert float(np.median(apart)) > 40


@pytest.mark.parametrize("name", sorted(BRANDS))
@pytest.mark.parametrize("scene", scenes(), ids=lambda scene: scene.__name__)
def test_the_brands_colours_stand_out_together_and_each_is_seen(scene: Callable[[Canvas], Picture], name: str) -> None:
    for seed, (width, height) in enumerate(SHAPES):
        picture = composed(Brief(width, height, seed, brand(name), "Neon Nights"), scene)
        lab = to_lab(np.asarray(picture))
        distances = [np.linalg.norm(lab - to_lab(colour), axis=-1) for colour in brand(name)]
        assert (np.min(distances, axis=0) < 0.1).mean() > 0.04, (width, height)
        for colour, distance in zip(brand(name), distances, strict=True):
            assert (distance < 0.08).mean() > 0.003, (width, height, colour)


def lettered_on(scene: Callable[[Canvas], Picture], colours: tuple[Rgb, ...], width: int, height: int) -> Picture:
    """A scene with words where a layout of this shape has them."""
    beside = width > height
    box = (30.0, 40.0, width * 0.58, height - 30.0) if beside else (30.0, 50.0, width - 30.0, height * 0.46)
    place = Place(box, 3, height * 0.2, "left", "middle" if beside else "top", "left" if beside else "top")
    block = fitted("We are live", place)
    assert block is not None
    random = Random(5)
    focus = (0.8, 0.5) if beside else (0.5, 0.7)
    canvas = Canvas(width, height, palette_of(colours, random), random, focus, extent(block))
    return lettered(canvas, scene(canvas), block)


@pytest.mark.parametrize("name", sorted(BRANDS))
@pytest.mark.parametrize("scene", scenes(), ids=lambda scene: scene.__name__)
def test_the_headline_can_be_read_on_whatever_lies_below(scene: Callable[[Canvas], Picture], name: str) -> None:
    for width, height in [(640, 360), (400, 400)]:
        on_white = lettered_on(lambda canvas: canvas.flat((255, 255, 255)), ((0, 0, 0), (255, 255, 255)), width, height)
        ink = on_white.convert("L").point(lambda value: 255 * (value < 60))
        ink.paste(0, (0, 0, width, (ink.getbbox() or (0, 0, 0, 0))[1] + 12))  # the rule above the words is no letter
        around = np.asarray(ink.filter(ImageFilter.MaxFilter(9))) > np.asarray(ink.filter(ImageFilter.MaxFilter(5)))
        inner = np.asarray(ink.filter(ImageFilter.MinFilter(3))) > 0

        light = luminance(np.asarray(lettered_on(scene, brand(name), width, height)))
        letters = float(np.median(light[inner]))
        contrasts = (np.maximum(light[around], letters) + 0.05) / (np.minimum(light[around], letters) + 0.05)
        assert np.median(contrasts) >= 4.5, (width, height)
        assert np.quantile(contrasts, 0.05) >= 3.0, (width, height)


def place(width: float, height: float) -> Place:
    return Place((0, 0, width, height), 4, 100, "left", "top", "left")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text("abcdefghijklmnop", min_size=1, max_size=14), min_size=1, max_size=20), st.integers(60, 900))
def test_a_headline_is_set_whole_in_order_and_within_its_box(words: list[str], width: int) -> None:
    block = fitted(" ".join(words), place(width, 300))
    if block is None:
        return
    assert " ".join(block.lines).split() == words
    assert len(block.lines) <= 4
    assert block.size * len(block.lines) <= 300


def test_a_short_headline_is_set_large() -> None:
    block = fitted("Go", place(400, 300))
    assert block is not None
    assert block.size == 100


def test_words_that_would_be_too_small_to_read_are_left_out() -> None:
    assert fitted("Donaudampfschifffahrtsgesellschaft", place(20, 10)) is None


def test_characters_without_a_glyph_are_spelt_plainly_or_left_out() -> None:
    assert spoken("Étude № 5 🎸\n  in   bleu") == "Etude No 5 in bleu"
    assert spoken("ネオン") == ""


def test_colours_are_found_in_a_prompt() -> None:
    prompt = "A thumbnail in #0F172A and #3bf (not #12345 or #1234567), accent #0f172a."
    assert named_in(prompt) == [(15, 23, 42), (51, 187, 255)]


def test_the_drawn_file_is_a_plain_png_that_others_read() -> None:
    with Image.open(BytesIO(drawn(Brief(64, 48, 1)))) as picture:
        picture.load()
        assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (64, 48))
