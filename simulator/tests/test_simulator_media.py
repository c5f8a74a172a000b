"""Bytes are real, exact, and the same for the same output."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from io import BytesIO
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from PIL import Image

from simulator.generation import Output
from simulator.media import made, sounds
from simulator.media.images import picture, stamped
from simulator.media.models import model
from simulator.media.sounds import sound
from simulator.media.videos import video

OUTPUTS = [
    picture(320, 200, mime="image/png", seed=1),
    picture(320, 200, mime="image/jpeg", seed=1),
    picture(320, 200, mime="image/webp", seed=1, transparent=True),
    sound(1.5, mime="audio/mpeg", seed=1),
    sound(1.5, mime="audio/wav", seed=1),
    sound(1.5, mime="audio/flac", seed=1, channels=1),
    model(5000, seed=1),
    video(320, 180, 1.5, seed=1),
]


@pytest.mark.parametrize("output", OUTPUTS, ids=lambda output: output.mime)
def test_the_same_output_is_the_same_bytes_and_another_seed_gives_others(output: Output) -> None:
    assert made(output) == made(output) != made(replace(output, seed=2))


@pytest.mark.parametrize(("mime", "pillow"), [("image/png", "PNG"), ("image/jpeg", "JPEG"), ("image/webp", "WEBP")])
@pytest.mark.parametrize("size", [(64, 64), (1200, 480), (333, 777)])
def test_a_picture_is_exactly_so_large(mime: str, pillow: str, size: tuple[int, int]) -> None:
    for data in (made(picture(*size, mime=mime, seed=5)), stamped(made(picture(*size, mime=mime, seed=5)), mime, 99)):
        found = Image.open(BytesIO(data))
        found.load()
        assert (found.size, found.format) == (size, pillow)


def test_a_transparent_picture_has_a_background_that_is_not_there() -> None:
    alpha = Image.open(BytesIO(made(picture(200, 200, mime="image/png", seed=5, transparent=True)))).getchannel("A")
    assert alpha.getextrema() == (0, 255)


@pytest.mark.parametrize("mime", ["audio/mpeg", "audio/wav", "audio/flac"])
@pytest.mark.parametrize("seconds", [0.5, 3.0, 30.04])
def test_a_sound_lasts_exactly_so_long(mime: str, seconds: float) -> None:
    data, rate = soundfile.read(BytesIO(made(sound(seconds, mime=mime, seed=5))))
    # MP3 comes in frames of 1152 samples.
    assert abs(len(data) / rate - seconds) <= (0.03 if mime == "audio/mpeg" else 1 / rate)
    assert (rate, data.shape[1]) == (44_100, 2)
    assert 0.05 < np.abs(data).max() <= 1


@pytest.mark.parametrize("mime", ["audio/mpeg", "audio/wav", "audio/flac"])
def test_a_stamped_sound_is_heard_the_same_and_has_bytes_of_its_own(mime: str) -> None:
    plain = made(sound(3.0, mime=mime, seed=5))
    stamps = [sounds.stamped(plain, mime, seed) for seed in (7, 77)]
    assert len({plain, *stamps}) == 3
    heard = [soundfile.read(BytesIO(data))[0] for data in (plain, *stamps)]
    assert all((each == heard[0]).all() for each in heard)
    for data in stamps:
        with av.open(BytesIO(data), "r") as file:
            assert sum(frame.samples for frame in file.decode(audio=0)) == pytest.approx(3 * 44_100, abs=1152 * 2)


@pytest.mark.parametrize("size", [(320, 180), (180, 320), (1280, 720)])
@pytest.mark.parametrize("seconds", [1.5, 4])
def test_a_video_has_exactly_so_many_frames_and_its_sound_lasts_as_long(size: tuple[int, int], seconds: float) -> None:
    with av.open(BytesIO(made(video(*size, seconds, seed=5))), "r") as file:
        pictures, heard = file.streams.video[0], file.streams.audio[0]
        assert (pictures.codec_context.name, heard.codec_context.name) == ("h264", "aac")
        assert (pictures.width, pictures.height) == size
        assert pictures.average_rate == 24
        assert (file.duration or 0) / av.time_base == seconds
        assert float((heard.duration or 0) * (heard.time_base or 0)) == pytest.approx(seconds, abs=0.001)
        frames = [frame.to_ndarray() for frame in file.decode(video=0)]
    assert len(frames) == round(seconds * 24)
    assert (frames[0] != frames[-1]).any()


def test_a_video_may_be_silent() -> None:
    with av.open(BytesIO(made(video(320, 180, 1, seed=5, audible=False))), "r") as file:
        assert not file.streams.audio


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: data[:9_000] + data[:9_000]])
def test_half_a_video_cannot_be_read(damage: Any) -> None:
    data = made(video(320, 180, 4, seed=5))
    with pytest.raises(av.InvalidDataError), av.open(BytesIO(damage(data)), "r") as file:
        list(file.decode(video=0))


def glb(data: bytes) -> tuple[Any, bytes]:
    """The document and the binary part; the header must be true."""
    magic, version, size = struct.unpack_from("<4sII", data)
    assert (magic, version, size) == (b"glTF", 2, len(data))
    (length,) = struct.unpack_from("<I", data, 12)
    return json.loads(data[20 : 20 + length]), data[28 + length :]


@pytest.mark.parametrize("triangles", [100, 5000, 40_000])
def test_a_model_has_about_so_many_triangles_and_three_maps(triangles: int) -> None:
    document, binary = glb(made(model(triangles, seed=5)))
    indices = document["accessors"][3]
    assert abs(indices["count"] / 3 - triangles) < 0.1 * triangles
    view = document["bufferViews"][3]
    found = np.frombuffer(binary, np.uint32, indices["count"], view["byteOffset"])
    assert found.max() == document["accessors"][0]["count"] - 1
    material = document["materials"][0]
    assert {"baseColorTexture", "metallicRoughnessTexture"} <= set(material["pbrMetallicRoughness"])
    assert "normalTexture" in material
    for image in document["images"]:
        view = document["bufferViews"][image["bufferView"]]
        Image.open(BytesIO(binary[view["byteOffset"] : view["byteOffset"] + view["byteLength"]])).load()


def test_a_model_may_have_too_many_triangles_or_too_few_maps() -> None:
    wanted = model(5000, seed=5)
    many, _ = glb(made(replace(wanted, params={**wanted.params, "too_many_tris": True})))
    bare, _ = glb(made(replace(wanted, params={**wanted.params, "no_pbr": True})))
    assert many["accessors"][3]["count"] / 3 > 30_000
    assert (len(bare["images"]), "normalTexture" in bare["materials"][0]) == (1, False)
