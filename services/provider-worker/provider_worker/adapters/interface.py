"""What the worker and a provider say to each other (R43, R44).

An adapter never retries, waits for a slot, stores or counts: the engine owns retries, deadlines, limits, fallback
and money.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Protocol


class MediaKind(StrEnum):
    IMAGE = "image"
    TEXTURE = "texture"
    ENVIRONMENT_MAP = "environment_map"
    VIDEO = "video"
    SFX = "sfx"
    MUSIC = "music"
    MODEL_3D = "model_3d"


class Op(StrEnum):
    """What is made of what."""

    TEXT_TO_IMAGE = "text_to_image"
    EDIT_IMAGE = "edit_image"
    INPAINT = "inpaint"
    TEXT_TO_VIDEO = "text_to_video"
    IMAGE_TO_VIDEO = "image_to_video"
    TEXT_TO_SFX = "text_to_sfx"
    TEXT_TO_MUSIC = "text_to_music"
    TEXT_TO_3D = "text_to_3d"
    IMAGE_TO_3D = "image_to_3d"
    RETEXTURE = "retexture"


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


Scope = Literal["request", "account", "model", "queue"]
"""What an error is about: this request, everything of the account, the model, or how many jobs there may be at once."""

_UNKEPT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
_LONGEST_WAIT_S = 1e9
"""A wait that is longer than a lifetime, or is no number, is none."""

_RETRYABLE = {ErrorCode.RATE_LIMIT, ErrorCode.TEMPORARY, ErrorCode.TIMEOUT, ErrorCode.CORRUPT_OUTPUT}


@dataclass(slots=True, eq=False)
class ProviderError(Exception):
    """A refusal or a failure; `message` is safe to show: no key, no whole prompt. `retry_after` is in seconds."""

    code: ErrorCode
    message: str
    retry_after: float | None = None
    outcome: Outcome = Outcome.REJECTED
    scope: Scope = "request"
    http_status: int | None = None
    provider_code: str | None = None
    provider_request_id: str | None = None

    def __post_init__(self) -> None:
        self.message, self.retry_after = kept(self.message), _wait(self.retry_after)
        self.provider_code, self.provider_request_id = kept(self.provider_code), kept(self.provider_request_id)

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    @property
    def retryable(self) -> bool:
        """Whether the same provider may be asked again: only where it is known not to have taken the job."""
        return self.outcome is not Outcome.UNKNOWN and self.code in _RETRYABLE


@dataclass(frozen=True, slots=True)
class Span:
    """Any length from `shortest` to `longest` seconds."""

    shortest: float
    longest: float


@dataclass(frozen=True, slots=True)
class InputMedia:
    """What a request builds on: its bytes, or the address of it where the provider fetches it."""

    role: Literal["reference", "first_frame", "last_frame", "mask", "model", "style"]
    mime: str
    data: bytes | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Capability:
    """One thing a provider can do.

    `sizes` None means any size under `size_rule`: `min_edge`, `max_edge`, `multiple` in pixels, `min_px` and `max_px`
    in pixels of the whole, `max_ratio` of the longer edge to the shorter. `durations` in seconds: those there are, or
    (shortest, longest) as a `Span`. `idempotency` says what a second submit of one reference does: `client_ref` and
    `header` are safe, the others must be looked up first. `result_ttl_s` None means that the bytes come inline.
    """

    kind: MediaKind
    op: Op
    mode: Literal["sync", "async"]
    sizes: Sequence[tuple[int, int]] | None
    size_rule: Mapping[str, int] = field(default_factory=dict)
    durations: Sequence[float] | Span | None = None
    formats: Sequence[str] = ()
    supports: frozenset[str] = frozenset()
    webhook: bool = False
    cancel: Literal["none", "queued_only", "best_effort", "delete"] = "none"
    idempotency: Literal["none", "header", "client_ref", "list_lookup"] = "none"
    result_ttl_s: int | None = None


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One output to make. `request_id` is the attempt's id: idempotency key and client reference.

    `width` and `height` are 0 where the kind has no pixels. `callback_url` is where the provider may say that it is
    done; an adapter whose provider knows no callbacks leaves it out.
    """

    request_id: str
    tenant_id: str
    kind: MediaKind
    op: Op
    prompt: str
    width: int
    height: int
    format: str = "png"
    seed: int | None = None
    duration_s: float | None = None
    inputs: Sequence[InputMedia] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    callback_url: str | None = None


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

    def __post_init__(self) -> None:
        object.__setattr__(self, "external_id", kept(self.external_id))
        object.__setattr__(self, "data", kept(self.data))


