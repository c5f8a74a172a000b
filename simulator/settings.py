"""What a test may turn on a provider: how long it takes, how long its links live, who has which account."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Span = tuple[float, float]


class ProviderSettings(BaseModel):
    """Times in simulated seconds; a span is drawn from evenly, the same for the same request."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    queued_s: Span = (0.02, 0.1)
    running_s: Span = (0.08, 0.4)
    url_ttl_s: float = Field(default=3600, ge=0)
    expired_status: Literal[403, 404, 410] = 403
    # A provider that answers at once hands out a handle instead when the work takes longer than this.
    answer_within_s: float = Field(default=10, ge=0)
    # `stamped` media are one of a few for each size and length, with their seed in a comment: many at little cost.
    pictures: Literal["drawn", "stamped"] = "drawn"
    callback_retry_s: tuple[float, ...] = (1, 5, 30, 120)
    callback_timeout_s: float = Field(default=15, gt=0)


class Rate(BaseModel):
    """At most `requests` submits in `per_s` simulated seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests: int = Field(ge=1)
    per_s: float = Field(default=60, gt=0)


class Account(BaseModel):
    """One key of a provider and what it may do. None is without bound.

    `webhook_url` is called for all of its work by a provider that takes no address with a request.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str = Field(min_length=1)
    name: str = Field(min_length=1)
    credits_micros: int | None = None
    max_running: int | None = Field(default=None, ge=1)
    max_unfinished: int | None = Field(default=None, ge=0)
    rate: Rate | None = None
    webhook_url: str | None = None


def default_account(provider: str) -> Account:
    return Account(key=f"sim-{provider}", name="default")
