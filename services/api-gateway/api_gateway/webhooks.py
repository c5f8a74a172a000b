"""Webhooks: what is told to them, how it is signed (Standard Webhooks), and when it is sent again."""

from __future__ import annotations

import hmac
import random
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, get_args
from uuid import UUID

from pydantic import SecretStr
from standardwebhooks import Webhook as Signer

from api_gateway.rendering import rfc3339
from schemas.event import Event
from schemas.results import JobCancelled, JobCompleted, JobFailed, JobPartial, JobSettled

EventName = Literal["job.completed", "job.partial", "job.failed", "job.cancelled", "job.settled"]
State = Literal["pending", "delivered", "given_up"]

ENDS: tuple[EventName, ...] = ("job.completed", "job.partial", "job.failed", "job.cancelled")
"""What a webhook hears that names no events: each job's end, once."""
EVENTS: tuple[EventName, ...] = get_args(EventName)
MOST_WEBHOOKS = 20
"""Of one tenant."""
PAUSES_S = (5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
"""After each failed attempt but the last, as Standard Webhooks recommends."""
MOST_ATTEMPTS = len(PAUSES_S) + 1
LONGEST_RETRY_AFTER_S = 3600
GONE = 410
_JITTER = 0.1
_PURPOSE = b"backlot/webhook/v1:"

_NAMES: Mapping[type[Event], EventName] = {
    JobCompleted: "job.completed",
    JobPartial: "job.partial",
    JobFailed: "job.failed",
    JobCancelled: "job.cancelled",
    JobSettled: "job.settled",
}


@dataclass(frozen=True, slots=True)
class News:
    """One public event about a job, to be told to the webhooks that hear of it."""

    event: Event
    tenant_id: UUID
    user_id: UUID
    job_id: UUID
    at: datetime

    @property
    def name(self) -> EventName:
        return _NAMES[type(self.event)]

    @property
    def body(self) -> str:
        """As it is sent: the data are those of the event on `backlot.job-results`."""
        return f'{{"type":"{self.name}","timestamp":"{rfc3339(self.at)}","data":{self.event.model_dump_json()}}}'


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery that is ours while nobody else has claimed it: `epoch` grows with every claim.

    `attempts` counts this one; `now` is the database's time of the claim.
    """

    id: UUID
    webhook_id: UUID
    tenant_id: UUID
    job_id: UUID
    event: str
    body: str
    url: str
    attempts: int
    epoch: int
    now: datetime


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one attempt: the receiver's status, or why there is none; `retry_after` is in seconds."""

    status: int | None
    reason: str | None = None
    retry_after: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attempt makes of its delivery. `wait`: until the next one; None where there is none."""

    state: State
    status: int | None
    error: str | None
    wait: timedelta | None = None
    gone: bool = False


def secret_of(master: SecretStr, webhook_id: UUID) -> str:
    """What a webhook's deliveries are signed with. It follows from the webhook's id, so that none is kept."""
    key = hmac.digest(master.get_secret_value().encode(), _PURPOSE + webhook_id.bytes, "sha256")
    return f"whsec_{b64encode(key).decode()}"


def signed_headers(secret: str, delivery: Delivery) -> dict[str, str]:
    """The headers of an attempt. The id is the delivery's in each, so that its receiver can tell a repetition."""
    message = str(delivery.id)
    return {
        "webhook-id": message,
        "webhook-timestamp": str(int(delivery.now.timestamp())),
        "webhook-signature": Signer(secret).sign(message, delivery.now, delivery.body),
    }


def outcome_of(answer: Answer, attempts: int) -> Outcome:
    """What becomes of a delivery after `attempts` attempts of which the last was answered so."""
    status = answer.status
    if status is not None and 200 <= status < 300:
        return Outcome("delivered", status, None)
    error = answer.reason or _in_words(status)
    if status == GONE:
        return Outcome("given_up", status, error, gone=True)
    if attempts >= MOST_ATTEMPTS:
        return Outcome("given_up", status, error)
    pause = PAUSES_S[attempts - 1] * random.uniform(1, 1 + _JITTER)  # noqa: S311 - jitter needs no secrecy
    return Outcome("pending", status, error, timedelta(seconds=max(pause, answer.retry_after)))


def _in_words(status: int | None) -> str:
    if status is not None and 300 <= status < 400:
        return f"the receiver answered {status}: redirects are not followed"
    return f"the receiver answered {status}"
