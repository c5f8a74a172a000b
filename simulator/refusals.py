"""Ways in which a provider says no; each wire puts them in its own words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    AUTH = "auth"
    QUOTA = "quota"  # no credits left
    RATE = "rate"  # too many requests in too little time
    CROWDED = "crowded"  # too many generations unfinished at once
    POLICY = "policy"
    INVALID = "invalid"
    NO_MODEL = "no_model"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    CANCELLED = "cancelled"
    FAILED = "failed"  # the work was begun and did not succeed
    BROKEN = "broken"  # the provider itself is: `status` says how


@dataclass(eq=False)
class Refused(Exception):
    """A request that gets no result. `stage` of a policy refusal is input or output; `field` is what was invalid.

    `in_body` tells the time to wait in the body where the wire knows such a form, `per_day` that it is a daily quota.
    """

    reason: Reason
    message: str
    status: int | None = None
    retry_after: float | None = None
    in_body: bool = False
    per_day: bool = False
    stage: str = "input"
    field: str | None = None


class Foreign(Exception):
    """Answered by something in front of the provider, which knows nothing of its wire."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Cut(Exception):
    """The connection is cut without an answer."""


class Hang(Exception):
    """No answer ever comes."""