@dataclass(frozen=True, slots=True)
class Artifact:
    """A result, inline or behind a URL. `mime` is what the provider claims: the bytes are checked by their content.

    `needs_key`: its address wants the provider's key, which never follows a redirect.
    """

    mime: str
    data: bytes | None = None
    url: str | None = None
    needs_key: bool = False
    expires_at: datetime | None = None
    role: Literal["primary", "variant", "texture_map", "thumbnail"] = "primary"
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", kept(self.url))


@dataclass(frozen=True, slots=True)
class Status:
    """Where a job stands. `progress` is 0-100; `error` stands with `failed` alone.

    `next_phase`: this phase is done and paid for, and another one has to be submitted with what it gives before there
    is a result. `raw_state` is the provider's own word for the state.
    """

    state: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    external_id: str
    progress: int | None = None
    artifacts: Sequence[Artifact] = ()
    error: ProviderError | None = None
    cost: Cost | None = None
    poll_after_s: float | None = None
    next_phase: Mapping[str, Any] | None = None
    raw_state: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "external_id", kept(self.external_id))
        object.__setattr__(self, "raw_state", kept(self.raw_state))
        object.__setattr__(self, "next_phase", kept(self.next_phase))
        object.__setattr__(self, "poll_after_s", _wait(self.poll_after_s))


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """What a provider's callback says: look at this job now. What has become of it is always asked of the provider.

    `delivery_id` is the same for every delivery of one event. `ref` is the job with all that a poll of it needs, where
    the callback names it; `reference` our own, where the provider echoes it. `verified`: a signature covers the body.
    """

    delivery_id: str
    ref: JobRef | None = None
    reference: str | None = None
    verified: bool = False


class WebhookRefused(Exception):
    """A callback that is not to be believed; `reason` is counted.

    One of no_signature, bad_signature, too_old, malformed.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def kept(said: Any) -> Any:
    """What a provider said as it can be kept and shown: without control characters and halves of characters.

    Postgres refuses some of them, and with them whatever they stand beside.
    """
    if isinstance(said, str):
        return _UNKEPT.sub(" ", said).strip() if _UNKEPT.search(said) else said
    if isinstance(said, Mapping):
        return {kept(name): kept(value) for name, value in said.items()}
    return [kept(value) for value in said] if isinstance(said, list | tuple) else said


def _wait(seconds: float | None) -> float | None:
    return seconds if seconds is not None and 0 <= seconds < _LONGEST_WAIT_S else None


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

    async def find(self, req: GenerationRequest, plan: Mapping[str, Any], since: datetime) -> JobRef | None:
        """The job that a submit of `plan` with an unknown outcome made, or None where the provider has none."""
        ...

    async def cancel(self, ref: JobRef) -> bool:
        """Whether the provider has stopped the job."""
        ...

    def fetch(self, art: Artifact) -> AsyncIterator[bytes]:
        """Stream an artifact's bytes; the caller caps them."""
        ...

    async def parse_webhook(self, headers: Mapping[str, str], body: bytes, received_at: datetime) -> WebhookEvent:
        """What a callback says, its signature checked over the raw `body`; names of `headers` are in small letters.

        `received_at` is when it came in, which a signature's age is measured against. Raises `WebhookRefused`, and
        `ProviderError` where the provider's keys could not be had.
        """
        ...

    async def health(self) -> bool: ...

    async def close(self) -> None: ...
