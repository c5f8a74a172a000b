"""Suno: which track is taken, and what a task that lost its callback, or its number, has come to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from pydantic import SecretStr

from provider_worker.adapters.config import Price, Prices, ProviderConfig
from provider_worker.adapters.interface import (
    GenerationRequest,
    JobRef,
    MediaKind,
    Op,
    Outcome,
    ProviderError,
    Status,
)
from provider_worker.adapters.sunoapi import Suno
from simulator.testing import RunningSimulator

WISH = GenerationRequest("a1", "acme", MediaKind.MUSIC, Op.TEXT_TO_MUSIC, "A calm loop", 0, 0, "mp3")


@pytest.fixture
async def made(simulator: RunningSimulator) -> AsyncIterator[Suno]:
    found = Suno(
        ProviderConfig(
            name="suno",
            model="V4_5ALL",
            base_url=f"{simulator.url}/sunoapi",
            api_key=SecretStr("sim-sunoapi"),
            prices=Prices("suno", (Price("generation", 100_000),)),
        )
    )
    yield found
    await found.close()


async def ended(made: Suno, request: GenerationRequest) -> Status:
    found = await made.submit(request, made.plan(request))
    assert isinstance(found, JobRef)
    return await made.poll(found)


@pytest.mark.parametrize(("asked", "nearest"), [(30.0, min), (240.0, max)])
async def test_the_track_nearest_to_the_asked_length_comes_first(made: Suno, asked: float, nearest: type) -> None:
    status = await ended(made, replace(WISH, duration_s=asked))
    lengths = [artifact.meta["duration_s"] for artifact in status.artifacts]
    assert len(lengths) == 2
    assert lengths[0] == nearest(lengths)
    assert [artifact.role for artifact in status.artifacts] == ["primary", "variant"]


async def test_a_task_whose_callback_failed_is_a_success_with_its_tracks(made: Suno) -> None:
    status = await ended(made, replace(WISH, prompt="A calm loop [[sim:callback_exception]]"))
    assert (status.state, status.raw_state, len(status.artifacts)) == ("succeeded", "CALLBACK_EXCEPTION", 2)


def answering(monkeypatch: pytest.MonkeyPatch, body: object) -> None:
    monkeypatch.setattr("provider_worker.adapters.wire.Answer.json_or_none", lambda answer: body)


async def test_a_task_whose_callback_failed_goes_on_while_it_has_no_track(
    made: Suno, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, {"code": 200, "data": {"status": "CALLBACK_EXCEPTION", "response": None}})
    assert (await made.poll(JobRef("suno", "t"))).state == "running"


@pytest.mark.parametrize("data", [None, {}])
async def test_a_success_that_names_no_task_leaves_the_outcome_open(
    made: Suno, monkeypatch: pytest.MonkeyPatch, data: object
) -> None:
    answering(monkeypatch, {"code": 200, "msg": "success", "data": data})
    with pytest.raises(ProviderError) as caught:
        await made.submit(WISH, made.plan(WISH))
    assert caught.value.outcome is Outcome.UNKNOWN
