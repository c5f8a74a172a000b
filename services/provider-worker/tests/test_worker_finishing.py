"""Staged results become what the item asks for under their own keys, or are refused; what differs is never silent."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from chassis.ids import uuid7
from media import Checker, Generator, Statement
from media.marks import marked
from media.tests.media_files import exr, glb, png, sound, video
from objects import FolderStore, staged_key
from provider_worker.engine.endings import outputs
from provider_worker.engine.finishing import CheckedFinisher
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


def statement(*, output: int, content_sha256: str) -> Statement:
    return Statement(Generator("Backlot", "1"), "sandbox", "draw-1", datetime.now(UTC), content_sha256, output=output)


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
        return await self.finisher.finish(pieces, item(**wanted), statement)

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


async def test_a_picture_that_fits_is_handed_over_as_it_came_and_marked(desk: Desk) -> None:
    data = png(64, 32)
    found = await desk.finished(data)
    [made] = found.outputs
    kept = await desk.kept(made.piece)
    assert kept == marked(data, "image/png")
    assert found.fit is not None
    assert (made.piece.sha256, found.fit.method, found.flags) == (hashlib.sha256(kept).hexdigest(), "none", ())
    assert made.content_sha256 == hashlib.sha256(data).hexdigest()


async def test_a_large_picture_has_a_small_one_beside_it(desk: Desk) -> None:
    large, small = (await desk.finished(png(1280, 720), width=1280, height=720)).outputs
    assert (small.piece.role, small.piece.number, small.mime) == ("thumbnail", 16, "image/webp")
    assert (small.width, small.height) == (512, 288)
    came = staged_key(TENANT, ATTEMPT, 0)
    assert large.piece.key.startswith(f"{came}.")
    assert small.piece.key.startswith(f"{came}.")


async def test_a_native_size_is_made_to_fit_and_what_lies_there_is_what_is_told(desk: Desk) -> None:
    found = await desk.finished(png(1344, 768), width=1280, height=720)
    [made, _] = found.outputs
    kept = await desk.kept(made.piece)
    assert Image.open(BytesIO(kept)).size == (made.width, made.height) == (1280, 720)
    assert (made.piece.sha256, made.piece.size) == (hashlib.sha256(kept).hexdigest(), len(kept))
    assert found.fit is not None
    assert (found.fit.native_width, found.fit.native_height, found.fit.method) == (1344, 768, "crop")
    assert found.flags == ()


async def test_much_that_is_lost_is_never_silent(desk: Desk) -> None:
    assert (await desk.finished(png(1536, 1024), width=1200, height=480)).flags == ("cropped",)
    assert (await desk.finished(png(768, 1344), width=1080, height=1920)).flags == ("upscaled",)


async def test_a_crop_keeps_what_it_is_asked_to(desk: Desk) -> None:
    halves = Image.new("RGB", (128, 32), "red")
    halves.paste("blue", (64, 0, 128, 32))
    file = BytesIO()
    halves.save(file, "PNG")
    for focus, colour in (((0.0, 0.5), (255, 0, 0)), ((1.0, 0.5), (0, 0, 255))):
        [made] = (await desk.finished(file.getvalue(), width=64, height=32, focus=focus)).outputs
        with Image.open(BytesIO(await desk.kept(made.piece))) as kept:
            assert kept.convert("RGB").getpixel((32, 16)) == colour


async def test_a_picture_without_light_makes_an_environment_map_that_says_so(desk: Desk) -> None:
    found = await desk.finished(png(64, 32), kind=Kind.ENVIRONMENT_MAP, format="hdr", width=64, height=32)
    assert found.flags == ("from_ldr",)


async def test_who_comes_second_finds_what_came_and_tells_the_same(desk: Desk) -> None:
    native = png(300, 100)
    first = await desk.finished(native)
    came = Piece(0, "primary", staged_key(TENANT, ATTEMPT, 0), hashlib.sha256(native).hexdigest(), len(native))
    assert await desk.kept(came) == native
    assert await desk.finisher.finish([came], item(), statement) == first
    assert first.fit is not None
    assert (first.fit.native_width, first.fit.native_height) == (300, 100)


async def test_a_picture_that_may_not_be_fitted_is_refused(desk: Desk) -> None:
    with pytest.raises(Refused, match="exactly 64x32"):
        await desk.finished(png(65, 32), fit="exact_only")


async def test_what_is_right_is_handed_over_as_it_came_and_marked_with_what_is_true_of_it(desk: Desk) -> None:
    for data, wanted, seen in (
        (sound(1.5), a_sound(1.5), ("audio/wav", None, None, 1.5)),
        (video(codec="libx264"), a_video(), ("video/mp4", 64, 48, 1.0)),
        (glb(2, maps=PBR), a_model(), ("model/gltf-binary", None, None, None)),
        (exr(), {"kind": Kind.ENVIRONMENT_MAP, "format": "exr"}, ("image/x-exr", 64, 32, None)),
    ):
        found = await desk.finished(data, **wanted)
        [made, small], [told, _] = found.outputs, outputs(found)
        kept = await desk.kept(made.piece)
        assert kept == marked(data, made.mime)
        assert (small.piece.role, small.mime) == ("thumbnail", "image/webp")
        assert Image.open(BytesIO(await desk.kept(small.piece))).size == (small.width, small.height)
        assert (told.mime, told.width, told.height, told.duration_seconds) == seen
        assert (told.sha256, told.size, found.flags) == (hashlib.sha256(kept).hexdigest(), len(kept), ())
        assert told.content_sha256 == hashlib.sha256(data).hexdigest()
        assert (found.fit is None) is (told.width is None)


@pytest.mark.parametrize(
    ("data", "wanted", "words"),
    [
        (png(64, 48), a_video(), "image/png, but mp4"),
        (video(), a_model(), "video/mp4, but glb"),
        (glb(maps=PBR), a_video(), "model/gltf-binary, but mp4"),
        (sound(1.0), {}, "audio/wav, but png"),
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


@pytest.mark.parametrize(
    ("data", "wanted", "seconds"),
    [
        (sound(2.0), a_sound(1.0), 1.0),
        (sound(1.0, "MP3"), a_sound(0.5), 0.5),
        (sound(1.0), a_sound(3.0, kind=Kind.MUSIC), 3.0),
        (video(frames=48), a_video(), 1.0),
    ],
)
async def test_another_length_is_made_into_the_asked_one_and_never_silently(
    desk: Desk, data: bytes, wanted: dict[str, Any], seconds: float
) -> None:
    found = await desk.finished(data, **wanted)
    [told, *_] = outputs(found)
    assert told.duration_seconds == pytest.approx(seconds, abs=0.03)
    assert found.flags == ("length_adjusted",)


@pytest.mark.parametrize(("data", "wanted"), [(sound(1.0), a_sound(2.0)), (video(), a_video(duration_seconds=3.0))])
async def test_what_is_too_short_is_refused_and_never_silently_shorter(
    desk: Desk, data: bytes, wanted: dict[str, Any]
) -> None:
    with pytest.raises(Refused, match="were asked for"):
        await desk.finished(data, **wanted)


async def test_a_video_of_another_size_is_made_to_fit_or_refused(desk: Desk) -> None:
    found = await desk.finished(video(64, 64), **a_video())
    assert (found.outputs[0].width, found.outputs[0].height) == (64, 48)
    assert found.flags == ("cropped",)
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
        (2, "thumbnail", "image/webp", 8),
    ]
    assert await desk.kept(found.outputs[1].piece) == marked(texture, "image/png")


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
    assert [(made.piece.number, made.piece.role) for made in found.outputs] == [
        (0, "primary"),
        (2, "variant"),
        (16, "thumbnail"),
    ]
    assert found.flags == ("variant_dropped",)
    wrong = await desk.finished(glb(maps=PBR), ("texture_map", sound(1.0)), ("thumbnail", HTML), **a_model())
    assert wrong.flags == ("texture_map_dropped", "thumbnail_dropped")
    assert [(made.piece.number, made.piece.role) for made in wrong.outputs] == [(0, "primary"), (16, "thumbnail")]


async def test_a_broken_primary_is_refused_whatever_else_there_is(desk: Desk) -> None:
    with pytest.raises(Refused):
        await desk.finished(HTML, ("variant", sound(1.0)), **a_sound(1.0, kind=Kind.MUSIC))
