"""What becomes of a provider's sound: its length to the sample, its loudness, its end; and what is refused."""

from __future__ import annotations

import hashlib
from io import BytesIO

import av
import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from PIL import Image

from media import Checker, CorruptOutput, FinishedMedia, Reason, Wanted, check_media
from media.sound_finishing import MOST_SOUND_SEAM, finish_sound, sound_seam
from media.tests.loudness_by_hand import integrated, true_peak
from media.tests.media_files import png, sound, video

RATE = 48_000
FORMS = {"wav": "WAV", "mp3": "MP3", "ogg": "OGG", "flac": "FLAC"}
_SUBTYPES = {"WAV": "PCM_16", "FLAC": "PCM_16", "OGG": "VORBIS", "MP3": "MPEG_LAYER_III"}
Wave = npt.NDArray[np.float64]


def saved(wave: Wave, form: str = "wav", rate: int = RATE) -> bytes:
    file = BytesIO()
    soundfile.write(file, wave, rate, format=FORMS[form], subtype=_SUBTYPES[FORMS[form]])
    return file.getvalue()


def noise(seconds: float, *, loudness: float = 0.1, channels: int = 2, rate: int = RATE) -> Wave:
    """As much of it in each octave, as music has it: encoders leave out what is high."""
    count = round(seconds * rate)
    pitches = np.maximum(np.fft.rfftfreq(count, 1 / rate), 40)
    spectrum = np.fft.rfft(np.random.default_rng(5).standard_normal((count, channels)), axis=0)
    wave = np.fft.irfft(spectrum / np.sqrt(pitches)[:, None], count, axis=0)
    return np.asarray(loudness * wave / wave.std())


def tone(seconds: float, *, pitch: float = 440.0, loudness: float = 0.3, rate: int = RATE) -> Wave:
    wave = loudness * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)
    return np.stack([wave, wave], axis=1)


def bytes_of(found: FinishedMedia) -> bytes:
    assert found.data is not None
    return found.data


def samples(data: bytes) -> Wave:
    return np.asarray(soundfile.read(BytesIO(data), always_2d=True)[0])


def counted_by_ffmpeg(data: bytes) -> int:
    with av.open(BytesIO(data), "r") as container:
        return sum(frame.samples for frame in container.decode(audio=0))


def refusal(data: bytes, wanted: Wanted) -> CorruptOutput:
    with pytest.raises(CorruptOutput) as caught:
        finish_sound(data, wanted)
    return caught.value


@pytest.mark.parametrize("form", FORMS)
def test_what_is_right_already_stays_as_it_is_byte_for_byte(form: str) -> None:
    data = saved(noise(1.5), form)
    found = finish_sound(data, Wanted(form, duration_s=1.5))
    assert found.data is None
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert found.facts == found.native == check_media(data)
    assert not found.length_adjusted


@pytest.mark.parametrize("rate", [22_050, 44_100, 48_000])
@pytest.mark.parametrize("seconds", [0.5, 1.2345, 2.0])
@pytest.mark.parametrize("form", FORMS)
def test_a_longer_one_is_cut_to_the_sample(form: str, seconds: float, rate: int) -> None:
    found = finish_sound(saved(noise(2.7, rate=rate), form, rate), Wanted(form, duration_s=seconds))
    made = bytes_of(found)
    assert found.length_adjusted
    assert len(samples(made)) == round(seconds * rate)
    assert counted_by_ffmpeg(made) == round(seconds * rate)
    assert found.facts == check_media(made)
    assert (found.facts.sample_rate, found.facts.channels) == (rate, 2)


@pytest.mark.parametrize("form", FORMS)
def test_where_it_was_cut_nothing_clicks(form: str) -> None:
    made = samples(bytes_of(finish_sound(saved(tone(3.0), form), Wanted(form, duration_s=1.987))))
    assert np.abs(made[-4:]).max() < 0.01
    assert np.abs(np.diff(made, axis=0)).max() < 0.03
    assert np.sqrt(np.mean(made[:RATE] ** 2)) == pytest.approx(0.3 / np.sqrt(2), rel=0.03)


def test_one_that_is_a_little_too_short_is_padded() -> None:
    found = finish_sound(saved(tone(1.8, pitch=440.125)), Wanted("wav", duration_s=2.0))
    made = samples(bytes_of(found))
    assert len(made) == 2 * RATE
    assert not made[round(1.8 * RATE) :].any()
    assert np.abs(np.diff(made, axis=0)).max() < 0.03
    assert found.length_adjusted


