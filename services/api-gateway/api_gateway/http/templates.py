"""Templates: prompt-service's, passed on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from api_gateway.http.authentication import Authenticator
from api_gateway.http.bodies import read_json
from api_gateway.http.describing import body_of
from api_gateway.http.responses import answer
from api_gateway.http.template_shapes import (
    PreviewRequest,
    PromptPreview,
    TemplateAnswer,
    TemplateBody,
    TemplateDifference,
    TemplateList,
)
from api_gateway.keys import Principal
from chassis.http import Context, InternalClient

# Both become part of an address at prompt-service.
Name = Annotated[str, Path(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Version = Annotated[str, Path(pattern=r"^v\d{1,6}\.\d{1,6}$", examples=["v1.0"])]
Compared = Annotated[str, Query(alias="from", examples=["v1.0"])]
With = Annotated[str, Query(alias="to", examples=["v1.1"])]


@dataclass(frozen=True, slots=True)
class Templates:
    """The routes of templates."""

    prompts: InternalClient
    auth: Authenticator

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/api/v1/templates", tags=["templates"])
        # In this order: `diff` is no version.
        self._add_trying(router)
        self._add_reading(router)
        self._add_writing(router)
        return router

    def _add_reading(self, router: APIRouter) -> None:
        reads, one = self.auth.scope("jobs:read"), _answer(TemplateAnswer, "The template")

        @router.get("", response_model=None, responses=_answer(TemplateList, "A page of templates"))
        async def list_templates(
            kind: str | None = None,
            name: str | None = None,
            limit: int = 20,
            offset: int = 0,
            who: Principal = reads,
        ) -> Response:
            """The shipped templates and the tenant's own, in all their versions; without retired ones."""
            asked = {"kind": kind, "name": name, "limit": limit, "offset": offset}
            given = {name: value for name, value in asked.items() if value is not None}
            return answer(await self._ask(who, "GET", "", params=given))

        @router.get("/{name}", response_model=None, responses=one)
        async def show_default_version(name: Name, who: Principal = reads) -> Response:
            """The version that a job gets which names none: v1.0 (R99)."""
            return answer(await self._ask(who, "GET", f"/{name}"))

        @router.get("/{name}/{version}", response_model=None, responses=one)
        async def show_version(name: Name, version: Version, who: Principal = reads) -> Response:
            """One version; a retired one too."""
            return answer(await self._ask(who, "GET", f"/{name}/{version}"))

    def _add_trying(self, router: APIRouter) -> None:
        reads = self.auth.scope("jobs:read")

        @router.get("/{name}/diff", response_model=None, responses=_answer(TemplateDifference, "The difference"))
        async def compare_versions(name: Name, before: Compared, after: With, who: Principal = reads) -> Response:
            """What changed between two versions, as a unified diff and as data."""
            return answer(await self._ask(who, "GET", f"/{name}/diff", params={"from": before, "to": after}))

        @router.post(
            "/{name}/preview",
            response_model=None,
            responses=_answer(PromptPreview, "The finished prompt"),
            openapi_extra=body_of(PreviewRequest),
        )
        async def preview_prompt(name: Name, request: Request, who: Principal = reads) -> Response:
            """The prompt that a job would get. Nothing is made, nothing is spent, the template is not used."""
            return answer(await self._ask(who, "POST", f"/{name}/preview", json=await read_json(request)))

    def _add_writing(self, router: APIRouter) -> None:
        writes, one = self.auth.scope("prompts:write"), _answer(TemplateAnswer, "The template")

        @router.post("", status_code=201, response_model=None, responses=one, openapi_extra=_sent())
        async def make_template(request: Request, who: Principal = writes) -> Response:
            """Make a template, v1.0, or the next version of one of your own. Shipped names are taken."""
            made = await self._pass_on(who, "POST", "", request)
            return answer(made, 201, {"Location": f"/api/v1/templates/{made['name']}/{made['version']}"})

        @router.put("/{name}/{version}", response_model=None, responses=one, openapi_extra=_sent())
        async def replace_template(name: Name, version: Version, request: Request, who: Principal = writes) -> Response:
            """Replace a version that no job was prepared with yet; later it is a conflict: make the next version."""
            return answer(await self._pass_on(who, "PUT", f"/{name}/{version}", request))

        @router.post("/{name}/{version}/retire", response_model=None, responses=one)
        async def retire_template(name: Name, version: Version, who: Principal = writes) -> Response:
            """Take a used version out of lists and from further jobs. It stays readable."""
            return answer(await self._ask(who, "POST", f"/{name}/{version}/retire"))

        @router.delete("/{name}/{version}", status_code=204, response_model=None)
        async def delete_template(name: Name, version: Version, who: Principal = writes) -> Response:
            """Delete a version that no job was prepared with."""
            await self._ask(who, "DELETE", f"/{name}/{version}")
            return Response(status_code=204)

    async def _pass_on(self, who: Principal, method: str, path: str, request: Request) -> Any:
        """A template as it came, JSON or YAML: prompt-service reads it."""
        media_type = request.headers.get("content-type", "application/json")
        return await self._ask(who, method, path, content=await request.body(), media_type=media_type)

    async def _ask(self, who: Principal, method: str, path: str, **sent: Any) -> Any:
        context = Context(who.tenant_id, who.user_id, who.scopes)
        return await self.prompts.request(method, f"/v1/templates{path}", context=context, **sent)


def _sent() -> dict[str, Any]:
    described = body_of(TemplateBody)
    content = described["requestBody"]["content"]
    content["application/yaml"] = {"schema": {"type": "string"}}
    return described


def _answer(model: type[BaseModel], description: str) -> dict[int | str, dict[str, Any]]:
    return {"2XX": {"model": model, "description": description}}
