"""The sandbox provider: offline, real media of every kind, its own bill."""

from __future__ import annotations

from provider_worker.adapters.config import Options
from provider_worker.adapters.sandbox.kinds import check_price
from provider_worker.adapters.sandbox.provider import SandboxProvider, SandboxSettings
from provider_worker.adapters.sandbox.store import Bill, BillError, Line, read_bill, read_lines

__all__ = [
    "Bill",
    "BillError",
    "Line",
    "Options",
    "SandboxProvider",
    "SandboxSettings",
    "check_price",
    "read_bill",
    "read_lines",
]
