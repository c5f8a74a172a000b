"""Providers that call back: the token in the path is the gate, what came is passed on raw, and nothing else is."""

from __future__ import annotations

import json
import logging
from base64 import b64decode
from collections.abc import AsyncIterator
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from chassis.outbox import NOBODY
from chassis.path_token import path_token
from schemas.callbacks import MAX_CALLBACK_BYTES, ProviderCallbackReceived, callback_parts
from schemas.topics import PROVIDER_CALLBACKS
from tests.gateway_harness import SECRET, Gateway, gateway_on

pytestmark = pytest.mark.integration

ATTEMPT = UUID("019a3c5e-7f10-7abc-8def-0123456789ab")


@pytest.fixture
async def gateway(database_url: str) -> AsyncIterator[Gateway]:
    async with gateway_on(database_url) as running:
        yield running


@pytest.fixture
async def provider(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody without a key of ours."""
    async with gateway.speaking(None) as client:
        yield client


def token(provider: str, attempt: UUID | str | None = ATTEMPT, secret: str = SECRET) -> str:
    return path_token(secret, *callback_parts(provider, str(attempt) if attempt else None))


def address(provider: str, attempt: UUID = ATTEMPT) -> str:
    return f"/api/webhooks/{provider}/{attempt}/{token(provider, attempt)}"


async def heard(gateway: Gateway) -> list[ProviderCallbackReceived]:
    events = await gateway.said(PROVIDER_CALLBACKS.name)
    return [event for event in events if isinstance(event, ProviderCallbackReceived)]


async def test_a_callback_is_passed_on_raw_before_it_is_answered(gateway: Gateway, provider: httpx.AsyncClient) -> None:
    body = b'{ "status" :\t"OK"}\n\xff'
    headers = {"Content-Type": "application/json; charset=utf-8", "X-Fal-Webhook-Signature": "00ff"}

    answer = await provider.post(address("fal"), content=body, headers=headers)

    assert (answer.status_code, answer.json()) == (200, {})
    [event] = await heard(gateway)
    assert (event.provider, event.attempt_id) == ("fal", ATTEMPT)
    assert b64decode(event.body_base64) == body
    assert event.headers == {
        "content-type": "application/json; charset=utf-8",
        "x-fal-webhook-signature": "00ff",
    }


async def test_a_callback_is_keyed_by_its_attempt_and_is_no_tenants(
    gateway: Gateway, provider: httpx.AsyncClient
) -> None:
    await provider.post(address("fal"))
    await provider.post(f"/api/webhooks/meshy/{token('meshy', None)}")
    await provider.post(f"/api/webhooks/meshy/{token('meshy', None)}")
    async with gateway.engine.connect() as conn:
        rows = (await conn.execute(text("SELECT key, headers FROM outbox ORDER BY n"))).all()
    keys = [row.key.decode() for row in rows]
    assert keys[0] == str(ATTEMPT)
    assert keys[1] == keys[2] != keys[0]
    assert {json.loads(row.headers)["ce_tenantid"] for row in rows} == {str(NOBODY)}


async def test_a_callback_to_an_accounts_address_names_no_attempt(
    gateway: Gateway, provider: httpx.AsyncClient
) -> None:
    answer = await provider.post(f"/api/webhooks/meshy/{token('meshy', None)}", json={"id": "t-1"})
    assert answer.status_code == 200
    [event] = await heard(gateway)
    assert (event.provider, event.attempt_id) == ("meshy", None)


async def test_the_other_name_of_nanobanana_is_the_same_door(gateway: Gateway, provider: httpx.AsyncClient) -> None:
    for path in (f"{ATTEMPT}/{token('nanobanana')}", token("nanobanana", None)):
        assert (await provider.post(f"/api/webhooks/nano-banana/{path}", json={})).status_code == 200
    assert {event.provider for event in await heard(gateway)} == {"nanobanana"}


async def test_only_what_a_signature_needs_is_passed_on(gateway: Gateway, provider: httpx.AsyncClient) -> None:
    passed = {
        "webhook-id": "msg_1",
        "webhook-timestamp": "1",
        "webhook-signature": "v1,x",
        "x-webhook-timestamp": "1",
        "x-webhook-signature": "x",
        "x-fal-webhook-user-id": "u",
        "elevenlabs-signature": "t=1,v0=x",
        "x-sim-warning": "none",
        "content-type": "text/plain",
    }
    kept_back = {
        "Authorization": "Bearer bk_secret",
        "Cookie": "session=secret",
        "X-API-Key": "secret",
        "X-Forwarded-For": "10.0.0.1",
        "Proxy-Authorization": "secret",
        "X-Backlot-Context": "secret",
    }
    await provider.post(address("fal"), content=b"{}", headers={**passed, **kept_back})
    [event] = await heard(gateway)
    assert event.headers == passed


WRONG = [
    ("fal", str(ATTEMPT), "x"),
    ("fal", str(ATTEMPT), token("fal")[:-1]),
    ("fal", str(ATTEMPT), token("fal") + "A"),
    ("fal", str(ATTEMPT), token("replicate")),
    ("fal", str(ATTEMPT), token("fal", None)),
    ("fal", str(ATTEMPT), token("fal", secret="another secret, long enough")),
    ("fal", str(UUID(int=7)), token("fal")),
    ("fal", str(ATTEMPT).upper(), token("fal")),
    ("fal", "no-uuid", token("fal")),
    ("nobody", str(ATTEMPT), token("fal")),
    ("nano-banana", str(ATTEMPT), token("nano-banana")),
    ("fal", None, token("fal")),
    ("fal", None, token("meshy", None)),
    ("f%C3%A4l", None, "%C3%BC"),
]


@pytest.mark.parametrize(("name", "attempt", "wrong"), WRONG)
async def test_a_wrong_token_is_an_address_that_is_not_there(
    gateway: Gateway, provider: httpx.AsyncClient, name: str, attempt: str | None, wrong: str
) -> None:
    path = "/".join(part for part in (name, attempt, wrong) if part is not None)
    answer = await provider.post(f"/api/webhooks/{path}", content=b"x" * (MAX_CALLBACK_BYTES + 1))
    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
    assert answer.headers["content-type"] == "application/problem+json"
    assert await heard(gateway) == []


@pytest.mark.parametrize("path", ["", "/fal", "/fal/a/b/c"])
async def test_without_a_token_there_is_no_address(gateway: Gateway, provider: httpx.AsyncClient, path: str) -> None:
    answer = await provider.post(f"/api/webhooks{path}")
    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_an_address_takes_posts_alone(gateway: Gateway, provider: httpx.AsyncClient, method: str) -> None:
    assert (await provider.request(method, address("fal"))).status_code == 405
    assert await heard(gateway) == []


async def test_a_body_is_taken_up_to_its_limit(gateway: Gateway, provider: httpx.AsyncClient) -> None:
    async def chunks(size: int) -> AsyncIterator[bytes]:
        for _ in range(size // 1024):
            yield b"x" * 1024
        yield b"x" * (size % 1024)

    for content in (b"x" * (MAX_CALLBACK_BYTES + 1), chunks(MAX_CALLBACK_BYTES + 1)):
        refused = await provider.post(address("fal"), content=content)
        assert (refused.status_code, refused.json()["code"]) == (413, "INVALID_REQUEST")
    assert await heard(gateway) == []
    for content in (b"x" * MAX_CALLBACK_BYTES, chunks(MAX_CALLBACK_BYTES), b""):
        assert (await provider.post(address("fal"), content=content)).status_code == 200
    assert [len(b64decode(event.body_base64)) for event in await heard(gateway)] == [MAX_CALLBACK_BYTES] * 2 + [0]


async def test_a_token_is_told_to_nobody(
    gateway: Gateway, provider: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with capture_logs() as lines:
        refused = await provider.post(address("fal"), content=b"x" * (MAX_CALLBACK_BYTES + 1))
        await provider.post(address("fal"))
    assert f"/api/webhooks/fal/{ATTEMPT}/***" in refused.json()["instance"]
    assert [line["event"] for line in lines].count("http_request") == 2
    logged = str(lines)
    assert token("fal") not in refused.text + logged
    async with gateway.engine.connect() as conn:
        rows = (await conn.execute(text("SELECT convert_from(value, 'UTF8') || headers FROM outbox"))).scalars().all()
    assert len(rows) == 1
    assert token("fal") not in rows[0]


async def test_a_callback_that_could_not_be_kept_is_not_taken(gateway: Gateway, provider: httpx.AsyncClient) -> None:
    """The provider then sends it again."""
    await gateway.run("ALTER TABLE outbox RENAME TO outbox_away")
    answer = await provider.post(address("fal"))
    assert answer.status_code >= 500
    await gateway.run("ALTER TABLE outbox_away RENAME TO outbox")
    assert (await provider.post(address("fal"))).status_code == 200
    assert len(await heard(gateway)) == 1
