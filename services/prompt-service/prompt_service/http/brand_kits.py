"""Brand kits, for the gateway. The tenant comes from the signed context."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.database import tenant_transaction
from chassis.errors import NotFound
from chassis.http import Context, require_context
from chassis.ids import uuid7
from prompt_service.kits import BrandKit, BrandKitBody
from prompt_service.store import kits as store

Limit = Annotated[int, Query(ge=1, le=200)]
Offset = Annotated[int, Query(ge=0)]


class BrandKitView(BrandKitBody):
    """A brand kit as a client sees it."""

    id: UUID
    version: int
    created_at: datetime
    updated_at: datetime


class BrandKitPage(BaseModel):
    """Some of a tenant's kits, newest first."""

    items: list[BrandKitView]
    total: int
    limit: int
    offset: int


def brand_kit_routes(engine: AsyncEngine, secret: SecretStr) -> APIRouter:
    """`/v1/brand-kits`."""
    router = APIRouter(prefix="/v1/brand-kits", tags=["brand kits"])
    asks: Any = Depends(require_context(secret))

    @router.post("", status_code=201)
    async def create(body: BrandKitBody, context: Context = asks) -> BrandKitView:
        kit_id = uuid7()
        async with engine.begin() as conn:
            await store.add_kit(conn, context.tenant_id, kit_id, body)
            return _found(await store.read_kit(conn, context.tenant_id, kit_id))

    @router.get("")
    async def list_all(limit: Limit = 20, offset: Offset = 0, context: Context = asks) -> BrandKitPage:
        async with tenant_transaction(engine, context.tenant_id) as conn:
            kits, total = await store.list_kits(conn, context.tenant_id, limit=limit, offset=offset)
        return BrandKitPage(items=[_view(kit) for kit in kits], total=total, limit=limit, offset=offset)

    @router.get("/{kit_id}")
    async def show(kit_id: UUID, context: Context = asks) -> BrandKitView:
        async with tenant_transaction(engine, context.tenant_id) as conn:
            return _found(await store.read_kit(conn, context.tenant_id, kit_id))

    @router.put("/{kit_id}")
    async def replace(kit_id: UUID, body: BrandKitBody, context: Context = asks) -> BrandKitView:
        async with engine.begin() as conn:
            await store.add_version(conn, context.tenant_id, kit_id, body)
            return _found(await store.read_kit(conn, context.tenant_id, kit_id))

    @router.delete("/{kit_id}", status_code=204)
    async def delete(kit_id: UUID, context: Context = asks) -> Response:
        async with engine.begin() as conn:
            if not await store.delete_kit(conn, context.tenant_id, kit_id):
                raise NotFound("there is no such brand kit")
        return Response(status_code=204)

    return router


def _found(kit: BrandKit | None) -> BrandKitView:
    if kit is None:
        raise NotFound("there is no such brand kit")
    return _view(kit)


def _view(kit: BrandKit) -> BrandKitView:
    return BrandKitView(
        **kit.body.model_dump(),
        id=kit.id,
        version=kit.version,
        created_at=kit.created_at,
        updated_at=kit.updated_at,
    )
