"""Where a provider may say that it is done, and what becomes of what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from urllib.parse import quote
from uuid import UUID

from pydantic import SecretStr

from chassis.path_token import path_token
from schemas.callbacks import CALLBACK_PATH, callback_parts


def callback_address(base: str, secret: SecretStr | str, provider: str, attempt_id: UUID | None = None) -> str:
    """The address on the gateway at `base` that stands for one attempt; without one, for the provider's account.

    It is the same each time: a provider that lists its jobs by it is asked by it again.
    """
    attempt = None if attempt_id is None else str(attempt_id)
    token = path_token(secret, *callback_parts(provider, attempt))
    parts = [provider, token] if attempt is None else [provider, attempt, token]
    return "/".join([base.rstrip("/") + CALLBACK_PATH, *(quote(part, safe="") for part in parts)])


@dataclass(frozen=True, slots=True)
class Callback:
    """A callback as it came, taken to be looked at; `tries` counts this time too and fences it.

    `attempt_id` is the one its address named, `age_s` how long it has been here.
    """

    id: UUID
    provider: str
    attempt_id: UUID | None
    headers: Mapping[str, str]
    body: bytes
    received_at: datetime
    tries: int
    age_s: float


class Outcome(StrEnum):
    """What became of a callback. All but the first two change no task."""

    HINTED = "hinted"
    """Its job is looked at now."""
    LINKED = "linked"
    """It brought back a job whose submit's answer was lost, which is looked at now."""
    DUPLICATE = "duplicate"
    """It was applied before."""
    LATE = "late"
    """Its attempt needs no word of the provider any more."""
    ELSEWHERE = "elsewhere"
    """Its attempt is at another provider by now."""
    UNKNOWN_JOB = "unknown_job"
    """No attempt has such a job, even a while later."""
    BUSY = "busy"
    """Its attempt was never free to be told."""
    REFUSED = "refused"
    """It was not to be believed."""
    FENCED = "fenced"
    """Another process has it."""
