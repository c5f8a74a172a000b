"""Micro-units as people write them."""

from __future__ import annotations

from decimal import Decimal

MICROS = 1_000_000


def spelled(micros: int, currency: str = "USD") -> str:
    """40,000 micro-units are "0.04 USD"."""
    return f"{Decimal(micros) / MICROS:f} {currency}"
