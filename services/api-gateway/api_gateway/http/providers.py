"""Which providers there are: provider-worker's word, passed on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from api_gateway.http.authentication import Authenticator
from api_gateway.http.job_shapes import Shape
from api_gateway.http.responses import answer
from api_gateway.keys import Principal
from chassis.http import Context, InternalClient


class Lengths(Shape):
    """In seconds: any from `shortest` to `longest`, or only those in `only`."""

    shortest: float
    longest: float
    only: list[float] | None


class Ability(Shape):
    """One thing a provider makes; `seconds` is null where it has no length."""

    kind: str = Field(examples=["music"])
    op: str = Field(examples=["text_to_music"])
    formats: list[str]
    seconds: Lengths | None
    supports: list[str]
    cancel: Literal["none", "queued_only", "best_effort", "delete"]
    webhook: bool
    idempotency: Literal["none", "header", "client_ref", "list_lookup"]


class Price(Shape):
    """For one `unit` where all of `facts` hold."""

    unit: str = Field(examples=["second"])
    usd: str = Field(examples=["0.10"])
    facts: dict[str, str]


class Limits(Shape):
    """`per_tenant`: how many of a kind you may have made at once; `account`: how many jobs it takes of everybody."""

    per_tenant: dict[str, int]
    account: int | None


class Provider(Shape):
    """A provider. `closed`: nothing is sent there for now; `why_not` says why it is not `ok`."""

    name: str = Field(description="what `route.providers` calls it", examples=["elevenlabs"])
    adapter: str
    model: str | None
    kinds: list[str]
    enabled: bool
    health: Literal["ok", "closed", "disabled"]
    why_not: str | None
    makes: list[Ability]
    limits: Limits
    prices: list[Price]


class ProviderList(Shape):
    """All of them, in the order of the configuration."""

    items: list[Provider]
    total: int
    limit: int
    offset: int
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Providers:
    """The route of providers."""

    worker: InternalClient
    auth: Authenticator

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/api/v1/providers", tags=["providers"])
        reads = self.auth.scope("jobs:read")
        responses: dict[int | str, dict[str, Any]] = {200: {"model": ProviderList, "description": "All providers"}}

        @router.get("", response_model=None, responses=responses)
        async def list_providers(who: Principal = reads) -> Response:
            """Which providers there are, what each makes at what price, and why one cannot be used."""
            context = Context(who.tenant_id, who.user_id, who.scopes)
            found = (await self.worker.request("GET", "/v1/providers", context=context))["items"]
            count = len(found)
            return answer({"items": found, "total": count, "limit": count, "offset": 0, "next_cursor": None})

        return router
