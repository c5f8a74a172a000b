"""Templates, for the gateway: shipped ones and the tenant's own. The tenant comes from the signed context."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chassis.database import tenant_transaction
from chassis.errors import Conflict, FieldError, Invalid, NotFound
from chassis.http import Context, require_context
from prompt_service.differences import difference
from prompt_service.http.looks import unknown_look
from prompt_service.http.template_views import (
    DifferenceView,
    PreviewView,
    TemplatePage,
    TemplateView,
    difference_view,
    own_view,
    preview_view,
    read_template_body,
    shipped_view,
)
from prompt_service.preparing import Looks
from prompt_service.previewing import PreviewBody, preview
from prompt_service.store import templates as store
from prompt_service.store.looks import BRAND_KITS, STYLE_CAPSULES, Shelf
from prompt_service.templates import (
    DEFAULT_VERSION,
    NAME,
    VERSION,
    OwnTemplate,
    Template,
    TemplateBody,
    TemplateFile,
    Templates,
    next_version,
    own_template,
)
from schemas.parts import Kind

Limit = Annotated[int, Query(ge=1, le=200)]
Offset = Annotated[int, Query(ge=0, le=1_000_000)]
Name = Annotated[str, Path(pattern=NAME)]
Version = Annotated[str, Path(pattern=VERSION)]
AskedName = Annotated[str | None, Query(pattern=NAME)]
From = Annotated[str, Query(alias="from", pattern=VERSION)]
To = Annotated[str, Query(alias="to", pattern=VERSION)]


def template_routes(engine: AsyncEngine, shipped: Templates, secret: SecretStr) -> APIRouter:
    """`/v1/templates`. Without a version it is v1.0 that is meant, as a job means it (R99)."""
    router = APIRouter(prefix="/v1/templates", tags=["templates"])
    asks: Any = Depends(require_context(secret))
    templates = _Templates(engine, shipped)

    @router.get("")
    async def list_all(
        kind: Kind | None = None, name: AskedName = None, limit: Limit = 20, offset: Offset = 0, context: Context = asks
    ) -> TemplatePage:
        items, total = await templates.page(context.tenant_id, kind, name, limit=limit, offset=offset)
        return TemplatePage(items=items, total=total, limit=limit, offset=offset)

    @router.post("", status_code=201)
    async def make(request: Request, context: Context = asks) -> TemplateView:
        return await templates.add(context.tenant_id, await read_template_body(request))

    @router.get("/{name}/diff")
    async def compare(name: Name, before: From, after: To, context: Context = asks) -> DifferenceView:
        old = await templates.find(context.tenant_id, name, before)
        new = await templates.find(context.tenant_id, name, after)
        return difference_view(old, new, difference(old, new))

    @router.post("/{name}/preview")
    async def show_prompt(name: Name, body: PreviewBody, context: Context = asks) -> PreviewView:
        template = await templates.find(context.tenant_id, name, body.template_version, retired=False)
        looks = await _looks(engine, context.tenant_id, body)
        return preview_view(preview(template, body, looks, context.user_id))

    @router.get("/{name}")
    async def show_default(name: Name, context: Context = asks) -> TemplateView:
        return await templates.show(context.tenant_id, name, DEFAULT_VERSION)

    @router.get("/{name}/{version}")
    async def show(name: Name, version: Version, context: Context = asks) -> TemplateView:
        return await templates.show(context.tenant_id, name, version)

    @router.put("/{name}/{version}")
    async def replace(name: Name, version: Version, request: Request, context: Context = asks) -> TemplateView:
        return await templates.replace(context.tenant_id, name, version, await read_template_body(request))

    @router.post("/{name}/{version}/retire")
    async def retire(name: Name, version: Version, context: Context = asks) -> TemplateView:
        return await templates.retire(context.tenant_id, name, version)

    @router.delete("/{name}/{version}", status_code=204)
    async def delete(name: Name, version: Version, context: Context = asks) -> Response:
        await templates.delete(context.tenant_id, name, version)
        return Response(status_code=204)

    return router


@dataclass(frozen=True, slots=True)
class _Templates:
    """Shipped templates, and those of tenants."""

    engine: AsyncEngine
    shipped: Templates

    async def page(
        self, tenant_id: UUID, kind: Kind | None, name: str | None, *, limit: int, offset: int
    ) -> tuple[list[TemplateView], int]:
        mine = [self.shipped[key] for key in sorted(self.shipped)]
        mine = [one for one in mine if kind in {None, one.kind} and name in {None, one.name}]
        items = [shipped_view(one) for one in mine[offset : offset + limit]]
        async with tenant_transaction(self.engine, tenant_id) as conn:
            own = await store.page_of_templates(
                conn,
                tenant_id,
                kind=kind,
                name=name,
                limit=limit - len(items),
                offset=max(0, offset - len(mine)),
            )
            total = len(mine) + await store.count_templates(conn, tenant_id, kind=kind, name=name)
        return items + [own_view(one) for one in own], total

    async def show(self, tenant_id: UUID, name: str, version: str) -> TemplateView:
        if found := self.shipped.get((name, version)):
            return shipped_view(found)
        return own_view(await self._own(tenant_id, name, version))

    async def find(self, tenant_id: UUID, name: str, version: str | None, *, retired: bool = True) -> Template:
        wanted = version or DEFAULT_VERSION
        if found := self.shipped.get((name, wanted)):
            return found
        own = await self._own(tenant_id, name, wanted)
        if own.retired and not retired:
            raise NotFound(f"template {name} {wanted} is retired")
        return own.template

    async def add(self, tenant_id: UUID, body: TemplateBody) -> TemplateView:
        if any(name == body.name for name, _ in self.shipped):
            raise Conflict(f"{body.name} is a shipped template; yours needs another name")
        async with self.engine.begin() as conn:
            version = next_version(await store.newest_version(conn, tenant_id, body.name))
            template = _as_version(body, body.name, version)
            if not await store.add_template(conn, tenant_id, template):
                raise Conflict(f"{body.name} {version} was made by another request at the same time; send it again")
            return own_view(_found(await store.read_template(conn, tenant_id, body.name, version), body.name, version))

    async def replace(self, tenant_id: UUID, name: str, version: str, body: TemplateBody) -> TemplateView:
        async with self._held(tenant_id, name, version) as (conn, own):
            if own.used:
                raise _used(name, version, "POST it to /templates to make the version after it")
            await store.replace_template(conn, tenant_id, _as_version(body, name, version))
            return own_view(_found(await store.read_template(conn, tenant_id, name, version), name, version))

    async def retire(self, tenant_id: UUID, name: str, version: str) -> TemplateView:
        async with self._held(tenant_id, name, version) as (conn, own):
            if not own.used:
                raise Conflict(f"no job was prepared with {name} {version}: it can be deleted")
            await store.retire_template(conn, tenant_id, name, version)
            return own_view(_found(await store.read_template(conn, tenant_id, name, version), name, version))

    async def delete(self, tenant_id: UUID, name: str, version: str) -> None:
        async with self._held(tenant_id, name, version) as (conn, own):
            if own.used:
                raise _used(name, version, "retire it to have it out of lists and further jobs")
            await store.delete_template(conn, tenant_id, name, version)

    async def _own(self, tenant_id: UUID, name: str, version: str) -> OwnTemplate:
        async with tenant_transaction(self.engine, tenant_id) as conn:
            return _found(await store.read_template(conn, tenant_id, name, version), name, version)

    @asynccontextmanager
    async def _held(
        self, tenant_id: UUID, name: str, version: str
    ) -> AsyncIterator[tuple[AsyncConnection, OwnTemplate]]:
        """A tenant's template that nobody else changes or uses meanwhile."""
        if (name, version) in self.shipped:
            raise Conflict(f"{name} {version} is a shipped template, which nobody changes")
        async with self.engine.begin() as conn:
            yield conn, _found(await store.hold_template(conn, tenant_id, name, version), name, version)


