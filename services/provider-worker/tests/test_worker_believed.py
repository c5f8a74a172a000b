"""What a provider says is kept where it can be, and a cost that cannot be is not billed."""

from __future__ import annotations

import base64

import pytest
from pydantic import SecretStr

from provider_worker.adapters import gemini_image, openai_images
from provider_worker.adapters.config import Price, Prices, ProviderConfig
from provider_worker.adapters.interface import (
    Artifact,
    Cost,
    ErrorCode,
    GenerationRequest,
    JobRef,
    MediaKind,
    Op,
    ProviderError,
    Status,
)
from provider_worker.adapters.registry import Make
from provider_worker.engine.failures import billing_of
from simulator.testing import RunningSimulator

QUOTED = 40_000
MOST = 2**63 - 1


def made(amount: int) -> Status:
    return Status("succeeded", "x", cost=Cost(amount, "USD", "reported"))


@pytest.mark.parametrize("amount", [0, 1, MOST - 5])
def test_a_cost_is_billed_as_the_provider_says_it(amount: int) -> None:
    billing = billing_of(made(amount), "USD", QUOTED, 5)
    assert (billing.amount_micros, billing.basis) == (amount + 5, "reported")


@pytest.mark.parametrize("amount", [-1, MOST - 4, MOST + 1, 10**40])
def test_a_cost_that_no_ledger_can_hold_is_billed_as_it_was_quoted(amount: int) -> None:
    billing = billing_of(made(amount), "USD", QUOTED, 5)
    assert (billing.state, billing.amount_micros, billing.basis) == ("final", QUOTED, "estimated")


@pytest.mark.parametrize("odd", ["a\x00b", "a\nb", "a\x9fb", "a\ud800b"])
def test_names_and_words_are_kept_without_what_a_database_refuses(odd: str) -> None:
    phase = {"mode": odd, "of": [odd, {odd: 1}]}
    status = Status("failed", odd, raw_state=odd, next_phase=phase)
    error = ProviderError(ErrorCode.TEMPORARY, odd, provider_code=odd, provider_request_id=odd)
    assert JobRef("p", odd, phase) == JobRef("p", "a b", {"mode": "a b", "of": ["a b", {"a b": 1}]})
    assert (status.external_id, status.raw_state, status.next_phase) == (
        "a b",
        "a b",
        {"mode": "a b", "of": ["a b", {"a b": 1}]},
    )
    assert (error.message, error.provider_code, error.provider_request_id) == ("a b", "a b", "a b")
    assert Artifact("image/png", url=odd).url == "a b"


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf"), 1e12])
def test_a_wait_of_no_length_is_none(seconds: float) -> None:
    assert ProviderError(ErrorCode.RATE_LIMIT, "later", retry_after=seconds).retry_after is None
    assert Status("running", "x", poll_after_s=seconds).poll_after_s is None


PICTURE = base64.b64encode(b"a picture").decode()
WISH = GenerationRequest("a1", "acme", MediaKind.IMAGE, Op.TEXT_TO_IMAGE, "A fox", 1024, 1024)
TOKENS = (Price("image", QUOTED), Price("million_input_tokens", 5_000_000), Price("million_output_tokens", 30_000_000))
GEMINI = {"candidates": [{"content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": PICTURE}}]}}]}
ADAPTERS: dict[str, Make] = {"gemini": gemini_image.make, "openai": openai_images.make}


def odd_usage(provider: str, usage: object) -> dict[str, object]:
    if provider == "gemini":
        return {**GEMINI, "usageMetadata": usage, "responseId": "a\x00b"}
    return {"data": [None, {"b64_json": PICTURE}], "usage": usage}


@pytest.mark.parametrize(
    "usage",
    [
        [1],
        "n/a",
        {"promptTokenCount": "n/a", "candidatesTokenCount": 1, "input_tokens": "n/a", "output_tokens": 1},
        {"promptTokenCount": -5, "candidatesTokenCount": 1, "input_tokens": -5, "output_tokens": 1},
        {"promptTokenCount": 2**63 - 1, "candidatesTokenCount": 1, "input_tokens": 2**63 - 1, "output_tokens": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("provider", ADAPTERS)
async def test_a_paid_picture_is_kept_whatever_is_said_of_its_tokens(
    simulator: RunningSimulator, monkeypatch: pytest.MonkeyPatch, provider: str, usage: object
) -> None:
    path, model = ("gemini", "gemini-2.5-flash-image") if provider == "gemini" else ("openai/v1", "gpt-image-2")
    config = ProviderConfig(
        provider, model, f"{simulator.url}/{path}", SecretStr(f"sim-{provider}"), prices=Prices(provider, TOKENS)
    )
    made = ADAPTERS[provider](config)
    monkeypatch.setattr("provider_worker.adapters.wire.Answer.json", lambda answer: odd_usage(provider, usage))
    status = await made.submit(WISH, made.plan(WISH))
    await made.close()
    assert isinstance(status, Status)
    assert (status.state, [found.data for found in status.artifacts]) == ("succeeded", [b"a picture"])
    assert "\x00" not in status.external_id
    assert status.cost == made.estimate(WISH)
