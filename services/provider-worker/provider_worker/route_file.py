"""Reads routes.yaml: providers, routes and prices, checked whole, every fault named at once."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

from chassis.errors import StartError
from chassis.yaml_file import read_yaml
from provider_worker.adapters.config import Price, Prices, ProviderConfig, read_options
from provider_worker.adapters.registry import options_of
from provider_worker.routing import Account, KindRoute, RetryPolicy, RouteTable, Use
from schemas.parts import ErrorCode, Kind

DEFAULT_FILE = Path(__file__).with_name("routes.yaml")
MICROS = 1_000_000
LATE_S = 1.0

_VARIABLE = re.compile(r"\$\{([A-Z_][A-Z0-9_]*)(?::-([^}]*))?\}")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Retries(_Strict):
    waits: tuple[Annotated[float, Field(gt=0)], ...] = (1.0, 2.0, 4.0)
    jitter: float = Field(default=0.2, ge=0, lt=1)


class _Unknown(_Strict):
    grace_s: float = Field(default=120.0, ge=0)


class _Limits(_Strict):
    """What the provider allows one account: jobs at once, and `requests` in any `per_s` seconds."""

    concurrency: int | None = Field(default=None, ge=1)
    requests: int | None = Field(default=None, ge=1)
    per_s: float = Field(default=1.0, gt=0)

    def account(self) -> Account:
        """A bucket that never lets more than `requests` through in any `per_s` seconds.

        A full bucket and what flows in meanwhile are together at most that; a second is kept for calls that were
        written down early and sent late.
        """
        if self.requests is None:
            return Account(self.concurrency)
        burst = max(1.0, self.requests // 4)
        return Account(self.concurrency, burst, max(self.requests - burst, 0.5) / (self.per_s + LATE_S))


class _Provider(_Strict):
    adapter: str
    model: str = ""
    base_url: str = ""
    api_key_env: str | None = None
    download_hosts: tuple[str, ...] = ()
    timeout_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    retries: _Retries | None = None
    limits: _Limits = _Limits()
    options: dict[str, Any] = Field(default={}, validate_default=True)

    @field_validator("options")
    @classmethod
    def _allowed(cls, options: dict[str, Any], said: ValidationInfo) -> dict[str, Any]:
        known = options_of(said.data.get("adapter", ""))
        if known is not None:
            read_options(known, options)
        return options


class _Route(_Strict):
    kind: Kind
    use: tuple[str, ...] = ()
    otherwise: tuple[str, ...] = ()
    per_tenant: int = Field(ge=1)
    timeout_s: float = Field(gt=0, allow_inf_nan=False)
    poll_s: float = Field(default=2.0, gt=0)


class _Price(_Strict):
    model_config = ConfigDict(extra="allow", frozen=True)

    provider: str
    unit: Literal["image", "second", "minute", "generation", "credit", "million_input_tokens", "million_output_tokens"]
    usd: Decimal = Field(ge=0)

    def facts(self) -> dict[str, str]:
        """What else has to hold for this price: everything the entry says beside provider, unit and price."""
        return {name: str(value) for name, value in (self.__pydantic_extra__ or {}).items()}


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
    """The table; for each usable provider its adapter's name and what it is made from; why others are disabled."""

    table: RouteTable
    adapters: Mapping[str, str]
    configs: Mapping[str, ProviderConfig]
    disabled: Mapping[str, str]


def read_routes(
    path: Path | None = None, environ: Mapping[str, str] | None = None, *, only: Collection[str] = ()
) -> Routes:
    """The routes in `path`, or those that come with the package; keys and `${NAME}` are taken from `environ`.

    Raises `StartError` with every fault in words. A provider without its key is disabled, which is no fault, and so
    are all that are not among `only` where there is any.
    """
    file, given = _parse(path or DEFAULT_FILE), os.environ if environ is None else environ
    problems = list(_contradictions(file))
    problems += [f"there is no provider {name}" for name in only if name not in file.providers]
    addresses = {name: _address(name, provider.base_url, given, problems) for name, provider in file.providers.items()}
    if problems:
        raise StartError([f"{path or DEFAULT_FILE.name}: {problem}" for problem in problems])
    disabled = {
        name: why for name, provider in file.providers.items() if (why := _why_not(name, provider, given, only))
    }
    return Routes(
        table=_table(file, disabled),
        adapters={name: provider.adapter for name, provider in file.providers.items()},
        configs={name: _config(file, name, addresses[name], given) for name in file.providers if name not in disabled},
        disabled=disabled,
    )


