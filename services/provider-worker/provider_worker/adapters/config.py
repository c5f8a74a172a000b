"""What an adapter is made from: one provider of the route file, with its key and its prices."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from chassis.errors import StartError
from chassis.foreign import Limits
from chassis.yaml_file import keys_at
from provider_worker.adapters.interface import ErrorCode, ProviderError
from provider_worker.adapters.wire import Account

CURRENCY = "USD"
MILLION = 1_000_000

T = TypeVar("T", bound="Options")


class Options(BaseModel):
    """What may stand under `options` of a provider: the class `Options` of an adapter's module says it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class HttpOptions(Options):
    """Of adapters that speak HTTP: the largest result they fetch, and how long that may take."""

    download_max_mb: float = Field(default=500.0, gt=0, allow_inf_nan=False)
    download_timeout_s: float = Field(default=60.0, gt=0, allow_inf_nan=False)


def read_options(cls: type[T], given: Mapping[str, Any]) -> T:
    """The options as the adapter has them. Raises `ValidationError` that says what there is."""
    try:
        return cls.model_validate(dict(given))
    except ValidationError as error:
        raise ValidationError.from_exception_data(
            cls.__name__, [_told(cls, found) for found in error.errors()]
        ) from None


def _told(cls: type[BaseModel], found: Any) -> InitErrorDetails:
    words = found["msg"]
    if found["type"] == "extra_forbidden":
        known = ", ".join(sorted(keys_at(cls, found["loc"][:-1])))
        words = f"is none of the options {known}" if known else "there are no options"
    kind = PydanticCustomError("option", "{words}", {"words": words})
    return InitErrorDetails(type=kind, loc=found["loc"], input=found["input"])


@dataclass(frozen=True, slots=True)
class Price:
    """`micros` of a USD for one `unit` where all of `facts` hold.

    Units are image, second, minute, generation, credit, million_input_tokens and million_output_tokens.
    """

    unit: str
    micros: int
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Prices:
    """A provider's price list."""

    provider: str
    entries: Sequence[Price]
    version: str = ""

    def of(self, unit: str, **facts: object) -> int:
        """Micro-units for one `unit`; of several prices that fit, the one that names most of `facts`.

        Raises INVALID_REQUEST where there is none: what has no price is not bought.
        """
        given = {name: str(value) for name, value in facts.items()}
        fitting = [price for price in self.entries if price.unit == unit and price.facts.items() <= given.items()]
        if not fitting:
            known = ", ".join(f"{name} {value}" for name, value in given.items())
            raise ProviderError(
                ErrorCode.INVALID_REQUEST, f"{self.provider} has no price for one {unit} ({known or 'of any kind'})"
            )
        return max(fitting, key=lambda price: len(price.facts)).micros

    def of_tokens(self, read: int, written: int, **facts: object) -> int | None:
        """Micro-units for so many tokens in and out, rounded to the nearest; None where tokens have no price."""
        try:
            micros = read * self.of("million_input_tokens", **facts)
            micros += written * self.of("million_output_tokens", **facts)
        except ProviderError:
            return None
        return round(Fraction(micros, MILLION))


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """One provider. `options` are the adapter's own; `timeout_s` is the longest an attempt has there."""

    name: str
    model: str = ""
    base_url: str = ""
    api_key: SecretStr | None = None
    download_hosts: tuple[str, ...] = ()
    prices: Prices = Prices("", ())
    timeout_s: float = 60.0
    options: Mapping[str, Any] = field(default_factory=dict)

    def read(self, cls: type[T], only: Collection[str] = ()) -> T:
        """The options, or `only` those, as an adapter has them. Raises `StartError` with each that is wrong."""
        given = {name: value for name, value in self.options.items() if not only or name in only}
        try:
            return read_options(cls, given)
        except ValidationError as error:
            places = [(".".join(map(str, found["loc"])), found["msg"]) for found in error.errors()]
            raise StartError(
                [f"the provider {self.name}: options.{place}: {words}" for place, words in places]
            ) from error

    def account(self, key_header: str, key_prefix: str = "", *, read_s: float | None = 30.0) -> Account:
        """How its HTTP is reached: the key in `key_header`, after `key_prefix`.

        Raises `StartError` where base URL or key are missing.
        """
        if not self.base_url or self.api_key is None:
            raise StartError([f"the provider {self.name} needs a base_url and a key"])
        download = self.read(HttpOptions, HttpOptions.model_fields)
        return Account(
            base_url=self.base_url,
            headers={key_header: key_prefix + self.api_key.get_secret_value()},
            download_hosts=self.download_hosts,
            read_s=read_s,
            download=Limits(max_bytes=int(download.download_max_mb * 1_000_000), seconds=download.download_timeout_s),
        )
