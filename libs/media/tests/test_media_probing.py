"""What the headers of media say, of every format that is known."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from media import Checker, CorruptOutput, Facts, Reason, check_media, probe_media
from media.tests.media_files import exr, glb, hdr, png, sound, video


def gif(frames: int = 1, width: int = 40, height: int = 30) -> bytes:
    pictures = [Image.effect_noise((width, height), 40 + 9 * number).convert("P") for number in range(frames)]
    file = BytesIO()
    pictures[0].save(file, "gif", save_all=True, append_images=pictures[1:])
    return file.getvalue()


def saved(form: str) -> bytes:
    file = BytesIO()
    Image.new("RGB", (40, 30)).save(file, form)
    return file.getvalue()


WHOLE = {
    "png": png(8, 8),
    "jpeg": saved("jpeg"),
    "webp": saved("webp"),
    "mp4": video(sound="aac"),
    "wav": sound(0.5),
    "mp3": sound(0.5, "MP3"),
    "ogg": sound(0.5, "OGG"),
    "flac": sound(0.5, "FLAC"),
    "glb": glb(7, maps=("normalTexture",)),
    "exr": exr(),
    "hdr": hdr(),
}


@pytest.mark.parametrize("form", WHOLE)
def test_the_header_says_what_decoding_finds(form: str) -> None:
    found, true = probe_media(WHOLE[form]), check_media(WHOLE[form])
    assert found.duration_s == pytest.approx(true.duration_s, abs=0.05)
    assert replace(found, duration_s=None) == replace(true, duration_s=None)


def test_a_webm_tells_its_size_and_length() -> None:
    found = probe_media(video(form="webm", codec="libvpx-vp9"))
    assert (found.mime, found.width, found.height, found.fps) == ("video/webm", 64, 48, 24.0)
    assert found.duration_s == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("frames", [1, 2, 7])
def test_a_gif_tells_its_size_and_its_pictures(frames: int) -> None:
    data = gif(frames)
    assert probe_media(data) == Facts("image/gif", len(data), width=40, height=30, frames=frames)
    with pytest.raises(CorruptOutput) as caught:
        check_media(data)
    assert caught.value.reason is Reason.WRONG_FORMAT


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 0.99])
def test_a_gif_that_is_cut_off_is_told(share: float) -> None:
    data = gif(3)
    with pytest.raises(CorruptOutput) as caught:
        probe_media(data[: max(7, int(len(data) * share))])
    assert caught.value.reason is Reason.CUT_OFF


def test_a_gif_that_lies_is_refused() -> None:
    data = gif()
    for lie, reason in ((b"\xff\xff\xff\xff", Reason.TOO_LARGE), (bytes(4), Reason.UNDECODABLE)):
        with pytest.raises(CorruptOutput) as caught:
            probe_media(data[:6] + lie + data[10:])
        assert caught.value.reason is reason


async def test_media_of_others_is_probed_in_a_child(tmp_path: Path) -> None:
    path = tmp_path / "moving"
    path.write_bytes(gif(3))
    checker = Checker()
    try:
        assert (await checker.probe(path)).frames == 3
        with pytest.raises(CorruptOutput):
            await checker.probe(b"<html>")
    finally:
        await checker.close()


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([*WHOLE.values(), gif(2)]), st.data())
def test_whatever_is_changed_it_is_told_or_refused(whole: bytes, draw: st.DataObject) -> None:
    data = bytearray(whole)
    for _ in range(draw.draw(st.integers(1, 8))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    with suppress(CorruptOutput):
        assert probe_media(bytes(data)).size == len(data)
