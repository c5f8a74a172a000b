"""Which bytes pass as sound, video, sky or 3D model, and why the others do not."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media import CorruptOutput, Facts, Reason, check_media, sniffed
from media.tests.media_files import exr, flat_hdr, glb, hdr, png, sound, sound_as_mp4, video

SOUNDS = {"WAV": "audio/wav", "MP3": "audio/mpeg", "OGG": "audio/ogg", "FLAC": "audio/flac"}
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov"}
WHOLE = {
    "image/png": png(8, 8),
    **{mime: sound(0.5, form) for form, mime in SOUNDS.items()},
    "video/mp4": video(),
    "video/webm": video(form="webm", codec="libvpx-vp9"),
    "image/x-exr": exr(),
    "image/vnd.radiance": hdr(),
    "model/gltf-binary": glb(),
}


def refusal(data: bytes) -> CorruptOutput:
    with pytest.raises(CorruptOutput) as caught:
        check_media(data)
    return caught.value


@pytest.mark.parametrize("mime", WHOLE)
def test_the_bytes_tell_what_they_are(mime: str) -> None:
    found = check_media(WHOLE[mime])
    assert (found.mime, found.size) == (mime, len(WHOLE[mime]))


@pytest.mark.parametrize(
    ("start", "mime"),
    [
        (b"GIF89a", "image/gif"),
        (b"ID3\x04", "audio/mpeg"),
        (b"\xff\xf3\x40\xc0", "audio/mpeg"),
        (b"\xff\xe3\x40\xc0", "audio/mpeg"),
        (b"\x00\x00\x00\x20ftypM4V ", "video/mp4"),
        (b"\x1a\x45\xdf\xa3\x01\x00\x00\x00\x00\x00\x00\x1f\x42\x82\x84webm", "video/webm"),
    ],
)
def test_a_format_is_known_by_its_first_bytes(start: bytes, mime: str) -> None:
    assert sniffed(start + bytes(40)) == mime


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (b"<!DOCTYPE html>", "HTML"),
        (b'{"error": 1}', "JSON"),
        (b"\x00\x00\x00\x20ftypqt  ", "'qt'"),
        (b"\x00\x00\x00\x20ftypavif", "'avif'"),
        (b"\x1a\x45\xdf\xa3\x42\x82\x88matroska", "Matroska"),
        (b"RIFF\x00\x00\x00\x00AVI ", "unknown"),
        (b"\xff\xfe<\x00h\x00", "unknown"),
        (b"\xff\xfb\xf0\x00", "unknown"),
        (b"gltf", "unknown"),
    ],
)
def test_what_nobody_asks_for_is_refused_by_its_first_bytes(start: bytes, words: str) -> None:
    error = refusal(start + bytes(40))
    assert error.reason is Reason.NOT_MEDIA
    assert words in str(error)


@pytest.mark.parametrize("form", SOUNDS)
def test_a_sound_tells_its_length(form: str) -> None:
    data = sound(1.5, form)
    assert check_media(data) == Facts(SOUNDS[form], len(data), duration_s=1.5, sample_rate=22_050, channels=2)


@pytest.mark.parametrize("form", SOUNDS)
@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_a_sound_that_is_cut_off_is_refused(form: str, share: float) -> None:
    data = sound(1.5, form)
    assert refusal(data[: int(len(data) * share)]).reason in {Reason.CUT_OFF, Reason.UNDECODABLE, Reason.SILENT}


@pytest.mark.parametrize("form", SOUNDS)
def test_silence_is_no_sound(form: str) -> None:
    assert refusal(sound(0.5, form, loudness=0.0)).reason is Reason.SILENT


@pytest.mark.parametrize("form", ["WAV", "OGG"])
def test_a_sound_of_no_length_is_none(form: str) -> None:
    assert "no length" in str(refusal(sound(0.0, form)))


def test_a_very_quiet_sound_is_one() -> None:
    assert check_media(sound(0.5, loudness=0.001)).duration_s == 0.5


@pytest.mark.parametrize("length", [0xFFFFFFFF, 0x7FFFFFFF])
def test_a_wav_that_was_written_into_a_pipe_is_as_long_as_what_is_there(length: int) -> None:
    data = bytearray(sound(1.0))
    data[40:44] = struct.pack("<I", length)
    assert check_media(bytes(data)).duration_s == 1.0


def test_an_mp3_behind_a_long_tag_is_cut_off_too() -> None:
    tag = b"ID3\x03\x00\x00" + bytes([0, 1, 0, 0]) + bytes(128 * 128)
    data = tag + sound(1.0, "MP3")
    assert check_media(data).duration_s == 1.0
    assert refusal(data[:-800]).reason is Reason.CUT_OFF


def test_a_page_behind_the_header_of_a_sound_is_refused() -> None:
    data = sound(1.0, "MP3")
    assert refusal(data[:400] + b"<html>502 Bad Gateway</html>" * 200).reason in {Reason.UNDECODABLE, Reason.CUT_OFF}


@pytest.mark.parametrize(
    ("form", "codec", "track", "options"),
    [
        ("mp4", "mpeg4", None, {}),
        ("mp4", "libx264", "aac", {}),
        ("mp4", "libx264", "aac", FRAGMENTED),
        ("webm", "libvpx-vp9", None, {}),
        ("webm", "libvpx-vp9", "libopus", {}),
    ],
)
def test_a_video_tells_its_size_and_length_and_is_refused_when_cut_off(
    form: str, codec: str, track: str | None, options: dict[str, str]
) -> None:
    data = video(64, 48, frames=48, form=form, codec=codec, sound=track, options=options)
    found = check_media(data)
    assert (found.mime, found.width, found.height, found.frames) == (f"video/{form}", 64, 48, 48)
    assert found.duration_s == pytest.approx(2.0, abs=0.002)
    assert found.has_audio is (track is not None)
    # The last hundredth of a fragmented file is an index that nobody needs.
    for share in (0.03, 0.3, 0.6, 0.9, *([] if options else [0.99])):
        assert refusal(data[: int(len(data) * share)]).reason is not Reason.NOT_MEDIA


def test_a_video_without_a_frame_or_with_sound_alone_is_refused() -> None:
    fragmented = video(options=FRAGMENTED)
    nothing = refusal(fragmented[: fragmented.index(b"moof") - 4])
    assert nothing.reason in {Reason.SILENT, Reason.UNDECODABLE}
    assert refusal(sound_as_mp4()).reason is Reason.SILENT


def test_a_damaged_video_is_refused() -> None:
    data = bytearray(video(64, 48, frames=48, codec="libx264"))
    middle = data.index(b"mdat") + 4000
    data[middle : middle + 2000] = b"\xaa" * 2000
    assert refusal(bytes(data)).reason is Reason.UNDECODABLE


def test_a_video_larger_than_any_provider_makes_is_not_decoded() -> None:
    assert refusal(video(4608, 2304, frames=1)).reason is Reason.TOO_LARGE


def test_a_codec_that_browsers_do_not_play_is_refused() -> None:
    error = refusal(video(codec="mpeg2video"))
    assert (error.reason, "mpeg2video" in str(error)) == (Reason.UNDECODABLE, True)


@pytest.mark.parametrize("data", [exr(), exr(compression="zip16"), hdr(), flat_hdr(64, 32), flat_hdr(5, 4)])
def test_a_sky_is_refused_when_a_row_is_missing(data: bytes) -> None:
    found = check_media(data)
    assert found.width in {64, 5}
    for share in (0.1, 0.5, 0.98):
        assert refusal(data[: int(len(data) * share)]).reason in {Reason.CUT_OFF, Reason.UNDECODABLE}


def test_a_sky_that_claims_to_be_huge_is_not_decoded() -> None:
    data = bytearray(exr())
    for name in (b"dataWindow\x00box2i\x00", b"displayWindow\x00box2i\x00"):
        at = data.index(name) + len(name) + 4
        data[at : at + 16] = struct.pack("<4i", 0, 0, 99_999, 99_999)
    assert refusal(bytes(data)).reason is Reason.TOO_LARGE
    assert refusal(flat_hdr(1, 1).replace(b"-Y 1 +X 1", b"-Y 99999 +X 99999")).reason is Reason.TOO_LARGE


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(WHOLE)), st.data())
def test_whatever_is_changed_it_is_media_or_a_named_refusal(mime: str, draw: st.DataObject) -> None:
    data = bytearray(WHOLE[mime])
    for _ in range(draw.draw(st.integers(1, 8))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    with suppress(CorruptOutput):
        assert check_media(bytes(data)).size == len(data)


@pytest.mark.parametrize(("frames", "fps"), [(96, 24), (132, 24), (45, 30)])
def test_a_video_is_as_long_as_its_frames_though_its_file_counts_milliseconds(frames: int, fps: int) -> None:
    facts = check_media(video(frames=frames, fps=fps, form="webm", codec="libvpx-vp9"))
    assert (facts.frames, facts.duration_s, facts.fps) == (frames, frames / fps, fps)
