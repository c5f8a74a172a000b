"""One asset: shown as it is known here, deleted by storage-service."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.responses import Response

from api_gateway.http.authentication import Authenticator
from api_gateway.http.describing import ASSET
from api_gateway.http.responses import answer
from api_gateway.keys import Principal
from api_gateway.rendering import Sign, asset_json
from api_gateway.store.jobs import Jobs
from api_gateway.store.uploads import forget_uploads
from chassis.errors import NotFound
from chassis.http import Context, InternalClient


@dataclass(frozen=True, slots=True)
class Assets:
    """The routes of single assets."""

    engine: AsyncEngine
    jobs: Jobs
    storage: InternalClient
    auth: Authenticator
    sign: Sign

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/api/v1/assets", tags=["assets"])
        reads, writes = self.auth.scope("assets:read"), self.auth.scope("assets:write")

        @router.get("/{asset_id}", response_model=None, responses=ASSET)
        async def show(asset_id: UUID, who: Principal = reads) -> Response:
            """An asset (R131)."""
            asset = await self.jobs.asset(who, asset_id)
            if asset is None:
                raise NotFound("there is no such asset")
            return answer(asset_json(asset, self.sign))

        @router.delete("/{asset_id}", status_code=204, response_model=None)
        async def delete(asset_id: UUID, who: Principal = writes) -> Response:
            """Delete an asset for good (R132). Jobs that were to build on it and have not begun fail."""
            context = Context(who.tenant_id, who.user_id, who.scopes)
            await self.storage.request("DELETE", f"/v1/assets/{asset_id}", context=context)
            async with self.engine.begin() as conn:
                await forget_uploads(conn, [asset_id])
            return Response(status_code=204)

        return router
