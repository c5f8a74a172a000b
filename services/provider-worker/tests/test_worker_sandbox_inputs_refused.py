"""What the sandbox makes nothing of: it says why, and is not paid for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import pytest_asyncio
from PIL import Image

from provider_worker.adapters.interface import (
    ErrorCode,
    GenerationRequest,
    InputMedia,
    Op,
    ProviderAdapter,
    ProviderError,
)
from provider_worker.adapters.sandbox import SandboxProvider, SandboxSettings
from tests.worker_models import cube
from tests.worker_pictures import (
    DISC,
    EDIT,
    FILM,
    FIRST,
    GLB,
    HILLS,
    INPAINT,
    LAST,
    MASK,
    MODEL,
    REFERENCE,
    RETEXTURE,
    SIZE,
    STYLE,
    SUN,
    anew,
    filed,
    given,
    paid,
    refused,
)

# One provider for all of them: its children load every library once.
pytestmark = pytest.mark.asyncio(loop_scope="module")

UNMADE: list[tuple[GenerationRequest, str]] = [
    (replace(EDIT, inputs=()), "image by edit_image needs a reference or a style"),
    (replace(INPAINT, inputs=(REFERENCE,)), "image by inpaint needs a mask"),
    (replace(INPAINT, inputs=(MASK,)), "image by inpaint needs a reference"),
    (replace(INPAINT, inputs=(REFERENCE, REFERENCE, MASK)), "takes 1 reference, 1 mask, 1 style, not 2 reference"),
    (replace(EDIT, inputs=(REFERENCE, MASK)), "takes 4 reference, 1 style, not 1 mask"),
    (replace(EDIT, inputs=(REFERENCE,) * 5), "not 5 reference"),
    (replace(EDIT, op=Op.TEXT_TO_IMAGE), "image by text_to_image takes nothing, not 1 reference"),
    (replace(FILM, inputs=(LAST,)), "video by image_to_video needs a first_frame or a reference"),
    (replace(FILM, inputs=(FIRST, REFERENCE)), "with its first_frame or with a reference, not with both"),
    (replace(FILM, inputs=(FIRST, LAST), options={"loop": True}), "loops ends as it begins, and takes no last_frame"),
    (replace(FILM, inputs=(FIRST, STYLE)), "not 1 style"),
    (replace(RETEXTURE, inputs=(REFERENCE,)), "model_3d by retexture takes 1 model, 1 style, not 1 reference"),
    (replace(RETEXTURE, inputs=(STYLE,)), "model_3d by retexture needs a model"),
    (replace(MODEL, inputs=(GLB,)), "takes 1 reference, not 1 model"),
    (replace(EDIT, inputs=(InputMedia("reference", "image/png", url="https://a.example/b"),)), "come with its bytes"),
]
squeezed = cube()
squeezed.document["extensionsRequired"] = ["KHR_draco_mesh_compression"]
NOISE = Random(1).randbytes(400)
SMALL = given("mask", filed(DISC.resize((80, 60))))
WAVING = filed(HILLS, format="webp", save_all=True, append_images=[SUN])
BOMB = filed(HILLS).replace((160).to_bytes(4) + (120).to_bytes(4), (60_000).to_bytes(4) + (60_000).to_bytes(4), 1)
UNDRESSED: list[tuple[bytes, str]] = [
    (filed(HILLS), "GLB of version"),
    (b"", ""),
    (NOISE, ""),
    ((GLB.data or b"")[:-4], "declares"),
    (cube(mode=0).file(), "a 3D model without a triangle"),
    (squeezed.file(), "it is compressed by KHR_draco_mesh_compression, and has to be saved without that"),
]
UNUSABLE: list[tuple[GenerationRequest, str]] = [
    (replace(EDIT, inputs=(REFERENCE, given("style", NOISE))), "input 2 (style): "),
    (replace(EDIT, inputs=(given("reference", b""),)), "input 1 (reference): "),
    (replace(EDIT, inputs=(given("reference", filed(HILLS)[:-200]),)), "input 1 (reference): "),
    (replace(EDIT, inputs=(given("reference", WAVING),)), "an animation"),
    (replace(FILM, inputs=(given("first_frame", BOMB),)), "input 1 (first_frame): "),
    (
        replace(INPAINT, inputs=(REFERENCE, SMALL)),
        "the mask is 80x60, but has to have the size of its reference",
    ),
    (replace(INPAINT, inputs=(REFERENCE, given("mask", filed(Image.new("L", SIZE))))), "leaves nothing to draw"),
]
UNUSABLE += [
    (replace(RETEXTURE, inputs=(replace(GLB, data=data),)), f"input 1 (model): {words}") for data, words in UNDRESSED
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sandbox")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider(folder: Path) -> AsyncIterator[ProviderAdapter]:
    opened = SandboxProvider(SandboxSettings(folder, processes=1))
    yield opened
    await opened.close()


@pytest.mark.parametrize(("request_", "words"), [*UNMADE, *UNUSABLE], ids=[words for _, words in [*UNMADE, *UNUSABLE]])
async def test_what_makes_no_sense_is_refused_in_words_before_it_is_paid(
    provider: ProviderAdapter, folder: Path, request_: GenerationRequest, words: str
) -> None:
    request = anew(request_)
    error = await refused(provider, request)
    assert words in error.message
    assert (error.code, error.retryable) == (ErrorCode.INVALID_REQUEST, False)
    assert paid(folder, request) == []


@pytest.mark.parametrize(("request_", "words"), UNMADE, ids=[words for _, words in UNMADE])
async def test_roles_that_make_no_sense_are_refused_before_a_byte_is_read(
    provider: ProviderAdapter, request_: GenerationRequest, words: str
) -> None:
    with pytest.raises(ProviderError) as caught:
        provider.plan(replace(request_, inputs=[replace(one, data=one.data and b"") for one in request_.inputs]))
    assert words in caught.value.message


async def test_a_reference_cannot_be_used_for_other_inputs(provider: ProviderAdapter, folder: Path) -> None:
    request = anew(EDIT)
    await provider.submit(request, provider.plan(request))
    error = await refused(provider, replace(request, inputs=(given("reference", filed(SUN)),)))
    assert (error.code, error.http_status) == (ErrorCode.INVALID_REQUEST, 409)
    assert len(paid(folder, request)) == 1


async def test_inputs_that_cannot_be_kept_for_now_are_not_paid_for(tmp_path: Path) -> None:
    provider = SandboxProvider(SandboxSettings(tmp_path, processes=1))
    (tmp_path / "inputs").write_text("no folder")
    error = await refused(provider, EDIT)
    await provider.close()
    assert (error.code, error.retryable, paid(tmp_path, EDIT)) == (ErrorCode.TEMPORARY, True, [])
