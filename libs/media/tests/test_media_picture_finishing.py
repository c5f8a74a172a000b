"""Pictures become exactly what was asked for, and say what that took."""

from __future__ import annotations

import hashlib
import struct
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from media import CorruptOutput, Facts, FinishedMedia, Reason, Wanted, finish_media


def picture(width: int, height: int, image_format: str = "png", mode: str = "RGB", **options: Any) -> bytes:
    """Left half red, right half blue, so that one can see what was cut away."""
    made = Image.new(mode, (width, height), "red")
    made.paste(Image.new(mode, (width - width // 2, height), "blue"), (width // 2, 0))
    file = BytesIO()
    made.save(file, image_format, **options)
    return file.getvalue()


def opened(data: bytes | None) -> Image.Image:
    assert data is not None
    found = Image.open(BytesIO(data))
    found.load()
    return found


def refusal(data: bytes, wanted: Wanted) -> Reason:
    with pytest.raises(CorruptOutput) as caught:
        finish_media(data, wanted)
    return caught.value.reason


def test_what_is_right_already_stays_as_it_is_byte_for_byte() -> None:
    data = picture(640, 360)
    facts = Facts("image/png", len(data), width=640, height=360)
    assert finish_media(data, Wanted("png", 640, 360)) == FinishedMedia(facts, hashlib.sha256(data).hexdigest(), facts)


def test_where_any_size_will_do_it_keeps_its_own() -> None:
    assert finish_media(picture(64, 48), Wanted("png")).data is None
    assert opened(finish_media(picture(64, 48), Wanted("jpeg")).data).size == (64, 48)


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
    found = finish_media(picture(*native), Wanted("png", *asked))
    shown = opened(found.data)
    assert (shown.size, shown.format, found.method) == (asked, "PNG", "crop")
    assert found.crop_share == pytest.approx(crop, abs=0.0005)
    assert found.scale == pytest.approx(scale, abs=0.0005)
    assert (found.native.width, found.native.height) == native
    assert (found.facts.width, found.facts.height, found.facts.size) == (*asked, len(found.data or b""))
    assert found.sha256 == hashlib.sha256(found.data or b"").hexdigest()
    assert shown.getpixel((10, asked[1] // 2)) == (255, 0, 0)
    assert shown.getpixel((asked[0] - 10, asked[1] // 2)) == (0, 0, 255)


@pytest.mark.parametrize(
    ("focus", "boundary"),
    # Red ends at 200 of 400; 100 are kept, with the focus in their middle as far as there is anything beside it.
    [((0.5, 0.5), 50), ((0.45, 0.5), 70), ((0.55, 0.9), 30), ((0.375, 0.0), 100), ((0.0, 0.5), 100), ((1.0, 1.0), 0)],
)
def test_what_is_cut_away_lies_far_from_the_focus(focus: tuple[float, float], boundary: int) -> None:
    shown = opened(finish_media(picture(400, 100), Wanted("png", 100, 100, focus=focus)).data)
    red = sum(shown.getpixel((x, 50)) == (255, 0, 0) for x in range(100))
    assert abs(red - boundary) <= 2


def test_the_focus_counts_from_top_to_bottom_as_well() -> None:
    turned = opened(picture(400, 100)).rotate(-90, expand=True)  # red above, blue below
    file = BytesIO()
    turned.save(file, "png")
    shown = opened(finish_media(file.getvalue(), Wanted("png", 100, 100, focus=(0.5, 0.2))).data)
    assert shown.getpixel((50, 50)) == (255, 0, 0)


def test_a_padded_picture_loses_nothing() -> None:
    found = finish_media(picture(400, 100), Wanted("png", 400, 400, "pad"))
    shown = opened(found.data)
    assert (shown.size, found.method, found.crop_share, found.scale) == ((400, 400), "pad", 0.0, 1.0)
    assert (shown.getpixel((5, 200)), shown.getpixel((395, 200))) == ((255, 0, 0), (0, 0, 255))
    assert shown.getpixel((5, 5)) not in {(255, 0, 0), (0, 0, 255)}


def test_where_only_the_exact_size_will_do_another_is_refused() -> None:
    assert refusal(picture(640, 360), Wanted("png", 641, 360, "exact_only")) is Reason.WRONG_SIZE
    assert finish_media(picture(640, 360), Wanted("webp", 640, 360, "exact_only")).facts.mime == "image/webp"


@pytest.mark.parametrize("came", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("asked", ["png", "jpeg", "webp"])
def test_a_format_becomes_the_asked_one(came: str, asked: str) -> None:
    found = finish_media(picture(64, 64, came), Wanted(asked, 64, 64))
    assert (found.facts.mime, found.native.mime) == (f"image/{asked}", f"image/{came}")
    assert (found.data is None) is (came == asked)
    assert (found.method, found.scale) == ("none", 1.0)
    if found.data is not None:
        assert opened(found.data).format == asked.upper()


def test_transparency_is_kept_where_the_format_has_it_and_stands_on_white_elsewhere() -> None:
    clear = BytesIO()
    Image.new("RGBA", (64, 64), (255, 0, 0, 0)).save(clear, "png")
    kept, flat = (opened(finish_media(clear.getvalue(), Wanted(form, 32, 32)).data) for form in ("png", "jpeg"))
    assert kept.getchannel("A").getpixel((5, 5)) == 0
    assert flat.getpixel((5, 5)) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_every_colour_mode_keeps_its_brightness(mode: str) -> None:
    file = BytesIO()
    made = Image.new("I;16", (40, 30), 32_768) if mode == "I;16" else Image.new("RGB", (40, 30), "white").convert(mode)
    made.save(file, "jpeg" if mode == "CMYK" else "png")
    shown = opened(finish_media(file.getvalue(), Wanted("webp", 20, 15, thumbnail=True)).data).convert("L")
    brightness = shown.getpixel((5, 5))
    assert isinstance(brightness, (int, float))
    assert abs(brightness - (128 if mode == "I;16" else 255)) <= 3


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_photograph_is_cut_as_it_is_seen(turn: int) -> None:
    upright = Image.new("RGB", (40, 80), "blue")
    upright.paste((255, 0, 0), (0, 0, 40, 20))  # red is above
    lying = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    kept = upright.transpose(lying[turn]) if turn in lying else upright
    exif = Image.Exif()
    exif[0x0112] = turn
    file = BytesIO()
    kept.save(file, "jpeg", exif=exif, quality=95)
    found = finish_media(file.getvalue(), Wanted("png", 20, 40))
    shown = opened(found.data)
    red, _, blue = shown.getpixel((10, 4))  # type: ignore[misc]
    assert (red > 200, blue < 60, found.crop_share) == (True, True, 0.0)
    assert (found.native.width, found.native.height) == kept.size


def test_exif_that_cannot_be_read_says_nothing() -> None:
    data = picture(40, 30, "jpeg")
    bad = b"Exif\x00\x00MM\x00*\xff\xff\xff\xff" + bytes(20)
    segment = b"\xff\xe1" + struct.pack(">H", len(bad) + 2) + bad
    assert finish_media(data[:2] + segment + data[2:], Wanted("jpeg", 40, 30)).data is None


def test_a_large_picture_has_a_thumbnail_and_a_small_one_is_its_own() -> None:
    found = finish_media(picture(1280, 720), Wanted("png", 1280, 720, thumbnail=True))
    small = opened(found.thumbnail)
    assert (found.data, small.size, small.format) == (None, (512, 288), "WEBP")
    assert len(found.thumbnail or b"") < 20_000
    red, _, blue = small.convert("RGB").getpixel((20, 100))  # type: ignore[misc]
    assert (red > 230, blue < 25) == (True, True)
    assert finish_media(picture(512, 300), Wanted("png", 512, 300, thumbnail=True)).thumbnail is None
    assert finish_media(picture(1280, 720), Wanted("png", 1280, 720)).thumbnail is None


def test_the_thumbnail_shows_what_was_kept() -> None:
    found = finish_media(picture(2000, 500), Wanted("png", 600, 600, focus=(0.0, 0.5), thumbnail=True))
    small = opened(found.thumbnail).convert("RGB")
    assert small.size == (512, 512)
    assert small.getpixel((500, 100))[0] > 230  # type: ignore[index]


def test_a_very_narrow_picture_has_a_thumbnail_too() -> None:
    assert opened(finish_media(picture(8000, 2), Wanted("png", thumbnail=True)).thumbnail).size == (512, 1)


def test_the_same_picture_becomes_the_same_bytes() -> None:
    wanted = Wanted("webp", 600, 600, thumbnail=True)
    first, second = (finish_media(picture(800, 700), wanted) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("data", [b"", b"<html>", picture(64, 64)[:-40], picture(64, 64, "jpeg")[:-40]])
def test_what_cannot_be_decoded_is_not_finished(data: bytes) -> None:
    with pytest.raises(CorruptOutput):
        finish_media(data, Wanted("png", 32, 32))


def test_more_pixels_than_anybody_asks_for_are_not_made() -> None:
    assert refusal(picture(64, 64), Wanted("png", 20_000, 20_000)) is Reason.TOO_LARGE
    assert refusal(picture(64, 64), Wanted("webp", 20_000, 64)) is Reason.TOO_LARGE


@settings(max_examples=100, deadline=None)
@given(
    st.tuples(*[st.integers(1, 300)] * 4),
    st.sampled_from(["crop", "pad"]),
    st.tuples(*[st.floats(0, 1)] * 2),
    st.booleans(),
)
def test_whatever_comes_the_result_has_exactly_the_asked_size(
    edges: tuple[int, int, int, int], fit: Any, focus: tuple[float, float], tileable: bool
) -> None:
    wanted = Wanted("png", *edges[2:], fit=fit, focus=focus, tileable=tileable)
    found = finish_media(picture(*edges[:2]), wanted)
    assert opened(found.data if found.data is not None else picture(*edges[:2])).size == edges[2:]
    assert 0 <= found.crop_share < 1
