"""What a wire is: a table of endpoints, and how one provider reads keys and words its errors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response

from simulator.generation import Generation
from simulator.refusals import Refused
from simulator.settings import ProviderSettings

if TYPE_CHECKING:
    from simulator.call import Call
    from simulator.signing import Signing

Handler = Callable[["Call"], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`name` is what faults and the call log call it: submit, status, result, cancel, list, or a word of its own."""

    method: str
    path: str
    name: str
    handler: Handler
    open: bool = False  # answers without a key


@dataclass(frozen=True, slots=True)
class Delivery:
    """One call to a customer, signed as the provider signs."""

    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CallbackAsk:
    """What a callback is about; `links` are the result links at this moment, `forged` asks for a wrong signature.

    `signed_at` is in real seconds since 1970: who checks a signature's age does so by its own clock.
    """

    generation: Generation
    stage: str
    links: tuple[str, ...]
    signing: Signing
    now: float
    signed_at: int
    forged: bool


@dataclass(frozen=True, slots=True)
class Variables:
    """What customers call the environment variables of their base URL and their key; `path` ends the base URL."""

    url: str
    key: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class Wire:
    """One provider under `/{name}`. `dressed` adds the headers that every answer of the provider has.

    Several services of one provider share address and key where `host` names the wire they belong to; bill, counters,
    rules and settings are each one's own. Without `judges_prompts` it takes every prompt: what policy refuses is a
    generation that ends so. Links live for `url_ttl_s` after each question, or after the end of the work where
    `links_end_together`.
    """

    name: str
    endpoints: tuple[Endpoint, ...]
    key_of: Callable[[Request], str | None]
    refusal: Callable[[Refused], Response]
    settings: ProviderSettings = field(default_factory=ProviderSettings)
    new_id: Callable[[], str] = lambda: str(uuid4())
    judges_prompts: bool = True
    links_end_together: bool = False
    dressed: Callable[[Call, Response], None] = lambda call, response: None
    callback: Callable[[CallbackAsk], Delivery] | None = None
    variables: Variables | None = None
    host: str = ""

    @property
    def place(self) -> str:
        """The name in its address and in its key."""
        return self.host or self.name


def bearer(request: Request, scheme: str = "Bearer") -> str | None:
    """The key of an Authorization header, or None."""
    found, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() or None if found.lower() == scheme.lower() else None


def reference_in(url: str | None) -> str | None:
    """The attempt named by a callback path that ends in `hooks/{provider}/{attempt}/{token}`, or in `webhooks/...`."""
    parts = (url or "").split("?")[0].split("/")
    return parts[-2] if len(parts) > 3 and parts[-4] in {"hooks", "webhooks"} else None
