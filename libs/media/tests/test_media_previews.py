"""What is uploaded stays as it is, and has a small picture beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from io import BytesIO

import pytest
from PIL import Image

from media import THUMBNAIL_EDGE, Checker, CorruptOutput
from media.previews import preview
from media.tests.media_files import exr, glb, hdr, png, sound, video

LARGE = [
    png(2000, 500),
    exr(1024, 512),
    hdr(),
    video(640, 360, codec="mpeg4"),
    sound(2.0),
    sound(31.0, "OGG", rate=8000),
    sound(0.01),
    glb(),
]


@pytest.fixture
async def checker() -> AsyncIterator[Checker]:
    opened = Checker()
    yield opened
    await opened.close()


@pytest.mark.parametrize("data", LARGE, ids=range(len(LARGE)))
async def test_media_of_every_kind_has_a_small_picture(checker: Checker, data: bytes) -> None:
    small = await checker.preview(data)
    assert small is not None
    with Image.open(BytesIO(small)) as picture:
        assert (picture.format, max(picture.size) <= THUMBNAIL_EDGE) == ("WEBP", True)
    assert preview(data) == small


async def test_a_small_picture_stands_for_itself(checker: Checker) -> None:
    assert await checker.preview(png(THUMBNAIL_EDGE, 8)) is None


@pytest.mark.parametrize("data", [b"", b"<html>", video()[:-100], sound(1.0)[:1000]], ids=range(4))
async def test_what_is_broken_has_none(checker: Checker, data: bytes) -> None:
    with pytest.raises(CorruptOutput):
        await checker.preview(data)
