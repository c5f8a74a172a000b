"""A job that brings a model of its own is made by the sandbox where nobody else has a key, and keeps its triangles."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from media import Checker
from provider_worker.adapters.sandbox import SandboxProvider, SandboxSettings, read_bill
from provider_worker.engine.finishing import CheckedFinisher
from provider_worker.routing import KindRoute, Use
from schemas.events import GenerationCompleted, GenerationFailed, GenerationQuoted
from schemas.parts import Input, Kind
from tests.worker_builders import Home, Worker, home_at, table
from tests.worker_models import SKIN, corners, cube, document_of
from tests.worker_shelf import ASSET, Shelf, built_on, inputs_from

pytestmark = pytest.mark.integration

OWN = Input(role="model", asset_id=ASSET, mime="model/gltf-binary", sha256="0" * 64, size=1000)
ROUTES = replace(table(), routes={Kind.MODEL_3D: KindRoute(Kind.MODEL_3D, (Use("sandbox", "m"),), 2, 60.0, 0.01)})
PRICE = 200_000


@pytest.fixture
async def home(database_url: str, tmp_path: Path) -> AsyncIterator[Home]:
    async with home_at(database_url, tmp_path) as home:
        yield home


@dataclass(frozen=True, slots=True)
class Studio:
    """A worker whose only provider is the sandbox."""

    home: Home
    here: Worker
    shelf: Shelf
    folder: Path

    async def made(self, data: bytes, *, most: int = 100) -> None:
        """A job of this model and its last word."""
        self.shelf.assets[ASSET] = data
        asked = {"kind": Kind.MODEL_3D, "format": "glb", "width": 0, "height": 0, "prompt": "old bricks"}
        await built_on(self.here, OWN, **asked, max_triangles=most)
        await self.here.finish()


@pytest.fixture
async def studio(home: Home, tmp_path: Path) -> AsyncIterator[Studio]:
    shelf, checker = Shelf(), Checker()
    sandbox = SandboxProvider(SandboxSettings(tmp_path / "sandbox", processes=1))
    async with inputs_from(shelf, checker) as inputs:
        here = home.worker(sandbox, routes=ROUTES, inputs=inputs.held)
        here.tools = replace(here.tools, finisher=CheckedFinisher(home.objects, checker))
        yield Studio(home, here, shelf, tmp_path / "sandbox")
    await sandbox.close()
    await checker.close()


async def kept(home: Home, key: str) -> bytes:
    return b"".join([chunk async for chunk in home.objects.open(key)])


async def test_a_model_input_is_made_by_the_sandbox_at_its_price(studio: Studio) -> None:
    data = cube().file()
    await studio.made(data)

    [quoted] = await studio.home.said(GenerationQuoted)
    assert [each.amount_micros for each in quoted.items] == [PRICE]
    [made] = await studio.home.said(GenerationCompleted)
    assert (made.flags, made.billing.amount_micros) == ([], PRICE)
    assert {output.role for output in made.outputs} == {"primary", "thumbnail"}
    found = await kept(studio.home, made.outputs[0].staged_key)
    assert (corners(found) == corners(data)).all()
    assert document_of(found)["materials"][0].keys() >= {"pbrMetallicRoughness", "normalTexture"}
    assert read_bill(studio.folder).amount_micros == PRICE


async def test_a_model_of_too_many_triangles_keeps_them_and_is_flagged_as_any_other(studio: Studio) -> None:
    model = cube()
    [mesh] = model.document["meshes"]
    mesh["primitives"] *= 9
    await studio.made(model.file())

    [made] = await studio.home.said(GenerationCompleted)
    assert made.flags == ["over_polycount"]


async def test_what_cannot_be_dressed_ends_the_item_before_it_has_cost_anything(studio: Studio) -> None:
    compressed = cube()
    compressed.document["extensionsRequired"] = ["KHR_draco_mesh_compression"]
    words = ("it is compressed by KHR_draco_mesh_compression", "GLB of version", "without a triangle")
    for data in (compressed.file(), SKIN, cube(mode=0).file()):
        await studio.made(data)

    failed = await studio.home.said(GenerationFailed)
    assert [(event.code, event.final, event.billing.state) for event in failed] == [
        ("INVALID_REQUEST", True, "none")
    ] * 3
    assert all(said in event.message for said, event in zip(words, failed, strict=True))
    assert read_bill(studio.folder).amount_micros == 0
