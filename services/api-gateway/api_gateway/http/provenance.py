"""Where an asset comes from: storage-service's record of it, passed on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from api_gateway.http.authentication import Authenticator
from api_gateway.http.job_shapes import Shape
from api_gateway.http.responses import answer
from api_gateway.keys import Principal
from chassis.http import Context, InternalClient

SEES_ALL = "tenant:read"
_SHA256 = Field(examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"])


class Pinned(Shape):
    """A brand kit or style capsule in the version the job was accepted with."""

    id: UUID
    version: int


class ContentCredentials(Shape):
    """Whether the file has a signed C2PA manifest; `why_not` where it has none."""

    signed: bool
    why_not: str | None = Field(examples=["C2PA has no place in model/gltf-binary"])


class Provenance(Shape):
    """What made an asset, when and of what, and how its file says so (EU AI Act, Article 50).

    `content_sha256` is of the bytes before they were marked and signed, `sha256` of those that are served;
    `prompt_sha256` of the prompt that was sent, which stands in none of them. `generated_at`: the provider was asked.
    Of an upload only what it is is known: nothing is claimed about how it was made, and what would say so is null.
    """

    asset_id: UUID
    origin: Literal["job", "upload"]
    job_id: UUID | None
    item: int | None
    kind: str
    role: str
    mime: str
    file_size: int
    sha256: str = _SHA256
    content_sha256: str = _SHA256
    brand_kit: Pinned | None
    style_capsule: Pinned | None
    template: str | None = Field(examples=["thumbnail"])
    template_version: str | None = Field(examples=["v1.0"])
    template_sha256: str | None
    prompt_sha256: str | None
    provider: str | None = Field(examples=["sandbox"])
    model: str | None = Field(examples=["sandbox-1"])
    seed: int | None
    generated_at: str | None = Field(examples=["2030-01-31T12:00:00Z"])
    stored_at: str
    ai_generated: bool | None
    digital_source_type: str | None = Field(
        description="as in the file, by IPTC's NewsCodes",
        examples=["http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"],
    )
    mark: str | None = Field(description="where in the file that stands", examples=["XMP"])
    c2pa: ContentCredentials | None


@dataclass(frozen=True, slots=True)
class Records:
    """The route of provenance."""

    storage: InternalClient
    auth: Authenticator

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/api/v1/assets", tags=["assets"])
        reads = self.auth.scope("assets:read")
        responses: dict[int | str, dict[str, Any]] = {200: {"model": Provenance, "description": "The asset's record"}}

        @router.get("/{asset_id}/provenance", response_model=None, responses=responses)
        async def show_provenance(asset_id: UUID, who: Principal = reads) -> Response:
            """Where an asset comes from: by which system it was made, when, of what, and how its file is marked."""
            scopes = who.scopes | {SEES_ALL} if who.may(SEES_ALL) else who.scopes
            context = Context(who.tenant_id, who.user_id, scopes)
            return answer(await self.storage.request("GET", f"/v1/assets/{asset_id}/provenance", context=context))

        return router
