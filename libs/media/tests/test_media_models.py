"""Which GLB files pass as a 3D model that can be shown anywhere, and why the others do not."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media import CorruptOutput, Facts, Reason, check_media
from media.tests.media_files import document, glb, glb_of, glb_of_chunks, png

ALL_MAPS = ("baseColorTexture", "metallicRoughnessTexture", "normalTexture", "occlusionTexture", "emissiveTexture")
Change = Callable[[dict[str, Any]], None]


def refusal(data: bytes) -> CorruptOutput:
    with pytest.raises(CorruptOutput) as caught:
        check_media(data)
    return caught.value


def changed(change: Change) -> bytes:
    made, binary = document(maps=("baseColorTexture",))
    change(made)
    return glb_of(made, binary)


def test_a_model_tells_its_triangles_and_its_maps() -> None:
    data = glb(1000, maps=ALL_MAPS)
    maps = ("base_color", "metallic_roughness", "normal", "occlusion", "emissive")
    assert check_media(data) == Facts("model/gltf-binary", len(data), triangles=1000, maps=maps)
    assert check_media(glb(maps=("baseColorTexture",))).maps == ("base_color",)


@pytest.mark.parametrize(("mode", "triangles"), [(4, 10), (5, 28), (6, 28), (1, 0)])
def test_strips_and_fans_are_counted_as_what_they_are(mode: int, triangles: int) -> None:
    made, binary = document(10)
    made["meshes"][0]["primitives"][0]["mode"] = mode
    made["meshes"][0]["primitives"].append({"attributes": {"POSITION": 0}})
    assert check_media(glb_of(made, binary)).triangles == triangles + 4


def test_a_file_that_leans_on_nothing_may_carry_its_parts_in_addresses() -> None:
    made, binary = document(maps=("normalTexture",))
    made["buffers"][0]["uri"] = "data:application/octet-stream;base64," + base64.b64encode(binary).decode()
    made["images"] = [{"uri": "data:image/png;base64," + base64.b64encode(png(4, 4)).decode()}]
    assert check_media(glb_of(made, b"")).maps == ("normal",)


@pytest.mark.parametrize("uri", ["https://evil.example/a.bin", "../../etc/passwd", "file:///etc/passwd", "a.bin", ""])
@pytest.mark.parametrize("where", ["buffers", "images"])
def test_a_file_beside_it_is_refused(uri: str, where: str) -> None:
    def lean(made: dict[str, Any]) -> None:
        made[where][0]["uri"] = uri

    assert refusal(changed(lean)).reason is Reason.EXTERNAL


def test_an_extension_that_it_cannot_be_shown_without_is_refused_unless_every_viewer_has_it() -> None:
    assert refusal(changed(lambda made: made.update(extensionsRequired=["KHR_draco_mesh_compression"]))).reason is (
        Reason.EXTERNAL
    )
    assert check_media(changed(lambda made: made.update(extensionsRequired=["KHR_materials_unlit"]))).triangles == 2


def put(*path: str | int, value: Any) -> Change:
    def change(made: dict[str, Any]) -> None:
        place: Any = made
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        put("accessors", 0, "count", value=5),
        put("accessors", 0, "count", value=2**40),
        put("accessors", 0, "count", value=-1),
        put("accessors", 0, "byteOffset", value=4),
        put("accessors", 0, "byteOffset", value=-4),
        put("accessors", 1, "count", value=9),
        put("accessors", 1, "componentType", value=5125),
        put("accessors", 1, "componentType", value=9999),
        put("accessors", 1, "type", value="VEC3"),
        put("accessors", 0, "bufferView", value=-1),
        put("accessors", 0, "bufferView", value=99),
        put("accessors", 1, "bufferView", value=True),
        put("bufferViews", 0, "byteLength", value=10_000),
        put("bufferViews", 0, "byteOffset", value=10_000),
        put("bufferViews", 0, "byteStride", value=4),
        put("bufferViews", 0, "buffer", value=1),
        put("buffers", 0, "byteLength", value=10_000),
        put("buffers", value=[]),
        put("accessors", value=[]),
        put("meshes", value=[]),
        put("meshes", 0, "primitives", 0, "attributes", value={"NORMAL": 0}),
        put("meshes", 0, "primitives", 0, "attributes", value={"POSITION": 0, "NORMAL": 1}),
        put("meshes", 0, "primitives", 0, "material", value=7),
        put("meshes", 0, "primitives", 0, "mode", value=1),
        put("asset", "extras", value=float("nan")),
        put("nodes", 0, "mesh", value=7),
        put("nodes", 0, "children", value=[0]),
        put("scenes", 0, "nodes", value=[9]),
        put("nodes", value=[{"children": [1]}, {"children": [0]}]),
        put("nodes", value=[{"children": [1, 1]}, {}]),
        put("images", 0, "bufferView", value=0),
        put("textures", 0, "source", value=3),
        put("materials", 0, "pbrMetallicRoughness", "baseColorTexture", "index", value=2),
        put("asset", "version", value="1.0"),
        put("asset", value=None),
        put("nodes", value=7),
        put("images", value=[{"bufferView": 2}] * 33),
        put("nodes", value=[{}] * 70_000),
    ],
)
def test_what_points_at_something_that_is_not_there_is_refused(change: Change) -> None:
    assert refusal(changed(change)).reason in set(Reason) - {Reason.NOT_MEDIA, Reason.EMPTY}


def test_an_index_beyond_the_vertices_is_refused() -> None:
    made, binary = document(2)
    at = made["bufferViews"][1]["byteOffset"]
    beyond = binary[:at] + struct.pack("<H", 4) + binary[at + 2 :]
    assert str(refusal(glb_of(made, beyond))) == "vertex 4 of 4"


def test_a_sparse_accessor_stays_inside_too() -> None:
    def thin(count: int) -> Change:
        place = {"bufferView": 1, "componentType": 5123}
        return put("accessors", 0, "sparse", value={"count": count, "indices": place, "values": {"bufferView": 0}})

    assert check_media(changed(thin(2))).triangles == 2
    assert refusal(changed(thin(50))).reason is Reason.UNDECODABLE


@pytest.mark.parametrize("share", [0.001, 0.3, 0.9, 0.999])
def test_a_model_that_is_cut_off_is_refused(share: float) -> None:
    data = glb(500)
    assert refusal(data[: max(8, int(len(data) * share))]).reason in {Reason.CUT_OFF, Reason.UNDECODABLE}


def test_more_bytes_than_declared_and_odd_chunks_are_refused() -> None:
    text = json.dumps(document()[0]).encode()
    assert "declares" in str(refusal(glb() + b"\x00" * 4))
    assert "multiple of 4" in str(refusal(glb_of_chunks((b"JSON", text + b" " * (1 - len(text) % 4 + 4)))))
    assert refusal(glb_of_chunks((b"BIN\x00", bytes(8)))).reason is Reason.UNDECODABLE
    assert refusal(glb_of_chunks()).reason is Reason.UNDECODABLE


@pytest.mark.parametrize(
    "text",
    [b"[]", b"null", b"{", b"[" * 100_000, b"\xff\xfe", b'{"a":' + b"1" * 5000 + b"}"],
)
def test_a_document_that_is_none_is_refused(text: bytes) -> None:
    padded = text + b" " * (-len(text) % 4)
    assert refusal(glb_of_chunks((b"JSON", padded))).reason is Reason.UNDECODABLE


def test_a_document_of_many_megabytes_is_not_read() -> None:
    assert refusal(glb_of_chunks((b"JSON", b" " * (9 << 20)))).reason is Reason.TOO_LARGE


def test_a_broken_picture_inside_is_named() -> None:
    made, binary = document()
    at = made["bufferViews"][2]["byteOffset"]
    broken = binary[: at + 40] + b"\xff" + binary[at + 41 :]
    assert "picture 0 in it" in str(refusal(glb_of(made, broken)))


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_whatever_stands_in_the_document_it_is_a_model_or_a_named_refusal(draw: st.DataObject) -> None:
    data = bytearray(glb(3, maps=ALL_MAPS))
    end = 20 + struct.unpack_from("<I", data, 12)[0]
    for _ in range(draw.draw(st.integers(1, 4))):
        data[draw.draw(st.integers(20, end - 1))] = draw.draw(st.sampled_from(b'0123456789-,"{}[]:ae.'))
    with suppress(CorruptOutput):
        assert check_media(bytes(data)).mime == "model/gltf-binary"
