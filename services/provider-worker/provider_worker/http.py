"""What provider-worker answers to other services."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Depends
from pydantic import BaseModel, SecretStr

from chassis.http import require_context


@dataclass(frozen=True, slots=True)
class ProviderFacts:
    """A configured provider; `why_not` says in words why it is not enabled."""

    name: str
    kinds: Sequence[str]
    why_not: str | None = None


class Provider(BaseModel):
    """A provider as others see it."""

    name: str
    kinds: list[str]
    enabled: bool
    why_not: str | None


class Providers(BaseModel):
    """All providers."""

    items: list[Provider]


def internal_routes(providers: Mapping[str, ProviderFacts], secret: SecretStr) -> APIRouter:
    """`GET /v1/providers`."""
    router = APIRouter(prefix="/v1", dependencies=[Depends(require_context(secret))])

    @router.get("/providers")
    async def list_providers() -> Providers:
        """Every configured provider, what it makes, and whether it can be used."""
        return Providers(
            items=[
                Provider(name=each.name, kinds=list(each.kinds), enabled=each.why_not is None, why_not=each.why_not)
                for each in providers.values()
            ]
        )

    return router
