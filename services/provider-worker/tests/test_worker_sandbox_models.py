"""The sandbox's 3D models: whole GLB files with their maps, never more triangles than asked for (R53, R55)."""

from __future__ import annotations

from collections import Counter
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import pygltflib as gltf
import pytest
from PIL import Image

from media import check_media
from provider_worker.adapters.sandbox.drawing.colours import parse
from provider_worker.adapters.sandbox.modelling.glb import maps_of
from provider_worker.adapters.sandbox.modelling.mesh import Mesh, count_of
from provider_worker.adapters.sandbox.modelling.model import ModelBrief, built, modelled
from provider_worker.adapters.sandbox.modelling.things import THINGS, Thing
from provider_worker.adapters.sandbox.tiling.texture import TextureBrief, surface_of

BRAND = tuple(parse(text) for text in ("#0F172A", "#38BDF8", "#F59E0B"))
every_thing = pytest.mark.parametrize("thing", THINGS, ids=lambda thing: thing.__name__)


def brief(seed: int = 1, most: int = 50_000, words: str = "") -> ModelBrief:
    return ModelBrief(seed, most, words)


@every_thing
@pytest.mark.parametrize("most", [100, 101, 137, 250, 1_000, 20_000, 50_000, 300_000])
def test_there_are_never_more_triangles_than_asked_for(thing: Thing, most: int) -> None:
    for seed in range(4):
        _, meshes = built(brief(seed, most), thing)
        assert 30 < count_of(meshes) <= most
        assert count_of(meshes) < 50_000 or most > 50_000


@every_thing
def test_a_round_thing_uses_the_triangles_it_may_have(thing: Thing) -> None:
    _, meshes = built(brief(2, 20_000), thing)
    flat = thing.__name__ == "crystals"
    assert count_of(meshes) > (150 if flat else 12_000)


@every_thing
def test_every_triangle_is_seen_from_the_side_its_normals_point_to(thing: Thing) -> None:
    for mesh in built(brief(3, 20_000), thing)[1]:
        corners = mesh.positions[mesh.triangles].astype(np.float64)
        facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        size = np.linalg.norm(facing, axis=1)
        normals = mesh.normals[mesh.triangles].mean(axis=1)
        agree = (facing * normals).sum(axis=1)[size > 1e-9] > 0
        assert agree.mean() > 0.97


@every_thing
def test_directions_have_the_length_of_one_and_all_numbers_are_numbers(thing: Thing) -> None:
    for most in (100, 30_000):
        for mesh in built(brief(4, most), thing)[1]:
            tangents = mesh.tangents[:, :3]
            for directions in (mesh.normals, tangents):
                assert np.abs(np.linalg.norm(directions, axis=1) - 1).max() < 1e-4
            assert np.abs((tangents * mesh.normals).sum(axis=1)).max() < 1e-3
            for values in (mesh.positions, mesh.places):
                assert np.isfinite(values).all()
            assert mesh.triangles.max() < len(mesh.positions)


@every_thing
def test_a_tangent_points_to_where_the_skin_goes_to_the_right(thing: Thing) -> None:
    """And the fourth number of it says where the skin's upper end is: normal maps would be lit from below."""
    for mesh in built(brief(3, 20_000), thing)[1]:
        at, place = (values[mesh.triangles].astype(np.float64) for values in (mesh.positions, mesh.places))
        (first, second), (across, down) = (
            (at[:, 1] - at[:, 0], at[:, 2] - at[:, 0]),
            np.moveaxis(np.stack([place[:, 1] - place[:, 0], place[:, 2] - place[:, 0]]), -1, 0),
        )
        area = (across[0] * down[1] - across[1] * down[0])[:, None]
        seen = (np.abs(area) > 1e-9)[:, 0]
        right = ((first * down[1][:, None] - second * down[0][:, None]) / np.where(area == 0, 1, area))[seen]
        below = ((second * across[0][:, None] - first * across[1][:, None]) / np.where(area == 0, 1, area))[seen]
        tangents, normals = mesh.tangents[mesh.triangles[seen, 0]], mesh.normals[mesh.triangles[seen, 0]]
        upper = np.cross(normals, tangents[:, :3]) * tangents[:, 3:]
        assert ((right * tangents[:, :3]).sum(axis=1) > 0).mean() > 0.97
        assert ((below * upper).sum(axis=1) < 0).mean() > 0.97


