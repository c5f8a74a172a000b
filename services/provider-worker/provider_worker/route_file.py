"""Reads routes.yaml: providers, routes and prices, checked whole, every fault named at once."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from chassis.errors import StartError
from chassis.yaml_file import read_yaml
from provider_worker.adapters.config import Price, Prices, ProviderConfig
from provider_worker.money import MICROS
from provider_worker.route_entries import (
    ProviderEntry,
    RetriesEntry,
    RouteEntry,
    RouteFile,
    contradictions,
    filled,
)
from provider_worker.routing import Account, KindRoute, RetryPolicy, RouteTable, Use

DEFAULT_FILE = Path(__file__).with_name("routes.yaml")


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
    given = os.environ if environ is None else environ
    file = _parse(path or DEFAULT_FILE, given)
    if strangers := [name for name in only if name not in file.providers]:
        there = ", ".join(file.providers)
        raise StartError([f"PROVIDER_WORKER_PROVIDERS: there is no provider {name}, but {there}" for name in strangers])
    disabled = {
        name: why for name, provider in file.providers.items() if (why := _why_not(name, provider, given, only))
    }
    return Routes(
        table=_table(file, disabled),
        adapters={name: provider.adapter for name, provider in file.providers.items()},
        configs={name: _config(file, name, given) for name in file.providers if name not in disabled},
        disabled=disabled,
    )


def _why_not(name: str, provider: ProviderEntry, environ: Mapping[str, str], only: Collection[str]) -> str | None:
    if only and name not in only:
        return "PROVIDER_WORKER_PROVIDERS leaves it out"
    if provider.api_key_env and not environ.get(provider.api_key_env):
        return f"{provider.api_key_env} is not set"
    return None


def _config(file: RouteFile, name: str, environ: Mapping[str, str]) -> ProviderConfig:
    provider = file.providers[name]
    return ProviderConfig(
        name=name,
        model=provider.model,
        base_url=filled(provider.base_url, environ),
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
        or max((route.timeout_s for route in file.routes if name in route.names), default=60.0),
        options=provider.options,
    )


def _parse(path: Path, environ: Mapping[str, str]) -> RouteFile:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise StartError([f"{path}: cannot be read: {error.strerror}"]) from error
    return read_yaml(raw, RouteFile, place=str(path), faults=lambda file: contradictions(file, environ))


def _table(file: RouteFile, disabled: Collection[str]) -> RouteTable:
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


def _kind_route(file: RouteFile, route: RouteEntry, disabled: Collection[str]) -> KindRoute:
    """What stands under `otherwise` is used where no other provider of the route can be."""
    usable = [name for name in route.use if name not in disabled]
    names = route.use if usable else route.names
    return KindRoute(
        kind=route.kind,
        uses=tuple(Use(name, file.providers[name].model, file.providers[name].timeout_s) for name in names),
        per_tenant=route.per_tenant,
        timeout_s=route.timeout_s,
        poll_s=route.poll_s,
    )


def _policy(retries: RetriesEntry) -> RetryPolicy:
    return RetryPolicy(waits=retries.waits, jitter=retries.jitter)