def _why_not(name: str, provider: _Provider, environ: Mapping[str, str], only: Collection[str]) -> str | None:
    if only and name not in only:
        return "PROVIDER_WORKER_PROVIDERS leaves it out"
    if provider.api_key_env and not environ.get(provider.api_key_env):
        return f"{provider.api_key_env} is not set"
    return None


def _config(file: _File, name: str, base_url: str, environ: Mapping[str, str]) -> ProviderConfig:
    provider = file.providers[name]
    return ProviderConfig(
        name=name,
        model=provider.model,
        base_url=base_url,
        api_key=SecretStr(environ[provider.api_key_env]) if provider.api_key_env else None,
        download_hosts=provider.download_hosts,
        prices=Prices(
            name,
            tuple(
                Price(price.unit, int(price.usd * MICROS), price.facts())
                for price in file.prices
                if price.provider == name
            ),
            file.price_version,
        ),
        timeout_s=provider.timeout_s
        or max((route.timeout_s for route in file.routes if name in _names(route)), default=60.0),
        options=provider.options,
    )


def _address(name: str, text: str, environ: Mapping[str, str], problems: list[str]) -> str:
    """`text` with `${NAME}` and `${NAME:-default}` filled in."""

    def filled(found: re.Match[str]) -> str:
        value = environ.get(found[1]) or found[2]
        if value is None:
            problems.append(f"the base_url of {name} needs {found[1]}, which is not set")
        return value or ""

    return _VARIABLE.sub(filled, text)


def _names(route: _Route) -> tuple[str, ...]:
    return (*route.use, *route.otherwise)


def _parse(path: Path) -> _File:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise StartError([f"{path}: cannot be read: {error.strerror}"]) from error
    return read_yaml(raw, _File, place=str(path))


def _contradictions(file: _File) -> Iterator[str]:
    priced = {price.provider for price in file.prices}
    kinds = [route.kind for route in file.routes]
    for kind in sorted({kind for kind in kinds if kinds.count(kind) > 1}):
        yield f"there are several routes for {kind}"
    for route in file.routes:
        if not _names(route):
            yield f"the route for {route.kind} uses no provider"
        for name in _names(route):
            if name not in file.providers:
                yield f"the route for {route.kind} uses {name}, which is not among the providers"
            if name not in priced:
                yield f"there is no price for {name}"
    for price in file.prices:
        if price.provider not in file.providers:
            yield f"there is a price for {price.provider}, which is not among the providers"
        if price.usd * MICROS % 1:
            yield f"the price of one {price.unit} at {price.provider} is finer than a millionth"


def _table(file: _File, disabled: Collection[str]) -> RouteTable:
    return RouteTable(
        currency=file.currency,
        price_version=file.price_version,
        routes={route.kind: _kind_route(file, route, disabled) for route in file.routes},
        retries={name: _policy(provider.retries or file.retries) for name, provider in file.providers.items()},
        accounts={
            name: account
            for name, provider in file.providers.items()
            if (account := provider.limits.account()) != Account()
        },
        fallback_on=file.fallback_on,
        unknown_grace_s=file.unknown_submit.grace_s,
    )


def _kind_route(file: _File, route: _Route, disabled: Collection[str]) -> KindRoute:
    """What stands under `otherwise` is used where no other provider of the route can be."""
    usable = [name for name in route.use if name not in disabled]
    names = route.use if usable else _names(route)
    return KindRoute(
        kind=route.kind,
        uses=tuple(Use(name, file.providers[name].model, file.providers[name].timeout_s) for name in names),
        per_tenant=route.per_tenant,
        timeout_s=route.timeout_s,
        poll_s=route.poll_s,
    )


def _policy(retries: _Retries) -> RetryPolicy:
    return RetryPolicy(waits=retries.waits, jitter=retries.jitter)
