"""What cost-ledger reads from the environment."""

from __future__ import annotations

from pydantic import Field

from chassis.settings import ServiceSettings, service_config


class Settings(ServiceSettings):
    """Beside what every service reads: the budget a tenant begins with, and how often the books are compared."""

    model_config = service_config("COST_LEDGER_")

    default_budget_micros: int = Field(
        default=1_000_000_000_000,
        ge=0,
        le=2**62,
        description="limit of a tenant's budget until it sets its own, in micro-units of USD; a million dollars",
    )
    reconcile_seconds: float = Field(default=60.0, gt=0, description="pause between two comparisons of all books")
