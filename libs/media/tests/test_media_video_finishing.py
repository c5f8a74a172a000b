"""What becomes of a provider's video: its size, its frames, its sound, its end; and what is refused."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from fractions import Fraction
from io import BytesIO

import av
import numpy as np
import pytest
from PIL import Image

from media import Checker, CorruptOutput, FinishedMedia, Reason, Wanted, check_media
from media.tests.media_files import png, sound, sound_as_mp4
from media.tests.moving_pictures import (
    SOUND_RATE,
    Pixels,
    codecs,
    film,
    heard,
    numbered,
    numbers,
    shown,
    tone,
    wandering,
)
from media.video_finishing import MOST_LOOP_SEAM, finish_video, loop_seam

MP4 = Wanted("mp4", 128, 72, duration_s=2.0)
TWO_SECONDS = film(numbered(), 48)


def bytes_of(found: FinishedMedia) -> bytes:
    assert found.data is not None
    return found.data


def refusal(data: bytes, wanted: Wanted) -> CorruptOutput:
    with pytest.raises(CorruptOutput) as caught:
        finish_video(data, wanted)
    return caught.value


def two_colours(width: int, height: int) -> Pixels:
    """Red on the left third, blue beside it."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, : width // 3, 0] = 200
    picture[:, width // 3 :, 2] = 200
    return picture


def test_what_is_right_already_stays_as_it_is_byte_for_byte() -> None:
    found = finish_video(TWO_SECONDS, MP4)
    assert found.data is None
    assert found.sha256 == hashlib.sha256(TWO_SECONDS).hexdigest()
    assert found.facts == found.native == check_media(TWO_SECONDS)
    assert (found.method, found.scale, found.crop_share, found.length_adjusted) == ("none", 1.0, 0.0, False)


@pytest.mark.parametrize("fps", [24, 25, 30, Fraction(30_000, 1001), 16])
@pytest.mark.parametrize("form", ["mp4", "webm"])
def test_a_longer_one_is_cut_to_the_frame(form: str, fps: Fraction | int) -> None:
    data = film(numbered(), 90, fps=fps, form=form)
    found = finish_video(data, Wanted(form, duration_s=1.5))
    assert numbers(bytes_of(found)) == list(range(round(1.5 * fps)))
    assert found.length_adjusted
    assert found.facts == replace(check_media(bytes_of(found)), fps=found.facts.fps, duration_s=found.facts.duration_s)
    assert found.facts.duration_s == pytest.approx(round(1.5 * fps) / float(fps), abs=0.001)
    assert check_media(bytes_of(found)).duration_s == pytest.approx(found.facts.duration_s, abs=0.002)


@pytest.mark.parametrize(("seconds", "is_adjusted"), [(1.0, False), (1.5, False), (1.51, True)])
def test_a_length_that_no_number_of_frames_has_is_said(seconds: float, is_adjusted: bool) -> None:
    data = film(numbered(), round(seconds * 24))
    assert finish_video(data, replace(MP4, duration_s=seconds)).length_adjusted is is_adjusted


def test_one_that_is_a_little_too_short_stands_still_at_its_end() -> None:
    found = finish_video(film(numbered(), 43), MP4)
    assert numbers(bytes_of(found)) == [*range(43), *[42] * 5]
    assert found.length_adjusted


def test_one_that_is_shorter_is_refused_and_both_lengths_are_said() -> None:
    error = refusal(film(numbered(), 41), MP4)
    assert error.reason is Reason.WRONG_LENGTH
    assert "1.71 s" in str(error)
    assert "2 s" in str(error)


def test_frames_that_come_when_they_like_are_shown_at_a_steady_pace() -> None:
    times = [0, 30, 200, 240, 500, 540, 700, 860, 900, 1000]
    data = film(numbered(), len(times), fps=9, times=times)
    found = finish_video(data, Wanted("mp4", duration_s=1.0))
    assert (found.facts.fps, numbers(bytes_of(found))) == (9.0, [1, 1, 3, 3, 4, 5, 6, 6, 8])


@pytest.mark.parametrize(
    ("native", "asked", "crop", "scale"),
    [((192, 108), (128, 72), 0.0, 0.6667), ((192, 108), (72, 72), 0.4375, 0.6667), ((96, 96), (192, 108), 0.4375, 2.0)],
)
def test_another_size_is_scaled_until_it_covers_the_asked_one_and_cut_to_it(
    native: tuple[int, int], asked: tuple[int, int], crop: float, scale: float
) -> None:
    found = finish_video(film(numbered(*native), 12), Wanted("mp4", *asked))
    assert {frame.shape for frame in shown(bytes_of(found))} == {(asked[1], asked[0], 3)}
    assert (found.facts.width, found.facts.height, found.facts.frames) == (*asked, 12)
    assert (found.native.width, found.native.height, found.method) == (*native, "crop")
    assert found.crop_share == pytest.approx(crop, abs=0.01)
    assert found.scale == pytest.approx(scale, abs=0.001)
    assert not found.length_adjusted


@pytest.mark.parametrize(("focus", "red"), [((0.0, 0.5), 1.0), ((1.0, 0.5), 0.0), ((0.5, 0.5), 0.0)])
def test_a_crop_keeps_the_focus(focus: tuple[float, float], red: float) -> None:
    data = film(lambda _: two_colours(180, 60), 6)
    frame = next(shown(bytes_of(finish_video(data, Wanted("mp4", 60, 60, focus=focus)))))
    assert np.mean(frame[:, 2:-2, 0] > frame[:, 2:-2, 2]) == pytest.approx(red, abs=0.05)


def test_a_padded_video_loses_nothing_and_its_plain_edges_go_on() -> None:
    found = finish_video(film(lambda _: two_colours(96, 48), 6), Wanted("mp4", 96, 96, fit="pad"))
    frame = next(shown(bytes_of(found)))
    assert (found.method, found.crop_share, frame.shape) == ("pad", 0.0, (96, 96, 3))
    assert frame[48, 4, 0] > 150 < frame[48, 90, 2]
    assert frame[4].max() < 30


def test_a_padded_video_stands_on_the_colour_of_its_edges_where_they_have_one() -> None:
    def drawn(_: int) -> Pixels:
        picture = np.full((48, 96, 3), (30, 140, 60), np.uint8)
        picture[12:36, 30:60] = 255
        return picture

    frame = next(shown(bytes_of(finish_video(film(drawn, 6), Wanted("mp4", 96, 96, fit="pad")))))
    assert np.abs(frame[4].astype(int) - (30, 140, 60)).max() < 12


def test_where_only_the_exact_size_will_do_another_is_refused() -> None:
    assert refusal(TWO_SECONDS, replace(MP4, width=130, fit="exact_only")).reason is Reason.WRONG_SIZE
    assert finish_video(TWO_SECONDS, replace(MP4, fit="exact_only")).data is None


@pytest.mark.parametrize(("width", "height"), [(64, 0), (0, 36)])
def test_one_edge_that_may_be_anything_keeps_the_shape(width: int, height: int) -> None:
    found = finish_video(TWO_SECONDS, Wanted("mp4", width, height))
    assert (found.facts.width, found.facts.height, found.crop_share) == (64, 36, 0.0)


def test_no_video_has_an_odd_edge() -> None:
    with pytest.raises(ValueError, match="even"):
        finish_video(TWO_SECONDS, replace(MP4, width=127))


@pytest.mark.parametrize(("came", "codec"), [("mp4", "mpeg4"), ("webm", "libvpx-vp9")])
def test_what_not_every_browser_plays_as_mp4_becomes_h264(came: str, codec: str) -> None:
    found = finish_video(film(numbered(), 48, form=came, codec=codec, sound=tone(2.0)), MP4)
    assert (codecs(bytes_of(found)), found.facts.mime) == ({"h264", "aac"}, "video/mp4")
    assert numbers(bytes_of(found)) == list(range(48))


def test_an_mp4_becomes_a_webm() -> None:
    found = finish_video(film(numbered(), 48, sound=tone(2.0)), replace(MP4, format="webm"))
    assert (codecs(bytes_of(found)), found.facts.mime) == ({"vp9", "opus"}, "video/webm")
    assert numbers(bytes_of(found)) == list(range(48))


def test_pictures_that_browsers_cannot_show_are_made_anew() -> None:
    found = finish_video(film(numbered(), 12, pix_fmt="yuv444p"), Wanted("mp4"))
    with av.open(BytesIO(bytes_of(found))) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"


@pytest.mark.parametrize("form", ["mp4", "webm"])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("seconds", [1.4, 3.0])
def test_the_sound_becomes_as_long_as_the_pictures(seconds: float, channels: int, form: str) -> None:
    found = finish_video(
        film(numbered(), 60, form=form, sound=tone(seconds, channels=channels)), replace(MP4, format=form)
    )
    track = heard(bytes_of(found))
    assert abs(len(track) - 2 * SOUND_RATE) <= 1024
    assert np.sqrt(np.mean(track[: SOUND_RATE // 2] ** 2)) == pytest.approx(0.3 / np.sqrt(2), rel=0.05)
    assert found.facts.has_audio
    assert bool(np.abs(track[round(1.6 * SOUND_RATE) : round(1.7 * SOUND_RATE)]).max() > 0.2) is (seconds > 2)


@pytest.mark.parametrize("form", ["mp4", "webm"])
def test_a_sound_is_heard_when_it_was_heard(form: str) -> None:
    wave = np.zeros((2, 3 * SOUND_RATE), np.float32)
    wave[:, SOUND_RATE : SOUND_RATE + 480] = 0.8
    track = heard(bytes_of(finish_video(film(numbered(), 72, form=form, sound=wave), replace(MP4, format=form))))
    assert np.argmax(np.abs(track) > 0.2) == pytest.approx(SOUND_RATE, abs=SOUND_RATE * 0.005)


def test_a_sound_that_goes_on_behind_the_pictures_is_cut() -> None:
    data = film(numbered(), 48, sound=tone(2.5))
    assert check_media(data).duration_s == 2.0
    assert abs(len(heard(bytes_of(finish_video(data, MP4)))) - 2 * SOUND_RATE) <= 1024


@pytest.mark.parametrize("frames", [48, 50, 54, 60, 90])
def test_the_last_frame_of_a_loop_meets_the_first(frames: int) -> None:
    data = film(wandering(), frames)
    found = finish_video(data, Wanted("mp4", duration_s=2.0, loop=True))
    made = bytes_of(found)
    assert loop_seam(film(wandering(), 48)) > 5
    assert loop_seam(made) <= MOST_LOOP_SEAM
    assert check_media(made).frames == 48
    steps = [
        np.mean(np.abs(a.astype(int) - b)) for a, b in zip(list(shown(made))[:-1], list(shown(made))[1:], strict=True)
    ]
    assert max(steps) < 8


def test_what_loops_already_is_left_alone() -> None:
    data = film(wandering(period=48), 48)
    assert loop_seam(data) <= MOST_LOOP_SEAM
    assert finish_video(data, Wanted("mp4", duration_s=2.0, loop=True)).data is None


def test_one_that_ends_with_its_first_frame_loops_without_it() -> None:
    """As a provider makes it that was given one picture as the first and the last."""
    made = bytes_of(finish_video(film(wandering(period=48), 49), Wanted("mp4", duration_s=2.0, loop=True)))
    assert loop_seam(made) <= MOST_LOOP_SEAM
    native, kept = list(shown(film(wandering(period=48), 49))), list(shown(made))
    assert len(kept) == 48
    assert np.mean(np.abs(kept[40].astype(int) - native[40])) < 2


def test_the_sound_of_a_loop_goes_with_its_pictures() -> None:
    wave = np.zeros((2, 3 * SOUND_RATE), np.float32)
    wave[:, SOUND_RATE : SOUND_RATE + 480] = 0.8
    track = heard(bytes_of(finish_video(film(wandering(), 60, sound=wave), Wanted("mp4", duration_s=2.0, loop=True))))
    assert abs(len(track) - 2 * SOUND_RATE) <= 1024
    half_a_second_is_left_out = SOUND_RATE // 2
    assert np.argmax(np.abs(track) > 0.2) == pytest.approx(half_a_second_is_left_out, abs=SOUND_RATE * 0.005)


def test_the_thumbnail_is_a_frame_that_shows_something() -> None:
    def drawn(number: int) -> Pixels:
        return (wandering(640, 360)(number).astype(float) * min(1, number / 20)).astype(np.uint8)

    found = finish_video(film(drawn, 30), Wanted("mp4", thumbnail=True))
    assert found.thumbnail is not None
    picture = Image.open(BytesIO(found.thumbnail))
    assert (picture.format, picture.size) == ("WEBP", (512, 288))
    assert np.asarray(picture).mean() > 60


def test_the_thumbnail_shows_what_was_left_of_the_picture() -> None:
    found = finish_video(film(lambda _: two_colours(180, 60), 6), Wanted("mp4", 60, 60, focus=(0, 0.5), thumbnail=True))
    assert found.thumbnail is not None
    picture = np.asarray(Image.open(BytesIO(found.thumbnail)).convert("RGB"))
    assert picture.shape == (60, 60, 3)
    assert picture[:, :50, 0].min() > 120


@pytest.mark.parametrize("form", ["mp4", "webm"])
def test_the_same_video_becomes_the_same_bytes(form: str) -> None:
    data = film(wandering(), 60, sound=tone(2.5))
    wanted = Wanted(form, 96, 54, duration_s=2.0, loop=True, thumbnail=True)
    assert finish_video(data, wanted) == finish_video(data, wanted)


def test_a_made_mp4_begins_with_its_index() -> None:
    made = bytes_of(finish_video(TWO_SECONDS, replace(MP4, duration_s=1.0)))
    assert -1 < made.find(b"moov") < made.find(b"mdat")


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_one_that_is_cut_off_is_refused(share: float) -> None:
    data = film(numbered(), 90)
    assert refusal(data[: int(len(data) * share)], MP4).reason in {Reason.CUT_OFF, Reason.UNDECODABLE, Reason.SILENT}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.EMPTY),
        (b"<html>502 Bad Gateway</html>", Reason.NOT_MEDIA),
        (png(128, 72), Reason.WRONG_FORMAT),
        (sound(2.0), Reason.WRONG_FORMAT),
        (sound_as_mp4(), Reason.SILENT),
    ],
)
def test_what_is_no_video_is_refused(data: bytes, reason: Reason) -> None:
    assert refusal(data, MP4).reason is reason


def test_a_header_that_lies_about_its_length_makes_nothing_longer() -> None:
    data = bytearray(film(numbered(), 24))
    header = data.index(b"mvhd")
    timescale = int.from_bytes(data[header + 16 : header + 20])
    data[header + 20 : header + 24] = (10 * timescale).to_bytes(4)
    assert refusal(bytes(data), MP4).reason in {Reason.WRONG_LENGTH, Reason.CUT_OFF}


async def test_a_child_with_a_gigabyte_makes_a_loop_of_1080p() -> None:
    still = wandering(1280, 720)(0)
    data = film(lambda number: np.roll(still, 3 * number, axis=0), 36, sound=tone(1.5))
    checker = Checker()
    try:
        found = await checker.finish(data, Wanted("mp4", 1920, 1080, duration_s=1.0, loop=True, thumbnail=True))
    finally:
        await checker.close()
    assert (found.facts.width, found.facts.height, found.facts.frames, found.scale) == (1920, 1080, 24, 1.5)
    assert loop_seam(bytes_of(found)) <= MOST_LOOP_SEAM
