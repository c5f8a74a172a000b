"""What each provider's own callback says to its adapter, as the simulator signs and sends it."""

from __future__ import annotations

import json
import queue
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from provider_worker.adapters import fal, nanobanana, replicate, sunoapi
from provider_worker.adapters.config import Price, Prices, ProviderConfig
from provider_worker.adapters.interface import (
    ErrorCode,
    GenerationRequest,
    JobRef,
    MediaKind,
    Op,
    ProviderAdapter,
    ProviderError,
    WebhookRefused,
)
from simulator.testing import Customer, RunningSimulator

PICTURE = GenerationRequest("a1", "acme", MediaKind.IMAGE, Op.TEXT_TO_IMAGE, "A fox", 1280, 720)
SONG = GenerationRequest("a1", "acme", MediaKind.MUSIC, Op.TEXT_TO_MUSIC, "A calm loop", 0, 0, "mp3", duration_s=60.0)
KEY = "a key of kie.ai"


@dataclass(frozen=True)
class Case:
    name: str
    make: Callable[[ProviderConfig], ProviderAdapter]
    path: str
    model: str
    wish: GenerationRequest = PICTURE
    signed: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)

    def adapter(self, url: str, **changes: Any) -> ProviderAdapter:
        given: dict[str, Any] = {
            "name": self.name,
            "model": self.model,
            "base_url": f"{url}{self.path}",
            "api_key": SecretStr("sim-" + self.path[1:]),
            "prices": Prices(self.name, (Price("image", 400_000), Price("generation", 60_000))),
            "options": self.options,
        }
        return self.make(ProviderConfig(**{**given, **changes}))


FAL = Case("fal", fal.make, "/fal", "fal-ai/flux/dev")
REPLICATE = Case("replicate", replicate.make, "/replicate", "black-forest-labs/flux-1.1-pro")
SUNO = Case("suno", sunoapi.make, "/sunoapi", "V4_5ALL", SONG, signed=False)
NANOBANANA = Case("nanobanana", nanobanana.make, "/nanobanana", "default", signed=False)


