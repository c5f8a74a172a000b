"""Who asks: the tenant, the user and the scopes come from the key alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import Request

from api_gateway.keys import KnownKeys, Principal, digest_of, looks_like_key, matching
from api_gateway.store.keys import find_keys
from chassis.errors import Forbidden, Unauthenticated

_HOW = "give an API key as `Authorization: Bearer bk_...` or `X-API-Key: bk_...`"


class Authenticator:
    """Verifies keys, each once in `lifetime` seconds: so long a revoked key may go on working."""

    def __init__(self, engine: AsyncEngine, *, lifetime: float) -> None:
        self._engine = engine
        self._known = KnownKeys(lifetime)

    async def principal(self, request: Request) -> Principal:
        """Who asks. Raises `Unauthenticated`, and never says what was wrong with a key."""
        key = credential(request)
        if key is None:
            raise Unauthenticated(_HOW)
        if not looks_like_key(key):
            raise Unauthenticated("this is no API key of ours")
        digest = digest_of(key)
        known = self._known.get(digest)
        if known is None:
            known = (await self._look_up(key, digest),)
            self._known.put(digest, known[0])
        if known[0] is None:
            raise Unauthenticated("this is no API key of ours")
        return known[0]

    async def allow(self, request: Request, scope: str) -> Principal:
        """Who asks, if his key has `scope`. Raises `Forbidden` if it has not."""
        who = await self.principal(request)
        if not who.may(scope):
            raise Forbidden(f"this key lacks the scope {scope}")
        return who

    def scope(self, scope: str) -> Any:
        """A FastAPI dependency on `allow`."""

        async def dependency(request: Request) -> Principal:
            return await self.allow(request, scope)

        checked: Callable[[Request], Awaitable[Principal]] = dependency
        return Depends(checked)

    async def _look_up(self, key: str, digest: bytes) -> Principal | None:
        async with self._engine.connect() as conn:
            return matching(digest, await find_keys(conn, key))


def credential(request: Request) -> str | None:
    """The key a request carries, if any."""
    authorization = request.headers.get("authorization")
    if authorization is None:
        return request.headers.get("x-api-key")
    kind, _, key = authorization.partition(" ")
    if kind.lower() != "bearer" or not key.strip():
        raise Unauthenticated(_HOW)
    return key.strip()
