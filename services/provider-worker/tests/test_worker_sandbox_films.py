"""What the sandbox films: exact to the frame, in the brand's colours, with words to read, and loops that close."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from random import Random

import av
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageFilter

from media import check_media
from media.video_finishing import MOST_LOOP_SEAM, loop_seam
from provider_worker.adapters.sandbox.drawing.colours import luminance, palette_of, parse, to_lab
from provider_worker.adapters.sandbox.drawing.lettering import Block
from provider_worker.adapters.sandbox.filming.encoding import FilmFormat
from provider_worker.adapters.sandbox.filming.film import FilmBrief, Scene, filmed, pictures, scenes
from provider_worker.adapters.sandbox.filming.headline import typeset

Frames = npt.NDArray[np.uint8]

BRAND = tuple(parse(text) for text in ("#0F172A", "#38BDF8", "#F59E0B"))
PLAIN = FilmBrief(192, 108, 1.0, 7, palette=BRAND)


def shown(data: bytes) -> Frames:
    with av.open(BytesIO(data), "r") as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def drawn(brief: FilmBrief, scene: Scene) -> Frames:
    """The frames before they are encoded."""
    return np.stack([frame.to_ndarray(format="rgb24", src_colorspace="ITU709") for frame in pictures(brief, scene)])


def steps(frames: Frames) -> npt.NDArray[np.float64]:
    """How far each frame is from the next, and the last from the first, in levels of 255."""
    following = np.roll(frames, -1, axis=0)
    return np.asarray(np.abs(frames.astype(np.int16) - following).mean(axis=(1, 2, 3)))


@pytest.mark.parametrize("film_format", ["mp4", "webm"])
@pytest.mark.parametrize(
    ("width", "height", "duration_s", "fps", "frames"),
    [(320, 180, 1.0, 24, 24), (180, 320, 0.51, 24, 12), (128, 128, 1.5, 30, 45), (64, 36, 4.02, 24, 96)],
)
def test_a_film_has_exactly_the_size_and_the_frames_that_were_asked_for(
    film_format: FilmFormat, width: int, height: int, duration_s: float, fps: int, frames: int
) -> None:
    brief = FilmBrief(width, height, duration_s, 1, fps, palette=BRAND, headline="Go", film_format=film_format)
    facts = check_media(filmed(brief))
    assert (facts.mime, facts.width, facts.height) == (f"video/{film_format}", width, height)
    assert (facts.frames, facts.has_audio) == (frames, True)
    assert facts.fps == pytest.approx(fps, abs=0.05)
    assert facts.duration_s == pytest.approx(frames / fps, abs=0.002)


@pytest.mark.parametrize("film_format", ["mp4", "webm"])
def test_its_sound_is_as_long_as_its_pictures(film_format: FilmFormat) -> None:
    """The last block of AAC is always a whole one; the file says where in it the sound ends."""
    with av.open(BytesIO(filmed(replace(PLAIN, film_format=film_format))), "r") as container:
        assert container.duration == pytest.approx(1_000_000, abs=10_000)
        samples = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)
    assert samples.shape[0] == 2
    assert 48_000 <= samples.shape[1] < 48_000 + 1_024
    assert 0.01 < np.abs(samples).max() < 0.9


def test_a_player_can_begin_before_it_has_the_whole_file() -> None:
    data = filmed(PLAIN)
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("film_format", ["mp4", "webm"])
def test_the_same_brief_gives_the_same_bytes(film_format: FilmFormat) -> None:
    brief = replace(PLAIN, film_format=film_format, headline="Neon Nights")
    assert filmed(brief) == filmed(brief)


def test_another_seed_another_headline_and_other_colours_give_another_film() -> None:
    first = FilmBrief(64, 36, 0.25, 1, palette=BRAND, headline="Neon Nights")
    others = [replace(first, seed=2), replace(first, headline="Days"), replace(first, palette=(parse("#DC2626"),))]
    assert len({filmed(brief) for brief in (first, *others)}) == 4


def test_seeds_lead_to_every_kind_of_film() -> None:
    found = set()
    for seed in range(40):
        brief = FilmBrief(64, 36, 0.1, seed, palette=BRAND)
        first = next(pictures(brief)).to_ndarray()
        found |= {scene for scene in scenes() if np.array_equal(first, next(pictures(brief, scene)).to_ndarray())}
    assert found == set(scenes())


@pytest.mark.parametrize("scene", scenes(), ids=lambda scene: scene.__name__)
@pytest.mark.parametrize("duration_s", [2.0, 2.9])
def test_the_last_frame_of_a_loop_meets_the_first(scene: Scene, duration_s: float) -> None:
    """The step from the one to the other is like those before and after it."""
    found = steps(drawn(FilmBrief(160, 90, duration_s, 3, loop=True, palette=BRAND, headline="Neon Nights"), scene))
    assert found[-1] <= 1.1 * found[[-3, -2, 0, 1]].max()


@pytest.mark.parametrize("scene", scenes(), ids=lambda scene: scene.__name__)
def test_a_film_that_is_no_loop_does_not_close(scene: Scene) -> None:
    found = steps(drawn(FilmBrief(160, 90, 2.0, 3, palette=BRAND), scene))
    assert found[-1] > 2 * found[[-3, -2, 0, 1]].max()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_encoded_loop_needs_no_finishing(seed: int) -> None:
    assert loop_seam(filmed(FilmBrief(320, 180, 2.5, seed, loop=True, palette=BRAND))) <= MOST_LOOP_SEAM


@pytest.mark.parametrize("scene", scenes(), ids=lambda scene: scene.__name__)
def test_a_film_moves_all_the_time_and_never_jumps(scene: Scene) -> None:
    frames = drawn(FilmBrief(160, 90, 3.0, 5, palette=BRAND), scene)
    found = steps(frames)[:-1]
    assert found.min() > 0.05
    assert found.max() < 6 * np.median(found)
    assert np.abs(frames[0].astype(np.int16) - frames[len(frames) // 2]).mean() > 1.5


@pytest.mark.parametrize("scene", scenes(), ids=lambda scene: scene.__name__)
@pytest.mark.parametrize(
    "palette", [("#0F172A", "#38BDF8", "#F59E0B"), ("#7C3AED",), ("#14532D", "#84CC16", "#FDE68A")]
)
def test_the_brands_colours_are_seen(scene: Scene, palette: tuple[str, ...]) -> None:
    brand = tuple(parse(text) for text in palette)
    frame = drawn(FilmBrief(160, 90, 0.1, 5, palette=brand), scene)[0]
    lab = to_lab(frame)
    near = np.min([np.linalg.norm(lab - to_lab(colour), axis=-1) for colour in brand], axis=0)
    assert (near < 0.12).mean() > 0.1


@pytest.mark.parametrize("scene", scenes(), ids=lambda scene: scene.__name__)
@pytest.mark.parametrize(("width", "height"), [(640, 360), (600, 240)])
def test_the_headline_can_be_read_in_every_frame(scene: Scene, width: int, height: int) -> None:
    """Its letters stand out from what is around them; in these shapes they have the left of the picture."""
    brief = FilmBrief(width, height, 2.0, 5, fps=2, loop=True, palette=BRAND, headline="We are live")
    for light in luminance(drawn(brief, scene))[:, :, : width * 3 // 5]:
        ink = Image.fromarray(np.uint8(255) * (light > 0.8))
        around = np.asarray(ink.filter(ImageFilter.MaxFilter(9))) > np.asarray(ink.filter(ImageFilter.MaxFilter(5)))
        inner = np.asarray(ink.filter(ImageFilter.MinFilter(3))) > 0
        assert inner.mean() > 0.01
        contrasts = (float(np.median(light[inner])) + 0.05) / (light[around] + 0.05)
        assert np.median(contrasts) >= 4.5
        assert np.quantile(contrasts, 0.05) >= 3.0


@pytest.mark.parametrize(("loop", "there_at_once"), [(False, False), (True, True)])
def test_a_headline_appears_in_a_film_and_stands_still_in_a_loop(*, loop: bool, there_at_once: bool) -> None:
    frames = drawn(FilmBrief(320, 180, 1.0, 5, loop=loop, palette=BRAND, headline="Neon Nights"), scenes()[0])
    letters = (luminance(frames) > 0.8).mean(axis=(1, 2))
    assert bool(letters[0] > 0.02) is there_at_once
    assert letters[-1] > 0.02


def test_a_headline_at_the_very_edge_rises_from_behind_it() -> None:
    block = Block(("Go",), 40, (0.0, 20.0, 64.0, 64.0), "left", "bottom", "left")
    headline = typeset(block, 64, 64, palette_of(BRAND, Random(1)))
    covered = []
    for share in (0.01, 0.5, 1.0):
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24").reformat(format="yuv420p")
        headline.onto(frame, share)
        covered.append(int((frame.to_ndarray(format="gray") > 30).sum()))
    assert covered[0] < covered[1] < covered[2]
