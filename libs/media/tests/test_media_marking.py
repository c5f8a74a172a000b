"""That what is finished is marked as the last step, and what was true of it before still is."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from media import Wanted, check_media, finish_media, is_marked, marked
from media.marking import finish_marked
from media.tests.media_files import glb, png, sound

FILES = [
    (png(64, 32), Wanted("png", 64, 32), "image/png"),
    (png(90, 50), Wanted("jpeg", 64, 32), "image/jpeg"),
    (sound(2.0, "MP3"), Wanted("mp3"), "audio/mpeg"),
    (glb(), Wanted("glb"), "model/gltf-binary"),
]


@pytest.mark.parametrize(("data", "wanted", "mime"), FILES, ids=[mime for _, _, mime in FILES])
def test_a_finished_file_is_marked_and_its_hash_is_of_what_was_finished(
    data: bytes, wanted: Wanted, mime: str, tmp_path: Path
) -> None:
    path = tmp_path / "native"
    path.write_bytes(data)
    plain, found = finish_media(data, wanted), finish_marked(path, wanted)
    assert found.data is not None
    assert is_marked(found.data, mime)
    assert found.sha256 == plain.sha256 == hashlib.sha256(plain.data or data).hexdigest()
    assert found.sha256 != hashlib.sha256(found.data).hexdigest()
    assert found.facts.size == len(found.data) == check_media(found.data).size
    assert finish_marked(data, wanted) == found


def test_what_is_right_and_marked_already_stays_as_it_is() -> None:
    data = marked(png(64, 32), "image/png")
    found = finish_marked(data, Wanted("png", 64, 32))
    assert (found.data, found.sha256) == (None, hashlib.sha256(data).hexdigest())


def test_a_thumbnail_is_marked_as_well() -> None:
    found = finish_marked(png(1280, 720), Wanted("png", 1280, 720, thumbnail=True))
    assert found.thumbnail is not None
    assert is_marked(found.thumbnail, "image/webp")
