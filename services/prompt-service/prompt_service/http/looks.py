"""Brand kits and style capsules, for the gateway: the same routes. The tenant comes from the signed context."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Body, Depends, Path, Query, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, SecretStr, ValidationError
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.database import tenant_transaction
from chassis.errors import FieldError, NotFound
from chassis.http import Context, require_context
from chassis.ids import uuid7
from prompt_service.capsules import StyleCapsuleBody
from prompt_service.kits import BrandKitBody
from prompt_service.looks import B, Look, Use
from prompt_service.store.looks import Shelf
from prompt_service.store.uses import count_uses, page_of_uses

Limit = Annotated[int, Query(ge=1, le=200)]
Offset = Annotated[int, Query(ge=0, le=1_000_000)]
Version = Annotated[int, Path(ge=1, le=2**31 - 1)]
LookBody = BrandKitBody | StyleCapsuleBody


class Page(BaseModel):
    """Some of what there is, newest first."""

    items: list[dict[str, Any]]
    total: int
    limit: int
    offset: int


class Kept(BaseModel):
    """What a client sees of a look beside what he sent."""

    id: UUID
    version: int
    warnings: list[str]
    created_at: datetime
    updated_at: datetime


def look_routes(shelf: Shelf[Any], prefix: str, engine: AsyncEngine, secret: SecretStr) -> APIRouter:
    """`/v1/brand-kits` or `/v1/style-capsules`. Versions and uses of a deleted one stay readable."""
    router = APIRouter(prefix=prefix, tags=[shelf.word])
    asks: Any = Depends(require_context(secret))

    @router.post("", status_code=201)
    async def create(body: Annotated[Any, Body()], context: Context = asks) -> dict[str, Any]:
        made, look_id = _parsed(shelf.body, body), uuid7()
        async with engine.begin() as conn:
            await shelf.add(conn, context.tenant_id, look_id, made)
            return _shown(shelf, look_id, await shelf.read(conn, context.tenant_id, look_id))

    @router.get("")
    async def list_all(limit: Limit = 20, offset: Offset = 0, context: Context = asks) -> Page:
        async with tenant_transaction(engine, context.tenant_id) as conn:
            found = await shelf.page(conn, context.tenant_id, limit=limit, offset=offset)
            total = await shelf.count(conn, context.tenant_id)
        return Page(items=[_view(look) for look in found], total=total, limit=limit, offset=offset)

    @router.get("/{look_id}")
    async def show(look_id: UUID, context: Context = asks) -> dict[str, Any]:
        async with tenant_transaction(engine, context.tenant_id) as conn:
            return _shown(shelf, look_id, await shelf.read(conn, context.tenant_id, look_id))

    @router.put("/{look_id}")
    async def replace(look_id: UUID, body: Annotated[Any, Body()], context: Context = asks) -> dict[str, Any]:
        made = _parsed(shelf.body, body)
        async with engine.begin() as conn:
            await shelf.add_version(conn, context.tenant_id, look_id, made)
            return _shown(shelf, look_id, await shelf.read(conn, context.tenant_id, look_id))

    @router.delete("/{look_id}", status_code=204)
    async def delete(look_id: UUID, context: Context = asks) -> Response:
        async with engine.begin() as conn:
            if not await shelf.delete(conn, context.tenant_id, look_id):
                raise unknown_look(shelf, look_id)
        return Response(status_code=204)

    @router.get("/{look_id}/versions")
    async def list_versions(look_id: UUID, limit: Limit = 20, offset: Offset = 0, context: Context = asks) -> Page:
        async with tenant_transaction(engine, context.tenant_id) as conn:
            total = await shelf.how_many_versions(conn, context.tenant_id, look_id)
            found = await shelf.versions(conn, context.tenant_id, look_id, limit=limit, offset=offset)
        if total is None:
            raise unknown_look(shelf, look_id)
        return Page(items=[_view(look) for look in found], total=total, limit=limit, offset=offset)

    @router.get("/{look_id}/versions/{version}")
    async def show_version(look_id: UUID, version: Version, context: Context = asks) -> dict[str, Any]:
        async with tenant_transaction(engine, context.tenant_id) as conn:
            return _shown(shelf, look_id, await shelf.version(conn, context.tenant_id, look_id, version))

    @router.get("/{look_id}/uses")
    async def list_uses(look_id: UUID, limit: Limit = 20, offset: Offset = 0, context: Context = asks) -> Page:
        async with tenant_transaction(engine, context.tenant_id) as conn:
            if await shelf.how_many_versions(conn, context.tenant_id, look_id) is None:
                raise unknown_look(shelf, look_id)
            found = await page_of_uses(conn, context.tenant_id, look_id, limit=limit, offset=offset)
            total = await count_uses(conn, context.tenant_id, look_id)
        return Page(items=[_use(use) for use in found], total=total, limit=limit, offset=offset)

    return router


def _parsed(model: type[B], body: Any) -> B:
    try:
        return model.model_validate(body)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in problems]) from error


def _shown(shelf: Shelf[Any], look_id: UUID, look: Look[Any] | None) -> dict[str, Any]:
    if look is None:
        raise unknown_look(shelf, look_id)
    return _view(look)


def unknown_look(shelf: Shelf[Any], look_id: UUID, *pointers: str) -> NotFound:
    """What is said where there is none of this id; `pointers` are to the fields that named it (RFC 6901)."""
    said = f"there is no {shelf.word} {look_id}"
    return NotFound(said, errors=[FieldError(pointer, said) for pointer in pointers])


def _view(look: Look[Any]) -> dict[str, Any]:
    body: LookBody = look.body
    kept = Kept(
        id=look.id,
        version=look.version,
        warnings=body.warnings(),
        created_at=look.created_at,
        updated_at=look.updated_at,
    )
    return {**body.model_dump(mode="json"), **kept.model_dump(mode="json")}


def _use(use: Use) -> dict[str, Any]:
    return {"job_id": str(use.job_id), "version": use.version, "used_at": use.used_at}
