"""Which bytes pass as a picture, and why the others do not."""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from media import CorruptOutput, Facts, Probe, Reason, Wanted, check_media, finish_media, probe

FORMATS = ["png", "jpeg", "webp"]


def picture(width: int, height: int, image_format: str = "png", mode: str = "RGB", **options: Any) -> bytes:
    image = Image.linear_gradient("L").resize((width, height)).convert(mode)
    file = BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def declared_png(width: int, height: int) -> bytes:
    """A few bytes that claim to be so large."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(bytes(1000))) + png_chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("turn", "shown"), [(1, (40, 30)), (3, (40, 30)), (6, (30, 40)), (8, (30, 40)), (99, (40, 30))]
)
def test_a_picture_that_lies_on_its_side_is_as_large_as_it_is_shown(turn: int, shown: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    facts = check_media(picture(40, 30, "jpeg", exif=exif))
    assert (facts.width, facts.height) == shown


def refusal(data: bytes) -> CorruptOutput:
    """Why it is refused, whether it is looked at or made to fit."""
    with pytest.raises(CorruptOutput) as caught:
        check_media(data)
    assert caught.value.code == "CORRUPT_OUTPUT"
    with pytest.raises(CorruptOutput):
        finish_media(data, Wanted("png", 40, 30))
    return caught.value


@pytest.mark.parametrize("image_format", FORMATS)
@pytest.mark.parametrize("from_file", [False, True])
def test_a_whole_picture_passes_with_its_facts(image_format: str, from_file: bool, tmp_path: Path) -> None:
    data = picture(40, 30, image_format)
    source: bytes | Path = data
    if from_file:
        source = tmp_path / "picture"
        source.write_bytes(data)
    assert check_media(source) == Facts(f"image/{image_format}", len(data), width=40, height=30)
    assert probe(source) == Probe(image_format, 40, 30)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(FORMATS), st.integers(1, 300), st.integers(1, 300), st.booleans())
def test_the_header_says_what_the_decoder_finds(image_format: str, width: int, height: int, variant: bool) -> None:
    options: dict[str, dict[str, Any]] = {
        "png": {},
        "jpeg": {"progressive": variant},
        "webp": {"lossless": variant, "exif": b"x" * 9 * variant},
    }
    data = picture(width, height, image_format, **options[image_format])
    assert probe(data) == Probe(image_format, width, height)
    found = check_media(data)
    assert (found.width, found.height, found.size) == (width, height, len(data))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "I;16"])
def test_every_colour_mode_of_png_passes(mode: str) -> None:
    file = BytesIO()
    Image.new(mode, (40, 30)).save(file, "png")
    assert check_media(file.getvalue()).width == 40


def test_a_jpeg_with_long_metadata_is_still_measured() -> None:
    data = picture(40, 30, "jpeg")
    segment = b"\xff\xe2" + struct.pack(">H", 65535) + bytes(65533)
    assert probe(data[:2] + segment * 20 + data[2:]) == Probe("jpeg", 40, 30)


@pytest.mark.parametrize(
    ("data", "reason", "words"),
    [
        (b"", Reason.EMPTY, "zero bytes"),
        (b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>", Reason.NOT_MEDIA, "HTML"),
        (b'\n {"error": "expired"}', Reason.NOT_MEDIA, "JSON"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", Reason.NOT_MEDIA, "XML"),
        (b"GIF89a" + bytes(40), Reason.WRONG_FORMAT, "gif"),
        (b"%PDF-1.7", Reason.NOT_MEDIA, "PDF"),
        (b"\x00\x01\x02", Reason.NOT_MEDIA, "unknown"),
        (b"\x89PNG\r\n\x1a\n", Reason.UNDECODABLE, "header"),
        (b"\xff\xd8\xff", Reason.UNDECODABLE, "header"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", Reason.UNDECODABLE, ""),
        (declared_png(0, 30), Reason.UNDECODABLE, "0x30"),
    ],
)
def test_what_is_no_picture_is_refused_in_words(data: bytes, reason: Reason, words: str) -> None:
    error = refusal(data)
    assert error.reason is reason
    assert words in str(error)


@pytest.mark.parametrize("image_format", FORMATS)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.99])
def test_a_truncated_picture_is_refused(image_format: str, share: float) -> None:
    noise = Image.effect_noise((300, 200), 90).convert("RGB")
    file = BytesIO()
    noise.save(file, image_format)
    data = file.getvalue()[: int(len(file.getvalue()) * share)]
    assert refusal(data).reason in {Reason.UNDECODABLE, Reason.CUT_OFF}


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_no_flipped_bit_of_a_png_goes_unnoticed(data: st.DataObject) -> None:
    whole = picture(40, 30)
    at = data.draw(st.integers(0, len(whole) * 8 - 1))
    flipped = bytearray(whole)
    flipped[at // 8] ^= 1 << at % 8
    refusal(bytes(flipped))


@pytest.mark.parametrize(("width", "height"), [(30_000, 30_000), (2**31 - 1, 2**31 - 1), (40_000_001, 1)])
def test_a_bomb_is_refused_by_its_header(width: int, height: int) -> None:
    error = refusal(declared_png(width, height))
    assert error.reason is Reason.TOO_LARGE
    with pytest.raises(CorruptOutput):
        probe(declared_png(width, height))


def test_a_header_that_the_pixels_contradict_is_refused() -> None:
    assert refusal(declared_png(4000, 4000)).reason is Reason.UNDECODABLE


def test_more_bytes_than_allowed_are_not_decoded(tmp_path: Path) -> None:
    path = tmp_path / "picture"
    path.write_bytes(picture(40, 30))
    with pytest.raises(CorruptOutput) as caught:
        check_media(path, max_bytes=50)
    assert caught.value.reason is Reason.TOO_LARGE


@pytest.mark.parametrize("image_format", ["png", "webp"])
def test_an_animation_is_not_a_picture(image_format: str) -> None:
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "blue")]
    file = BytesIO()
    frames[0].save(file, image_format, save_all=True, append_images=frames[1:])
    assert refusal(file.getvalue()).reason is Reason.ANIMATED


@pytest.mark.parametrize("image_format", FORMATS)
def test_a_little_padding_with_zeros_is_tolerated_and_nothing_else_behind_the_end(image_format: str) -> None:
    data = picture(40, 30, image_format)
    found = check_media(data + bytes(4096))
    assert (found.mime, found.size) == (f"image/{image_format}", len(data) + 4096)
    for tail in (b"<script>alert(1)</script>", b"x", bytes(4097)):
        with pytest.raises(CorruptOutput) as caught:
            check_media(data + tail)
        assert caught.value.reason is Reason.MIXED
        assert finish_media(data + tail, Wanted(image_format)).data == data


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF1234WEBP", b""]), st.binary(max_size=200))
def test_whatever_comes_it_is_media_or_a_named_refusal(magic: bytes, rest: bytes) -> None:
    with suppress(CorruptOutput):
        assert check_media(magic + rest).size == len(magic + rest)


def test_a_file_that_is_not_there_is_no_fault_of_the_picture(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        check_media(tmp_path / "nothing")
