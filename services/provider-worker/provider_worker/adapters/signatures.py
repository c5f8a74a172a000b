"""How providers sign their callbacks (spec/providers.md, section 15), checked over the raw bytes.

A signature's age is measured against the moment its callback came in: between that and the check we may have been down.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from provider_worker.adapters.interface import WebhookEvent, WebhookRefused
from provider_worker.adapters.reading import members, text

K = TypeVar("K")

TOLERANCE = timedelta(seconds=300)
ELEVENLABS_TOLERANCE = timedelta(minutes=30)
KEYS_KEPT_S = 24 * 3600.0
FRESH_S = 60.0
"""Keys younger than this are not asked for again because a signature does not fit them."""


def unsigned(body: bytes) -> WebhookEvent:
    """A callback that says nothing of itself: two with one body are one."""
    return WebhookEvent(hashlib.sha256(body).hexdigest())


def json_object(body: bytes) -> Mapping[str, Any]:
    """The body's JSON object; raises `WebhookRefused` where it is none."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise WebhookRefused("malformed") from error
    if not isinstance(found, dict):
        raise WebhookRefused("malformed")
    return found


def check_standard(headers: Mapping[str, str], body: bytes, secret: str, received_at: datetime) -> str:
    """Standard Webhooks (Replicate, OpenAI, Gemini's static ones) with a `whsec_` secret; answers the delivery's id."""
    delivery, stamp, given = _headers(headers, "webhook-id", "webhook-timestamp", "webhook-signature")
    _check_age(stamp, received_at, TOLERANCE)
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error as error:
        raise WebhookRefused("bad_signature") from error
    expected = _b64(hmac.digest(key, f"{delivery}.{stamp}.".encode() + body, "sha256"))
    # Several while a secret is being changed, each with its version.
    signatures = [text.partition(",")[2] for text in given.split() if text.startswith("v1,")]
    if not any(_same(expected, signature) for signature in signatures):
        raise WebhookRefused("bad_signature")
    return delivery


def check_fal(headers: Mapping[str, str], body: bytes, keys: Sequence[Ed25519PublicKey], received_at: datetime) -> str:
    """fal: Ed25519 over request id, user id, timestamp and the body's hash; answers the request's id."""
    names = ("request-id", "user-id", "timestamp", "signature")
    request_id, user_id, stamp, given = _headers(headers, *(f"x-fal-webhook-{name}" for name in names))
    _check_age(stamp, received_at, TOLERANCE)
    message = "\n".join([request_id, user_id, stamp, hashlib.sha256(body).hexdigest()]).encode()
    try:
        signature = bytes.fromhex(given)
    except ValueError as error:
        raise WebhookRefused("bad_signature") from error
    if not any(_verifies(key, signature, message) for key in keys):
        raise WebhookRefused("bad_signature")
    return request_id


def check_kie(headers: Mapping[str, str], task_id: str, key: str, received_at: datetime) -> None:
    """kie.ai: an HMAC over task and timestamp. It does not cover the body, which stays a hint."""
    stamp, given = _headers(headers, "x-webhook-timestamp", "x-webhook-signature")
    _check_age(stamp, received_at, TOLERANCE)
    if not _same(_b64(hmac.digest(key.encode(), f"{task_id}.{stamp}".encode(errors="replace"), "sha256")), given):
        raise WebhookRefused("bad_signature")


def check_elevenlabs(headers: Mapping[str, str], body: bytes, secret: str, received_at: datetime) -> None:
    """ElevenLabs: `t=...,v0=hex(HMAC-SHA256(secret, "t.body"))`, good for half an hour."""
    (given,) = _headers(headers, "elevenlabs-signature")
    parts = [part.strip().partition("=") for part in given.split(",")]
    stamp = next((value for name, _, value in parts if name == "t"), "")
    signatures = [value for name, _, value in parts if name == "v0"]
    _check_age(stamp, received_at, ELEVENLABS_TOLERANCE)
    expected = hmac.digest(secret.encode(), stamp.encode() + b"." + body, "sha256").hex()
    if not any(_same(expected, signature) for signature in signatures):
        raise WebhookRefused("bad_signature")


def keys_of(jwks: Any) -> list[Ed25519PublicKey]:
    """The Ed25519 keys of a key set (RFC 8037); others are passed over. Raises `ValueError` where there is none."""
    found = [_key(entry) for entry in members(jwks, "keys") if entry.get("crv") == "Ed25519"]
    if not found:
        raise ValueError("the key set has no Ed25519 key")
    return found


class Keys(Generic[K]):
    """A provider's keys as they were last fetched, kept for a day. `fetch` raises `ProviderError`."""

    def __init__(self, fetch: Callable[[], Awaitable[K]], *, now: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._now = now
        self._lock = asyncio.Lock()
        self._kept: K | None = None
        self._fetched_at = 0.0

    async def checked(self, check: Callable[[K], str]) -> str:
        """`check` with the keys; a signature that does not fit is checked once more with fresh ones: keys change."""
        try:
            return check(await self._young(KEYS_KEPT_S))
        except WebhookRefused as refused:
            if refused.reason != "bad_signature":
                raise
        return check(await self._young(FRESH_S))

    async def _young(self, age_s: float) -> K:
        async with self._lock:
            if self._kept is None or self._now() - self._fetched_at >= age_s:
                self._kept = await self._fetch()
                self._fetched_at = self._now()
            return self._kept


def _headers(headers: Mapping[str, str], *names: str) -> list[str]:
    values = [headers.get(name, "") for name in names]
    if not all(values):
        raise WebhookRefused("no_signature")
    return values


def _check_age(stamp: str, received_at: datetime, tolerance: timedelta) -> None:
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
        raise WebhookRefused("malformed")
    if abs(int(stamp) - received_at.timestamp()) > tolerance.total_seconds():
        raise WebhookRefused("too_old")


def _same(expected: str, given: str) -> bool:
    return hmac.compare_digest(expected.encode(), given.encode(errors="replace"))


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _key(entry: Mapping[str, Any]) -> Ed25519PublicKey:
    encoded = text(entry, "x")
    return Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))


def _verifies(key: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True
