"""A provider's callback, passed on raw: `backlot.provider-callbacks`."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from pydantic import Field

from schemas.event import Event
from schemas.topics import PROVIDER_CALLBACKS

MAX_CALLBACK_BYTES = 256 * 1024
CALLBACK_PATH = "/api/webhooks"


class ProviderCallbackReceived(Event):
    """The gateway checked the path token; the worker checks the signature over the raw body.

    It came to the address of one attempt, or to the one a provider has for its account. Its envelope is no tenant's.
    """

    type: ClassVar[str] = "dev.backlot.provider.callback_received.v1"
    topic: ClassVar[str] = PROVIDER_CALLBACKS.name

    provider: str
    attempt_id: UUID | None = None
    headers: dict[str, str]
    body_base64: str = Field(max_length=MAX_CALLBACK_BYTES * 4 // 3 + 4)


def callback_parts(provider: str, attempt: str | None = None) -> tuple[str, ...]:
    """What the token of a callback's address stands for; whoever gives the address and whoever opens it agree on it."""
    return ("provider-callback", provider) if attempt is None else ("provider-callback", provider, attempt)
