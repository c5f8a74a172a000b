"""One way in for media of every kind: what becomes what, in children with limits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from media import Checker, CorruptOutput, Limits, Reason, Wanted, finish_media
from media.marks import is_marked
from media.tests.media_files import exr, glb, hdr, png, sound, video

CAME = {"picture": png(64, 32), "sky": exr(), "video": video(), "sound": sound(1.0), "model": glb()}
ASKED = {
    "png": {"picture"},
    "jpeg": {"picture"},
    "webp": {"picture"},
    "exr": {"picture", "sky"},
    "hdr": {"picture", "sky"},
    "mp4": {"video"},
    "webm": {"video"},
    "wav": {"sound"},
    "mp3": {"sound"},
    "ogg": {"sound"},
    "flac": {"sound"},
    "glb": {"model"},
}


@pytest.fixture
async def checker() -> AsyncIterator[Checker]:
    opened = Checker()
    yield opened
    await opened.close()


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("came", CAME)
def test_media_becomes_what_its_kind_can_become_and_nothing_else(came: str, asked: str) -> None:
    if came in ASKED[asked]:
        assert finish_media(CAME[came], Wanted(asked)).native.mime
        return
    with pytest.raises(CorruptOutput, match=f"but {asked} was asked for") as caught:
        finish_media(CAME[came], Wanted(asked))
    assert caught.value.reason is Reason.WRONG_FORMAT


@pytest.mark.parametrize("form", ["GIF", "BMP", "TIFF"])
def test_a_picture_in_a_format_that_nobody_asks_for_is_refused(form: str) -> None:
    file = BytesIO()
    Image.new("RGB", (8, 8)).save(file, form)
    with pytest.raises(CorruptOutput) as caught:
        finish_media(file.getvalue(), Wanted("png", 8, 8))
    assert caught.value.reason in {Reason.WRONG_FORMAT, Reason.NOT_MEDIA}


async def test_every_kind_is_finished_in_a_child(checker: Checker, tmp_path: Path) -> None:
    path = tmp_path / "sky"
    path.write_bytes(hdr())
    works: dict[str, tuple[bytes | Path, Wanted]] = {
        "image/webp": (png(64, 32), Wanted("webp", 32, 32)),
        "image/png": (png(64, 32), Wanted("png", 64, 64, tileable=True)),
        "image/x-exr": (path, Wanted("exr", 128, 64, thumbnail=True)),
        "model/gltf-binary": (glb(), Wanted("glb", thumbnail=True)),
        "video/mp4": (video(), Wanted("mp4", 32, 32, thumbnail=True)),
        "audio/wav": (sound(1.0, "MP3"), Wanted("wav", duration_s=0.5)),
    }
    for mime, (source, wanted) in works.items():
        found, here = await checker.finish(source, wanted), finish_media(source, wanted)
        assert found.facts.mime == mime
        assert (found.native, found.sha256, found.scale) == (here.native, here.sha256, here.scale)
        for made in (found.data, found.thumbnail if wanted.thumbnail else found.data):
            assert made is not None
            assert is_marked(made, "image/webp" if made is found.thumbnail else mime)


async def test_what_cannot_be_finished_is_refused_and_a_missing_file_is_no_fault_of_it(
    checker: Checker, tmp_path: Path
) -> None:
    with pytest.raises(CorruptOutput, match="HTML"):
        await checker.finish(b"<html>", Wanted("png", 8, 8))
    with pytest.raises(FileNotFoundError):
        await checker.finish(tmp_path / "nothing", Wanted("png", 8, 8))


async def test_a_texture_of_the_largest_size_is_made_to_tile_within_the_limits_of_a_child(checker: Checker) -> None:
    file = BytesIO()
    Image.linear_gradient("L").resize((4096, 4096)).convert("RGB").save(file, "jpeg")
    found = await checker.finish(file.getvalue(), Wanted("jpeg", 4096, 4096, tileable=True, thumbnail=True))
    assert (found.facts.width, found.data is not None) == (4096, True)


async def test_the_largest_sky_is_finished_within_the_limits_of_a_child(checker: Checker) -> None:
    found = await checker.finish(exr(4096, 2048), Wanted("exr", 4096, 2048, thumbnail=True))
    assert found.facts.width == 4096


async def test_what_takes_more_memory_than_a_child_has_is_refused() -> None:
    checker = Checker(limits=Limits(memory=300 << 20, cpu_s=20))
    with pytest.raises(CorruptOutput, match="limits"):
        await checker.finish(exr(4096, 2048), Wanted("exr", 2048, 1024))
    await checker.close()