def _as_version(body: TemplateBody, name: str, version: str) -> Template:
    """The template that `body` is. Raises `Invalid` where it says it is another one."""
    wrong = [
        FieldError(f"/{field}", f"must be {meant}, or be left out" if field == "version" else f"must be {meant}")
        for field, said, meant in (("name", body.name, name), ("version", body.version or version, version))
        if said != meant
    ]
    if wrong:
        raise Invalid("; ".join(f"{error.pointer} {error.detail}" for error in wrong), errors=wrong)
    return own_template(TemplateFile.model_validate({**body.model_dump(exclude_unset=True), "version": version}))


def _found(own: OwnTemplate | None, name: str, version: str) -> OwnTemplate:
    if own is None:
        raise NotFound(f"there is no template {name} {version} (TemplateNotFound)")
    return own


def _used(name: str, version: str, way_out: str) -> Conflict:
    return Conflict(f"jobs were prepared with {name} {version}, which therefore stays as it is: {way_out}")


async def _looks(engine: AsyncEngine, tenant_id: UUID, body: PreviewBody) -> Looks:
    """The newest version of what the preview asks for, as a job would be accepted with it."""
    async with tenant_transaction(engine, tenant_id) as conn:
        return Looks(
            kit=await _look(conn, BRAND_KITS, tenant_id, body.brand_kit_id, "/brand_kit_id"),
            capsule=await _look(conn, STYLE_CAPSULES, tenant_id, body.style_capsule_id, "/style_capsule_id"),
        )


async def _look(conn: AsyncConnection, shelf: Shelf[Any], tenant_id: UUID, look_id: UUID | None, pointer: str) -> Any:
    if look_id is None:
        return None
    found = await shelf.read(conn, tenant_id, look_id)
    if found is None:
        raise unknown_look(shelf, look_id, pointer)
    return found
