"""Staged results become what the item asks for under their own keys, or are refused; what differs is never silent."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from chassis.ids import uuid7
from media import Checker, Facts
from media.tests.media_files import exr, glb, png, sound, video
from objects import FolderStore, staged_key
from provider_worker.engine.endings import outputs
from provider_worker.engine.finishing import CheckedFinisher
from provider_worker.engine.judging import flags_of
from provider_worker.engine.ports import Refused
from provider_worker.tasks import Finished, Piece
from schemas.parts import Kind
from tests.worker_builders import item

TENANT, ATTEMPT = str(uuid7()), str(uuid7())
PBR = ("baseColorTexture", "metallicRoughnessTexture", "normalTexture")
HTML = b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[FolderStore]:
    opened = FolderStore(tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
async def checker() -> AsyncIterator[Checker]:
    opened = Checker()
    yield opened
    await opened.close()


class Desk:
    """Stages bytes, the primary first, and finishes them."""

    def __init__(self, store: FolderStore, checker: Checker) -> None:
        self.store = store
        self.finisher = CheckedFinisher(store, checker)

    async def finished(self, data: bytes, *others: tuple[str, bytes], **wanted: Any) -> Finished:
        pieces = []
        for number, (role, each) in enumerate([("primary", data), *others]):
            key = staged_key(TENANT, ATTEMPT, number)
            stored = await self.store.put(key, each, max_bytes=len(each))
            pieces.append(Piece(number, role, key, stored.sha256, stored.size))
        return await self.finisher.finish(pieces, item(**wanted))

    async def kept(self, piece: Piece) -> bytes:
        return b"".join([chunk async for chunk in self.store.open(piece.key)])


@pytest.fixture
def desk(store: FolderStore, checker: Checker) -> Desk:
    return Desk(store, checker)


def a_sound(seconds: float, **more: Any) -> dict[str, Any]:
    return {"kind": Kind.SFX, "format": "wav", "width": 0, "height": 0, "duration_seconds": seconds, **more}


def a_video(**more: Any) -> dict[str, Any]:
    return {"kind": Kind.VIDEO, "format": "mp4", "width": 64, "height": 48, "duration_seconds": 1.0, **more}


def a_model(**more: Any) -> dict[str, Any]:
    return {"kind": Kind.MODEL_3D, "format": "glb", "width": 0, "height": 0, **more}


async def test_a_picture_that_fits_is_handed_over_as_it_came(desk: Desk) -> None:
    data = png(64, 32)
    found = await desk.finished(data)
    [made] = found.outputs
    assert await desk.kept(made.piece) == data
    assert found.fit is not None
    assert (made.piece.sha256, found.fit.method, found.flags) == (hashlib.sha256(data).hexdigest(), "none", ())


async def test_a_native_size_is_made_to_fit_and_what_lies_there_is_what_is_told(desk: Desk) -> None:
    found = await desk.finished(png(1344, 768), width=1280, height=720)
    [made] = found.outputs
    kept = await desk.kept(made.piece)
    assert Image.open(BytesIO(kept)).size == (made.width, made.height) == (1280, 720)
    assert (made.piece.sha256, made.piece.size) == (hashlib.sha256(kept).hexdigest(), len(kept))
    assert found.fit is not None
    assert (found.fit.native_width, found.fit.native_height, found.fit.method) == (1344, 768, "crop")
    assert found.flags == ()


async def test_much_that_is_lost_is_never_silent(desk: Desk) -> None:
    assert (await desk.finished(png(1536, 1024), width=1200, height=480)).flags == ("cropped",)
    assert (await desk.finished(png(768, 1344), width=1080, height=1920)).flags == ("upscaled",)


async def test_who_comes_second_finds_and_tells_the_same(desk: Desk) -> None:
    [first] = (await desk.finished(png(300, 100))).outputs
    stale = Piece(0, "primary", first.piece.key, "of what came", 1)
    assert (await desk.finisher.finish([stale], item())).outputs == (first,)


async def test_a_picture_that_may_not_be_fitted_is_refused(desk: Desk) -> None:
    with pytest.raises(Refused, match="exactly 64x32"):
        await desk.finished(png(65, 32), fit="exact_only")


async def test_a_sound_a_video_and_a_model_are_handed_over_as_they_came_with_what_is_true_of_them(desk: Desk) -> None:
    for data, wanted, seen in (
        (sound(1.5), a_sound(1.5), ("audio/wav", None, None, 1.5)),
        (video(), a_video(), ("video/mp4", 64, 48, 1.0)),
        (glb(2, maps=PBR), a_model(), ("model/gltf-binary", None, None, None)),
        (exr(), {"kind": Kind.ENVIRONMENT_MAP, "format": "exr"}, ("image/x-exr", 64, 32, None)),
    ):
        found = await desk.finished(data, **wanted)
        [made], [told] = found.outputs, outputs(found)
        assert await desk.kept(made.piece) == data
        assert (told.mime, told.width, told.height, told.duration_seconds) == seen
        assert (told.sha256, told.size, found.flags) == (hashlib.sha256(data).hexdigest(), len(data), ())
        assert (found.fit is None) is (told.width is None)


@pytest.mark.parametrize(
    ("data", "wanted", "words"),
    [
        (png(64, 48), a_video(), "image/png, but mp4"),
        (sound(1.0, "MP3"), a_sound(1.0), "audio/mpeg, but wav"),
        (video(), a_model(), "video/mp4, but glb"),
        (glb(maps=PBR), a_video(), "model/gltf-binary, but mp4"),
        (sound(1.0), {}, "audio/wav, but a PNG"),
        (HTML, a_video(), "HTML"),
        (HTML, a_sound(1.0), "HTML"),
        (HTML, a_model(), "HTML"),
        (b"", a_sound(1.0), "zero bytes"),
        (sound(1.0)[:-1000], a_sound(1.0), "cut off"),
        (video()[:-100], a_video(), "cannot be decoded"),
        (glb(maps=PBR)[:-4], a_model(), "declares"),
        (sound(0.5, loudness=0.0), a_sound(0.5), "silence"),
        (glb(), a_model(), "base colour, metalness and roughness, normals"),
        (exr(64, 48), {"kind": Kind.ENVIRONMENT_MAP, "format": "exr"}, "twice as wide"),
    ],
)
async def test_what_was_not_asked_for_is_refused_in_words(
    desk: Desk, data: bytes, wanted: dict[str, Any], words: str
) -> None:
    with pytest.raises(Refused, match=words):
        await desk.finished(data, **wanted)


def flags(kind: Kind, found: float, asked: float | None) -> tuple[str, ...]:
    facts = Facts("audio/wav", 1, width=64, height=48, duration_s=found)
    return tuple(flags_of(facts, item(kind=kind, width=64, height=48, duration_seconds=asked)))


@pytest.mark.parametrize("kind", [Kind.VIDEO, Kind.SFX, Kind.MUSIC])
def test_a_quarter_of_a_second_or_a_twentieth_is_no_other_length(kind: Kind) -> None:
    assert flags(kind, 1.25, 1.0) == flags(kind, 0.75, 1.0) == flags(kind, 126.0, 120.0) == ()
    assert flags(kind, 114.0, 120.0) == flags(kind, 7.0, None) == ()


@pytest.mark.parametrize("kind", [Kind.VIDEO, Kind.SFX, Kind.MUSIC])
def test_what_is_longer_than_asked_is_flagged(kind: Kind) -> None:
    assert flags(kind, 1.26, 1.0) == flags(kind, 126.1, 120.0) == ("longer_than_asked",)


@pytest.mark.parametrize("kind", [Kind.VIDEO, Kind.SFX])
def test_what_is_shorter_than_asked_is_refused(kind: Kind) -> None:
    with pytest.raises(Refused, match=r"0\.74 s, but 1 s were asked for"):
        flags(kind, 0.74, 1.0)


def test_music_that_is_shorter_than_asked_is_flagged() -> None:
    assert flags(Kind.MUSIC, 113.9, 120.0) == ("shorter_than_asked",)


async def test_a_video_of_another_size_is_flagged_or_refused(desk: Desk) -> None:
    assert (await desk.finished(video(64, 64), **a_video())).flags == ("other_size",)
    with pytest.raises(Refused, match="exactly 64x48"):
        await desk.finished(video(64, 64), **a_video(fit="exact_only"))


async def test_a_model_of_more_triangles_than_asked_is_flagged_for_review(desk: Desk) -> None:
    assert (await desk.finished(glb(10, maps=PBR), **a_model(max_triangles=9))).flags == ("over_polycount",)
    assert (await desk.finished(glb(10, maps=PBR), **a_model(max_triangles=10))).flags == ()


async def test_further_outputs_are_handed_over_with_their_roles_and_numbers(desk: Desk) -> None:
    texture = png(16, 16, "blue")
    found = await desk.finished(glb(maps=PBR), ("texture_map", texture), ("thumbnail", png(8, 8)), **a_model())
    told = [(each.number, each.role, each.mime, each.width) for each in outputs(found)]
    assert told == [
        (0, "primary", "model/gltf-binary", None),
        (1, "texture_map", "image/png", 16),
        (2, "thumbnail", "image/png", 8),
    ]
    assert await desk.kept(found.outputs[1].piece) == texture


async def test_a_variant_of_a_picture_is_made_to_fit_as_the_first_one_is(desk: Desk) -> None:
    found = await desk.finished(png(64, 32), ("variant", png(300, 100)))
    assert [(made.piece.role, made.width, made.height) for made in found.outputs] == [
        ("primary", 64, 32),
        ("variant", 64, 32),
    ]
    assert found.flags == ()


async def test_a_further_output_that_is_broken_is_dropped_and_that_is_told(desk: Desk) -> None:
    track = a_sound(1.0, kind=Kind.MUSIC)
    found = await desk.finished(sound(1.0), ("variant", HTML), ("variant", sound(2.0)), ("variant", b""), **track)
    assert [made.piece.number for made in found.outputs] == [0, 2]
    assert found.flags == ("variant_dropped",)
    wrong = await desk.finished(glb(maps=PBR), ("texture_map", sound(1.0)), ("thumbnail", HTML), **a_model())
    assert wrong.flags == ("texture_map_dropped", "thumbnail_dropped")


async def test_a_broken_primary_is_refused_whatever_else_there_is(desk: Desk) -> None:
    with pytest.raises(Refused):
        await desk.finished(HTML, ("variant", sound(1.0)), **a_sound(1.0, kind=Kind.MUSIC))
