"""A provider that makes another format of the same kind of media is asked for that one; it is made into the asked."""

from __future__ import annotations

import pytest

from provider_worker.engine.asking import native_format

PICTURES, SOUNDS, VIDEOS = ("png", "jpeg"), ("mp3",), ("mp4",)


@pytest.mark.parametrize(
    ("wanted", "made", "asked"),
    [
        ("png", PICTURES, "png"),
        ("jpeg", PICTURES, "jpeg"),
        ("webp", PICTURES, "png"),
        ("jpg", ("webp",), "webp"),
        ("flac", SOUNDS, "mp3"),
        ("webm", VIDEOS, "mp4"),
        ("hdr", ("exr",), "exr"),
    ],
)
def test_what_is_not_made_there_is_made_of_what_is(wanted: str, made: tuple[str, ...], asked: str) -> None:
    assert native_format(wanted, made) == asked


@pytest.mark.parametrize(("wanted", "made"), [("mp4", SOUNDS), ("glb", PICTURES), ("exr", PICTURES), ("png", ())])
def test_nothing_becomes_another_kind_of_media(wanted: str, made: tuple[str, ...]) -> None:
    assert native_format(wanted, made) == wanted