def volume(meshes: list[Mesh]) -> float:
    """Above 0 where closed meshes are seen from outside."""
    total = 0.0
    for mesh in meshes:
        a, b, c = (mesh.positions[mesh.triangles[:, corner]].astype(np.float64) for corner in range(3))
        total += float((a * np.cross(b, c)).sum() / 6)
    return total


@every_thing
def test_a_thing_is_closed_and_seen_from_outside(thing: Thing) -> None:
    for mesh in built(brief(5, 20_000), thing)[1]:
        assert volume([mesh]) > 0
        at = [tuple(place) for place in np.round(mesh.positions, 5)]
        sides: Counter[Any] = Counter()
        for triangle in mesh.triangles.tolist():
            a, b, c = (at[number] for number in triangle)
            if len({a, b, c}) == 3:
                sides.update([(a, b), (b, c), (c, a)])
        open_sides = sum(count != sides[side[1], side[0]] for side, count in sides.items())
        assert open_sides < 0.002 * len(sides)


@every_thing
def test_a_thing_is_of_a_size_that_fits_a_scene(thing: Thing) -> None:
    _, meshes = built(brief(6), thing)
    places = np.concatenate([mesh.positions for mesh in meshes])
    extent = places.max(axis=0) - places.min(axis=0)
    assert 0.5 < extent.max() < 5


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("a tall vase", "vase"),
        ("glowing crystals", "crystals"),
        ("A single 3D model of «a golden prize wheel».", "trophy"),
        ("a fox", "creature"),
        ("a red planet", "planet"),
        ("an oak tree", "tree"),
        ("foxes", "creature"),
        ("treasure", "chest"),
    ],
)
def test_words_choose_the_thing(words: str, name: str) -> None:
    assert built(brief(1, 1000, words))[0].__name__ == name


def test_where_no_word_means_anything_the_seed_chooses() -> None:
    assert len({built(brief(seed, 200, "something"))[0] for seed in range(60)}) == len(THINGS)


def read(data: bytes) -> gltf.GLTF2:
    return gltf.GLTF2.load_from_bytes(data)


def picture_in(document: gltf.GLTF2, number: int) -> npt.NDArray[np.uint8]:
    view = document.bufferViews[document.images[number].bufferView]
    data = document.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]
    return np.asarray(Image.open(BytesIO(data)))


@pytest.mark.parametrize("most", [100, 50_000, 300_000])
def test_the_file_is_a_whole_glb_with_all_its_maps(most: int) -> None:
    data = modelled(brief(7, most, "a vase"))
    found = check_media(data)
    assert found.mime == "model/gltf-binary"
    assert found.triangles is not None
    assert found.triangles <= most
    document = read(data)
    for material in document.materials:
        pbr = material.pbrMetallicRoughness
        used = {pbr.baseColorTexture.index, pbr.metallicRoughnessTexture.index, material.normalTexture.index}
        assert len(used) == 3
        for index in used:
            assert picture_in(document, document.textures[index].source).shape == (512, 512, 3)


def test_the_same_brief_gives_the_same_bytes_and_another_seed_others() -> None:
    made = [modelled(brief(seed, 300, "a fox")) for seed in (1, 1, 2)]
    assert made[0] == made[1] != made[2]


def test_the_skin_is_in_the_colours_of_the_brand() -> None:
    plain, branded = (read(modelled(ModelBrief(3, 500, "a wooden chest", palette))) for palette in ((), BRAND))
    colour = [picture_in(document, 0).reshape(-1, 3).mean(axis=0) for document in (plain, branded)]
    assert colour[0][0] > colour[0][2]
    assert colour[1][2] > colour[1][0]


def test_the_maps_say_what_the_surface_is() -> None:
    steel = maps_of(surface_of(TextureBrief(64, 64, 1, "steel"), 64, 64))
    wood = maps_of(surface_of(TextureBrief(64, 64, 1, "wood"), 64, 64))
    metal = [np.asarray(Image.open(BytesIO(maps.metallic_roughness))).mean(axis=(0, 1)) for maps in (steel, wood)]
    assert (round(metal[0][2]), round(metal[1][2])) == (255, 0)
    assert metal[0][1] < metal[1][1]
    normals = np.asarray(Image.open(BytesIO(wood.normal)), dtype=np.float64) / 127.5 - 1
    assert np.abs(np.linalg.norm(normals, axis=-1) - 1).max() < 0.02
    assert np.abs(normals[..., :2].mean(axis=(0, 1))).max() < 0.02
