"""Every kind of media as the sandbox makes it: exactly what was asked for, at its price, with the faults on demand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from media import CorruptOutput, check_media
from provider_worker.adapters.config import Price, Prices
from provider_worker.adapters.interface import (
    ErrorCode,
    GenerationRequest,
    JobRef,
    MediaKind,
    Op,
    Outcome,
    ProviderAdapter,
    ProviderError,
    Status,
)
from provider_worker.adapters.sandbox import SandboxProvider, SandboxSettings, read_lines

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def wish(kind: MediaKind, op: Op, size: tuple[int, int] = (0, 0), **more: Any) -> GenerationRequest:
    return GenerationRequest("attempt-1", "tenant", kind, op, "a fox", *size, **more)


WISHES: dict[MediaKind, GenerationRequest] = {
    MediaKind.IMAGE: wish(MediaKind.IMAGE, Op.TEXT_TO_IMAGE, (64, 48)),
    MediaKind.TEXTURE: wish(MediaKind.TEXTURE, Op.TEXT_TO_IMAGE, (96, 64), format="webp"),
    MediaKind.ENVIRONMENT_MAP: wish(MediaKind.ENVIRONMENT_MAP, Op.TEXT_TO_IMAGE, (64, 32), format="exr"),
    MediaKind.VIDEO: wish(MediaKind.VIDEO, Op.TEXT_TO_VIDEO, (64, 48), format="mp4", duration_s=0.5),
    MediaKind.SFX: wish(MediaKind.SFX, Op.TEXT_TO_SFX, format="wav", duration_s=0.5, options={"effect": "win"}),
    MediaKind.MUSIC: wish(MediaKind.MUSIC, Op.TEXT_TO_MUSIC, format="mp3", duration_s=1.5, options={"genre": "jazz"}),
    MediaKind.MODEL_3D: wish(MediaKind.MODEL_3D, Op.TEXT_TO_3D, format="glb", options={"max_triangles": 500}),
}
FORMATS = [
    (kind, name)
    for kind, names in {
        MediaKind.TEXTURE: ("png", "jpeg", "webp"),
        MediaKind.ENVIRONMENT_MAP: ("exr", "hdr"),
        MediaKind.VIDEO: ("mp4", "webm"),
        MediaKind.SFX: ("wav", "mp3", "ogg", "flac"),
        MediaKind.MUSIC: ("wav", "mp3", "ogg", "flac"),
        MediaKind.MODEL_3D: ("glb",),
    }.items()
    for name in names
]
MICROS = {
    MediaKind.IMAGE: 40_000,
    MediaKind.TEXTURE: 40_000,
    MediaKind.ENVIRONMENT_MAP: 40_000,
    MediaKind.VIDEO: 25_000,
    MediaKind.SFX: 20_000,
    MediaKind.MUSIC: 2_500,
    MediaKind.MODEL_3D: 200_000,
}
every_kind = pytest.mark.parametrize("kind", MediaKind)


# One provider for all of them: its children load every library once.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sandbox")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider(folder: Path) -> AsyncIterator[ProviderAdapter]:
    opened = SandboxProvider(SandboxSettings(folder, processes=1))
    yield opened
    await opened.close()


@pytest.fixture
def reference() -> str:
    return uuid4().hex


async def submitted(provider: ProviderAdapter, request: GenerationRequest) -> Status:
    answer = await provider.submit(request, provider.plan(request))
    assert isinstance(answer, Status)
    return answer


async def bytes_of(provider: ProviderAdapter, status: Status) -> bytes:
    [artifact] = status.artifacts
    return b"".join([chunk async for chunk in provider.fetch(artifact)])


async def made(provider: ProviderAdapter, request: GenerationRequest) -> bytes:
    return await bytes_of(provider, await submitted(provider, request))


def bill_of(folder: Path, reference: str) -> list[tuple[int, int]]:
    """What was paid under this reference, and how often it came again."""
    lines = [line for line in read_lines(folder) if line.reference.startswith(reference)]
    return [(line.amount_micros, line.duplicate_submits) for line in lines]


async def refused(provider: ProviderAdapter, request: GenerationRequest) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await provider.submit(request, provider.plan(request))
    return caught.value


async def test_there_is_a_wish_for_every_kind() -> None:
    assert set(WISHES) == set(MICROS) == set(MediaKind)


@pytest.mark.parametrize(("kind", "name"), FORMATS, ids=[f"{kind} {name}" for kind, name in FORMATS])
async def test_every_format_of_every_kind_is_made_in_the_asked_size_and_length(
    provider: ProviderAdapter, reference: str, kind: MediaKind, name: str
) -> None:
    request = replace(WISHES[kind], request_id=reference, format=name)
    [can] = [can for can in provider.capabilities() if (can.kind, can.op) == (kind, request.op)]
    assert name in can.formats
    status = await submitted(provider, request)
    found = check_media(await bytes_of(provider, status))
    assert found.mime == status.artifacts[0].mime
    assert (found.width or 0, found.height or 0) == (request.width, request.height)
    if request.duration_s is not None:
        assert found.duration_s == pytest.approx(request.duration_s, abs=0.0011)
    if kind is MediaKind.MODEL_3D:
        assert found.triangles is not None
        assert found.triangles <= 500
        assert found.maps == ("base_color", "metallic_roughness", "normal")


@every_kind
async def test_what_was_quoted_is_what_is_billed(
    provider: ProviderAdapter, folder: Path, reference: str, kind: MediaKind
) -> None:
    request = replace(WISHES[kind], request_id=reference)
    quoted = provider.estimate(request)
    status = await submitted(provider, request)
    assert status.cost is not None
    assert (quoted.amount_micros, quoted.basis) == (MICROS[kind], "estimated")
    assert (status.cost.amount_micros, status.cost.basis) == (MICROS[kind], "reported")
    assert bill_of(folder, reference) == [(MICROS[kind], 0)]


async def test_time_is_billed_by_the_millisecond_and_upwards(tmp_path: Path) -> None:
    prices = Prices("sandbox", (Price("minute", 100_000), Price("second", 50_001, {"kind": "video"})))
    provider = SandboxProvider(SandboxSettings(tmp_path, prices=prices))
    asked = [(MediaKind.MUSIC, 30.0), (MediaKind.MUSIC, 30.0001), (MediaKind.VIDEO, 4.0005), (MediaKind.VIDEO, 0.001)]
    costs = [provider.estimate(replace(WISHES[kind], duration_s=length)).amount_micros for kind, length in asked]
    assert costs == [50_000, 50_000, 200_004, 51]


async def test_what_has_no_price_is_refused_by_name(tmp_path: Path) -> None:
    provider = SandboxProvider(SandboxSettings(tmp_path, prices=Prices("sandbox", (Price("image", 1),))))
    assert provider.estimate(WISHES[MediaKind.TEXTURE]).amount_micros == 1
    with pytest.raises(ProviderError, match="sandbox has no price for one generation \\(kind sfx\\)"):
        provider.estimate(WISHES[MediaKind.SFX])


@every_kind
async def test_the_same_seed_and_prompt_give_the_same_bytes_and_nothing_else_does(
    provider: ProviderAdapter, reference: str, kind: MediaKind
) -> None:
    request = replace(WISHES[kind], request_id=reference, seed=5)
    first = await made(provider, request)
    assert await made(provider, replace(request, request_id=f"{reference}-2")) == first
    assert await made(provider, replace(request, request_id=f"{reference}-3", seed=6)) != first
    assert await made(provider, replace(request, request_id=f"{reference}-4", prompt="a bear")) != first


@every_kind
async def test_without_a_seed_every_attempt_has_its_own_which_gives_its_bytes_again(
    provider: ProviderAdapter, reference: str, kind: MediaKind
) -> None:
    one = await submitted(provider, replace(WISHES[kind], request_id=reference))
    other = await submitted(provider, replace(WISHES[kind], request_id=f"{reference}-2"))
    data, seed = await bytes_of(provider, one), one.artifacts[0].meta["seed"]
    assert seed != other.artifacts[0].meta["seed"]
    assert 0 <= seed < 2**31
    assert await bytes_of(provider, other) != data
    assert await made(provider, replace(WISHES[kind], request_id=f"{reference}-3", seed=seed)) == data


@every_kind
async def test_a_refusal_of_any_kind_is_not_paid(
    provider: ProviderAdapter, folder: Path, reference: str, kind: MediaKind
) -> None:
    codes = []
    for number, tag in enumerate(["policy", "fail", "http500x1"]):
        request = replace(WISHES[kind], request_id=f"{reference}-{number}", prompt=f"a fox [[sim:{tag}]]")
        codes.append((await refused(provider, request)).code)
    assert codes == [ErrorCode.CONTENT_POLICY, ErrorCode.PROVIDER_ERROR, ErrorCode.TEMPORARY]
    assert bill_of(folder, reference) == []


@pytest.mark.parametrize(
    ("kind", "name"),
    [(MediaKind.IMAGE, "png"), *FORMATS],
    ids=[f"{kind} {name}" for kind, name in [(MediaKind.IMAGE, "png"), *FORMATS]],
)
async def test_corrupt_media_of_any_kind_is_paid_and_does_not_pass_the_check(
    provider: ProviderAdapter, folder: Path, reference: str, kind: MediaKind, name: str
) -> None:
    request = replace(WISHES[kind], request_id=reference, format=name, prompt="a fox [[sim:corrupt]]")
    data = await made(provider, request)
    with pytest.raises(CorruptOutput):
        check_media(data)
    assert len(bill_of(folder, reference)) == 1


@every_kind
async def test_a_lost_answer_of_any_kind_can_be_looked_up(
    provider: ProviderAdapter, folder: Path, reference: str, kind: MediaKind
) -> None:
    lost = replace(WISHES[kind], request_id=reference, prompt="a fox [[sim:drop_after_accept]]")
    assert (await refused(provider, lost)).outcome is Outcome.UNKNOWN
    found = await provider.find(lost, provider.plan(lost), NOW)
    assert isinstance(found, JobRef)
    status = await provider.poll(found)
    while status.state == "running":  # what takes long is asked for again; each question waits for a while
        status = await provider.poll(found)
    assert await bytes_of(provider, status) == await made(provider, lost)
    assert bill_of(folder, reference) == [(MICROS[kind], 1)]


def sky(width: int, height: int) -> GenerationRequest:
    return replace(WISHES[MediaKind.ENVIRONMENT_MAP], width=width, height=height)


REFUSED = [
    (replace(WISHES[MediaKind.IMAGE], op=Op.RETEXTURE), "does not make image by retexture"),
    (replace(WISHES[MediaKind.TEXTURE], op=Op.INPAINT), "does not make texture by inpaint"),
    (replace(WISHES[MediaKind.TEXTURE], format="gif"), "format is 'gif', but must be one of png, jpeg, webp"),
    (replace(WISHES[MediaKind.TEXTURE], width=4097), "width is 4097"),
    (replace(WISHES[MediaKind.ENVIRONMENT_MAP], format="png"), "format is 'png', but must be one of exr, hdr"),
    (sky(512, 512), "twice as wide as it is high, not 512x512"),
    (sky(8192, 4096), "width is 8192, but must be 32 to 4096"),
    (replace(WISHES[MediaKind.VIDEO], format="gif"), "format is 'gif', but must be one of mp4, webm"),
    (replace(WISHES[MediaKind.VIDEO], width=65), "even edges, not 65x48"),
    (replace(WISHES[MediaKind.VIDEO], width=1920, height=1920), "at most 1080 pixels, not 1920"),
    (replace(WISHES[MediaKind.VIDEO], duration_s=15.1), "duration is 15.1 s, but must be 0.5 to 15 s"),
    (replace(WISHES[MediaKind.SFX], duration_s=0.4), "duration is 0.4 s, but must be 0.5 to 5 s"),
    (replace(WISHES[MediaKind.SFX], options={"effect": "boom"}), "effect is 'boom', but must be one of click, spin"),
    (replace(WISHES[MediaKind.MUSIC], duration_s=121), "duration is 121 s, but must be 1 to 120 s"),
    (replace(WISHES[MediaKind.MUSIC], duration_s=float("nan")), "duration is nan"),
    (replace(WISHES[MediaKind.MUSIC], options={"genre": "polka"}), "genre is 'polka', but must be one of electronic"),
    (replace(WISHES[MediaKind.MUSIC], options={"instrumental": False}), "the sandbox has no voice"),
    (replace(WISHES[MediaKind.MODEL_3D], options={"max_triangles": 99}), "max_triangles is 99"),
    (replace(WISHES[MediaKind.MODEL_3D], options={"max_triangles": 300_001}), "max_triangles is 300001"),
    (replace(WISHES[MediaKind.MODEL_3D], format="obj"), "format is 'obj', but must be one of glb"),
    (replace(WISHES[MediaKind.MODEL_3D], prompt=" "), "the prompt is empty"),
]


@pytest.mark.parametrize(("request_", "words"), REFUSED, ids=[words for _, words in REFUSED])
async def test_what_cannot_be_made_is_refused_in_words_before_it_is_paid(
    provider: ProviderAdapter, folder: Path, reference: str, request_: GenerationRequest, words: str
) -> None:
    error = await refused(provider, replace(request_, request_id=reference))
    assert words in error.message
    assert (error.code, error.retryable) == (ErrorCode.INVALID_REQUEST, False)
    assert bill_of(folder, reference) == []


async def test_lengths_and_triangles_that_nobody_named_are_the_usual_ones(provider: ProviderAdapter) -> None:
    plans = {kind: provider.plan(replace(WISHES[kind], duration_s=None, options={})) for kind in MediaKind}
    lengths = {kind: plan["duration_s"] for kind, plan in plans.items() if plan["duration_s"] is not None}
    assert lengths == {MediaKind.VIDEO: 8.0, MediaKind.SFX: 2.0, MediaKind.MUSIC: 30.0}
    assert plans[MediaKind.MODEL_3D]["max_triangles"] == 50_000
