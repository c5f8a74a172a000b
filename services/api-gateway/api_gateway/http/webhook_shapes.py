"""What is sent and answered about webhooks."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from api_gateway.requests import Text
from api_gateway.webhooks import ENDS, EventName, State

LONGEST_URL = 2000


class WebhookRequest(BaseModel):
    """An address that is to hear how jobs end."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "examples": [{"url": "https://studio.example/backlot", "events": ["job.completed", "job.failed"]}]
        },
    )

    url: Annotated[Text, StringConstraints(min_length=1, max_length=LONGEST_URL)] = Field(
        description="https, at a public address"
    )
    events: Annotated[list[EventName], Field(min_length=1, max_length=20)] | None = Field(
        default=None, description=f"left out: each end of a job ({', '.join(ENDS)}); job.settled has to be named"
    )
    description: Annotated[Text, StringConstraints(max_length=200)] | None = None


class WebhookAnswer(BaseModel):
    """A webhook."""

    id: UUID
    url: str
    events: list[EventName]
    description: str | None
    jobs: Literal["own", "tenant"] = Field(
        description="whose jobs it hears of: its user's, or the whole tenant's where the key had the scope tenant:read"
    )
    user_id: UUID
    created_at: str
    disabled_at: str | None = Field(description="since when nothing is sent: its receiver answered 410")
    disabled_reason: str | None


class NewWebhook(WebhookAnswer):
    """A webhook, with what its deliveries are signed with."""

    secret: str = Field(description="whsec_..., for a library of Standard Webhooks; shown here and never again")


class WebhookList(BaseModel):
    """A page of webhooks, newest first."""

    items: list[WebhookAnswer]
    total: int
    limit: int
    offset: int


class DeliveryAnswer(BaseModel):
    """One event on its way to one webhook."""

    id: UUID = Field(description="the header webhook-id of each attempt")
    job_id: UUID
    event: EventName
    state: State
    attempts: int
    status: int | None = Field(description="what the receiver answered last; null where no answer came")
    error: str | None = Field(description="why the last attempt did not deliver")
    created_at: str
    next_attempt_at: str | None = Field(description="of one that is pending and not on its way right now")
    ended_at: str | None


class DeliveryList(BaseModel):
    """A page of deliveries, newest first."""

    items: list[DeliveryAnswer]
    total: int
    limit: int
    offset: int


def answering(status: int, model: type[BaseModel], description: str) -> dict[int | str, dict[str, Any]]:
    """An answer, as a route's `responses` take it."""
    return {status: {"model": model, "description": description}}
