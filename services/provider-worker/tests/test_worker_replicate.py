"""Replicate: which of several predictions is ours, and what is said where that cannot be told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from provider_worker.adapters.config import Price, Prices, ProviderConfig
from provider_worker.adapters.interface import (
    ErrorCode,
    GenerationRequest,
    JobRef,
    MediaKind,
    Op,
    Outcome,
    ProviderError,
)
from provider_worker.adapters.replicate import Replicate
from simulator.testing import RunningSimulator

WISH = GenerationRequest("a1", "acme", MediaKind.IMAGE, Op.TEXT_TO_IMAGE, "A fox", 1280, 720)
ATTEMPT = "6f1c2a52-8a3e-4d8c-9b1e-2f0f3f0c7a11"
CALLBACK = "http://127.0.0.1:9/hooks/replicate/{}/token"


@pytest.fixture
async def made(simulator: RunningSimulator) -> AsyncIterator[Replicate]:
    found = Replicate(
        ProviderConfig(
            name="replicate",
            model="black-forest-labs/flux-1.1-pro",
            base_url=f"{simulator.url}/replicate",
            api_key=SecretStr("sim-replicate"),
            prices=Prices("replicate", (Price("image", 40_000),)),
        )
    )
    yield found
    await found.close()


async def sent(made: Replicate, request: GenerationRequest) -> JobRef:
    found = await made.submit(request, made.plan(request))
    assert isinstance(found, JobRef)
    return found


async def looked_up(made: Replicate, request: GenerationRequest) -> JobRef | None:
    return await made.find(request, made.plan(request), datetime.now(UTC) - timedelta(minutes=1))


async def test_of_equal_predictions_ours_is_the_one_that_calls_us(made: Replicate) -> None:
    ours, others = (replace(WISH, callback_url=CALLBACK.format(name)) for name in ("a1", "a2"))
    await sent(made, others)
    assert await looked_up(made, ours) is None
    mine = await sent(made, ours)
    assert await looked_up(made, ours) == mine


async def test_a_prediction_that_calls_somebody_is_not_ours_where_we_asked_for_no_call(made: Replicate) -> None:
    await sent(made, replace(WISH, callback_url=CALLBACK.format("a2")))
    assert await looked_up(made, WISH) is None


async def test_several_that_may_be_ours_are_none_of_them(made: Replicate) -> None:
    for _ in range(2):
        await sent(made, WISH)
    with pytest.raises(ProviderError, match="2 jobs that may be this one"):
        await looked_up(made, WISH)


async def test_a_list_that_was_not_read_to_its_end_proves_nothing(
    made: Replicate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provider_worker.adapters.replicate.PAGES", 1)
    mine = await sent(made, WISH)
    for number in range(100):
        await sent(made, replace(WISH, seed=number))
    with pytest.raises(ProviderError, match="too many jobs") as caught:
        await looked_up(made, WISH)
    assert caught.value.code is ErrorCode.PROVIDER_ERROR
    monkeypatch.setattr("provider_worker.adapters.replicate.PAGES", 2)
    assert await looked_up(made, WISH) == mine


async def test_what_calls_us_at_another_address_of_ours_is_ours(made: Replicate) -> None:
    """The gateway may have moved since the call: the attempt's id stays in the address."""
    mine = await sent(made, replace(WISH, request_id=ATTEMPT, callback_url=CALLBACK.format(ATTEMPT)))
    moved = f"https://new.example/hooks/replicate/{ATTEMPT}/token"
    for url in (moved, None):
        assert await looked_up(made, replace(WISH, request_id=ATTEMPT, callback_url=url)) == mine


async def test_a_prediction_whose_input_is_deleted_may_be_ours(made: Replicate, simulator: RunningSimulator) -> None:
    await sent(made, replace(WISH, prompt="Another fox"))
    assert await looked_up(made, WISH) is None
    simulator.post("settings", provider="replicate", url_ttl_s=0)
    with pytest.raises(ProviderError, match="1 jobs that may be this one") as caught:
        await looked_up(made, WISH)
    assert caught.value.code is ErrorCode.PROVIDER_ERROR


async def test_a_prediction_whose_input_is_deleted_is_anothers_where_it_calls_another(
    made: Replicate, simulator: RunningSimulator
) -> None:
    await sent(made, replace(WISH, callback_url=CALLBACK.format("a2")))
    simulator.post("settings", provider="replicate", url_ttl_s=0)
    assert await looked_up(made, WISH) is None
    mine = await sent(made, replace(WISH, request_id=ATTEMPT, callback_url=CALLBACK.format(ATTEMPT)))
    assert await looked_up(made, replace(WISH, request_id=ATTEMPT)) == mine


async def test_what_is_not_there_after_an_hour_may_have_been(made: Replicate) -> None:
    with pytest.raises(ProviderError, match="an hour") as caught:
        await made.find(WISH, made.plan(WISH), datetime.now(UTC) - timedelta(minutes=61))
    assert caught.value.code is ErrorCode.PROVIDER_ERROR
    mine = await sent(made, WISH)
    assert await made.find(WISH, made.plan(WISH), datetime.now(UTC) - timedelta(minutes=61)) == mine


async def test_an_answer_that_names_no_prediction_leaves_the_outcome_open(
    made: Replicate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provider_worker.adapters.wire.Answer.json", lambda answer: {"status": "starting"})
    with pytest.raises(ProviderError) as caught:
        await sent(made, WISH)
    assert caught.value.outcome is Outcome.UNKNOWN


def test_sizes_are_the_models_own(made: Replicate) -> None:
    given = made.plan(WISH)["input"]
    assert (given["width"] % 32, given["height"] % 32) == (0, 0)
