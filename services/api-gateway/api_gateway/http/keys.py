"""API keys, for those who administer a tenant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import Request
from starlette.responses import Response

from api_gateway.http.authentication import Authenticator
from api_gateway.http.bodies import parse, read_body
from api_gateway.http.describing import body_of
from api_gateway.http.responses import answer
from api_gateway.keys import Principal, grant, new_key, prefix_of
from api_gateway.rendering import rfc3339
from api_gateway.store.keys import ListedKey, add_key, list_keys, revoke_key
from chassis.errors import FieldError, Forbidden, Invalid, NotFound
from chassis.ids import uuid7

_LONGEST_LIFE = 10 * 366 * 24 * 3600


class KeyRequest(BaseModel):
    """A new key, for oneself or another user of the tenant."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={"examples": [{"scopes": ["jobs:read", "jobs:write"], "expires_in_seconds": 86400}]},
    )

    scopes: list[str] = Field(min_length=1, max_length=20)
    user_id: UUID | None = Field(default=None, description="whose key it is; one's own by default")
    expires_in_seconds: int | None = Field(default=None, ge=1, le=_LONGEST_LIFE)


@dataclass(frozen=True, slots=True)
class Keys:
    """The routes of API keys."""

    engine: AsyncEngine
    auth: Authenticator

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/api/v1/keys", tags=["keys"])
        admin = self.auth.scope("admin")

        @router.post("", status_code=201, response_model=None, openapi_extra=body_of(KeyRequest))
        async def make(request: Request, who: Principal = admin) -> Response:
            """Make a key. It is shown in this answer and never again."""
            asked = parse(KeyRequest, await read_body(request))
            return answer(await self._make(who, asked), 201, {"Cache-Control": "no-store"})

        @router.get("", response_model=None)
        async def list_all(
            limit: Annotated[int, Query(ge=1, le=100)] = 20,
            offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
            who: Principal = admin,
        ) -> Response:
            """The tenant's keys that work, without what opens doors."""
            async with self.engine.connect() as conn:
                keys, total = await list_keys(conn, who.tenant_id, limit, offset)
            return answer({"items": [_shown(key) for key in keys], "total": total, "limit": limit, "offset": offset})

        @router.delete("/{key_id}", status_code=204, response_model=None)
        async def revoke(key_id: UUID, who: Principal = admin) -> Response:
            """Revoke a key. It may go on working for some seconds where it was verified just before."""
            async with self.engine.begin() as conn:
                if not await revoke_key(conn, who.tenant_id, key_id):
                    raise NotFound(f"there is no key {key_id}")
            return Response(status_code=204)

        return router

    async def _make(self, who: Principal, asked: KeyRequest) -> dict[str, Any]:
        try:
            owner = grant(who, asked.user_id, asked.scopes)
        except ValueError as error:
            raise Invalid(str(error), errors=[FieldError("/scopes", str(error))]) from error
        except PermissionError as error:
            raise Forbidden(str(error)) from error
        key_id, key = uuid7(), new_key()
        async with self.engine.begin() as conn:
            await add_key(conn, key_id, key, owner, seconds=asked.expires_in_seconds)
        return {
            "id": str(key_id),
            "key": key,
            "prefix": prefix_of(key),
            "user_id": str(owner.user_id),
            "scopes": sorted(owner.scopes),
        }


def _shown(key: ListedKey) -> dict[str, Any]:
    return {
        "id": str(key.id),
        "prefix": key.prefix,
        "user_id": str(key.user_id),
        "scopes": key.scopes,
        "created_at": rfc3339(key.created_at),
        "expires_at": key.expires_at and rfc3339(key.expires_at),
    }
