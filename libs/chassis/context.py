"""The signed tenant context that internal HTTP carries: who asks, for how long it may be believed."""

from __future__ import annotations

import binascii
import hashlib
import hmac
import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

from fastapi import Request
from pydantic import SecretStr

from chassis.errors import Unauthenticated

CONTEXT_HEADER = "X-Backlot-Context"
# Clocks of two machines are compared here and nowhere else, so the slack is generous; the call itself takes 2 s.
LIFETIME_SECONDS = 60
CLOCK_SLACK_SECONDS = 30
_PURPOSE = b"backlot/internal-context/v1:"


@dataclass(frozen=True, slots=True)
class Context:
    """On whose behalf an internal request is made."""

    tenant_id: UUID
    user_id: UUID
    scopes: frozenset[str] = frozenset()


def context_headers(secret: SecretStr | str, context: Context, *, now: float | None = None) -> dict[str, str]:
    """The headers that prove `context` to another service for a minute. `now` is Unix time, for tests."""
    payload = {
        "tenant": str(context.tenant_id),
        "user": str(context.user_id),
        "scopes": sorted(context.scopes),
        "exp": int(time.time() if now is None else now) + LIFETIME_SECONDS,
    }
    body = urlsafe_b64encode(json.dumps(payload, separators=(",", ":")).encode())
    return {CONTEXT_HEADER: f"{body.decode()}.{_signature(secret, body)}"}


def read_context(secret: SecretStr | str, header: str | None, *, now: float | None = None) -> Context:
    """The context in `header`. Raises `Unauthenticated` when it is missing, forged, malformed or too old."""
    if not header:
        raise Unauthenticated(f"the header {CONTEXT_HEADER} is required")
    body, _, signature = header.partition(".")
    if not hmac.compare_digest(_signature(secret, body.encode()).encode(), signature.encode()):
        raise Unauthenticated(f"{CONTEXT_HEADER} is not signed by a service of this installation")
    try:
        payload = json.loads(urlsafe_b64decode(body))
        expires = int(payload["exp"])
        context = Context(UUID(payload["tenant"]), UUID(payload["user"]), frozenset(payload["scopes"]))
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise Unauthenticated(f"{CONTEXT_HEADER} cannot be read") from error
    if expires + CLOCK_SLACK_SECONDS < (time.time() if now is None else now):
        raise Unauthenticated(f"{CONTEXT_HEADER} has expired")
    return context


def require_context(secret: SecretStr | str) -> Callable[[Request], Awaitable[Context]]:
    """A FastAPI dependency: `context: Annotated[Context, Depends(require_context(secret))]`."""

    async def dependency(request: Request) -> Context:
        return read_context(secret, request.headers.get(CONTEXT_HEADER))

    return dependency


def _signature(secret: SecretStr | str, body: bytes) -> str:
    key = secret.get_secret_value() if isinstance(secret, SecretStr) else secret
    return hmac.new(key.encode(), _PURPOSE + body, hashlib.sha256).hexdigest()
