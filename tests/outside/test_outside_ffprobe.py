"""ffprobe reads every video and every sound that the system makes, and agrees with what the API says of it."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest

from tests.outside.made import Made, orders
from tests.outside.tools import ffprobe

pytestmark = [pytest.mark.outside, pytest.mark.timeout(480)]

CONTAINERS = {
    "video/mp4": "mov,mp4,m4a,3gp,3g2,mj2",
    "video/webm": "matroska,webm",
    "audio/wav": "wav",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg",
    "audio/flac": "flac",
}
# What every browser plays.
CODECS = {
    "video/mp4": {"h264"},
    "video/webm": {"vp9", "av1"},
    "audio/wav": {"pcm_s16le"},
    "audio/mpeg": {"mp3"},
    "audio/ogg": {"vorbis", "opus"},
    "audio/flac": {"flac"},
}
API_ROUNDS_TO = 0.0005
"""The API tells seconds with three decimals."""


def named(*kinds: str) -> list[str]:
    return [name for name, body in orders().items() if body["kind"] in kinds]


@pytest.mark.parametrize("name", named("video"))
def test_a_video_has_the_codec_size_frames_and_length_that_it_is_said_to_have(name: str, made: Made) -> None:
    asked, told, path = orders()[name], made.output(name), made.file(name)
    found = ffprobe(path, "-count_frames", "-show_streams", "-show_format")
    pictures = track(found, "video")
    rate = Fraction(pictures["avg_frame_rate"])

    assert found["format"]["format_name"] == CONTAINERS[told["mime"]]
    assert pictures["codec_name"] in CODECS[told["mime"]]
    assert pictures["pix_fmt"] == "yuv420p"
    assert (
        (pictures["width"], pictures["height"]) == (told["width"], told["height"]) == (asked["width"], asked["height"])
    )
    assert int(pictures["nb_read_frames"]) == round(Fraction(str(asked["duration_seconds"])) * rate)
    assert told["duration_seconds"] == pytest.approx(asked["duration_seconds"], abs=API_ROUNDS_TO)
    assert float(found["format"]["duration"]) == pytest.approx(asked["duration_seconds"], abs=float(1 / rate / 2))
    assert int(found["format"]["size"]) == told["file_size"]
    assert told["flags"] == []


@pytest.mark.parametrize("name", named("video"))
def test_the_frames_of_a_video_stand_at_even_distances_from_its_beginning_to_its_end(name: str, made: Made) -> None:
    found = ffprobe(made.file(name), "-select_streams", "v", "-show_entries", "frame=pts_time:stream=avg_frame_rate")
    step = float(1 / Fraction(found["streams"][0]["avg_frame_rate"]))
    times = [float(frame["pts_time"]) for frame in found["frames"]]

    assert times[0] == 0
    # Containers count time in whole ticks, of a millisecond at the longest.
    assert all(after - before == pytest.approx(step, abs=0.00101) for before, after in pairwise(times))
    assert times[-1] + step == pytest.approx(orders()[name]["duration_seconds"], abs=0.00101)


@pytest.mark.parametrize("name", named("sfx", "music"))
def test_a_sound_has_the_codec_samples_and_length_that_it_is_said_to_have(name: str, made: Made) -> None:
    asked, told, path = orders()[name], made.output(name), made.file(name)
    found = ffprobe(path, "-show_entries", "format:stream:frame=nb_samples")
    heard = track(found, "audio")
    samples, rate = sum(frame["nb_samples"] for frame in found["frames"]), int(heard["sample_rate"])

    assert found["format"]["format_name"] == CONTAINERS[told["mime"]]
    assert heard["codec_name"] in CODECS[told["mime"]]
    assert samples == round(asked["duration_seconds"] * rate)
    assert told["duration_seconds"] == pytest.approx(samples / rate, abs=API_ROUNDS_TO)
    assert int(found["format"]["size"]) == told["file_size"]
    assert told["flags"] == []


def size_of(picture: dict[str, Any]) -> tuple[int, int]:
    return picture["width"], picture["height"]


def track(found: dict[str, Any], kind: str) -> dict[str, Any]:
    """The one track of a kind; there is nothing else beside it that a player could take for it."""
    [only] = [stream for stream in found["streams"] if stream["codec_type"] == kind]
    return dict(only)
