"""What provider-worker answers to other services."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, SecretStr

from chassis.http import require_context
from provider_worker.adapters.config import Price
from provider_worker.adapters.interface import Capability, Span


def _never_closed() -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class ProviderFacts:
    """A configured provider; `why_not` says in words why it is not enabled.

    `per_tenant` has for each kind that a route lets it make how many a tenant may have made at once. `why_closed` is
    asked each time: why nothing is sent there for now.
    """

    name: str
    adapter: str
    model: str
    per_tenant: Mapping[str, int]
    why_not: str | None = None
    account_limit: int | None = None
    capabilities: Sequence[Capability] = ()
    prices: Sequence[Price] = ()
    why_closed: Callable[[], str | None] = field(default=_never_closed)


class Lengths(BaseModel):
    """Lengths in seconds: any from `shortest` to `longest`, or only those in `only`."""

    shortest: float
    longest: float
    only: list[float] | None = None


class Ability(BaseModel):
    """One thing a provider makes; `seconds` is null where it has no length."""

    kind: str
    op: str
    formats: list[str]
    seconds: Lengths | None
    supports: list[str]
    cancel: str
    webhook: bool
    idempotency: str


class ListPrice(BaseModel):
    """A decimal string in USD for one `unit` where all of `facts` hold."""

    unit: str
    usd: str
    facts: dict[str, str]


class Limits(BaseModel):
    """How many of a kind one tenant may have made at once, and how many jobs the account takes of all of us."""

    per_tenant: dict[str, int]
    account: int | None


class Provider(BaseModel):
    """A provider as others see it. `why_not` says why it is not `ok`: disabled for good, or closed for now."""

    name: str
    adapter: str
    model: str | None
    kinds: list[str]
    enabled: bool
    health: Literal["ok", "closed", "disabled"]
    why_not: str | None
    makes: list[Ability]
    limits: Limits
    prices: list[ListPrice]


class Providers(BaseModel):
    """All providers."""

    items: list[Provider]


def internal_routes(providers: Mapping[str, ProviderFacts], secret: SecretStr) -> APIRouter:
    """`GET /v1/providers`."""
    router = APIRouter(prefix="/v1", dependencies=[Depends(require_context(secret))])

    @router.get("/providers")
    async def list_providers() -> Providers:
        """Every configured provider, what it makes at what price, and whether it can be used."""
        return Providers(items=[shown(each) for each in providers.values()])

    return router


def shown(facts: ProviderFacts) -> Provider:
    """A provider as others see it now."""
    why_closed = None if facts.why_not is not None else facts.why_closed()
    return Provider(
        name=facts.name,
        adapter=facts.adapter,
        model=facts.model or None,
        kinds=list(facts.per_tenant),
        enabled=facts.why_not is None,
        health="disabled" if facts.why_not is not None else "ok" if why_closed is None else "closed",
        why_not=facts.why_not or why_closed,
        makes=[_ability(can) for can in facts.capabilities if can.kind in facts.per_tenant],
        limits=Limits(per_tenant=dict(facts.per_tenant), account=facts.account_limit),
        prices=[ListPrice(unit=price.unit, usd=_usd(price.micros), facts=dict(price.facts)) for price in facts.prices],
    )


def _ability(can: Capability) -> Ability:
    return Ability(
        kind=can.kind,
        op=can.op,
        formats=list(can.formats),
        seconds=_lengths(can.durations),
        supports=sorted(can.supports),
        cancel=can.cancel,
        webhook=can.webhook,
        idempotency=can.idempotency,
    )


def _lengths(durations: Sequence[float] | Span | None) -> Lengths | None:
    if not durations:
        return None
    if isinstance(durations, Span):
        return Lengths(shortest=durations.shortest, longest=durations.longest)
    return Lengths(shortest=min(durations), longest=max(durations), only=sorted(durations))


def _usd(micros: int) -> str:
    """With two to six decimals."""
    whole, _, fraction = f"{Decimal(micros).scaleb(-6):.6f}".partition(".")
    return f"{whole}.{fraction.rstrip('0').ljust(2, '0')}"