@pytest.fixture(params=[FAL, REPLICATE, SUNO], ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.fixture
async def made(case: Case, simulator: RunningSimulator) -> AsyncIterator[ProviderAdapter]:
    found = case.adapter(simulator.url)
    yield found
    await found.close()


async def sent(made: ProviderAdapter, case: Case, customer: Customer, tag: str = "") -> JobRef:
    prompt = f"{case.wish.prompt} [[sim:{tag}]]" if tag else case.wish.prompt
    wish = replace(case.wish, prompt=prompt, callback_url=customer.url("a1"))
    found = await made.submit(wish, made.plan(wish))
    assert isinstance(found, JobRef)
    return found


def called(customer: Customer) -> tuple[dict[str, str], bytes]:
    """The next callback, raw."""
    return customer.got.get(timeout=10)


async def test_a_callback_names_the_job_with_all_that_a_poll_needs(
    case: Case, made: ProviderAdapter, customer: Customer
) -> None:
    sent_ref = await sent(made, case, customer)
    event = await made.parse_webhook(*called(customer), datetime.now(UTC))
    assert event.verified is case.signed
    assert event.ref is not None
    assert event.ref.external_id == sent_ref.external_id
    assert (await made.poll(event.ref)).state == "succeeded"
    assert not await made.cancel(event.ref)


async def test_a_callback_that_comes_twice_has_one_name(
    case: Case, made: ProviderAdapter, customer: Customer, simulator: RunningSimulator
) -> None:
    await sent(made, case, customer, "dup_webhook")
    stages = 3 if case is SUNO else 1
    names = [(await made.parse_webhook(*called(customer), datetime.now(UTC))).delivery_id for _ in range(stages * 2)]
    assert len(set(names)) == stages


@pytest.mark.parametrize(("fault", "reason"), [("bad_signature", "bad_signature"), ("bad_signature:old", "too_old")])
@pytest.mark.parametrize("case", [FAL, REPLICATE], ids=lambda case: case.name, indirect=True)
async def test_a_callback_that_is_badly_signed_is_refused(
    case: Case, made: ProviderAdapter, customer: Customer, fault: str, reason: str
) -> None:
    await sent(made, case, customer, fault)
    with pytest.raises(WebhookRefused) as caught:
        await made.parse_webhook(*called(customer), datetime.now(UTC))
    assert caught.value.reason == reason


@pytest.mark.parametrize("case", [FAL, REPLICATE], ids=lambda case: case.name, indirect=True)
async def test_a_callback_is_checked_over_its_raw_bytes_and_the_moment_it_came(
    case: Case, made: ProviderAdapter, customer: Customer
) -> None:
    await sent(made, case, customer)
    headers, body = called(customer)
    now = datetime.now(UTC)
    with pytest.raises(WebhookRefused):
        await made.parse_webhook(headers, json.dumps(json.loads(body), indent=1).encode(), now)
    with pytest.raises(WebhookRefused):
        await made.parse_webhook(headers, body, now + timedelta(minutes=6))
    assert (await made.parse_webhook(headers, body, now)).verified


@pytest.mark.parametrize("case", [FAL, REPLICATE], ids=lambda case: case.name, indirect=True)
async def test_keys_that_cannot_be_had_are_no_verdict_on_the_callback(
    case: Case, made: ProviderAdapter, customer: Customer
) -> None:
    await sent(made, case, customer)
    elsewhere = case.adapter("http://127.0.0.1:9")
    with pytest.raises(ProviderError) as caught:
        await elsewhere.parse_webhook(*called(customer), datetime.now(UTC))
    await elsewhere.close()
    assert caught.value.code is ErrorCode.TEMPORARY


async def test_a_public_provider_is_told_of_no_plain_address(case: Case, customer: Customer) -> None:
    """It could not reach it, and Replicate refuses the request."""
    public = case.adapter("", base_url="https://provider.example")
    wish = replace(case.wish, callback_url=customer.url("a1"))
    assert customer.url("a1") not in json.dumps(public.plan(wish))
    secure = replace(wish, callback_url="https://backlot.example/api/webhooks/x")
    assert case is FAL or "https://backlot.example" in json.dumps(public.plan(secure))
    await public.close()


async def test_fal_is_called_with_the_address_where_it_can_reach_it(
    simulator: RunningSimulator, customer: Customer
) -> None:
    made = FAL.adapter(simulator.url)
    await made.submit(FAL.wish, made.plan(FAL.wish))
    with pytest.raises(queue.Empty):
        customer.got.get(timeout=0.2)
    await sent(made, FAL, customer)
    assert called(customer)
    await made.close()


async def test_a_track_that_a_callback_brought_back_is_the_longest_because_it_can_be_cut(
    simulator: RunningSimulator, customer: Customer
) -> None:
    made = SUNO.adapter(simulator.url)
    await sent(made, SUNO, customer)
    ref = (await made.parse_webhook(*called(customer), datetime.now(UTC))).ref
    assert ref is not None
    lengths = [artifact.meta["duration_s"] for artifact in (await made.poll(ref)).artifacts]
    assert lengths[0] == max(lengths)
    await made.close()


@pytest.mark.parametrize("case", [SUNO, NANOBANANA], ids=lambda case: case.name, indirect=True)
async def test_an_unsigned_callback_that_names_nothing_is_a_bare_hint(made: ProviderAdapter) -> None:
    for body in (b"{}", b'{"data": null}', b'{"data": {"task_id": null}}', b'{"generation_id": ""}'):
        event = await made.parse_webhook({}, body, datetime.now(UTC))
        assert (event.ref, event.reference, event.verified) == (None, None, False)


@pytest.mark.parametrize("case", [SUNO, NANOBANANA], ids=lambda case: case.name, indirect=True)
async def test_a_callback_that_cannot_be_read_is_refused(made: ProviderAdapter) -> None:
    for body in (b"", b"[1]", b"\xff"):
        with pytest.raises(WebhookRefused) as caught:
            await made.parse_webhook({}, body, datetime.now(UTC))
        assert caught.value.reason == "malformed"


async def test_with_a_key_of_kie_ai_its_signature_is_asked_for(
    simulator: RunningSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUNO_WEBHOOK_KEY", KEY)
    made = replace(SUNO, options={"webhook_key_env": "SUNO_WEBHOOK_KEY"}).adapter(simulator.url)
    body = b'{"code": 200, "data": {"callbackType": "complete", "task_id": "ee9c2715375b7837f8bb51d641ff5863"}}'
    with pytest.raises(WebhookRefused) as caught:
        await made.parse_webhook({}, body, datetime.now(UTC))
    assert caught.value.reason == "no_signature"
    # base64(HMAC-SHA256(key, "taskId.timestamp")), made with openssl.
    headers = {
        "x-webhook-timestamp": "1769670760",
        "x-webhook-signature": "O1VuvUJzXf5LVsXRS6aYtEkz63IAMCmg9DqXb7sikqw=",
    }
    event = await made.parse_webhook(headers, body, datetime.fromtimestamp(1769670760, UTC))
    assert event.ref is not None
    assert not event.verified
    await made.close()


async def test_nanobanana_tells_its_name_and_ours(simulator: RunningSimulator) -> None:
    made = NANOBANANA.adapter(simulator.url)
    body = b'{"generation_id": "g-1", "reference_id": "a1", "status": "completed"}'
    event = await made.parse_webhook({}, body, datetime.now(UTC))
    assert event.ref == JobRef("nanobanana", "g-1")
    assert (event.reference, event.verified) == ("a1", False)
    await made.close()
