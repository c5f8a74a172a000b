"""Where providers call back: the token in the path is the gate, and what came is passed on raw."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import NAMESPACE_URL, UUID, uuid5

from fastapi import APIRouter
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import Request
from starlette.responses import Response

from api_gateway import metrics
from api_gateway.http.responses import answer
from chassis.errors import NotFound, TooLarge
from chassis.outbox import NOBODY, Draft, Outbox
from chassis.path_token import is_path_token
from schemas.callbacks import CALLBACK_PATH, MAX_CALLBACK_BYTES, ProviderCallbackReceived, callback_parts

_ALIASES = {"nano-banana": "nanobanana"}
# What signatures and bodies need, and nothing that could be somebody's credential.
_PASSED_ON = frozenset({"content-type", "elevenlabs-signature"})
_OPEN = {
    "security": [],
    "requestBody": {"content": {"application/json": {"schema": {}}}, "description": "whatever the provider says"},
}
_PASSED_ON_PREFIXES = ("webhook-", "x-webhook-", "x-fal-", "x-sim-")


@dataclass(frozen=True, slots=True)
class Callbacks:
    """The routes for providers. They carry no key of ours; whoever knows the token may speak."""

    engine: AsyncEngine
    outbox: Outbox
    secret: SecretStr

    def router(self) -> APIRouter:
        router = APIRouter(prefix=CALLBACK_PATH, tags=["callbacks"])
        for path, endpoint in (("/{provider}/{attempt_id}/{token}", self.of_attempt), ("/{provider}/{token}", self.of)):
            router.add_api_route(path, endpoint, methods=["POST"], response_model=None, openapi_extra=_OPEN)
        return router

    async def of_attempt(self, request: Request, provider: str, attempt_id: str, token: str) -> Response:
        """A provider calls the address it was given with one submission. Answered when it is written down for good."""
        return await self._take(request, provider, attempt_id, token)

    async def of(self, request: Request, provider: str, token: str) -> Response:
        """A provider calls the address that was set for its account."""
        return await self._take(request, provider, None, token)

    async def _take(self, request: Request, called: str, attempt: str | None, token: str) -> Response:
        provider = _ALIASES.get(called, called)
        if not is_path_token(self.secret, token, *callback_parts(provider, attempt)):
            raise NotFound
        # From here on the path is a credential, and it is written into logs and problems.
        request.scope["path"] = request.scope["path"].replace(token, "***")
        event = ProviderCallbackReceived(
            provider=provider,
            attempt_id=None if attempt is None else UUID(attempt),
            headers=passed_on(request.headers),
            body_base64=b64encode(await _raw(request)).decode(),
        )
        subject = event.attempt_id or uuid5(NAMESPACE_URL, f"backlot:provider:{provider}")
        async with self.engine.begin() as conn:
            await self.outbox.add(conn, [Draft(event, subject, NOBODY)])
        metrics.CALLBACKS.labels(provider).inc()
        return answer({})


def passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that the worker is told, by their names in small letters."""
    lower = {name.lower(): value for name, value in headers.items()}
    return {name: value for name, value in lower.items() if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)}


async def _raw(request: Request) -> bytes:
    read = bytearray()
    async for chunk in request.stream():
        read += chunk
        if len(read) > MAX_CALLBACK_BYTES:
            raise TooLarge(f"the body is larger than {MAX_CALLBACK_BYTES} bytes")
    return bytes(read)
