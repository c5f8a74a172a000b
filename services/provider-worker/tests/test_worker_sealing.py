"""What is made is handed over marked, and signed where that is asked for: under a name of its own bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import c2pa
import pytest

from chassis.ids import uuid7
from media import Checker, Generator, Signer, Statement, is_marked
from media.signing_keys import read_signing_material
from media.tests.media_files import glb, png
from media.tests.signing_files import pair
from objects import FolderStore, staged_key
from provider_worker.engine.finishing import CheckedFinisher
from provider_worker.tasks import Finished, Made, Piece
from schemas.parts import Kind
from tests.worker_builders import item

ALL_MAPS = ("baseColorTexture", "metallicRoughnessTexture", "normalTexture")


def statement(*, output: int, content_sha256: str) -> Statement:
    at = datetime(2030, 1, 31, 12, 0, tzinfo=UTC)
    return Statement(Generator("Backlot", "1"), "sandbox", "draw-1", at, content_sha256, output=output)


class Desk:
    def __init__(self, root: Path, *, signing: bool) -> None:
        self.store, self.checker = FolderStore(root / "objects"), Checker()
        made = pair(root / "keys")
        self.signer = Signer(read_signing_material(made.certificate, made.key)) if signing else None
        self.finisher = CheckedFinisher(self.store, self.checker, self.signer)

    async def staged(self, data: bytes) -> Piece:
        key = staged_key("tenant", str(uuid7()), 0)
        stored = await self.store.put(key, data, max_bytes=len(data))
        return Piece(0, "primary", key, stored.sha256, stored.size)

    async def finished(self, piece: Piece, **wanted: Any) -> Finished:
        return await self.finisher.finish([piece], item(**wanted), statement)

    async def bytes_of(self, made: Made) -> bytes:
        return b"".join([chunk async for chunk in self.store.open(made.piece.key)])

    async def close(self) -> None:
        await self.checker.close()
        if self.signer is not None:
            await self.signer.close()
        await self.store.close()


@pytest.fixture
async def signing(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path, signing=True)
    yield desk
    await desk.close()


@pytest.fixture
async def marking(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path, signing=False)
    yield desk
    await desk.close()


async def test_a_result_is_marked_and_its_hash_before_the_mark_is_kept(marking: Desk) -> None:
    native = png(64, 32)
    [made] = (await marking.finished(await marking.staged(native))).outputs
    served = await marking.bytes_of(made)
    assert is_marked(served, "image/png")
    assert made.content_sha256 == hashlib.sha256(native).hexdigest()
    assert (made.piece.sha256, made.piece.size) == (hashlib.sha256(served).hexdigest(), len(served))
    assert made.marking is not None
    assert (made.marking.place, made.marking.signed) == ("XMP", False)
    assert made.marking.why_not == "signing is switched off"


async def test_without_signing_the_same_bytes_become_the_same_object_each_time(marking: Desk) -> None:
    piece = await marking.staged(png(90, 50))
    assert await marking.finished(piece) == await marking.finished(piece)


async def test_a_signed_result_is_valid_and_claims_its_content(signing: Desk) -> None:
    [made] = (await signing.finished(await signing.staged(png(90, 50)))).outputs
    served = await signing.bytes_of(made)
    with c2pa.Reader("image/png", BytesIO(served)) as reader:
        store = json.loads(reader.json())
    assert store["validation_state"] == "Valid"
    manifest = store["manifests"][store["active_manifest"]]
    said = {found["label"]: found["data"] for found in manifest["assertions"]}["dev.backlot.generation"]
    assert (said["content_sha256"], said["output"]) == (made.content_sha256, 0)
    assert made.piece.sha256 == hashlib.sha256(served).hexdigest() != made.content_sha256
    assert made.marking is not None
    assert (made.marking.signed, made.marking.why_not) == (True, None)


async def test_who_finishes_a_result_again_signs_anew_and_leaves_what_was_handed_over(signing: Desk) -> None:
    piece = await signing.staged(png(90, 50))
    [first] = (await signing.finished(piece)).outputs
    served = await signing.bytes_of(first)
    [again] = (await signing.finished(piece)).outputs
    assert first.content_sha256 == again.content_sha256
    assert first.piece.key != again.piece.key
    assert await signing.bytes_of(first) == served
    assert hashlib.sha256(await signing.bytes_of(again)).hexdigest() == again.piece.sha256


async def test_what_c2pa_has_no_place_in_is_marked_and_it_is_said(signing: Desk) -> None:
    piece = await signing.staged(glb(maps=ALL_MAPS))
    wanted = {"kind": Kind.MODEL_3D, "format": "glb", "width": 0, "height": 0}
    made = (await signing.finished(piece, **wanted)).outputs[0]
    assert is_marked(await signing.bytes_of(made), "model/gltf-binary")
    assert made.marking is not None
    assert made.marking.why_not == "C2PA has no place in model/gltf-binary"


async def test_every_output_is_marked_a_thumbnail_too(marking: Desk) -> None:
    made = (await marking.finished(await marking.staged(png(1280, 720)), width=1280, height=720)).outputs
    assert [one.piece.role for one in made] == ["primary", "thumbnail"]
    for one in made:
        assert is_marked(await marking.bytes_of(one), one.mime)
