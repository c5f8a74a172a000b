"""Staged pictures become exactly what the item asks for, under the key they were staged under."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from chassis.ids import uuid7
from media import Checker
from objects import FolderStore, staged_key
from provider_worker.engine.pictures import CheckedPictures
from provider_worker.engine.ports import Refused
from provider_worker.tasks import Finished, Piece
from tests.worker_builders import item

KEY = staged_key(str(uuid7()), str(uuid7()), 0)


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


def png(width: int, height: int) -> bytes:
    file = BytesIO()
    Image.new("RGB", (width, height), "teal").save(file, "png")
    return file.getvalue()


async def finished(store: FolderStore, checker: Checker, data: bytes, **wanted: Any) -> tuple[Finished, bytes]:
    stored = await store.put(KEY, data, max_bytes=len(data))
    piece = Piece(0, "primary", KEY, stored.sha256, stored.size)
    found = await CheckedPictures(store, checker).finish(piece, item(**wanted))
    return found, b"".join([chunk async for chunk in store.open(KEY)])


async def test_a_picture_that_fits_is_handed_over_as_it_came(store: FolderStore, checker: Checker) -> None:
    data = png(64, 32)
    found, kept = await finished(store, checker, data)
    assert kept == data
    assert (found.piece.sha256, found.fit.method, found.flags) == (hashlib.sha256(data).hexdigest(), "none", ())


async def test_a_native_size_is_made_to_fit_and_what_lies_there_is_what_is_told(
    store: FolderStore, checker: Checker
) -> None:
    found, kept = await finished(store, checker, png(1344, 768), width=1280, height=720)
    assert Image.open(BytesIO(kept)).size == (1280, 720)
    assert (found.piece.sha256, found.piece.size) == (hashlib.sha256(kept).hexdigest(), len(kept))
    assert (found.fit.native_width, found.fit.native_height, found.fit.method) == (1344, 768, "crop")
    assert found.flags == ()


async def test_much_that_is_lost_is_never_silent(store: FolderStore, checker: Checker) -> None:
    assert (await finished(store, checker, png(1536, 1024), width=1200, height=480))[0].flags == ("cropped",)
    assert (await finished(store, checker, png(768, 1344), width=1080, height=1920))[0].flags == ("upscaled",)


async def test_who_comes_second_finds_and_tells_the_same(store: FolderStore, checker: Checker) -> None:
    first, kept = await finished(store, checker, png(300, 100))
    again = await CheckedPictures(store, checker).finish(Piece(0, "primary", KEY, "of what came", 1), item())
    assert (again.piece.sha256, again.piece.size) == (first.piece.sha256, len(kept))


async def test_a_picture_that_may_not_be_fitted_is_refused(store: FolderStore, checker: Checker) -> None:
    with pytest.raises(Refused, match="exactly 64x32"):
        await finished(store, checker, png(65, 32), fit="exact_only")
