"""Media of other kinds than pictures is kept with what is true of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from schemas.assets import AssetStored
from stack.testing import PostgresServer
from tests.storage_house import House, completed, house_in, migrated_database

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[str]:
    yield from migrated_database(postgres_server)


@pytest.fixture
async def house(database: str, tmp_path: Path) -> AsyncIterator[House]:
    async with house_in(database, tmp_path / "objects") as house:
        yield house


async def test_a_model_comes_with_its_maps_and_no_pixels_of_its_own(house: House) -> None:
    model = await house.stage(b"model", mime="model/gltf-binary", width=None, height=None)
    texture = await house.stage(b"map", number=1, role="texture_map", width=64, height=64)
    heard = completed([model, texture], kind="model_3d", asset_type=None, run="spring")
    await house.hear(replace(heard, data=heard.data.model_copy(update={"fit": None})))
    await house.store_all()
    said = sorted(await house.said(AssetStored), key=lambda one: one.output)
    assert [(one.role, one.mime, one.width, one.logical_name.rpartition("/")[2]) for one in said] == [
        ("primary", "model/gltf-binary", None, "hero.glb"),
        ("texture_map", "image/png", 64, "hero_texture_map_1.png"),
    ]


async def test_a_sound_says_how_long_it_is(house: House) -> None:
    output = await house.stage(b"sound", mime="audio/mpeg", width=None, height=None, duration_seconds=2.5)
    await house.hear(completed([output], kind="sfx", asset_type=None))
    await house.store_all()
    [said] = await house.said(AssetStored)
    assert (said.mime, said.duration_seconds, said.width) == ("audio/mpeg", 2.5, None)
    assert said.logical_name.endswith("/sfx/hero.mp3")
