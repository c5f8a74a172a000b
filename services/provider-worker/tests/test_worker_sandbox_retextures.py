"""Models of others in new looks: their shape stays as it is, whatever file it comes in (R53)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from media import CorruptOutput, Reason, check_media
from provider_worker.adapters.sandbox.drawing.colours import parse
from provider_worker.adapters.sandbox.modelling.given import bared
from provider_worker.adapters.sandbox.modelling.model import ModelBrief, retextured
from tests.worker_models import (
    CUBE,
    FACES,
    SKIN,
    Model,
    Numbers,
    corners,
    cube,
    document_of,
    picture_in,
    places,
    rows_in,
)

BRAND = tuple(parse(text) for text in ("#0F172A", "#38BDF8", "#F59E0B"))
FLAT = (CUBE[:, :2] + 1) / 2
MAPS = ("base_color", "metallic_roughness", "normal")
LOOSE = CUBE[FACES.ravel()]


def worn(data: bytes, words: str = "old bricks", seed: int = 1, palette: Any = ()) -> bytes:
    """The model in new looks; it is a whole one with all its maps, and has as many triangles as it had."""
    made = retextured(ModelBrief(seed, 50_000, words, palette), bared(data))
    facts = check_media(made)
    assert (facts.maps, facts.triangles) == (MAPS, check_media(data).triangles)
    return made


def loose(mode: int = 4, at: Numbers = LOOSE) -> Model:
    """Vertices without numbers."""
    model = Model()
    return model.mesh({"attributes": {"POSITION": model.accessor(at)}, "mode": mode})


def strip_of(mode: int) -> Model:
    """A shape of six triangles around corners of the cube, by eight vertices."""
    model = Model()
    return model.mesh({"attributes": {"POSITION": model.accessor(CUBE[[0, 1, 3, 2, 6, 7, 5, 4]])}, "mode": mode})


UNPLACED = {
    "with numbers": cube().file(),
    "without numbers": loose().file(),
    "a strip": strip_of(5).file(),
    "a fan": strip_of(6).file(),
    "in words": cube().file_in_words(),
}
unplaced = pytest.mark.parametrize("data", UNPLACED.values(), ids=UNPLACED)


@unplaced
def test_triangles_without_places_get_some_and_stay_where_they_are(data: bytes) -> None:
    made = worn(data)
    assert (corners(made) == corners(data)).all()
    assert np.isfinite(corners(made, "TEXCOORD_0")).all()


def areas(at: Numbers) -> Numbers:
    one, other = at[:, 1] - at[:, 0], at[:, 2] - at[:, 0]
    if at.shape[2] == 2:
        return np.asarray(one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]) / 2
    return np.asarray(np.linalg.norm(np.cross(one, other), axis=1)) / 2


@pytest.mark.parametrize("kind", ["with numbers", "without numbers"])
def test_a_skin_lies_as_large_on_every_side_and_is_seen_from_outside(kind: str) -> None:
    """Vertices that several sides share could have but one place for all of them."""
    made = worn(UNPLACED[kind])
    # Downwards is more: what is seen from outside goes around the other way.
    assert areas(corners(made, "TEXCOORD_0")) == pytest.approx(-areas(corners(made)))


def test_a_skin_goes_twice_along_the_longest_edge_of_a_mesh_and_is_as_large_on_all_its_parts() -> None:
    model = cube()
    attributes = {"POSITION": model.accessor(CUBE * np.float32(0.5) + 100)}
    model.document["meshes"][0]["primitives"].append({"attributes": attributes, "indices": 1})
    made = worn(model.file())
    for part in (0, 1):
        on_skin, in_space = areas(corners(made, "TEXCOORD_0", primitive=part)), areas(corners(made, primitive=part))
        assert -on_skin == pytest.approx(in_space * (2 / 101.5) ** 2, rel=1e-3)


def test_directions_are_made_with_the_places_where_there_are_normals() -> None:
    model = cube()
    attributes = model.document["meshes"][0]["primitives"][0]["attributes"]
    attributes["NORMAL"] = model.accessor(CUBE / np.sqrt(3, dtype=np.float32))
    attributes["TANGENT"] = model.accessor(np.ones((8, 4), np.float32))
    made = worn(model.file())
    at, place, along = (corners(made, name).astype(np.float64) for name in ("POSITION", "TEXCOORD_0", "TANGENT"))
    normals = corners(made, "NORMAL")
    assert np.abs(np.linalg.norm(along[..., :3], axis=-1) - 1).max() < 1e-5
    assert np.abs((along[..., :3] * normals).sum(axis=-1)).max() < 1e-5
    upper = np.cross(normals, along[..., :3]) * along[..., 3:]
    for corner in (1, 2):
        way, step = at[:, corner] - at[:, 0], place[:, corner] - place[:, 0]
        for direction, moved in ((along[:, 0, :3], step[:, 0]), (upper[:, 0], -step[:, 1])):
            # On each side of the cube a normal leans away by 55 degrees, and these with it.
            flat = direction - direction * np.isclose(np.abs(at.sum(axis=1)), 3)
            assert ((flat * way).sum(axis=1) * moved >= -1e-6).all()


def test_points_and_lines_stay_points_and_lines() -> None:
    model = cube()
    for mode in (0, 1):
        model.document["meshes"][0]["primitives"].append({"attributes": {"POSITION": 0}, "indices": 1, "mode": mode})
    made = worn(model.file())
    kept = document_of(made)["meshes"][0]["primitives"][1:]
    assert [(one["mode"], one["attributes"].keys()) for one in kept] == [
        (mode, {"POSITION", "TEXCOORD_0"}) for mode in (0, 1)
    ]
    assert all((rows_in(made, one["attributes"]["POSITION"]) == CUBE).all() for one in kept)


def test_what_has_places_keeps_every_number_of_its_shape() -> None:
    model = places(cube(), FLAT)
    attributes = model.document["meshes"][0]["primitives"][0]["attributes"]
    attributes |= {"NORMAL": model.accessor(CUBE), "TANGENT": model.accessor(np.ones((8, 4), np.float32))}
    data = model.file()
    made = worn(data)
    [primitive] = document_of(made)["meshes"][0]["primitives"]
    assert (primitive["attributes"], primitive["indices"]) == (attributes, 1)
    assert document_of(made)["accessors"] == model.document["accessors"]
    for number in range(len(model.document["accessors"])):
        assert (rows_in(made, number) == rows_in(data, number)).all()


def test_what_lies_interleaved_between_pictures_is_the_same_when_they_are_gone() -> None:
    model = Model()
    material = model.textured("baseColorTexture", "emissiveTexture")
    vertices = np.concatenate([CUBE, CUBE / 2, FLAT], axis=1)
    view = model.view(vertices.tobytes(), byteStride=32)
    parts: dict[str, Numbers] = {"POSITION": CUBE, "NORMAL": CUBE / 2, "TEXCOORD_0": FLAT}
    starts = dict(zip(parts, (0, 12, 24), strict=True))
    attributes = {name: model.accessor(rows, bufferView=view, byteOffset=starts[name]) for name, rows in parts.items()}
    model.textured("baseColorTexture", "normalTexture", "occlusionTexture")
    model.mesh({"attributes": attributes, "indices": model.accessor(FACES.ravel()), "material": material})
    made = worn(model.file())
    for name, rows in parts.items():
        assert (rows_in(made, attributes[name]) == rows).all()
    assert document_of(made)["bufferViews"][view]["byteStride"] == 32
    assert SKIN not in made
    assert (corners(made) == corners(model.file())).all()


@pytest.mark.parametrize("stored", [True, False], ids=["over others", "over zeros"])
@pytest.mark.parametrize("placed", [True, False], ids=["with places", "without"])
def test_a_sparse_accessor_says_the_same(stored: bool, placed: bool) -> None:
    model = Model()
    wrong = CUBE.copy()
    wrong[[2, 5, 7]] = 9
    values = CUBE[[2, 5, 7]] if stored else CUBE
    places_ = np.array([2, 5, 7] if stored else range(8), np.uint8)
    sparse = {
        "count": len(values),
        "indices": {"bufferView": model.view(places_.tobytes()), "componentType": 5121},
        "values": {"bufferView": model.view(values.tobytes())},
    }
    at = model.accessor(wrong, sparse=sparse, stored=stored)
    model.document["accessors"][at] |= {"min": [-1, -1, -1], "max": [1, 1, 1]}
    model.mesh({"attributes": {"POSITION": at}, "indices": model.accessor(FACES.ravel())})
    made = worn(places(model, FLAT).file() if placed else model.file())
    assert (corners(made) == CUBE[FACES]).all()


def test_what_moves_with_a_vertex_moves_with_it_where_it_is_there_twice() -> None:
    model = cube()
    [primitive] = model.document["meshes"][0]["primitives"]
    joints = np.array([[number, 0, 0] for number in range(8)], np.uint8)  # three bytes, and one that glTF leaves free
    view = model.view(np.pad(joints, ((0, 0), (0, 1))).tobytes(), byteStride=4)
    primitive["attributes"]["_PLACE"] = model.accessor(joints, bufferView=view)
    primitive["targets"] = [{"POSITION": model.accessor(CUBE * 2)}, {"TANGENT": model.accessor(CUBE * 3)}]
    model.document["meshes"][0]["weights"] = [0.5, 0]
    made = worn(model.file())
    numbers = corners(made, "_PLACE")[..., 0]
    assert (CUBE[numbers] == corners(made)).all()
    [kept] = document_of(made)["meshes"][0]["primitives"]
    [bent, still] = kept["targets"]
    triangles = rows_in(made, kept["indices"]).reshape(-1, 3)
    assert (rows_in(made, bent["POSITION"])[triangles] == 2 * CUBE[FACES]).all()
    assert not rows_in(made, still["POSITION"]).any()


def scenery() -> Model:
    """Two meshes in two scenes, seen by a camera, turned by an animation, bent by bones, with words of their maker."""
    model = cube()
    other = {"POSITION": model.accessor(CUBE * 2), "TEXCOORD_0": model.accessor(FLAT)}
    model.mesh({"attributes": other, "indices": 1, "extras": {"of": "glass"}}, name="other")
    times, turns = model.accessor(np.arange(2, dtype=np.float32)), model.accessor(np.eye(4, dtype=np.float32)[:2])
    bones = model.accessor(np.eye(4, dtype=np.float32).reshape(1, 16))
    model.document |= {
        "scene": 1,
        "scenes": [{"nodes": [0], "extras": {"tags": [], "note": "", "none": None}}, {"nodes": [1, 2]}],
        "nodes": [
            {"mesh": 0, "skin": 0, "extras": [1, "two"]},
            {"mesh": 1, "translation": [0.1, 2, -3], "extras": "a word", "extensions": {"ACME_node": {"at": []}}},
            {"camera": 0, "name": ""},
        ],
        "cameras": [{"type": "perspective", "perspective": {"yfov": 0.7, "znear": 0.01}}],
        "skins": [{"joints": [1], "inverseBindMatrices": bones}],
        "animations": [
            {
                "samplers": [{"input": times, "output": turns}],
                "channels": [{"sampler": 0, "target": {"node": 1, "path": "rotation"}}],
            }
        ],
        "extensionsUsed": ["ACME_node", "KHR_mesh_quantization"],
        "extensions": {"ACME_scene": {"weather": {}}},
        "extras": {"author": "Ada"},
    }
    return model


def test_scenes_cameras_animations_bones_and_words_stay() -> None:
    model = scenery()
    made = document_of(worn(model.file()))
    same = ("asset", "scene", "scenes", "nodes", "cameras", "skins", "animations", "extensionsUsed", "extensions")
    assert {name: made[name] for name in (*same, "extras")} == {
        name: model.document[name] for name in (*same, "extras")
    }
    assert made["meshes"][1]["name"] == "other"
    assert made["meshes"][1]["primitives"][0]["extras"] == {"of": "glass"}


def test_pictures_that_nobody_sees_any_more_are_not_in_the_file() -> None:
    model = cube()
    every = "baseColorTexture", "metallicRoughnessTexture", "normalTexture", "occlusionTexture", "emissiveTexture"
    [primitive] = places(model, FLAT).document["meshes"][0]["primitives"]
    primitive["material"] = model.textured(*every, emissiveFactor=[1, 1, 1])
    data = model.file()
    made = worn(data)
    assert (data.count(SKIN), made.count(SKIN)) == (5, 0)
    document = document_of(made)
    assert [len(document[name]) for name in ("materials", "textures", "images", "samplers")] == [1, 3, 3, 1]
    assert document["materials"][0].keys() == {"pbrMetallicRoughness", "normalTexture"}
    assert [picture_in(made, number).size for number in range(3)] == [(512, 512)] * 3


def test_colours_of_vertices_do_not_shine_through() -> None:
    model = places(cube(), FLAT)
    [primitive] = model.document["meshes"][0]["primitives"]
    paint = np.random.default_rng(1).integers(0, 255, (8, 4), np.uint8)
    primitive["attributes"]["COLOR_0"] = model.accessor(paint, normalized=True)
    data = model.file()
    made = worn(data)
    assert document_of(made)["meshes"][0]["primitives"][0]["attributes"].keys() == {"POSITION", "TEXCOORD_0"}
    assert (data.count(paint.tobytes()), made.count(paint.tobytes())) == (1, 0)


def test_of_a_material_its_name_its_words_and_its_sides_stay_and_no_look() -> None:
    model = places(cube(), FLAT)
    own = {"name": "glass", "extras": [], "doubleSided": True, "alphaMode": "BLEND", "emissiveFactor": [1, 0, 0]}
    glass = {"KHR_materials_transmission": {"transmissionFactor": 1}, "ACME_physics": {"mass": 3}}
    [primitive] = model.document["meshes"][0]["primitives"]
    primitive["material"] = model.textured("baseColorTexture", **own, extensions=glass)
    primitive["extensions"] = {"KHR_materials_variants": {"mappings": []}}
    model.document["extensionsUsed"] = ["KHR_materials_transmission", "KHR_materials_variants", "ACME_physics"]
    model.document["extensionsRequired"] = ["KHR_materials_variants"]
    model.document["extensions"] = {"KHR_materials_variants": {"variants": [{"name": "red"}]}}
    made = document_of(worn(model.file()))
    [material] = made["materials"]
    assert material.keys() == {"name", "extras", "doubleSided", "extensions", "pbrMetallicRoughness", "normalTexture"}
    assert material["extensions"] == {"ACME_physics": {"mass": 3}}
    assert made["extensionsUsed"] == ["ACME_physics"]
    assert not {"extensions", "extensionsRequired"} & made.keys()
    assert "extensions" not in made["meshes"][0]["primitives"][0]


def test_packed_places_are_unpacked_as_before() -> None:
    how = {"offset": [0.25, 0], "scale": [0.5, 0.5]}
    model = places(cube(), FLAT)
    [primitive] = model.document["meshes"][0]["primitives"]
    primitive["material"] = model.textured("baseColorTexture")
    [material] = model.document["materials"]
    material["pbrMetallicRoughness"]["baseColorTexture"]["extensions"] = {"KHR_texture_transform": how}
    model.document["extensionsUsed"] = ["KHR_texture_transform"]
    made = document_of(worn(model.file()))
    [material] = made["materials"]
    for used in (*material["pbrMetallicRoughness"].values(), material["normalTexture"]):
        assert used["extensions"] == {"KHR_texture_transform": how}
    assert made["extensionsUsed"] == ["KHR_texture_transform"]
    # Of another set of places it says nothing of this one.
    model.document["materials"][0]["pbrMetallicRoughness"]["baseColorTexture"]["texCoord"] = 1
    primitive["attributes"]["TEXCOORD_1"] = primitive["attributes"]["TEXCOORD_0"]
    assert b"KHR_texture_transform" not in worn(model.file())


def test_the_largest_part_wears_what_the_words_say_and_the_others_something_else() -> None:
    model = places(cube(), FLAT)
    attributes = model.document["meshes"][0]["primitives"][0]["attributes"]
    for count in (1, 2):
        numbers = model.accessor(FACES[:count].ravel())
        material = model.textured("baseColorTexture")
        model.mesh({"attributes": attributes, "indices": numbers, "material": material})
    document = document_of(worn(model.file()))
    first, second, third = (
        [part["pbrMetallicRoughness"]["baseColorTexture"]["index"] for part in document["materials"]][number]
        for number in (document["meshes"][at]["primitives"][0]["material"] for at in (0, 1, 2))
    )
    assert (first, second, third) == (0, 0, 3)
    assert len(document["images"]) == 6


def test_looks_are_those_of_words_seed_and_brand_and_the_same_each_time() -> None:
    data = places(cube(), FLAT).file()
    first = worn(data)
    assert worn(data) == first
    for other in (worn(data, "fish scales"), worn(data, seed=2), worn(data, palette=BRAND)):
        assert other != first
        assert (corners(other) == corners(first)).all()
    plain, branded = (np.asarray(picture_in(made, 0)).mean(axis=(0, 1)) for made in (first, worn(data, palette=BRAND)))
    assert plain[0] > plain[2]
    assert branded[2] > branded[0]


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize("name", ["KHR_draco_mesh_compression", "EXT_meshopt_compression", "KHR_meshopt_compression"])
def test_what_is_compressed_is_refused_by_name(name: str, required: bool) -> None:
    model = cube()
    model.document["extensionsUsed"] = [name]
    if required:
        model.document["extensionsRequired"] = [name]
    with pytest.raises(CorruptOutput, match=f"it is compressed by {name}, and has to be saved without that") as caught:
        bared(model.file())
    assert caught.value.reason is Reason.EXTERNAL


def shared(meshes: int, vertices: int, triangles: int) -> bytes:
    """Many meshes of the same vertices, each of which would get places of its own, and all that moves with them."""
    chance, model = np.random.default_rng(1), Model()
    at = model.accessor(chance.random((vertices, 3), np.float32))
    numbers = model.accessor(chance.integers(0, vertices, triangles * 3, np.uint32))
    model.mesh({"attributes": {"POSITION": at, **{f"_{number}": at for number in range(16)}}, "indices": numbers})
    model.document["meshes"] *= meshes
    return model.file()


TOO_MUCH = {
    "parts": (shared(10_001, 8, 12), "10001 parts without places on a skin, 10000 can be given some"),
    "vertices": (shared(40, 60_000, 20_000), "4800000 vertices without places on a skin, 4000000 can be given some"),
    "bytes": (shared(12, 60_000, 60_000), "a skin for it would take more than 64 MiB"),
    "accessors": (shared(4_000, 8, 12), "with a skin it would have more parts than a model may have"),
}
UNUSABLE = {
    **TOO_MUCH,
    "a picture": (SKIN, "GLB of version"),
    "no triangle": (loose(0).file(), "a 3D model without a triangle"),
    "cut off": (cube().file()[:-8], "declares"),
    "too far a number": (cube().file().replace(b'"scene":0', b'"a":1e999'), "Out of range float values"),
    "half a letter": (cube(extras="\ud800").file(), "surrogates not allowed"),
    "flat": (loose(at=LOOSE[:, :2]).file(), "positions of 2 numbers"),
    "places that are none": (cube(targets=[3]).file(), "not a valid glTF 2.0 document"),
}


@pytest.mark.parametrize(("data", "words"), UNUSABLE.values(), ids=UNUSABLE)
def test_what_cannot_be_dressed_is_refused_in_words(data: bytes, words: str) -> None:
    with pytest.raises(CorruptOutput, match=words):
        bared(data)
