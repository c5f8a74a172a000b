"""Brand kits and style capsules: prompt-service's, passed on. Its answers are kept here first, to be used at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import Request
from starlette.responses import Response

from api_gateway.http.authentication import Authenticator
from api_gateway.http.bodies import read_json
from api_gateway.http.describing import body_of
from api_gateway.http.look_shapes import (
    BrandKitAnswer,
    BrandKitBody,
    BrandKitList,
    StyleCapsuleAnswer,
    StyleCapsuleBody,
    StyleCapsuleList,
    UseList,
)
from api_gateway.http.responses import answer
from api_gateway.inputs import PICTURES
from api_gateway.keys import Principal
from api_gateway.looks import LookNotKnown, Sort
from api_gateway.requests import InvalidRequest
from api_gateway.store.looks import forget_look, keep_look
from api_gateway.store.uploads import known_assets
from chassis.errors import FieldError, NotFound
from chassis.http import Context, InternalClient

_ASSETS = ("logo_asset_id", "style_reference_asset_id")
"""Fields of a body that name an asset."""


@dataclass(frozen=True, slots=True)
class Looks:
    """Kits and capsules, through prompt-service."""

    engine: AsyncEngine
    prompts: InternalClient

    async def learn(self, who: Principal, unknown: LookNotKnown) -> None:
        """Asks prompt-service for one that is not known here. Raises `unknown` itself when there is none."""
        try:
            await self.known(who, unknown.sort, "GET", f"/{unknown.look_id}")
        except NotFound:
            raise unknown from None

    async def ask(
        self, who: Principal, sort: Sort, method: str, path: str, *, body: Any = None, params: Any = None
    ) -> Any:
        """What prompt-service answers."""
        context = Context(who.tenant_id, who.user_id, who.scopes)
        return await self.prompts.request(method, f"/v1{sort.path}{path}", context=context, json=body, params=params)

    async def known(self, who: Principal, sort: Sort, method: str, path: str, body: Any = None) -> Any:
        """The newest version, kept before it is passed on."""
        found = await self.ask(who, sort, method, path, body=body)
        async with self.engine.begin() as conn:
            await keep_look(conn, sort, who.tenant_id, UUID(found["id"]), found["version"])
        return found

    async def delete(self, who: Principal, sort: Sort, look_id: UUID) -> None:
        """It is not used any more."""
        await self.ask(who, sort, "DELETE", f"/{look_id}")
        async with self.engine.begin() as conn:
            await forget_look(conn, sort, who.tenant_id, look_id)

    async def check_assets(self, who: Principal, body: Any) -> None:
        """Whether the assets that `body` names are pictures of the tenant. Raises `NotFound` and `InvalidRequest`."""
        named = _assets_of(body)
        async with self.engine.connect() as conn:
            known = await known_assets(conn, [(who.tenant_id, asset_id) for asset_id in named.values()])
        for field, asset_id in named.items():
            asset = known.get((who.tenant_id, asset_id))
            if asset is None:
                detail = f"there is no asset {asset_id}"
                raise NotFound(detail, errors=[FieldError(f"/{field}", detail)])
            if asset.mime not in PICTURES:
                detail = f"is {asset.mime}, but must be {', '.join(sorted(PICTURES))}"
                raise InvalidRequest(f"/{field} {detail}", errors=[FieldError(f"/{field}", detail)])


def _assets_of(body: Any) -> dict[str, UUID]:
    """The assets that a body names; what is no id at all prompt-service has the words for."""
    named = {}
    for field in _ASSETS:
        value = body.get(field) if isinstance(body, Mapping) else None
        if isinstance(value, str):
            try:
                named[field] = UUID(value)
            except ValueError:
                continue
    return named


@dataclass(frozen=True, slots=True)
class Shapes:
    """How one sort is described."""

    body: type[BaseModel]
    one: type[BaseModel]
    page: type[BaseModel]


SHAPES: Mapping[Sort, Shapes] = {
    Sort.BRAND_KIT: Shapes(BrandKitBody, BrandKitAnswer, BrandKitList),
    Sort.STYLE_CAPSULE: Shapes(StyleCapsuleBody, StyleCapsuleAnswer, StyleCapsuleList),
}


@dataclass(frozen=True, slots=True)
class LookRoutes:
    """The routes of brand kits, or of style capsules."""

    looks: Looks
    auth: Authenticator
    sort: Sort

    def router(self) -> APIRouter:
        router = APIRouter(prefix=f"/api/v1{self.sort.path}", tags=[f"{self.sort.word}s"])
        self._add_making(router)
        self._add_reading(router)
        self._add_history(router)
        return router

    def _add_making(self, router: APIRouter) -> None:
        writes, sort, word = self.auth.scope("prompts:write"), self.sort, self.sort.word
        sent, one = body_of(SHAPES[sort].body), _answer(SHAPES[sort].one, f"The {word}")

        @router.post(
            "", status_code=201, response_model=None, responses=one, openapi_extra=sent, description=f"Make a {word}."
        )
        async def make(request: Request, who: Principal = writes) -> Response:
            body = await read_json(request)
            await self.looks.check_assets(who, body)
            made = await self.looks.known(who, sort, "POST", "", body)
            return answer(made, 201, {"Location": f"/api/v1{sort.path}/{made['id']}"})

        @router.put(
            "/{look_id}",
            response_model=None,
            responses=one,
            openapi_extra=sent,
            description=f"Replace a {word}: a new version. Jobs keep the one that they were accepted with.",
        )
        async def replace(look_id: UUID, request: Request, who: Principal = writes) -> Response:
            body = await read_json(request)
            await self.looks.check_assets(who, body)
            return answer(await self.looks.known(who, sort, "PUT", f"/{look_id}", body))

        @router.delete(
            "/{look_id}",
            status_code=204,
            response_model=None,
            description=f"Delete a {word}. Jobs that were accepted with it keep it; its versions stay readable.",
        )
        async def delete(look_id: UUID, who: Principal = writes) -> Response:
            await self.looks.delete(who, sort, look_id)
            return Response(status_code=204)

    def _add_reading(self, router: APIRouter) -> None:
        reads, sort, shapes, word = self.auth.scope("jobs:read"), self.sort, SHAPES[self.sort], self.sort.word

        @router.get(
            "",
            response_model=None,
            responses=_answer(shapes.page, f"A page of {word}s"),
            description=f"The tenant's {word}s, newest first.",
        )
        async def list_all(limit: int = 20, offset: int = 0, who: Principal = reads) -> Response:
            return answer(await self.looks.ask(who, sort, "GET", "", params={"limit": limit, "offset": offset}))

        @router.get(
            "/{look_id}",
            response_model=None,
            responses=_answer(shapes.one, f"The {word}"),
            description=f"A {word} in its newest version.",
        )
        async def show(look_id: UUID, who: Principal = reads) -> Response:
            return answer(await self.looks.known(who, sort, "GET", f"/{look_id}"))

    def _add_history(self, router: APIRouter) -> None:
        reads, sort, shapes, word = self.auth.scope("jobs:read"), self.sort, SHAPES[self.sort], self.sort.word

        @router.get(
            "/{look_id}/versions",
            response_model=None,
            responses=_answer(shapes.page, "A page of versions"),
            description=f"All versions of a {word}, newest first; of a deleted one too.",
        )
        async def list_versions(look_id: UUID, limit: int = 20, offset: int = 0, who: Principal = reads) -> Response:
            page = {"limit": limit, "offset": offset}
            return answer(await self.looks.ask(who, sort, "GET", f"/{look_id}/versions", params=page))

        @router.get(
            "/{look_id}/versions/{version}",
            response_model=None,
            responses=_answer(shapes.one, "The version"),
            description=f"A {word} as it was in one version; of a deleted one too.",
        )
        async def show_version(look_id: UUID, version: int, who: Principal = reads) -> Response:
            return answer(await self.looks.ask(who, sort, "GET", f"/{look_id}/versions/{version}"))

        @router.get(
            "/{look_id}/uses",
            response_model=None,
            responses=_answer(UseList, "A page of uses"),
            description=f"The jobs whose prompts a {word} is in, newest first, and in which version.",
        )
        async def list_uses(look_id: UUID, limit: int = 20, offset: int = 0, who: Principal = reads) -> Response:
            page = {"limit": limit, "offset": offset}
            return answer(await self.looks.ask(who, sort, "GET", f"/{look_id}/uses", params=page))


def _answer(model: type[BaseModel], description: str) -> dict[int | str, dict[str, Any]]:
    return {"2XX": {"model": model, "description": description}}
