"""What the sandbox makes of pictures: each is seen in the result, paid once, and can be made again."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pygltflib as gltf
import pytest
import pytest_asyncio
from PIL import Image

from media import check_media
from media.seams import MOST_SEAM_RATIO, seam_ratio
from media.video_finishing import MOST_LOOP_SEAM, loop_seam
from provider_worker.adapters.interface import (
    GenerationRequest,
    InputMedia,
    JobRef,
    Outcome,
    ProviderAdapter,
    ProviderError,
    Status,
)
from provider_worker.adapters.sandbox import SandboxProvider, SandboxSettings
from provider_worker.adapters.sandbox.drawing.colours import parse, to_lab
from provider_worker.adapters.sandbox.drawing.sampled import sampled
from tests.worker_models import corners, cube, picture_in
from tests.worker_pictures import (
    COOL,
    DISC,
    EDIT,
    FILM,
    FIRST,
    HILLS,
    HOLE,
    INPAINT,
    LAST,
    MODEL,
    REFERENCE,
    RETEXTURE,
    STYLE,
    STYLED,
    SUN,
    TEXTURE,
    WARM,
    anew,
    filed,
    given,
    paid,
    refused,
)

Pixels = npt.NDArray[np.float64]

NOW = datetime(2026, 1, 1, tzinfo=UTC)
# One provider for all of them: its children load every library once.
pytestmark = pytest.mark.asyncio(loop_scope="module")


EVERY = {
    "edit": EDIT,
    "style": STYLED,
    "inpaint": INPAINT,
    "texture": TEXTURE,
    "film": FILM,
    "model": MODEL,
    "retexture": RETEXTURE,
}
every_way = pytest.mark.parametrize("request_", EVERY.values(), ids=EVERY)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sandbox")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider(folder: Path) -> AsyncIterator[ProviderAdapter]:
    opened = SandboxProvider(SandboxSettings(folder, processes=1))
    yield opened
    await opened.close()


async def bytes_of(provider: ProviderAdapter, status: JobRef | Status) -> bytes:
    assert isinstance(status, Status)
    [artifact] = status.artifacts
    return b"".join([chunk async for chunk in provider.fetch(artifact)])


async def made(provider: ProviderAdapter, request: GenerationRequest) -> bytes:
    return await bytes_of(provider, await provider.submit(request, provider.plan(request)))


async def picture(provider: ProviderAdapter, request: GenerationRequest) -> Image.Image:
    return Image.open(BytesIO(await made(provider, anew(request)))).convert("RGB")


def light(picture: Image.Image) -> Pixels:
    return np.asarray(picture.convert("L"), dtype=np.float64)


def alike(one: Image.Image, other: Image.Image) -> float:
    """How far what is light in one is light in the other too: 1 if everywhere."""
    return float(np.corrcoef(light(one).ravel(), light(other).ravel())[0, 1])


def apart(one: Image.Image, other: Image.Image) -> float:
    """In levels of 255, over all pixels."""
    return float(np.abs(np.asarray(one, dtype=np.float64) - np.asarray(other, dtype=np.float64)).mean())


def tinted(picture: Image.Image, colours: tuple[str, ...]) -> float:
    """How far its pixels are from the nearest of these colours, lightness aside."""
    tints = to_lab(np.asarray(picture))[..., 1:]
    wanted = [to_lab(parse(colour))[1:] for colour in colours]
    return float(np.min([np.linalg.norm(tints - one, axis=-1) for one in wanted], axis=0).mean())


def frames(data: bytes) -> list[Image.Image]:
    with av.open(BytesIO(data), "r") as container:
        return [Image.fromarray(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


async def test_an_edit_keeps_the_composition_of_its_reference_and_takes_on_the_palette(
    provider: ProviderAdapter,
) -> None:
    edited = await picture(provider, replace(EDIT, options={"palette": list(COOL)}))
    assert alike(edited, HILLS) > 0.85
    assert tinted(edited, COOL) < 0.04 < tinted(HILLS, COOL) / 2


async def test_without_a_palette_an_edit_keeps_the_colours_of_its_reference(provider: ProviderAdapter) -> None:
    assert tinted(await picture(provider, EDIT), WARM) < 0.04


async def test_an_edit_bears_the_headline(provider: ProviderAdapter) -> None:
    plain, lettered = [await picture(provider, replace(EDIT, options={"headline": words})) for words in ("", "Neon")]
    assert apart(plain, lettered) > 10


async def test_of_several_references_each_is_seen_beside_the_others(provider: ProviderAdapter) -> None:
    both = await picture(provider, replace(EDIT, inputs=(REFERENCE, given("reference", filed(SUN)))))
    halves = both.crop((0, 0, 80, 120)), both.crop((80, 0, 160, 120))
    for half, reference in zip(halves, (HILLS, SUN), strict=True):
        assert alike(half, reference.crop((40, 0, 120, 120))) > 0.8


async def test_the_colours_of_a_style_become_the_palette_whatever_the_palette_says(provider: ProviderAdapter) -> None:
    for request in (STYLED, replace(EDIT, inputs=(REFERENCE, STYLE)), replace(TEXTURE, inputs=(STYLE,))):
        styled = await picture(provider, replace(request, options={"palette": list(WARM)}))
        assert tinted(styled, COOL) < 0.05 < tinted(HILLS, COOL) / 2


@pytest.mark.parametrize("mask", [DISC, HOLE], ids=["white", "transparent"])
async def test_outside_of_the_mask_stands_the_reference_and_inside_what_was_asked_for(
    provider: ProviderAdapter, mask: Image.Image
) -> None:
    request = replace(INPAINT, inputs=(REFERENCE, given("mask", filed(mask))), options={"headline": "Neon"})
    fox, bear = [np.asarray(await picture(provider, replace(request, prompt=words))) for words in ("a fox", "a bear")]
    inside = np.asarray(DISC) > 0
    assert (fox[~inside] == np.asarray(HILLS)[~inside]).all()
    assert np.abs(fox[inside].astype(np.float64) - np.asarray(HILLS)[inside]).mean() > 10
    assert np.abs(fox[inside].astype(np.float64) - bear[inside]).mean() > 10


async def test_a_texture_shows_its_reference_and_its_edges_meet(provider: ProviderAdapter) -> None:
    tile = await picture(provider, TEXTURE)
    assert alike(tile, HILLS) > 0.6
    assert seam_ratio(HILLS) > MOST_SEAM_RATIO >= seam_ratio(tile)


@pytest.mark.parametrize("film_format", ["mp4", "webm"])
@pytest.mark.parametrize("first", [FIRST, REFERENCE], ids=["first frame", "reference"])
async def test_a_film_begins_with_exactly_its_picture_and_moves_on(
    provider: ProviderAdapter, film_format: str, first: InputMedia
) -> None:
    film = frames(await made(provider, anew(FILM, inputs=(first,), format=film_format)))
    assert len(film) == 36
    assert apart(film[0], HILLS) < 5
    assert apart(film[18], film[0]) > 5
    assert apart(film[-1], film[18]) > 5


async def test_the_headline_of_a_film_comes_after_its_first_picture(provider: ProviderAdapter) -> None:
    plain, lettered = [
        frames(await made(provider, anew(FILM, options={"headline": words}))) for words in ("", "Neon Nights")
    ]
    assert apart(lettered[0], HILLS) < 5
    assert apart(lettered[-1], plain[-1]) > 10


async def test_a_film_ends_with_exactly_its_last_picture(provider: ProviderAdapter) -> None:
    film = frames(await made(provider, anew(FILM, inputs=(LAST, FIRST), options={"headline": "Neon"})))
    assert apart(film[0], HILLS) < 5
    assert apart(film[-1], SUN) < 5
    assert min(apart(film[18], HILLS), apart(film[18], SUN)) > 12


async def test_a_film_that_loops_comes_back_to_its_picture(provider: ProviderAdapter) -> None:
    data = await made(provider, anew(FILM, duration_s=2.0, options={"loop": True, "headline": "Neon"}))
    film = frames(data)
    assert apart(film[0], HILLS) < 5
    assert apart(film[24], HILLS) > 6
    assert loop_seam(data) <= MOST_LOOP_SEAM


async def test_a_model_wears_its_picture(provider: ProviderAdapter) -> None:
    data = await made(provider, anew(MODEL, prompt="a vase"))
    facts = check_media(data)
    assert facts.maps == ("base_color", "metallic_roughness", "normal")
    document = gltf.GLTF2.load_from_bytes(data)
    view = document.bufferViews[document.images[0].bufferView]
    skin = Image.open(BytesIO(document.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]))
    square = HILLS.crop((20, 0, 140, 120)).resize(skin.size)
    assert alike(skin, square) > 0.6
    assert tinted(skin, WARM) < 0.05


async def test_a_model_of_others_wears_what_the_words_say_in_the_colours_of_the_style(
    provider: ProviderAdapter,
) -> None:
    styled = replace(RETEXTURE, inputs=(*RETEXTURE.inputs, STYLE), options={"palette": list(WARM)}, prompt="old bricks")
    [given_] = RETEXTURE.inputs
    data = await made(provider, anew(styled))
    assert check_media(data).maps == ("base_color", "metallic_roughness", "normal")
    assert (corners(data) == corners(given_.data or b"")).all()
    skin, warm = (picture_in(one, 0) for one in (data, await made(provider, anew(styled, inputs=RETEXTURE.inputs))))
    assert tinted(skin, COOL) < 0.05 < tinted(warm, COOL)
    assert tinted(warm, WARM) < 0.05


@every_way
async def test_the_same_inputs_and_seed_give_the_same_bytes_and_nothing_else_does(
    provider: ProviderAdapter, request_: GenerationRequest
) -> None:
    first = await made(provider, anew(request_))
    other = {"style": filed(HILLS), "model": cube().file()}
    changed = tuple(replace(one, data=other.get(one.role, filed(SUN))) for one in request_.inputs[:1])
    assert await made(provider, anew(request_)) == first
    assert await made(provider, anew(request_, seed=8)) != first
    assert await made(provider, anew(request_, prompt="a bear")) != first
    assert await made(provider, anew(request_, inputs=changed + tuple(request_.inputs[1:]))) != first


@every_way
async def test_every_way_is_among_its_capabilities_and_costs_what_its_kind_costs(
    provider: ProviderAdapter, folder: Path, request_: GenerationRequest
) -> None:
    [can] = [can for can in provider.capabilities() if (can.kind, can.op) == (request_.kind, request_.op)]
    assert request_.format in can.formats
    request = anew(request_)
    quoted = provider.estimate(replace(request, inputs=[replace(one, data=b"") for one in request.inputs]))
    await made(provider, request)
    assert paid(folder, request) == [(quoted.amount_micros, 0)]


@every_way
async def test_what_was_lost_is_found_without_the_bytes_of_its_inputs_and_made_of_them(
    provider: ProviderAdapter, folder: Path, request_: GenerationRequest
) -> None:
    lost = anew(request_, prompt="a fox [[sim:drop_after_accept]]")
    assert (await refused(provider, lost)).outcome is Outcome.UNKNOWN
    unread = replace(lost, inputs=[replace(one, data=b"") for one in lost.inputs])
    other = SandboxProvider(SandboxSettings(folder, processes=1))
    found = await other.find(unread, other.plan(unread), NOW)
    assert found is not None
    # As it comes back from the tables.
    ref = JobRef(found.provider, found.external_id, json.loads(json.dumps(found.data)))
    status = await other.poll(ref)
    while status.state == "running":  # what takes long is asked for again; each question waits for a while
        status = await other.poll(ref)
    again = await bytes_of(other, status)
    await other.close()
    assert again == await made(provider, lost)
    assert [times for _, times in paid(folder, lost)] == [1]


@every_way
async def test_a_plan_tells_of_inputs_by_hash(provider: ProviderAdapter, request_: GenerationRequest) -> None:
    plan = provider.plan(request_)
    assert [told["role"] for told in plan["inputs"]] == [one.role for one in request_.inputs]
    assert len(json.dumps(plan)) < 800


async def test_what_is_kept_no_longer_is_said_and_not_asked_for_again(tmp_path: Path) -> None:
    provider = SandboxProvider(SandboxSettings(tmp_path, processes=1))
    request = anew(EDIT)
    await made(provider, request)
    shutil.rmtree(tmp_path / "inputs")
    found = await provider.find(request, {}, NOW)
    assert found is not None
    with pytest.raises(ProviderError, match="built on what is kept no longer: reference") as caught:
        await provider.poll(found)
    await provider.close()
    assert not caught.value.retryable


async def test_pictures_of_others_are_decoded_in_child_processes_alone(
    provider: ProviderAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(*_: Any, **__: Any) -> None:
        raise AssertionError("a picture was opened in the service itself")

    monkeypatch.setattr(Image, "open", opened)
    await made(provider, anew(EDIT))


@pytest.mark.parametrize(
    "saving", [{"format": "jpeg", "quality": 95}, {"format": "webp", "lossless": True}], ids=["jpeg", "webp"]
)
async def test_a_picture_may_come_in_any_format(provider: ProviderAdapter, saving: dict[str, Any]) -> None:
    edited = await picture(provider, replace(EDIT, inputs=(given("reference", filed(HILLS, **saving)),)))
    assert alike(edited, HILLS) > 0.85


async def test_a_picture_that_lies_on_its_side_is_set_upright(provider: ProviderAdapter) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned to the right
    lying = filed(HILLS.transpose(Image.Transpose.ROTATE_90), format="jpeg", quality=95, exif=exif)
    edited = await picture(provider, replace(EDIT, inputs=(given("reference", lying),)))
    assert alike(edited, HILLS) > 0.85


async def test_the_colours_of_a_picture_are_those_that_fill_most_of_it() -> None:
    red, blue = (200, 30, 30), (20, 40, 160)
    for most, least in ((red, blue), (blue, red)):
        flag = Image.new("RGB", (90, 60), most)
        flag.paste(least, (60, 0, 90, 60))
        assert sampled(flag) == (most, least)
    assert sampled(Image.new("RGB", (3, 1), (7, 8, 9))) == ((7, 8, 9),)
