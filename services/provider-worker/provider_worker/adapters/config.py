"""What an adapter is made from: one provider of the route file, with its key and its prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from pydantic import SecretStr

from chassis.errors import StartError
from chassis.foreign import Limits
from provider_worker.adapters.interface import ErrorCode, ProviderError
from provider_worker.adapters.wire import Account

CURRENCY = "USD"
MILLION = 1_000_000


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
    """One provider. `options` are the adapter's own and are checked by it; `timeout_s` is its longest route's."""

    name: str
    model: str = ""
    base_url: str = ""
    api_key: SecretStr | None = None
    download_hosts: tuple[str, ...] = ()
    prices: Prices = Prices("", ())
    timeout_s: float = 60.0
    options: Mapping[str, Any] = field(default_factory=dict)

    def account(self, key_header: str, key_prefix: str = "", *, read_s: float | None = 30.0) -> Account:
        """How its HTTP is reached: the key in `key_header`, after `key_prefix`.

        Raises `StartError` where base URL or key are missing.
        """
        if not self.base_url or self.api_key is None:
            raise StartError([f"the provider {self.name} needs a base_url and a key"])
        return Account(
            base_url=self.base_url,
            headers={key_header: key_prefix + self.api_key.get_secret_value()},
            download_hosts=self.download_hosts,
            read_s=read_s,
            download=Limits(
                max_bytes=int(self.options.get("download_max_mb", 500)) * 1_000_000,
                seconds=float(self.options.get("download_timeout_s", 60)),
            ),
        )
