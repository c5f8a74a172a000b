"""Money at the edge: micro-units inside, decimal strings outside."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache

MICROS = 1_000_000


def micros(amount: Decimal) -> int:
    """`amount` in micro-units. Raises ValueError when it has more than six decimals."""
    scaled = amount * MICROS
    if scaled != scaled.to_integral_value():
        raise ValueError("must have at most six decimals")
    return int(scaled)


@lru_cache(4096)
def decimal(amount_micros: int) -> str:
    """`amount_micros` as a decimal string with two to six decimals: 39000 is "0.039", 40000 is "0.04"."""
    sign = "-" if amount_micros < 0 else ""
    whole, rest = divmod(abs(amount_micros), MICROS)
    fraction = f"{rest:06d}".rstrip("0").ljust(2, "0")
    return f"{sign}{whole}.{fraction}"


def decimal_or_none(amount_micros: int | None) -> str | None:
    """As `decimal`, where an amount may not be known."""
    return None if amount_micros is None else decimal(amount_micros)
