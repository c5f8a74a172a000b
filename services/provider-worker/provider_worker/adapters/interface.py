"""What the worker and a provider say to each other (R43, R44).

An adapter never retries, waits for a slot, stores or counts: the engine owns retries, deadlines, limits, fallback
and money.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Protocol


class MediaKind(StrEnum):
    IMAGE = "image"


class Op(StrEnum):
    TEXT_TO_IMAGE = "text_to_image"


class ErrorCode(StrEnum):
    """The codes of R71 that a provider can cause."""

    AUTH_ERROR = "AUTH_ERROR"
    RATE_LIMIT = "RATE_LIMIT"
    CONTENT_POLICY = "CONTENT_POLICY"
    TEMPORARY = "TEMPORARY"
    TIMEOUT = "TIMEOUT"
    INVALID_REQUEST = "INVALID_REQUEST"
    PROVIDER_ERROR = "PROVIDER_ERROR"
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
    CORRUPT_OUTPUT = "CORRUPT_OUTPUT"


class Outcome(StrEnum):
    """Did the provider take the job?"""

    NOT_SENT = "not_sent"
    REJECTED = "rejected"
    ACCEPTED = "accepted"
    UNKNOWN = "unknown"
    """The answer was lost: never sent again before `find` has told (architecture rule 4)."""


_RETRYABLE = {ErrorCode.RATE_LIMIT, ErrorCode.TEMPORARY, ErrorCode.TIMEOUT, ErrorCode.CORRUPT_OUTPUT}


@dataclass(slots=True, eq=False)
class ProviderError(Exception):
    """A refusal or a failure; `message` is safe to show: no key, no whole prompt. `retry_after` is in seconds."""

    code: ErrorCode
    message: str
    retry_after: float | None = None
    outcome: Outcome = Outcome.REJECTED
    scope: Literal["request", "account", "model", "queue"] = "request"
    http_status: int | None = None
    provider_code: str | None = None
    provider_request_id: str | None = None

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    @property
    def retryable(self) -> bool:
        """Whether the same provider may be asked again: only where it is known not to have taken the job."""
        return self.outcome is not Outcome.UNKNOWN and self.code in _RETRYABLE


@dataclass(frozen=True, slots=True)
class Capability:
    """One thing a provider can do.

    `sizes` None means any size under `size_rule` (pixels: `min_edge`, `max_edge`). `idempotency` says what a second
    submit of one reference does: `client_ref` is safe, the others must be looked up first. `result_ttl_s` None means
    that the bytes come inline.
    """

    kind: MediaKind
    op: Op
    mode: Literal["sync", "async"]
    sizes: Sequence[tuple[int, int]] | None
    size_rule: Mapping[str, int] = field(default_factory=dict)
    formats: Sequence[str] = ()
    supports: frozenset[str] = frozenset()
    webhook: bool = False
    cancel: Literal["none", "queued_only", "best_effort", "delete"] = "none"
    idempotency: Literal["none", "header", "client_ref", "list_lookup"] = "none"
    result_ttl_s: int | None = None


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One output to make. `request_id` is the attempt's id: idempotency key and client reference."""

    request_id: str
    tenant_id: str
    kind: MediaKind
    op: Op
    prompt: str
    width: int
    height: int
    format: str = "png"
    seed: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cost:
    """`amount_micros` in millionths of `currency`."""

    amount_micros: int
    currency: str
    basis: Literal["estimated", "reported", "priced_from_usage"]
    units: Mapping[str, int] = field(default_factory=dict)
    price_version: str = ""


@dataclass(frozen=True, slots=True)
class JobRef:
    """The provider's job; `data` is JSON and holds what the adapter needs to poll it after a restart."""

    provider: str
    external_id: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Artifact:
    """A result, inline or behind a URL. `mime` is what the provider claims: the bytes are checked by their content."""

    mime: str
    data: bytes | None = None
    url: str | None = None
    expires_at: datetime | None = None
    role: Literal["primary", "variant"] = "primary"
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Status:
    """Where a job stands. `progress` is 0-100; `error` stands with `failed` alone."""

    state: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    external_id: str
    progress: int | None = None
    artifacts: Sequence[Artifact] = ()
    error: ProviderError | None = None
    cost: Cost | None = None
    poll_after_s: float | None = None


class ProviderAdapter(Protocol):
    """A provider. Every method but the pure ones raises `ProviderError` and nothing else."""

    @property
    def name(self) -> str: ...

    def capabilities(self) -> Sequence[Capability]: ...

    def estimate(self, req: GenerationRequest) -> Cost:
        """The upper bound of what this request can cost. Pure."""
        ...

    def plan(self, req: GenerationRequest) -> Mapping[str, Any]:
        """What will be sent, as JSON. Pure; raises INVALID_REQUEST before anything is paid (R59)."""
        ...

    async def submit(self, req: GenerationRequest, plan: Mapping[str, Any]) -> JobRef | Status:
        """Send the request once. A synchronous provider answers with a final `Status`."""
        ...

    async def poll(self, ref: JobRef) -> Status: ...

    async def find(self, req: GenerationRequest, since: datetime) -> JobRef | None:
        """The job that a submit with an unknown outcome made, or None where the provider has none."""
        ...

    async def cancel(self, ref: JobRef) -> bool:
        """Whether the provider has stopped the job."""
        ...

    def fetch(self, art: Artifact) -> AsyncIterator[bytes]:
        """Stream an artifact's bytes; the caller caps them."""
        ...

    async def health(self) -> bool: ...

    async def close(self) -> None: ...
