"""What prompt-service answers to the gateway: brand kits and templates. The tenant comes from the signed context."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, FastAPI, Query, Response
from pydantic import BaseModel, SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.database import tenant_transaction
from chassis.errors import NotFound
from chassis.http import Context, make_app, require_context
from chassis.ids import uuid7
from prompt_service import store
from prompt_service.kits import BrandKit, BrandKitBody
from prompt_service.templates import Templates

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


class TemplateView(BaseModel):
    """A template that jobs can name."""

    name: str
    version: str
    kind: str
    sha256: str
    placeholders: dict[str, str]


def make(engine: AsyncEngine, templates: Templates, *, secret: SecretStr) -> FastAPI:
    """The internal application."""
    app = make_app(title="prompt-service", public=False)
    asks: Any = Depends(require_context(secret))

    @app.post("/v1/brand-kits", status_code=201)
    async def create(body: BrandKitBody, context: Context = asks) -> BrandKitView:
        kit_id = uuid7()
        async with engine.begin() as conn:
            await store.add_kit(conn, context.tenant_id, kit_id, body)
            return _found(await store.read_kit(conn, context.tenant_id, kit_id))

    @app.get("/v1/brand-kits")
    async def list_all(limit: Limit = 20, offset: Offset = 0, context: Context = asks) -> BrandKitPage:
        async with tenant_transaction(engine, context.tenant_id) as conn:
            kits, total = await store.list_kits(conn, context.tenant_id, limit=limit, offset=offset)
        return BrandKitPage(items=[_view(kit) for kit in kits], total=total, limit=limit, offset=offset)

    @app.get("/v1/brand-kits/{kit_id}")
    async def show(kit_id: UUID, context: Context = asks) -> BrandKitView:
        async with tenant_transaction(engine, context.tenant_id) as conn:
            return _found(await store.read_kit(conn, context.tenant_id, kit_id))

    @app.put("/v1/brand-kits/{kit_id}")
    async def replace(kit_id: UUID, body: BrandKitBody, context: Context = asks) -> BrandKitView:
        async with engine.begin() as conn:
            await store.add_version(conn, context.tenant_id, kit_id, body)
            return _found(await store.read_kit(conn, context.tenant_id, kit_id))

    @app.delete("/v1/brand-kits/{kit_id}", status_code=204)
    async def delete(kit_id: UUID, context: Context = asks) -> Response:
        async with engine.begin() as conn:
            if not await store.delete_kit(conn, context.tenant_id, kit_id):
                raise NotFound("there is no such brand kit")
        return Response(status_code=204)

    @app.get("/v1/templates")
    async def list_templates(context: Context = asks) -> list[TemplateView]:
        return [
            TemplateView(
                name=template.name,
                version=template.version,
                kind=template.kind,
                sha256=template.sha256,
                placeholders={name: placeholder.source for name, placeholder in template.placeholders.items()},
            )
            for _, template in sorted(templates.items())
        ]

    return app


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
