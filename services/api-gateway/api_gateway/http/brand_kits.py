"""Brand kits: prompt-service's, passed on. What it answers is kept here first, so that it can be used at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import Request
from starlette.responses import Response

from api_gateway.accepting import KitNotKnown
from api_gateway.http.authentication import Authenticator
from api_gateway.http.bodies import read_json
from api_gateway.http.describing import BRAND_KIT, BRAND_KITS, BrandKitBody, body_of
from api_gateway.http.responses import answer
from api_gateway.keys import Principal
from api_gateway.store.brand_kits import forget_kit, keep_kit
from chassis.errors import NotFound
from chassis.http import Context, InternalClient


@dataclass(frozen=True, slots=True)
class Kits:
    """Kits, through prompt-service."""

    engine: AsyncEngine
    prompts: InternalClient

    async def learn(self, who: Principal, unknown: KitNotKnown) -> None:
        """Asks prompt-service for a kit that is not known here. Raises `unknown` itself when there is none."""
        try:
            await self.ask(who, "GET", f"/{unknown.kit_id}")
        except NotFound:
            raise unknown from None

    async def ask(self, who: Principal, method: str, path: str, *, body: Any = None, params: Any = None) -> Any:
        """What prompt-service answers; a version of a kit is kept before it is passed on."""
        context = Context(who.tenant_id, who.user_id, who.scopes)
        found = await self.prompts.request(method, f"/v1/brand-kits{path}", context=context, json=body, params=params)
        if isinstance(found, dict) and "version" in found:
            async with self.engine.begin() as conn:
                await keep_kit(conn, who.tenant_id, UUID(found["id"]), found["version"])
        return found

    async def forget(self, who: Principal, kit_id: UUID) -> None:
        """A deleted kit is not used any more."""
        async with self.engine.begin() as conn:
            await forget_kit(conn, who.tenant_id, kit_id)


@dataclass(frozen=True, slots=True)
class BrandKits:
    """The routes of brand kits."""

    kits: Kits
    auth: Authenticator

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/api/v1/brand-kits", tags=["brand kits"])
        reads, writes = self.auth.scope("jobs:read"), self.auth.scope("prompts:write")

        @router.post("", status_code=201, response_model=None, responses=BRAND_KIT, openapi_extra=body_of(BrandKitBody))
        async def make(request: Request, who: Principal = writes) -> Response:
            """Make a brand kit (R102)."""
            made = await self.kits.ask(who, "POST", "", body=await read_json(request))
            return answer(made, 201, {"Location": f"/api/v1/brand-kits/{made['id']}"})

        @router.get("", response_model=None, responses=BRAND_KITS)
        async def list_kits(limit: int = 20, offset: int = 0, who: Principal = reads) -> Response:
            """The tenant's brand kits."""
            return answer(await self.kits.ask(who, "GET", "", params={"limit": limit, "offset": offset}))

        @router.get("/{kit_id}", response_model=None, responses=BRAND_KIT)
        async def show(kit_id: UUID, who: Principal = reads) -> Response:
            """A brand kit in its newest version."""
            return answer(await self.kits.ask(who, "GET", f"/{kit_id}"))

        @router.put("/{kit_id}", response_model=None, responses=BRAND_KIT, openapi_extra=body_of(BrandKitBody))
        async def replace(kit_id: UUID, request: Request, who: Principal = writes) -> Response:
            """Replace a brand kit: a new version. Jobs that were accepted keep the one they were accepted with."""
            return answer(await self.kits.ask(who, "PUT", f"/{kit_id}", body=await read_json(request)))

        @router.delete("/{kit_id}", status_code=204, response_model=None)
        async def delete(kit_id: UUID, who: Principal = writes) -> Response:
            """Delete a brand kit. Jobs that were accepted with it are not touched."""
            await self.kits.ask(who, "DELETE", f"/{kit_id}")
            await self.kits.forget(who, kit_id)
            return Response(status_code=204)

        return router
