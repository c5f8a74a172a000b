"""Interactions: our reference, music, cancelling, and what a callback says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO

import pytest
import soundfile

from provider_worker.adapters.interface import (
    GenerationRequest,
    JobRef,
    ProviderAdapter,
    ProviderError,
    WebhookRefused,
)
from simulator.testing import Customer, RunningSimulator
from tests.google_builders import CLIP, LYRIA, OMNI, SONG, VIDEO, adapter, ended, sent


@pytest.fixture
async def omni(simulator: RunningSimulator) -> AsyncIterator[ProviderAdapter]:
    found = adapter(simulator.url, OMNI)
    yield found
    await found.close()


async def test_our_reference_stands_on_the_bill(omni: ProviderAdapter, simulator: RunningSimulator) -> None:
    await sent(omni, VIDEO)
    [line] = simulator.bill()["lines"]
    assert line["reference"] == "a1"
    assert line["tenant"] not in {None, "acme"}


@pytest.mark.parametrize(("model", "longest"), [(CLIP, 30.0), (LYRIA, 160.0)])
async def test_music_is_as_long_as_was_asked_or_longer_and_never_shorter(
    simulator: RunningSimulator, model: str, longest: float
) -> None:
    made = adapter(simulator.url, model)
    status = await ended(made, SONG)
    data = status.artifacts[0].data
    assert data is not None
    assert soundfile.info(BytesIO(data)).duration >= 20
    with pytest.raises(ProviderError, match="duration"):
        made.plan(replace(SONG, duration_s=longest + 1))
    await made.close()


def test_what_lyria_has_no_field_for_is_said_in_words() -> None:
    made = adapter("http://127.0.0.1:9", LYRIA)
    words = [
        made.plan(replace(SONG, options={"instrumental": instrumental}))["input"][0]["content"][0]["text"]
        for instrumental in (True, False)
    ]
    assert words == [
        "A waltz\nInstrumental only, no vocals.\nLength: about 22 seconds.",
        "A waltz\nLength: about 22 seconds.",
    ]


async def test_what_had_ended_before_it_was_cancelled_was_not_stopped(
    omni: ProviderAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    for word, stopped in (("completed", False), ("cancelled", True)):
        monkeypatch.setattr("provider_worker.adapters.wire.Answer.json_or_none", lambda _, word=word: {"status": word})
        assert await omni.cancel(JobRef("google", "v1")) is stopped


async def test_a_page_of_a_stranger_in_between_stops_nothing(omni: ProviderAdapter) -> None:
    ref = await sent(omni, replace(VIDEO, prompt="A fox [[sim:http502:foreign@cancel]]"))
    assert not await omni.cancel(ref)


SECRET = "GEMINI_TEST_SECRET"


@pytest.fixture
async def told(
    simulator: RunningSimulator, customer: Customer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ProviderAdapter]:
    """An adapter that knows the secret of the project's callbacks."""
    registered = simulator.http.post(
        f"{simulator.url}/gemini/v1beta/webhooks",
        json={"uri": customer.url("other"), "subscribed_events": ["interaction.completed"]},
        headers={"x-goog-api-key": "sim-gemini"},
    )
    monkeypatch.setenv(SECRET, registered.json()["new_signing_secret"])
    found = adapter(simulator.url, OMNI, options={"webhook_secret_env": SECRET})
    yield found
    await found.close()


def calling(customer: Customer, tag: str = "") -> GenerationRequest:
    return replace(VIDEO, callback_url=customer.url("a1"), prompt=f"A fox [[sim:{tag}]]" if tag else "A fox")


async def test_a_callback_names_the_job_and_our_reference_and_its_signature_is_believed(
    told: ProviderAdapter, customer: Customer
) -> None:
    ref = await sent(told, calling(customer))
    event = await told.parse_webhook(*customer.got.get(timeout=10), datetime.now(UTC))
    assert event.ref is not None
    assert (event.ref.external_id, event.reference, event.verified) == (ref.external_id, "a1", True)
    assert (await told.poll(event.ref)).state == "succeeded"


async def test_a_callback_that_was_changed_is_refused(told: ProviderAdapter, customer: Customer) -> None:
    await sent(told, calling(customer))
    headers, body = customer.got.get(timeout=10)
    with pytest.raises(WebhookRefused, match="bad_signature"):
        await told.parse_webhook(headers, body + b" ", datetime.now(UTC))


@pytest.mark.parametrize(("tag", "reason"), [("bad_signature", "bad_signature"), ("bad_signature:old", "too_old")])
async def test_a_callback_that_is_badly_signed_is_refused(
    told: ProviderAdapter, customer: Customer, tag: str, reason: str
) -> None:
    await sent(told, calling(customer, tag))
    with pytest.raises(WebhookRefused, match=reason):
        await told.parse_webhook(*customer.got.get(timeout=10), datetime.now(UTC))


async def test_without_a_secret_and_with_a_signature_of_another_kind_a_callback_is_a_hint(
    omni: ProviderAdapter, told: ProviderAdapter, customer: Customer
) -> None:
    await sent(omni, calling(customer))
    headers, body = customer.got.get(timeout=10)
    unknown = await omni.parse_webhook(headers, body, datetime.now(UTC))
    token = await told.parse_webhook({**headers, "webhook-signature": "e30.e30.c2ln"}, body, datetime.now(UTC))
    for event in (unknown, token):
        assert event.ref is not None
        assert not event.verified
    with pytest.raises(WebhookRefused, match="no_signature"):
        await told.parse_webhook({}, body, datetime.now(UTC))