def test_an_effect_that_is_shorter_is_refused_and_both_lengths_are_said() -> None:
    error = refusal(saved(tone(1.7)), Wanted("wav", duration_s=2.0))
    assert error.reason is Reason.WRONG_LENGTH
    assert "1.70 s" in str(error)
    assert "2 s" in str(error)


@pytest.mark.parametrize("form", FORMS)
def test_music_that_is_shorter_goes_on_without_a_gap(form: str) -> None:
    quiet = np.zeros((RATE // 2, 2))
    data = saved(np.concatenate([quiet, noise(3.0), quiet]), form)
    found = finish_sound(data, Wanted(form, duration_s=10.0, loudness_lufs=-20.0))
    made = samples(bytes_of(found))
    levels = [np.sqrt(np.mean(part**2)) for part in np.array_split(made[: 9 * RATE], 90)]
    assert len(made) == 10 * RATE
    assert min(levels) > 0.7 * max(levels)
    assert found.length_adjusted


def test_what_would_have_to_be_heard_too_often_is_refused() -> None:
    wanted = Wanted("wav", duration_s=30.0, loudness_lufs=-14.0)
    assert refusal(saved(noise(1.0)), wanted).reason is Reason.WRONG_LENGTH


@pytest.mark.parametrize(
    ("form", "seconds", "pitch"),
    [
        *(("wav", seconds, pitch) for seconds in (1.2, 2.0, 2.005, 2.3, 4.0) for pitch in (97.3, 443.3, 2501.7)),
        *((form, seconds, 443.3) for form in ("flac", "mp3", "ogg") for seconds in (1.2, 2.0, 4.0)),
    ],
)
def test_the_end_of_a_loop_meets_its_beginning(form: str, seconds: float, pitch: float) -> None:
    data = saved(tone(seconds, pitch=pitch) + noise(seconds, loudness=0.01), form)
    found = finish_sound(data, Wanted(form, duration_s=2.0, loop=True))
    made = samples(bytes_of(found))
    assert len(made) == 2 * RATE
    assert sound_seam(bytes_of(found)) <= (MOST_SOUND_SEAM if form in {"wav", "flac"} else 1.5)
    assert found.length_adjusted is (seconds != 2.0)
    around = np.concatenate([made[-RATE // 10 :], made[: RATE // 10]])
    assert np.sqrt(np.mean(around**2)) > 0.1


def test_a_cut_tone_does_not_loop_by_itself() -> None:
    assert sound_seam(saved(tone(2.0, pitch=440.125))) > 5
    assert sound_seam(saved(tone(2.0, pitch=440.0))) <= MOST_SOUND_SEAM


def test_what_loops_already_is_left_alone() -> None:
    assert finish_sound(saved(tone(2.0)), Wanted("wav", duration_s=2.0, loop=True)).data is None


@pytest.mark.parametrize("lufs", [-30.0, -26.0, -16.0])
@pytest.mark.parametrize("form", FORMS)
def test_it_becomes_as_loud_as_it_is_asked_for(form: str, lufs: float) -> None:
    data = saved(noise(4.0, loudness=0.05), form)
    assert abs(integrated(samples(data)) - lufs) > 1
    found = finish_sound(data, Wanted(form, duration_s=4.0, loudness_lufs=lufs))
    assert integrated(samples(bytes_of(found))) == pytest.approx(lufs, abs=0.1 if form in {"wav", "flac"} else 0.8)
    assert not found.length_adjusted


@pytest.mark.parametrize("form", FORMS)
def test_it_is_never_made_louder_than_its_peaks_allow(form: str) -> None:
    wave = noise(4.0, loudness=0.01)
    wave[RATE] = 0.5
    made = samples(bytes_of(finish_sound(saved(wave, form), Wanted(form, loudness_lufs=-10.0))))
    assert -3.0 < true_peak(made) <= -0.9
    assert integrated(made) < -20


def test_what_is_loud_enough_is_left_alone() -> None:
    data = saved(noise(4.0, loudness=0.05))
    near = round(integrated(samples(data)) + 0.8, 2)
    assert finish_sound(data, Wanted("wav", duration_s=4.0, loudness_lufs=near)).data is None


def test_what_is_too_short_to_be_measured_keeps_its_loudness() -> None:
    assert finish_sound(saved(tone(0.35)), Wanted("wav", duration_s=0.35, loudness_lufs=-40.0)).data is None


@pytest.mark.parametrize("came", FORMS)
@pytest.mark.parametrize("asked", FORMS)
def test_a_format_becomes_the_asked_one(came: str, asked: str) -> None:
    data = saved(tone(1.0), came)
    found = finish_sound(data, Wanted(asked))
    assert (found.data is None) is (came == asked)
    made = found.data or data
    assert (check_media(made), len(samples(made))) == (found.facts, RATE)
    assert np.abs(samples(made)[2000:-2000] - tone(1.0)[2000:-2000]).max() < 0.02


@pytest.mark.parametrize("rate", [88_200, 96_000])
def test_an_mp3_has_a_rate_that_mp3_has(rate: int) -> None:
    found = finish_sound(saved(tone(2.0, rate=rate), "wav", rate), Wanted("mp3", duration_s=1.5))
    assert (found.facts.sample_rate, found.facts.duration_s) == (48_000, 1.5)


def test_finer_samples_stay_fine() -> None:
    file = BytesIO()
    soundfile.write(file, noise(2.0), RATE, format="WAV", subtype="PCM_24")
    made = bytes_of(finish_sound(file.getvalue(), Wanted("wav", duration_s=1.0)))
    assert soundfile.info(BytesIO(made)).subtype == "PCM_24"


def test_the_thumbnail_shows_where_the_sound_is_loud() -> None:
    wave = np.concatenate([noise(1.0, loudness=0.01), noise(1.0)])
    found = finish_sound(saved(wave), Wanted("wav", thumbnail=True))
    assert found.thumbnail is not None
    picture = Image.open(BytesIO(found.thumbnail))
    assert (picture.format, picture.size) == ("WEBP", (512, 256))
    ink = np.asarray(picture.convert("L")) < 150
    assert 3 * ink[:, :256].sum() < 2 * ink[:, 256:].sum()
    assert ink[:, :256].any()


@pytest.mark.parametrize("form", FORMS)
def test_the_same_sound_becomes_the_same_bytes(form: str) -> None:
    data = saved(noise(3.0))
    wanted = Wanted(form, duration_s=2.0, loop=True, loudness_lufs=-30.0, thumbnail=True)
    assert finish_sound(data, wanted) == finish_sound(data, wanted)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_one_that_is_cut_off_is_refused(form: str, share: float) -> None:
    data = saved(noise(3.0), form)
    reasons = {Reason.CUT_OFF, Reason.UNDECODABLE, Reason.SILENT}
    assert refusal(data[: int(len(data) * share)], Wanted(form, duration_s=2.0)).reason in reasons


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.EMPTY),
        (b"<html>502 Bad Gateway</html>", Reason.NOT_MEDIA),
        (png(8, 8), Reason.WRONG_FORMAT),
        (video(), Reason.WRONG_FORMAT),
        (sound(2.0, loudness=0.0), Reason.SILENT),
    ],
)
def test_what_is_no_sound_is_refused(data: bytes, reason: Reason) -> None:
    assert refusal(data, Wanted("wav", duration_s=2.0)).reason is reason


def test_one_of_which_only_silence_would_be_left_is_refused() -> None:
    late = np.concatenate([np.zeros((3 * RATE, 2)), noise(1.0)])
    assert refusal(saved(late), Wanted("wav", duration_s=2.0)).reason is Reason.SILENT


def test_two_minutes_of_music_can_be_written() -> None:
    data = saved(np.tile(noise(5.0, loudness=0.05), (25, 1)), "flac")
    for form in ("wav", "ogg"):
        assert finish_sound(data, Wanted(form, duration_s=120.0)).facts.duration_s == 120.0


async def test_music_is_made_in_a_child() -> None:
    data = saved(np.tile(noise(5.0, loudness=0.05), (7, 1)), "mp3")
    wanted = Wanted("mp3", duration_s=30.0, loop=True, loudness_lufs=-16.0, thumbnail=True)
    checker = Checker()
    try:
        found = await checker.finish(data, wanted)
    finally:
        await checker.close()
    assert (found.facts.duration_s, found.length_adjusted) == (30.0, True)
