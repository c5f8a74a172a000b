"""The sandbox as the worker meets it: a provider that is paid, may fail on demand, and can be asked what it did."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from media import CorruptOutput, check_media
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
from provider_worker.adapters.sandbox import SandboxProvider, SandboxSettings, read_bill

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[ProviderAdapter]:
    opened = SandboxProvider(SandboxSettings(tmp_path, instant=True))
    yield opened
    await opened.close()


@pytest.fixture
async def drawing_provider(tmp_path: Path) -> AsyncIterator[ProviderAdapter]:
    opened = SandboxProvider(SandboxSettings(tmp_path, processes=1))
    yield opened
    await opened.close()


@pytest.fixture(params=["instant", "drawn"])
async def either(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ProviderAdapter]:
    opened = SandboxProvider(SandboxSettings(tmp_path, instant=request.param == "instant", processes=1))
    yield opened
    await opened.close()


def wish(
    prompt: str = "a fox", reference: str = "attempt-1", size: tuple[int, int] = (64, 48), **more: Any
) -> GenerationRequest:
    return GenerationRequest(reference, "tenant", MediaKind.IMAGE, Op.TEXT_TO_IMAGE, prompt, *size, **more)


async def submitted(provider: ProviderAdapter, request: GenerationRequest) -> Status:
    answer = await provider.submit(request, provider.plan(request))
    assert isinstance(answer, Status)
    return answer


async def bytes_of(provider: ProviderAdapter, status: Status) -> bytes:
    [artifact] = status.artifacts
    return b"".join([chunk async for chunk in provider.fetch(artifact)])


async def refused(provider: ProviderAdapter, request: GenerationRequest) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await provider.submit(request, provider.plan(request))
    return caught.value


@pytest.mark.parametrize("size", [(64, 48), (1280, 720), (17, 4096)])
async def test_a_submit_ends_with_a_paid_picture_of_the_asked_size(
    either: ProviderAdapter, size: tuple[int, int], tmp_path: Path
) -> None:
    status = await submitted(either, wish(size=size))
    assert (status.state, status.progress) == ("succeeded", 100)
    assert status.cost is not None
    assert (status.cost.amount_micros, status.cost.currency, status.cost.basis) == (40_000, "USD", "reported")
    assert status.cost.amount_micros == either.estimate(wish()).amount_micros
    data = await bytes_of(either, status)
    found = check_media(data)
    assert (found.width, found.height, found.mime) == (*size, status.artifacts[0].mime)
    assert read_bill(tmp_path).amount_micros == 40_000


@pytest.mark.parametrize("image_format", ["png", "jpeg", "webp"])
async def test_every_format_it_declares_is_delivered(drawing_provider: ProviderAdapter, image_format: str) -> None:
    capabilities = [can for can in drawing_provider.capabilities() if can.kind is MediaKind.IMAGE]
    assert all(image_format in can.formats for can in capabilities)
    data = await bytes_of(drawing_provider, await submitted(drawing_provider, wish(format=image_format)))
    found = check_media(data)
    assert (found.width, found.height, found.mime) == (64, 48, f"image/{image_format}")


async def test_the_same_reference_gives_the_same_picture_and_is_paid_once(
    either: ProviderAdapter, tmp_path: Path
) -> None:
    first, second = [await submitted(either, wish()) for _ in range(2)]
    assert first.external_id == second.external_id
    assert await bytes_of(either, first) == await bytes_of(either, second)
    bill = read_bill(tmp_path)
    assert (bill.count, bill.amount_micros, bill.duplicate_submits) == (1, 40_000, 1)


async def test_a_reference_cannot_be_used_for_another_request(provider: ProviderAdapter, tmp_path: Path) -> None:
    await submitted(provider, wish("a fox"))
    error = await refused(provider, wish("a bear"))
    assert error.code is ErrorCode.INVALID_REQUEST
    assert read_bill(tmp_path).amount_micros == 40_000


async def test_without_a_seed_every_generation_is_another_picture(drawing_provider: ProviderAdapter) -> None:
    async def picture(prompt: str, reference: str, seed: int | None = None) -> bytes:
        return await bytes_of(drawing_provider, await submitted(drawing_provider, wish(prompt, reference, seed=seed)))

    assert await picture("a fox", "1") == await picture("a fox", "1")
    assert await picture("a fox", "1") != await picture("a fox", "2")
    assert await picture("a fox", "4", seed=5) == await picture("a fox", "5", seed=5)
    assert await picture("a fox", "4", seed=5) != await picture("a fox", "6", seed=6)


async def test_instant_pictures_differ_by_their_reference(provider: ProviderAdapter) -> None:
    pictures = {await bytes_of(provider, await submitted(provider, wish(reference=str(n)))) for n in range(20)}
    assert len(pictures) == 20


async def test_an_instant_picture_costs_less_than_a_millisecond(provider: ProviderAdapter) -> None:
    requests = [wish(reference=str(number), size=(128, 128)) for number in range(400)]
    await submitted(provider, wish(reference="first", size=(128, 128)))
    start = time.process_time()
    await asyncio.gather(*(submitted(provider, request) for request in requests))
    assert (time.process_time() - start) / len(requests) < 0.001


async def test_colours_and_headline_come_from_the_options_or_from_the_prompt(provider: ProviderAdapter) -> None:
    prompt = 'A thumbnail that says "Neon Nights" in #0F172A and #38BDF8, it\'s loud'
    plan = provider.plan(wish(prompt))
    assert (plan["headline"], plan["palette"]) == ("Neon Nights", ["#0f172a", "#38bdf8"])
    plan = provider.plan(wish(prompt, options={"headline": "Other words", "palette": ["#ABC"]}))
    assert (plan["headline"], plan["palette"]) == ("Other words", ["#ABC"])
    assert provider.plan(wish("it's a fox, isn't it"))["headline"] == ""
    assert provider.plan(wish("a poster: 'Boss Rush'."))["headline"] == "Boss Rush"


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (wish(size=(15, 100)), "width is 15"),
        (wish(size=(100, 4097)), "height is 4097"),
        (wish(format="gif"), "format is 'gif'"),
        (wish("  "), "prompt is empty"),
        (wish("x" * 32_001), "32001 characters"),
        (wish(options={"palette": ["red"]}), "palette"),
    ],
)
async def test_a_bad_request_is_refused_before_anything_is_paid(
    provider: ProviderAdapter, request_: GenerationRequest, words: str
) -> None:
    with pytest.raises(ProviderError, match=words) as caught:
        provider.plan(request_)
    assert caught.value.code is ErrorCode.INVALID_REQUEST
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("tag", "code", "retryable"),
    [
        ("[[sim:policy]]", ErrorCode.CONTENT_POLICY, False),
        ("[[sim:fail]]", ErrorCode.PROVIDER_ERROR, False),
        ("[[sim:http500x1]]", ErrorCode.TEMPORARY, True),
    ],
)
async def test_a_refusal_is_not_paid(
    provider: ProviderAdapter, tmp_path: Path, tag: str, code: ErrorCode, retryable: bool
) -> None:
    error = await refused(provider, wish(f"a fox {tag}"))
    assert (error.code, error.outcome, error.retryable) == (code, Outcome.REJECTED, retryable)
    assert read_bill(tmp_path).count == 0


async def test_one_picture_of_several_can_fail_alone(provider: ProviderAdapter, tmp_path: Path) -> None:
    made = [wish("a fox [[sim:fail8]]", f"attempt-{seed}", seed=seed) for seed in (7, 9, 88, None)]
    assert {(await submitted(provider, request)).state for request in made} == {"succeeded"}
    assert (await refused(provider, wish("a fox [[sim:fail8]]", seed=8))).code is ErrorCode.PROVIDER_ERROR
    assert read_bill(tmp_path).count == 4


async def test_a_provider_that_fails_twice_answers_the_third_time(provider: ProviderAdapter, tmp_path: Path) -> None:
    request = wish("a fox [[sim:http500x2]]")
    assert [(await refused(provider, request)).http_status for _ in range(2)] == [500, 500]
    assert (await submitted(provider, request)).state == "succeeded"
    assert (read_bill(tmp_path).count, read_bill(tmp_path).duplicate_submits) == (1, 0)


async def test_a_corrupt_picture_is_paid_and_does_not_pass_the_check(provider: ProviderAdapter, tmp_path: Path) -> None:
    status = await submitted(provider, wish("a fox [[sim:corrupt]]"))
    with pytest.raises(CorruptOutput):
        check_media(await bytes_of(provider, status))
    assert read_bill(tmp_path).count == 1


async def test_a_lost_answer_can_be_looked_up_and_its_picture_fetched(either: ProviderAdapter, tmp_path: Path) -> None:
    lost = wish("a fox [[sim:drop_after_accept]]")
    assert await either.find(lost, either.plan(lost), NOW) is None
    error = await refused(either, lost)
    assert error.outcome is Outcome.UNKNOWN
    assert not error.retryable
    assert read_bill(tmp_path).count == 1

    found = await either.find(lost, either.plan(lost), NOW)
    assert isinstance(found, JobRef)
    status = await either.poll(found)
    again = await submitted(either, lost)
    assert status.external_id == again.external_id
    assert await bytes_of(either, status) == await bytes_of(either, again)
    assert (read_bill(tmp_path).count, read_bill(tmp_path).duplicate_submits) == (1, 1)


async def test_what_one_process_was_paid_another_finds(provider: ProviderAdapter, tmp_path: Path) -> None:
    await submitted(provider, wish(reference="mine"))
    other = SandboxProvider(SandboxSettings(tmp_path, instant=True))
    assert await other.find(wish(reference="mine"), {}, NOW) is not None
    assert await other.find(wish(reference="nobody's"), {}, NOW) is None
    await other.close()


async def test_a_slow_sandbox_takes_its_time(tmp_path: Path) -> None:
    provider = SandboxProvider(SandboxSettings(tmp_path, instant=True, latency_s=0.2))
    start = time.monotonic()
    await asyncio.gather(*(submitted(provider, wish(reference=str(number))) for number in range(20)))
    await provider.close()
    assert 0.2 <= time.monotonic() - start < 2


async def test_nothing_is_left_to_cancel(provider: ProviderAdapter) -> None:
    status = await submitted(provider, wish())
    assert not await provider.cancel(JobRef("sandbox", status.external_id))


async def test_it_is_healthy_as_long_as_its_bill_can_be_read(provider: ProviderAdapter, tmp_path: Path) -> None:
    assert await provider.health()
    shutil.rmtree(tmp_path)
    assert not await provider.health()


async def test_the_loop_turns_while_pictures_are_drawn(drawing_provider: ProviderAdapter) -> None:
    await submitted(drawing_provider, wish())
    drawing = asyncio.create_task(submitted(drawing_provider, wish(reference="large", size=(1600, 1600))))
    turns = 0
    while not drawing.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert turns > 20
