"""A page of another origin, in Chromium with Three.js, shows and plays what the system made, by its own addresses."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.outside.made import Made, orders
from tests.outside.serving import page
from tests.outside.tools import node, program

pytestmark = [pytest.mark.outside, pytest.mark.timeout(480)]

MODEL, EXR, HDR, TEXTURE = "model_3d glb", "environment_map exr", "environment_map hdr", "texture png"
TIMES = 3
THUMBNAIL_EDGE = 512
PICTURES = {"image/png", "image/jpeg", "image/webp"}
NOTHING = (0, 255, 0)
"""What stands behind the model alone: page/stage.js."""
Pixels = NDArray[np.float64]


def named(*kinds: str) -> list[str]:
    return [name for name, body in orders().items() if body["kind"] in kinds]


@dataclass(frozen=True, slots=True)
class Visit:
    """What a browser told of a page, and the pictures that were taken of it."""

    steps: dict[str, dict[str, Any]] = field(repr=False)
    complaints: list[str]

    def facts(self, step: str) -> dict[str, Any]:
        """What the page found at a step. An AssertionError says what went wrong, and what the browser said to it."""
        done = self.steps[step]
        assert "error" not in done, f"{step}: {done['error']}\n" + "\n".join(self.complaints)
        found: dict[str, Any] = done["facts"]
        return found

    def picture(self, step: str) -> Pixels:
        """Red, green and blue of what the page showed, 0 to 255; a failed test prints where it lies."""
        self.facts(step)
        path = Path(self.steps[step]["picture"])
        print(f"picture of {step}: {path}")
        return pixels(path)


class Step(NamedTuple):
    """`show` is a function of page/stage.js, `given` what it is called with."""

    name: str
    show: str
    given: Callable[[], dict[str, Any]]


def steps(made: Made) -> list[Step]:
    def at(name: str) -> str:
        return str(made.output(name)["url"])

    def address(name: str) -> dict[str, Any]:
        return {"url": at(name)}

    def light(name: str) -> dict[str, str]:
        return {"url": at(name), "format": str(orders()[name]["format"])}

    def together() -> dict[str, Any]:
        return {"glb": at(MODEL), "floor": at(TEXTURE), "light": light(EXR), "view": light(HDR)}

    def each(show: str, *kinds: str) -> list[Step]:
        return [Step(name, show, partial(address, name)) for name in named(*kinds)]

    def thumbnail(name: str) -> Step:
        return Step(f"{name} thumbnail", "view", lambda: {"url": made.output(name)["thumbnail_url"]})

    return [
        Step("model", "model", lambda: {"glb": at(MODEL), "light": light(EXR)}),
        Step("model turned", "model", lambda: {"glb": at(MODEL), "light": light(EXR), "turn": math.pi}),
        Step("model in the dark", "model", lambda: {"glb": at(MODEL)}),
        Step("tiles", "tiles", lambda: {"url": at(TEXTURE), "times": TIMES}),
        Step("scene", "scene", together),
        Step(EXR, "sky", lambda: light(EXR)),
        Step(HDR, "sky", lambda: light(HDR)),
        *each("play", "video"),
        *each("hear", "sfx", "music"),
        *each("view", "image", "texture"),
        *(thumbnail(name) for name in orders()),
    ]


@pytest.fixture(scope="module")
def visit(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Visit:
    """One visit to the page for all tests. What was not made is told by the tests that need it."""
    chromium, pictures = program("chromium"), tmp_path_factory.mktemp("pictures")
    ready, missing = [], {}
    for step in steps(made):
        try:
            ready.append({"name": step.name, "show": step.show, "with": step.given()})
        except AssertionError as error:
            missing[step.name] = {"error": str(error)}
    with page() as address:
        work = {"chromium": chromium, "page": address, "pictures": str(pictures), "steps": ready}
        found = node("browse.mjs", work, timeout=240)
    return Visit(missing | found["steps"], found["complaints"])


def test_the_browser_has_nothing_to_complain_of(visit: Visit) -> None:
    assert {name: done["error"] for name, done in visit.steps.items() if "error" in done} == {}
    assert visit.complaints == []


def test_a_model_is_drawn_with_its_maps(visit: Visit) -> None:
    shown = visit.picture("model")
    covered = drawn(shown)

    assert "map" in visit.facts("model")["maps"]
    assert 0 < visit.facts("model")["triangles"] <= orders()[MODEL]["max_triangles"]
    assert 0.05 < share(covered) < 0.9
    assert colours_in(shown[covered]) > 500
    assert contrast(shown[covered]) > 10


def test_a_model_is_lit_by_the_environment_map_and_by_nothing_else(visit: Visit) -> None:
    lit, turned, dark = (visit.picture(step) for step in ("model", "model turned", "model in the dark"))
    covered = drawn(lit) & drawn(dark)

    assert brightness(dark[covered]) < 5
    assert brightness(lit[covered]) > 40
    # Light that comes from somewhere falls elsewhere when its map is turned.
    assert difference(lit[covered], turned[covered]) > 2


@pytest.mark.parametrize("name", [EXR, HDR])
def test_an_environment_map_has_its_size_and_light_beyond_white(name: str, visit: Visit, made: Made) -> None:
    found, told, asked = visit.facts(name), made.output(name), orders()[name]
    shown = visit.picture(name)

    assert (found["width"], found["height"]) == (told["width"], told["height"]) == (asked["width"], asked["height"])
    assert found["brightest"] > 2
    assert 0.01 < found["mean"] < 10
    assert contrast(shown) > 10
    above, below = brightness(shown[: len(shown) // 2]), brightness(shown[len(shown) // 2 :])
    assert above > below, "the sky is below"


def test_both_formats_of_an_environment_map_show_the_same(visit: Visit) -> None:
    assert difference(visit.picture(EXR), visit.picture(HDR)) < 2


def test_a_texture_is_drawn_as_it_is_and_alike_in_every_tile(visit: Visit, made: Made) -> None:
    shown = visit.picture("tiles")
    edge = len(shown) // TIMES
    tiles = [
        shown[row * edge : (row + 1) * edge, column * edge : (column + 1) * edge]
        for row in range(TIMES)
        for column in range(TIMES)
    ]
    itself = pixels(made.file(TEXTURE), (edge, edge))

    assert contrast(itself) > 8
    assert max(difference(tile, tiles[0]) for tile in tiles) < 1
    assert difference(tiles[0], itself) < 6


def test_all_together_make_a_scene(visit: Visit) -> None:
    shown = visit.picture("scene")

    assert colours_in(shown) > 5000
    assert contrast(shown) > 20


@pytest.mark.parametrize("name", named("video"))
def test_a_video_is_sought_in_and_played_to_its_end(name: str, visit: Visit, made: Made) -> None:
    found, told = visit.facts(name), made.output(name)
    first, later, last = (pixels_of(found[moment]) for moment in ("first", "later", "last"))

    assert (found["width"], found["height"]) == (told["width"], told["height"])
    assert found["duration"] == pytest.approx(told["duration_seconds"], abs=0.05)
    assert contrast(first) > 5
    moved = difference(first, later)
    assert moved > 2, "nothing moves"
    if orders()[name].get("loop"):
        assert difference(first, last) < moved / 2, "the end does not meet the beginning"


@pytest.mark.parametrize("name", named("sfx", "music"))
def test_a_sound_is_played_and_decoded_to_its_end(name: str, visit: Visit, made: Made) -> None:
    found, told = visit.facts(name), made.output(name)

    assert found["duration"] == pytest.approx(told["duration_seconds"], abs=0.06)
    assert found["decoded"] == pytest.approx(told["duration_seconds"], abs=0.06)
    assert found["peak"] > 0.05


@pytest.mark.parametrize("name", named("image", "texture"))
def test_a_picture_is_shown_in_its_size(name: str, visit: Visit, made: Made) -> None:
    found, told = visit.facts(name), made.output(name)

    assert (found["width"], found["height"]) == (told["width"], told["height"])
    assert contrast(pixels_of(found["colours"])) > 5


@pytest.mark.parametrize("name", orders())
def test_every_asset_has_a_small_picture_for_lists(name: str, visit: Visit, made: Made) -> None:
    found, told = visit.facts(f"{name} thumbnail"), made.output(name)
    small_itself = max(told["width"] or THUMBNAIL_EDGE + 1, told["height"] or 0) <= THUMBNAIL_EDGE

    assert 0 < max(found["width"], found["height"]) <= THUMBNAIL_EDGE
    assert found["type"] == (told["mime"] if small_itself and told["mime"] in PICTURES else "image/webp")
    assert contrast(pixels_of(found["colours"])) > 3


def pixels(path: Path, size: tuple[int, int] | None = None) -> Pixels:
    with Image.open(path) as picture:
        shown = picture.convert("RGB")
        return np.asarray(shown.resize(size, Image.Resampling.BOX) if size else shown, dtype=np.float64)


def pixels_of(canvas: list[int]) -> Pixels:
    """What page/media.js reads off a canvas."""
    return np.array(canvas, dtype=np.float64).reshape(-1, 4)[:, :3]


def drawn(shown: Pixels) -> NDArray[np.bool_]:
    """Where the model is."""
    return np.asarray(np.abs(shown - np.array(NOTHING)).sum(axis=2) > 60)


def share(marked: NDArray[np.bool_]) -> float:
    return round(float(marked.mean()), 4)


def brightness(shown: Pixels) -> float:
    return round(float(shown.mean()), 2)


def contrast(shown: Pixels) -> float:
    """How far its colours lie apart, each of red, green and blue by itself."""
    return round(float(shown.reshape(-1, 3).std(axis=0).max()), 2)


def difference(one: Pixels, other: Pixels) -> float:
    return round(float(np.abs(one - other).mean()), 2)


def colours_in(shown: Pixels) -> int:
    return len(np.unique(shown.reshape(-1, 3).astype(int), axis=0))
