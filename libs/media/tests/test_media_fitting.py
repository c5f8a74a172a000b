"""Pictures become exactly what was asked for, and say what that took."""

from __future__ import annotations

import hashlib
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from media import Checker, CorruptOutput, ImageFit, Reason, fit_image


def picture(width: int, height: int, image_format: str = "png", mode: str = "RGB") -> bytes:
    """Left half red, right half blue, so that one can see what was cut away."""
    made = Image.new(mode, (width, height), "red")
    made.paste(Image.new(mode, (width - width // 2, height), "blue"), (width // 2, 0))
    file = BytesIO()
    made.save(file, image_format)
    return file.getvalue()


def opened(data: bytes | None) -> Image.Image:
    assert data is not None
    found = Image.open(BytesIO(data))
    found.load()
    return found


def test_what_is_right_already_stays_as_it_is_byte_for_byte() -> None:
    data = picture(640, 360)
    found = fit_image(data, 640, 360, "png", "crop")
    assert found.data is None
    assert (found.sha256, found.facts.size, found.method) == (hashlib.sha256(data).hexdigest(), len(data), "none")


@pytest.mark.parametrize(
    ("native", "asked", "crop", "scale"),
    [
        ((1344, 768), (1280, 720), 0.0159, 0.9524),
        ((1536, 672), (1200, 480), 0.0857, 0.7812),
        ((1536, 1024), (1200, 480), 0.4, 0.7812),
        ((1024, 1024), (1080, 1080), 0.0, 1.0547),
        ((768, 1344), (1080, 1920), 0.0156, 1.4286),
    ],
)
def test_another_size_is_scaled_until_it_covers_the_asked_one_and_cut_to_it(
    native: tuple[int, int], asked: tuple[int, int], crop: float, scale: float
) -> None:
    found = fit_image(picture(*native), *asked, "png", "crop")
    shown = opened(found.data)
    assert (shown.size, shown.format, found.method) == (asked, "PNG", "crop")
    assert found.crop_share == pytest.approx(crop, abs=0.0005)
    assert found.scale == pytest.approx(scale, abs=0.0005)
    assert (found.native_width, found.native_height) == native
    assert found.sha256 == hashlib.sha256(found.data or b"").hexdigest()
    assert shown.getpixel((10, asked[1] // 2)) == (255, 0, 0)
    assert shown.getpixel((asked[0] - 10, asked[1] // 2)) == (0, 0, 255)


def test_a_padded_picture_loses_nothing() -> None:
    found = fit_image(picture(400, 100), 400, 400, "png", "pad")
    shown = opened(found.data)
    assert (shown.size, found.method, found.crop_share) == ((400, 400), "pad", 0.0)
    assert (shown.getpixel((5, 200)), shown.getpixel((395, 200))) == ((255, 0, 0), (0, 0, 255))
    assert shown.getpixel((5, 5)) not in {(255, 0, 0), (0, 0, 255)}


def test_where_only_the_exact_size_will_do_another_is_refused() -> None:
    with pytest.raises(CorruptOutput) as caught:
        fit_image(picture(640, 360), 641, 360, "png", "exact_only")
    assert caught.value.reason is Reason.WRONG_SIZE


@pytest.mark.parametrize("came", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("asked", ["png", "jpeg", "webp"])
def test_a_format_becomes_the_asked_one(came: str, asked: str) -> None:
    found = fit_image(picture(64, 64, came), 64, 64, asked, "crop")
    assert found.facts.mime == f"image/{asked}"
    assert (found.data is None) is (came == asked)
    if found.data is not None:
        assert opened(found.data).format == asked.upper()


def test_transparency_is_kept_where_the_format_has_it_and_stands_on_white_elsewhere() -> None:
    clear = BytesIO()
    Image.new("RGBA", (64, 64), (255, 0, 0, 0)).save(clear, "png")
    assert opened(fit_image(clear.getvalue(), 32, 32, "png", "crop").data).getchannel("A").getpixel((5, 5)) == 0
    assert opened(fit_image(clear.getvalue(), 32, 32, "jpeg", "crop").data).getpixel((5, 5)) == (255, 255, 255)


def test_the_same_picture_becomes_the_same_bytes() -> None:
    data = picture(300, 200)
    assert fit_image(data, 100, 100, "webp", "crop").data == fit_image(data, 100, 100, "webp", "crop").data


@pytest.mark.parametrize("data", [b"", b"<html>", picture(64, 64)[:-40]])
def test_what_cannot_be_decoded_is_not_fitted(data: bytes) -> None:
    with pytest.raises(CorruptOutput):
        fit_image(data, 32, 32, "png", "crop")


@settings(max_examples=100, deadline=None)
@given(st.tuples(*[st.integers(1, 300)] * 4), st.sampled_from(["crop", "pad"]))
def test_whatever_comes_the_result_has_exactly_the_asked_size(edges: tuple[int, int, int, int], fit: str) -> None:
    found = fit_image(picture(*edges[:2]), *edges[2:], "png", fit)  # type: ignore[arg-type]
    assert opened(found.data if found.data is not None else picture(*edges[:2])).size == edges[2:]
    assert 0 <= found.crop_share < 1


async def test_a_group_is_fitted_in_a_child_and_a_bad_one_hurts_nobody_else() -> None:
    checker = Checker()
    try:
        good = ImageFit(picture(100, 50), 64, 64, "png")
        outcomes = await checker.fit_many([good, ImageFit(b"<html>", 64, 64, "png"), good])
    finally:
        await checker.close()
    assert [isinstance(outcome, CorruptOutput) for outcome in outcomes] == [False, True, False]
