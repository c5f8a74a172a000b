"""What may stand in routes.yaml, entry by entry, and what no entry can see of the others."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import Decimal
from ipaddress import ip_address
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from chassis.errors import StartError
from chassis.yaml_file import Fault
from provider_worker.adapters.config import read_options
from provider_worker.adapters.registry import check_adapter, options_of
from provider_worker.money import MICROS
from provider_worker.routing import Account
from schemas.parts import ErrorCode, Kind

LATE_S = 1.0
MOST_WAITS = 20

_VARIABLE = re.compile(r"\$\{([A-Z_][A-Z0-9_]*)(?::-([^}]*))?\}")
_HOST = re.compile(r"(\*\.(?=[^.]+\.))?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_AT_HOME = (".svc", ".local", ".localhost", ".internal", ".test")

Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]


def _like(pattern: str, words: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"{text!r} is no {words}")
        return text

    return AfterValidator(check)


_WORD = r"[A-Za-z0-9][A-Za-z0-9._:@-]*"
Model = Annotated[str, _like(rf"({_WORD}(/{_WORD})*)?", "model: it looks like owner/model-1.1")]
Variable = Annotated[
    str, _like(r"[A-Za-z_][A-Za-z0-9_]*", "name of a variable of the environment: it looks like FAL_KEY")
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RetriesEntry(_Strict):
    waits: Annotated[tuple[Seconds, ...], Field(max_length=MOST_WAITS)] = (1.0, 2.0, 4.0)
    jitter: float = Field(default=0.2, ge=0, lt=1)


class UnknownEntry(_Strict):
    grace_s: float = Field(default=120.0, ge=0, le=86_400, allow_inf_nan=False)


class LimitsEntry(_Strict):
    """What the provider allows one account: jobs at once, and `requests` in any `per_s` seconds."""

    concurrency: Count | None = None
    requests: Count | None = None
    per_s: Seconds = 1.0

    def account(self) -> Account:
        """A bucket that never lets more than `requests` through in any `per_s` seconds.

        A full bucket and what flows in meanwhile are together at most that; a second is kept for calls that were
        written down early and sent late.
        """
        if self.requests is None:
            return Account(self.concurrency)
        burst = max(1.0, self.requests // 4)
        return Account(self.concurrency, burst, max(self.requests - burst, 0.5) / (self.per_s + LATE_S))


class ProviderEntry(_Strict):
    adapter: str
    model: Model = ""
    base_url: str = ""
    api_key_env: Variable | None = None
    download_hosts: tuple[str, ...] = ()
    timeout_s: Seconds | None = None
    retries: RetriesEntry | None = None
    limits: LimitsEntry = LimitsEntry()
    options: dict[str, Any] = Field(default={}, validate_default=True)

    @field_validator("adapter")
    @classmethod
    def _there(cls, adapter: str) -> str:
        try:
            check_adapter(adapter)
        except StartError as error:
            raise ValueError("; ".join(error.problems)) from error
        return adapter

    @field_validator("download_hosts")
    @classmethod
    def _hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [host for host in hosts if not _HOST.fullmatch(host)]:
            raise ValueError(
                f"{wrong[0]!r} is no host: it looks like media.example.com, or *.example.com with those below"
            )
        return hosts

    @field_validator("options")
    @classmethod
    def _allowed(cls, options: dict[str, Any], said: ValidationInfo) -> dict[str, Any]:
        known = options_of(said.data["adapter"]) if "adapter" in said.data else None
        if known is not None:
            read_options(known, options)
        return options


class RouteEntry(_Strict):
    kind: Kind
    use: tuple[str, ...] = ()
    otherwise: tuple[str, ...] = ()
    per_tenant: Count
    timeout_s: Seconds
    poll_s: Seconds = 2.0

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.use, *self.otherwise)


class PriceEntry(_Strict):
    model_config = ConfigDict(extra="allow", frozen=True)

    provider: str
    unit: Literal["image", "second", "minute", "generation", "credit", "million_input_tokens", "million_output_tokens"]
    usd: Decimal = Field(ge=0, le=100_000)

    def facts(self) -> dict[str, str]:
        """What else has to hold for this price: everything the entry says beside provider, unit and price."""
        return {name: str(value) for name, value in (self.__pydantic_extra__ or {}).items()}


class RouteFile(_Strict):
    version: Literal[1]
    price_version: str = Field(min_length=1)
    currency: Literal["USD"]
    retries: RetriesEntry = RetriesEntry()
    fallback_on: frozenset[ErrorCode] = frozenset()
    unknown_submit: UnknownEntry = UnknownEntry()
    providers: dict[str, ProviderEntry]
    routes: tuple[RouteEntry, ...]
    prices: tuple[PriceEntry, ...]


def filled(address: str, environ: Mapping[str, str]) -> str:
    """`address` with `${NAME}` and `${NAME:-default}` filled in. Raises `KeyError` with the name that is not set."""

    def value(found: re.Match[str]) -> str:
        given = environ.get(found[1]) or found[2]
        if given is None:
            raise KeyError(found[1])
        return given

    return _VARIABLE.sub(value, address)


def contradictions(file: RouteFile, environ: Mapping[str, str]) -> Iterator[Fault]:
    """What is wrong between the entries, or in addresses once they are filled in."""
    for name, provider in file.providers.items():
        try:
            wrong = _no_address(filled(provider.base_url, environ)) if provider.base_url else None
        except KeyError as error:
            wrong = f"{error.args[0]} is not set"
        if wrong:
            yield ("providers", name, "base_url"), wrong
    yield from _routes(file)
    yield from _prices(file)


def _no_address(text: str) -> str | None:
    """Why this is nowhere to send a key to; None where it is."""
    try:
        url = urlsplit(text)
        host, _ = url.hostname, url.port
    except ValueError as error:
        return f"{text!r} is no address: {error}"
    if url.scheme not in {"http", "https"} or not host or not _HOST.fullmatch(host.replace(":", "-")):
        return f"{text!r} is no address: it looks like https://api.example.com"
    if url.username or url.password or url.query or url.fragment:
        return "it is an address alone: a key is named by api_key_env"
    if url.scheme == "http" and not _at_home(host):
        return f"a key would go to {host} in the clear: use https"
    return None


def _at_home(host: str) -> bool:
    try:
        return not ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith(_AT_HOME)


def _routes(file: RouteFile) -> Iterator[Fault]:
    priced = {price.provider for price in file.prices}
    kinds = Counter(route.kind for route in file.routes)
    there = ", ".join(file.providers)
    for at, route in enumerate(file.routes):
        if kinds[route.kind] > 1:
            yield ("routes", at, "kind"), f"there are {kinds[route.kind]} routes for {route.kind}"
        if not route.names:
            yield ("routes", at, "use"), f"the route for {route.kind} uses no provider; there are {there}"
        for name, times in Counter(route.names).items():
            place = ("routes", at, "use" if name in route.use else "otherwise")
            if times > 1:
                yield place, f"{name} is here {times} times"
            if name not in file.providers:
                yield place, f"{name} is not among the providers {there}"
            elif name not in priced:
                yield place, f"there is no price for {name}"


def _prices(file: RouteFile) -> Iterator[Fault]:
    seen: dict[Any, int] = {}
    for at, price in enumerate(file.prices):
        if price.provider not in file.providers:
            yield ("prices", at, "provider"), f"{price.provider} is not among the providers {', '.join(file.providers)}"
        if price.usd * MICROS % 1:
            yield ("prices", at, "usd"), f"{price.usd} is finer than a millionth"
        what = (price.provider, price.unit, frozenset(price.facts().items()))
        if what in seen:
            yield ("prices", at, "usd"), f"one {price.unit} at {price.provider} has a price already"
        seen[what] = at
