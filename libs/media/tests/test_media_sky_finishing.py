"""Environment maps: once around without a seam, in light beyond white, in the format that was asked for."""

from __future__ import annotations

import hashlib
import struct
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import OpenEXR
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from media import CorruptOutput, FinishedMedia, Reason, Wanted, check_media, finish_media
from media.light import encoded, light_of_sky, scaled, shown
from media.seams import MOST_SEAM_RATIO
from media.sky_finishing import sky_seam
from media.tests.media_files import exr, flat_hdr, hdr

Array = npt.NDArray[np.float32]
MIMES = {"exr": "image/x-exr", "hdr": "image/vnd.radiance"}


def sky(width: int = 256, *, sun: float = 500.0, slope: float = 0.0) -> Array:
    """A blue sky over a brown ground and a sun; with a slope the left edge is darker than the right one."""
    height = width // 2
    down, across = np.mgrid[0:height, 0:width].astype(np.float32)
    around = 1 + 0.3 * np.sin(across * (2 * np.pi / width)) + slope * across / width
    light: Array = np.where((down < height / 2)[:, :, None], [0.3, 0.6, 1.4], [0.25, 0.15, 0.08]).astype(np.float32)
    light *= around[:, :, None]
    light[height // 6 : height // 6 + 4, width // 3 : width // 3 + 4] = sun
    return light


def saved(light: Array, form: str) -> bytes:
    return encoded((light[:, :, 0], light[:, :, 1], light[:, :, 2]), form)


def by_openexr(data: bytes) -> Array:
    """What the reference implementation of the format reads."""
    with OpenEXR.File(BytesIO(data)) as file:
        pixels: Array = np.asarray(file.channels()["RGB"].pixels, np.float32)
    return pixels


def by_radiance(data: bytes) -> Array:
    """What a reader of Radiance files in our tests reads: new run-length encoding, as Three.js does."""
    head, _, rest = data.partition(b"\n\n")
    assert head.startswith(b"#?RADIANCE\n")
    assert b"FORMAT=32-bit_rle_rgbe" in head
    size, _, body = rest.partition(b"\n")
    y, height, x, width = size.split()
    assert (y, x) == (b"-Y", b"+X")
    shape = (int(height), 4, int(width))
    rows, at = np.zeros(shape, np.uint8), 0
    for row in rows:
        assert body[at : at + 4] == bytes((2, 2, shape[2] >> 8, shape[2] & 255))
        at += 4
        for channel in row:
            filled = 0
            while filled < shape[2]:
                count = body[at]
                if count > 128:
                    channel[filled : filled + count - 128] = body[at + 1]
                    at, filled = at + 2, filled + count - 128
                else:
                    channel[filled : filled + count] = np.frombuffer(body, np.uint8, count, at + 1)
                    at, filled = at + 1 + count, filled + count
    assert at == len(body)
    scale = np.ldexp(1.0, rows[:, 3].astype(np.int32) - 136)[:, None]
    return np.moveaxis(rows[:, :3] * scale, 1, 2).astype(np.float32)


READERS = {"exr": by_openexr, "hdr": by_radiance}


def read(found: FinishedMedia, form: str) -> Array:
    assert found.data is not None
    return READERS[form](found.data)


def refusal(data: bytes, wanted: Wanted) -> Reason:
    with pytest.raises(CorruptOutput) as caught:
        finish_media(data, wanted)
    return caught.value.reason


def picture(light: Array) -> bytes:
    file = BytesIO()
    Image.fromarray((np.clip(light, 0, 1) * 255).astype(np.uint8)).save(file, "png")
    return file.getvalue()


@pytest.mark.parametrize("form", MIMES)
def test_a_sky_that_is_right_already_stays_byte_for_byte(form: str) -> None:
    data = saved(sky(), form)
    found = finish_media(data, Wanted(form, 256, 128))
    assert (found.data, found.sha256, found.from_ldr) == (None, hashlib.sha256(data).hexdigest(), False)
    assert (found.facts.mime, found.facts.width, found.facts.height) == (MIMES[form], 256, 128)


@pytest.mark.parametrize("came", MIMES)
@pytest.mark.parametrize("asked", MIMES)
@pytest.mark.parametrize("width", [128, 256, 640])
def test_a_sky_becomes_the_asked_size_and_format_with_its_light(came: str, asked: str, width: int) -> None:
    found = finish_media(saved(sky(), came), Wanted(asked, width, width // 2))
    if came == asked and width == 256:
        assert found.data is None
        return
    made = read(found, asked)
    assert made.shape == (width // 2, width, 3)
    assert check_media(found.data or b"") == found.facts
    assert found.scale == width / 256
    assert made.max() > (50 if width == 128 else 400)
    assert made.mean(axis=(0, 1)) == pytest.approx(sky().mean(axis=(0, 1)), rel=0.02)


def test_an_exr_is_half_floats_in_zipped_scan_lines_of_three_channels() -> None:
    with OpenEXR.File(BytesIO(saved(sky(), "exr")), separate_channels=True) as file:
        assert file.header()["compression"] == OpenEXR.ZIP_COMPRESSION
        assert file.header()["type"] == OpenEXR.scanlineimage
        kinds = {name: str(channel.pixels.dtype) for name, channel in file.channels().items()}
    assert kinds == dict.fromkeys("RGB", "float16")


def test_an_hdr_is_read_as_it_was_written_within_its_eight_bits() -> None:
    found = by_radiance(saved(sky(), "hdr"))
    assert np.abs(found - sky()).max(axis=2) == pytest.approx(0, abs=500 / 128)
    assert (np.abs(found - sky()).max(axis=2) <= sky().max(axis=2) / 127).all()


@pytest.mark.parametrize("form", MIMES)
def test_a_sky_with_a_seam_is_mended_and_its_middle_stays(form: str) -> None:
    came = sky(slope=1.5)
    found = finish_media(saved(came, form), Wanted(form, 256, 128))
    made = read(found, form)
    before, after = (sky_seam((one[:, :, 0], one[:, :, 1], one[:, :, 2])) for one in (came, made))
    assert before > 5
    assert after <= MOST_SEAM_RATIO
    assert np.abs(np.log1p(made[:, 120:136]) - np.log1p(came[:, 120:136])).mean() < 0.05
    assert made.max() > 300


def test_the_sky_above_is_not_mixed_with_the_ground_below() -> None:
    came = sky(slope=1.5)
    came[64:, :] = came[64:, :1]  # a ground without a seam
    made = read(finish_media(saved(came, "exr"), Wanted("exr", 256, 128)), "exr")
    assert np.abs(made[-16:] / came[-16:] - 1).max() < 0.1


def test_a_sky_is_scaled_over_its_edge() -> None:
    turned = np.roll(sky(), -86, axis=1)  # its sun is cut by the edge
    for width in (128, 512):
        one, other = (scaled(tuple(np.moveaxis(came, 2, 0)), (width, width // 2))[0] for came in (sky(), turned))
        assert np.abs(np.roll(one, -86 * width // 256, axis=1) / other - 1).max() < 0.0001


@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("asked", MIMES)
def test_a_picture_becomes_the_light_that_it_stands_for_and_says_so(form: str, asked: str) -> None:
    file = BytesIO()
    Image.new("RGB", (128, 64), (188, 188, 188)).save(file, form)
    found = finish_media(file.getvalue(), Wanted(asked, 256, 128))
    assert found.from_ldr
    assert (found.native.mime, found.facts.mime, found.scale) == (f"image/{form}", MIMES[asked], 2.0)
    assert read(found, asked) == pytest.approx(0.5029, rel=0.02)  # what sRGB says of 188


def test_light_is_never_negative_nor_more_than_a_half_float() -> None:
    came = sky()
    came[10, 10], came[11, 11], came[12, 12] = -1.0, np.inf, 1e9
    found = finish_media(exr_of(came), Wanted("exr", 256, 128))
    made = read(found, "exr")
    assert (made.min(), made.max(), made[10, 10, 0]) == (0.0, 65_504.0, 0.0)
    assert np.isfinite(made).all()


def exr_of(light: Array) -> bytes:
    """As the reference implementation writes it, in whole floats."""
    file = BytesIO()
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with OpenEXR.File(header, {"RGB": light}) as made:
        made.write(file)
    return file.getvalue()


def test_a_value_that_is_no_number_and_a_sky_without_light_are_refused() -> None:
    came = sky()
    came[10, 10, 1] = np.nan
    assert refusal(exr_of(came), Wanted("exr", 256, 128)) is Reason.UNDECODABLE
    assert refusal(exr_of(sky() * 0), Wanted("exr", 256, 128)) is Reason.SILENT
    assert refusal(picture(sky() * 0), Wanted("hdr", 256, 128)) is Reason.SILENT


@pytest.mark.parametrize(
    "wanted",
    [Wanted("exr", 256, 128, "exact_only"), Wanted("hdr", 300, 100), Wanted("exr", 40_000, 20_000)],
)
def test_what_cannot_be_made_is_refused(wanted: Wanted) -> None:
    assert refusal(saved(sky(128), "exr"), wanted) in {Reason.WRONG_SIZE, Reason.TOO_LARGE}


@pytest.mark.parametrize("shape", [(128, 128), (100, 256), (64, 256)])
def test_what_does_not_go_once_around_is_no_sky(shape: tuple[int, int]) -> None:
    light = np.ones((*shape, 3), np.float32)
    for data in (saved(light, "exr"), saved(light, "hdr"), picture(light)):
        assert refusal(data, Wanted("exr", 256, 128)) is Reason.WRONG_SIZE


def test_a_sky_in_grey_and_one_with_transparency_are_skies() -> None:
    grey = finish_media(exr(64, 32, format="float"), Wanted("exr", 64, 32, thumbnail=True))
    assert grey.facts.width == 64
    file = BytesIO()
    with OpenEXR.File({}, {"Y": sky()[:, :, 0].copy()}) as made:
        made.write(file)
    assert read(finish_media(file.getvalue(), Wanted("hdr", 256, 128)), "hdr").shape == (128, 256, 3)
    file = BytesIO()
    with OpenEXR.File({}, {"RGBA": np.dstack((sky(), np.ones((128, 256), np.float32)))}) as made:
        made.write(file)
    assert read(finish_media(file.getvalue(), Wanted("hdr", 256, 128)), "hdr").max() > 400


def test_rows_that_are_not_run_length_encoded_are_read_as_well() -> None:
    found = finish_media(flat_hdr(64, 32), Wanted("exr", 64, 32))
    assert read(found, "exr")[5, 5] == pytest.approx([100 / 128, 120 / 128, 90 / 128], rel=0.01)


@pytest.mark.parametrize("sun", [3.0, 50_000.0])
@pytest.mark.parametrize("exposure", [0.01, 1.0, 80.0])
def test_the_thumbnail_shows_sky_and_ground_however_bright_they_are(sun: float, exposure: float) -> None:
    light = np.minimum(sky(1024, sun=sun) * exposure, 60_000)
    small = finish_media(saved(light, "exr"), Wanted("exr", 1024, 512, thumbnail=True)).thumbnail
    seen = Image.open(BytesIO(small or b"")).convert("RGB")
    assert seen.size == (512, 256)
    above, below = (np.asarray(seen.crop(box)).mean(axis=(0, 1)) for box in ((300, 5, 500, 60), (300, 200, 500, 250)))
    assert above[2] > above[0] + 20  # blue
    assert below[0] > below[2] + 10  # brown
    assert above.mean() > below.mean() + 30
    assert 40 < np.asarray(seen).mean() < 215


def test_a_small_sky_has_a_thumbnail_too_because_nobody_else_shows_it() -> None:
    small = finish_media(hdr(), Wanted("hdr", 64, 32, thumbnail=True)).thumbnail
    assert Image.open(BytesIO(small or b"")).size == (64, 32)


@pytest.mark.parametrize("data", [exr(), hdr(), flat_hdr(64, 32)])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 0.99])
def test_a_sky_that_is_cut_off_is_not_finished(data: bytes, share: float) -> None:
    assert refusal(data[: int(len(data) * share)], Wanted("exr", 64, 32)) in {Reason.CUT_OFF, Reason.UNDECODABLE}


def test_a_sky_that_lies_about_its_size_is_not_decoded() -> None:
    data = bytearray(exr())
    for name in (b"dataWindow\x00box2i\x00", b"displayWindow\x00box2i\x00"):
        at = data.index(name) + len(name) + 4
        data[at : at + 16] = struct.pack("<4i", 0, 0, 99_999, 49_999)
    assert refusal(bytes(data), Wanted("exr", 64, 32)) is Reason.TOO_LARGE
    assert refusal(flat_hdr(2, 1).replace(b"-Y 1 +X 2", b"-Y 49999 +X 99998"), Wanted("hdr")) is Reason.TOO_LARGE


def test_two_megabytes_that_are_a_huge_sky_are_not_decoded() -> None:
    row = bytes((2, 2, 8192 >> 8, 0)) + (bytes((0xFF, 120)) * 64 + bytes((0xC0, 120))) * 4
    head = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 4096 +X 8192\n"
    assert refusal(head + row * 4096, Wanted("hdr", 1024, 512)) is Reason.TOO_LARGE


def test_the_same_sky_becomes_the_same_bytes() -> None:
    wanted = Wanted("hdr", 128, 64, thumbnail=True)
    assert finish_media(saved(sky(), "exr"), wanted) == finish_media(saved(sky(), "exr"), wanted)


def test_light_is_the_same_after_it_was_written_and_read() -> None:
    planes = light_of_sky(saved(sky(), "exr"), MIMES["exr"], (256, 128))
    assert np.stack(planes, axis=2) == pytest.approx(sky(), rel=0.001)
    assert shown(planes).size == (256, 128)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([exr(), hdr(), exr(compression="zip16")]), st.data())
def test_whatever_is_changed_it_is_a_sky_or_a_named_refusal(whole: bytes, draw: st.DataObject) -> None:
    data = bytearray(whole)
    for _ in range(draw.draw(st.integers(1, 8))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    try:
        found: Any = finish_media(bytes(data), Wanted("exr", 64, 32, thumbnail=True))
    except CorruptOutput:
        return
    made = found.data or bytes(data)
    assert np.isfinite(light_of_sky(made, MIMES["exr"], (64, 32))).all()
