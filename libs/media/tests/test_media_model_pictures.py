"""3D models are read whole, never changed, and have a small picture that shows what they are."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from media import CorruptOutput, Reason, Wanted, finish_media
from media.tests.media_files import document, glb, glb_of

GREY = (0.6, 0.6, 0.6)
Change = Callable[[dict[str, Any]], None]


def mesh(
    corners: npt.NDArray[np.float32],
    indices: npt.NDArray[np.uint32] | None,
    *,
    places: npt.NDArray[np.float32] | None = None,
    normals: npt.NDArray[np.float32] | None = None,
    colour: tuple[float, float, float] = GREY,
    texture: Image.Image | None = None,
    nodes: list[dict[str, Any]] | None = None,
    mode: int = 4,
) -> bytes:
    """A GLB of one mesh."""
    binary, views, accessors = b"", [], []
    primitive: dict[str, Any] = {"attributes": {}, "material": 0, "mode": mode}

    def add(values: npt.NDArray[Any], kind: str) -> int:
        nonlocal binary
        views.append({"buffer": 0, "byteOffset": len(binary), "byteLength": values.nbytes})
        binary += values.tobytes() + bytes(-values.nbytes % 4)
        component = {"f": 5126, "u": 5125}[values.dtype.kind]
        accessors.append({"bufferView": len(views) - 1, "componentType": component, "count": len(values), "type": kind})
        return len(accessors) - 1

    primitive["attributes"]["POSITION"] = add(corners, "VEC3")
    if places is not None:
        primitive["attributes"]["TEXCOORD_0"] = add(places, "VEC2")
    if normals is not None:
        primitive["attributes"]["NORMAL"] = add(normals, "VEC3")
    if indices is not None:
        primitive["indices"] = add(indices.ravel(), "SCALAR")
    surface: dict[str, Any] = {"baseColorFactor": [*colour, 1.0]}
    made: dict[str, Any] = {
        "asset": {"version": "2.0"},
        "scenes": [{"nodes": list(range(len(nodes or [{}])))}],
        "nodes": nodes or [{"mesh": 0}],
        "meshes": [{"primitives": [primitive]}],
        "materials": [{"pbrMetallicRoughness": surface}],
        "accessors": accessors,
        "bufferViews": views,
    }
    if texture is not None:
        file = BytesIO()
        texture.save(file, "png")
        views.append({"buffer": 0, "byteOffset": len(binary), "byteLength": len(file.getvalue())})
        binary += file.getvalue()
        surface["baseColorTexture"] = {"index": 0}
        made |= {"textures": [{"source": 0}], "images": [{"bufferView": len(views) - 1, "mimeType": "image/png"}]}
    made["buffers"] = [{"byteLength": len(binary)}]
    return glb_of(made, binary)


def ball(rings: int, **options: Any) -> bytes:
    """2 * rings * rings * 2 triangles, less those at the poles that have no area."""
    down, around = np.mgrid[0 : rings + 1, 0 : 2 * rings + 1]
    angle, turn = down * (np.pi / rings), around * (np.pi / rings)
    corners = np.stack((np.sin(angle) * np.sin(turn), np.cos(angle), np.sin(angle) * np.cos(turn)), axis=2)
    places = np.stack((around / (2 * rings), down / rings), axis=2).reshape(-1, 2).astype(np.float32)
    row = 2 * rings + 1
    first = (down[:-1, :-1] * row + around[:-1, :-1]).ravel()
    quads = np.stack((first, first + row, first + 1, first + 1, first + row, first + row + 1), axis=1)
    found = corners.reshape(-1, 3).astype(np.float32)
    return mesh(found, quads.astype(np.uint32), places=places, normals=found, **options)


SQUARE = np.array([(-1, -1, 0), (1, -1, 0), (1, 1, 0), (-1, 1, 0)], np.float32)
TWO = np.array([(0, 1, 2), (0, 2, 3)], np.uint32)


def shown(data: bytes) -> npt.NDArray[np.int16]:
    found = finish_media(data, Wanted("glb", thumbnail=True))
    small = Image.open(BytesIO(found.thumbnail or b""))
    assert (small.format, small.size) == ("WEBP", (512, 512))
    return np.asarray(small.convert("RGB")).astype(np.int16)


def reddish(pixels: npt.NDArray[np.int16]) -> npt.NDArray[np.bool_]:
    return (pixels[:, :, 0] > pixels[:, :, 1] + 40) & (pixels[:, :, 0] > pixels[:, :, 2] + 40)


def test_a_model_stays_byte_for_byte_and_tells_its_triangles_and_maps() -> None:
    data = glb(100, maps=("baseColorTexture", "normalTexture"))
    found = finish_media(data, Wanted("glb", thumbnail=True))
    assert (found.data, found.sha256) == (None, hashlib.sha256(data).hexdigest())
    assert (found.facts.triangles, found.facts.maps) == (100, ("base_color", "normal"))
    assert found.native == found.facts
    assert finish_media(data, Wanted("glb")).thumbnail is None


def test_a_ball_is_round_in_its_colour_and_lit_from_above_left() -> None:
    pixels = shown(ball(24, colour=(0.8, 0.05, 0.05)))
    red = reddish(pixels)
    rows, columns = np.nonzero(red)
    assert (rows.min(), columns.min()) == pytest.approx((36, 36), abs=4)
    assert (rows.max(), columns.max()) == pytest.approx((476, 476), abs=4)
    assert red.sum() == pytest.approx(np.pi * 220**2, rel=0.03)
    assert red[100:412, 256].all()  # no hole from top to bottom
    assert pixels[170, 190, 0] > pixels[340, 330, 0] + 40
    assert pixels[5, 5].min() > 200  # the ground


def test_a_picture_of_its_colours_lies_on_it_the_right_way_round() -> None:
    texture = Image.new("RGB", (64, 64), "blue")
    texture.paste((255, 0, 0), (0, 0, 32, 32))  # in glTF the upper left of a texture is at 0, 0
    places = np.array([(0, 1), (1, 1), (1, 0), (0, 0)], np.float32)
    pixels = shown(mesh(SQUARE, TWO, places=places, texture=texture, colour=(1, 1, 1)))
    assert reddish(pixels[200:220, 180:200]).all()
    assert not reddish(pixels[200:220, 300:320]).any()
    assert not reddish(pixels[300:320, 180:200]).any()


def test_what_is_in_front_hides_what_is_behind() -> None:
    behind, front = SQUARE.copy(), SQUARE * 0.5
    behind[:, 2], front[:, 2] = -0.5, 0.5
    for order in ((behind, front), (front, behind)):
        nearer = 1 if order[1] is front else 0
        texture = Image.new("RGB", (2, 1), "blue")
        texture.putpixel((nearer, 0), (255, 0, 0))
        places = np.repeat(np.array([(0.25, 0.5), (0.75, 0.5)], np.float32), 4, axis=0)
        corners = np.concatenate(order).astype(np.float32)
        pixels = shown(mesh(corners, np.concatenate((TWO, TWO + 4)), places=places, texture=texture, colour=(1, 1, 1)))
        share = reddish(pixels).mean()
        assert 0.06 < share < 0.25


@pytest.mark.parametrize(
    ("node", "wider"),
    [
        ({"scale": [3, 1, 1]}, True),
        ({"scale": [1, 3, 1]}, False),
        ({"matrix": [3, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 5, 5, 5, 1]}, True),
        ({"scale": [3, 1, 1], "rotation": [0, 0, 0.7071068, 0.7071068]}, False),
    ],
)
def test_nodes_move_turn_and_stretch_what_they_show(node: dict[str, Any], wider: bool) -> None:
    pixels = shown(mesh(SQUARE, TWO, colour=(0.8, 0, 0), nodes=[{"mesh": 0, **node}]))
    rows, columns = np.nonzero(reddish(pixels))
    assert bool(np.ptp(columns) > np.ptp(rows)) is wider


def test_a_node_inside_another_moves_with_it() -> None:
    made, binary = document(4)
    made["nodes"] = [{"children": [1], "scale": [1, 1, 0.001]}, {"mesh": 0, "translation": [1, 2, 3]}]
    assert shown(glb_of(made, binary)).shape == (512, 512, 3)


@pytest.mark.parametrize(("mode", "order"), [(5, (0, 1, 3, 2)), (6, (0, 1, 2, 3))])
def test_strips_and_fans_are_drawn(mode: int, order: tuple[int, ...]) -> None:
    expected = reddish(shown(mesh(SQUARE, TWO, colour=(0.8, 0, 0))))
    found = shown(mesh(SQUARE[list(order)], None, colour=(0.8, 0, 0), mode=mode))
    assert (reddish(found) == expected).mean() > 0.995


def test_a_model_is_seen_whatever_its_size_and_place() -> None:
    for corners in (SQUARE * 1e-6, SQUARE * 1e6, SQUARE + np.float32(500)):
        share = reddish(shown(mesh(corners.astype(np.float32), TWO, colour=(0.8, 0, 0)))).mean()
        assert 0.4 < share < 0.8


def test_vertices_that_are_nowhere_are_left_out() -> None:
    corners = np.concatenate((SQUARE, [(np.nan, 0, 0), (np.inf, 0, 0), (3e38, 0, 0)])).astype(np.float32)
    indices = np.concatenate((TWO, [(0, 1, 4), (1, 2, 5), (2, 3, 6)])).astype(np.uint32)
    assert reddish(shown(mesh(corners, indices, colour=(0.8, 0, 0)))).mean() > 0.4


def test_a_scene_that_shows_nothing_is_an_empty_ground() -> None:
    made, binary = document(4)
    made["scenes"] = [{"nodes": []}]
    assert shown(glb_of(made, binary)).min() > 190


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
        put("nodes", 0, "matrix", value=[1, 2, 3]),
        put("nodes", 0, "matrix", value=["a"] * 16),
        put("nodes", 0, "rotation", value=[0, 0, 1]),
        put("nodes", 0, "scale", value="large"),
        put("nodes", 0, "scale", value=[10**400, 1, 1]),
        put("scene", value="first"),
        put("materials", 0, "pbrMetallicRoughness", "baseColorFactor", value=["red"]),
        put("materials", 0, "pbrMetallicRoughness", "baseColorTexture", value={}),
        put("accessors", 0, "type", value="VEC2"),
    ],
)
def test_a_scene_that_nobody_can_show_is_refused(change: Change) -> None:
    made, binary = document()
    change(made)
    with pytest.raises(CorruptOutput) as caught:
        finish_media(glb_of(made, binary), Wanted("glb", thumbnail=True))
    assert caught.value.reason is Reason.UNDECODABLE


def seconds(data: bytes) -> float:
    start = time.process_time()
    shown(data)
    return time.process_time() - start


def test_fifty_thousand_triangles_are_drawn_within_a_second_on_a_busy_machine() -> None:
    data = ball(112, texture=Image.effect_noise((1024, 1024), 90).convert("RGB"))
    assert min(seconds(data) for _ in range(3)) < 1


@pytest.mark.parametrize("kind", ["layers", "instances", "dust"])
def test_what_is_made_to_be_slow_takes_its_bounded_time(kind: str) -> None:
    if kind == "layers":  # 60,000 triangles that each cover the picture
        data = mesh(np.tile(SQUARE * 1.0, (30_000, 1)), (TWO + 4 * np.arange(30_000)[:, None, None]).astype(np.uint32))
    elif kind == "instances":
        data = ball(40, nodes=[{"mesh": 0, "translation": [n % 250, n // 250, 0]} for n in range(60_000)])
    else:
        corners = np.random.default_rng(3).normal(size=(3_000_000, 3)).astype(np.float32)
        data = mesh(corners, None)
    assert seconds(data) < 8


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_stands_in_the_document_it_is_shown_or_refused(draw: st.DataObject) -> None:
    data = bytearray(ball(3, texture=Image.new("RGB", (4, 4))))
    end = 20 + int.from_bytes(data[12:16], "little")
    for _ in range(draw.draw(st.integers(1, 4))):
        data[draw.draw(st.integers(20, end - 1))] = draw.draw(st.sampled_from(b'0123456789-,"{}[]:ae.'))
    with suppress(CorruptOutput):
        assert finish_media(bytes(data), Wanted("glb", thumbnail=True)).thumbnail
