"""Reads routes.yaml: providers, routes and prices, checked whole, every fault named at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from chassis.errors import StartError
from chassis.yaml_file import read_yaml
from provider_worker.routing import KindRoute, Offer, RetryPolicy, RouteTable
from schemas.parts import ErrorCode, Kind

DEFAULT_FILE = Path(__file__).with_name("routes.yaml")
MICROS = 1_000_000


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Retries(_Strict):
    waits: tuple[Annotated[float, Field(gt=0)], ...] = (1.0, 2.0, 4.0)
    jitter: float = Field(default=0.2, ge=0, lt=1)


class _Unknown(_Strict):
    grace_s: float = Field(default=120.0, ge=0)


class _Provider(_Strict):
    adapter: str
    model: str
    retries: _Retries | None = None


class _Route(_Strict):
    kind: Kind
    use: tuple[str, ...] = Field(min_length=1)
    per_tenant: int = Field(ge=1)
    timeout_s: float = Field(gt=0)
    poll_s: float = Field(default=2.0, gt=0)


class _Price(_Strict):
    provider: str
    kind: Kind
    usd: Decimal = Field(ge=0)


class _File(_Strict):
    version: Literal[1]
    price_version: str = Field(min_length=1)
    currency: Literal["USD"]
    retries: _Retries = _Retries()
    fallback_on: frozenset[ErrorCode] = frozenset()
    unknown_submit: _Unknown = _Unknown()
    providers: dict[str, _Provider]
    routes: tuple[_Route, ...]
    prices: tuple[_Price, ...]


@dataclass(frozen=True, slots=True)
class Routes:
    """The table, and for each provider which adapter speaks to it."""

    table: RouteTable
    adapters: Mapping[str, str]
    models: Mapping[str, str]


def read_routes(path: Path | None = None) -> Routes:
    """The routes in `path`, or those that come with the package. Raises `StartError` with every fault in words."""
    file = _parse(path or DEFAULT_FILE)
    if problems := list(_contradictions(file)):
        raise StartError([f"{path or DEFAULT_FILE.name}: {problem}" for problem in problems])
    return Routes(
        table=_table(file),
        adapters={name: provider.adapter for name, provider in file.providers.items()},
        models={name: provider.model for name, provider in file.providers.items()},
    )


def _parse(path: Path) -> _File:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise StartError([f"{path}: cannot be read: {error.strerror}"]) from error
    return read_yaml(raw, _File, place=str(path))


def _contradictions(file: _File) -> Iterator[str]:
    prices = {(price.provider, price.kind) for price in file.prices}
    kinds = [route.kind for route in file.routes]
    for kind in sorted({kind for kind in kinds if kinds.count(kind) > 1}):
        yield f"there are several routes for {kind}"
    for route in file.routes:
        for name in route.use:
            if name not in file.providers:
                yield f"the route for {route.kind} uses {name}, which is not among the providers"
            if (name, route.kind) not in prices:
                yield f"there is no price for {route.kind} at {name}"
    for price in file.prices:
        if price.usd * MICROS % 1:
            yield f"the price of {price.kind} at {price.provider} is finer than a millionth"


def _table(file: _File) -> RouteTable:
    prices = {(price.provider, price.kind): int(price.usd * MICROS) for price in file.prices}
    return RouteTable(
        currency=file.currency,
        price_version=file.price_version,
        routes={route.kind: _kind_route(file, route, prices) for route in file.routes},
        retries={name: _policy(provider.retries or file.retries) for name, provider in file.providers.items()},
        fallback_on=file.fallback_on,
        unknown_grace_s=file.unknown_submit.grace_s,
    )


def _kind_route(file: _File, route: _Route, prices: Mapping[tuple[str, Kind], int]) -> KindRoute:
    return KindRoute(
        kind=route.kind,
        offers=tuple(Offer(name, file.providers[name].model, prices[name, route.kind]) for name in route.use),
        per_tenant=route.per_tenant,
        timeout_s=route.timeout_s,
        poll_s=route.poll_s,
    )


def _policy(retries: _Retries) -> RetryPolicy:
    return RetryPolicy(waits=retries.waits, jitter=retries.jitter)
