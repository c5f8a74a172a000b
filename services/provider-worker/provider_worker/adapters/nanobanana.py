"""nanobanana: a wire contract of our own, served by the simulator (simulator/wires/nanobanana.md).

It knows our reference (`reference_id`, `Idempotency-Key`), so a submit may be sent again and a lost one is found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from provider_worker.adapters.config import HttpOptions, ProviderConfig
from provider_worker.adapters.http_adapter import HttpAdapter
from provider_worker.adapters.interface import (
    Artifact,
    Capability,
    Cost,
    ErrorCode,
    GenerationRequest,
    JobRef,
    MediaKind,
    Op,
    ProviderError,
    Status,
    WebhookEvent,
)
from provider_worker.adapters.reading import member, percent, text, whole, word
from provider_worker.adapters.signatures import json_object, unsigned
from provider_worker.adapters.wire import Answer, shown, status_error

SMALLEST, LARGEST = 64, 4096
LONGEST_PROMPT = 32_000
FORMATS = ("png",)
KINDS = (MediaKind.IMAGE, MediaKind.TEXTURE)

_CODES = {
    "content_policy": ErrorCode.CONTENT_POLICY,
    "invalid_api_key": ErrorCode.AUTH_ERROR,
    "rate_limited": ErrorCode.RATE_LIMIT,
    "insufficient_credits": ErrorCode.QUOTA_EXCEEDED,
    "invalid_request": ErrorCode.INVALID_REQUEST,
    "internal": ErrorCode.TEMPORARY,
}
_OF_THE_ACCOUNT = {ErrorCode.AUTH_ERROR, ErrorCode.RATE_LIMIT, ErrorCode.QUOTA_EXCEEDED}
_STATES = {"queued": "queued", "processing": "running", "completed": "succeeded", "failed": "failed"}


Options = HttpOptions


class NanoBanana(HttpAdapter):
    """`POST /generate`, `GET /status`; answers at once or with a job to poll."""

    def __init__(self, config: ProviderConfig) -> None:
        super().__init__(config, config.account("Authorization", "Bearer "))

    def capabilities(self) -> Sequence[Capability]:
        return [
            Capability(
                kind=kind,
                op=Op.TEXT_TO_IMAGE,
                mode="async",
                sizes=None,
                size_rule={"min_edge": SMALLEST, "max_edge": LARGEST},
                formats=FORMATS,
                supports=frozenset({"seed"}),
                idempotency="header",
                result_ttl_s=3600,
            )
            for kind in KINDS
        ]

    def estimate(self, req: GenerationRequest) -> Cost:
        return self._usd(self._config.prices.of("image", model=self._config.model), "estimated", image=1)

    def plan(self, req: GenerationRequest) -> Mapping[str, Any]:
        self._check_text(req, Op.TEXT_TO_IMAGE, KINDS, LONGEST_PROMPT, FORMATS)
        for edge, pixels in (("width", req.width), ("height", req.height)):
            if not SMALLEST <= pixels <= LARGEST:
                raise self._invalid(f"{edge} is {pixels}, but must be {SMALLEST} to {LARGEST} pixels")
        return {
            "prompt": req.prompt,
            "width": req.width,
            "height": req.height,
            "model": self._config.model or "default",
            "seed": req.seed,
            "reference_id": req.request_id,
        }

    async def submit(self, req: GenerationRequest, plan: Mapping[str, Any]) -> JobRef | Status:
        answer = await self._wire.submit(
            "POST", "/generate", json=dict(plan), headers={"Idempotency-Key": req.request_id}
        )
        if not answer.ok:
            raise _refusal(answer)
        body = answer.json()
        if word(body, "status") in {"completed", "failed"}:
            return self._status(body, text(body, "generation_id"))
        # Whatever it calls the state: it has the job now.
        return JobRef(self.name, self._taken(body, "generation_id"))

    async def poll(self, ref: JobRef) -> Status:
        answer = await self._wire.ask("GET", "/status", params={"generation_id": ref.external_id})
        if not answer.ok:
            raise _refusal(answer)
        return self._status(answer.json(), ref.external_id)

    async def find(self, req: GenerationRequest, plan: Mapping[str, Any], since: datetime) -> JobRef | None:
        answer = await self._wire.ask("GET", "/status", params={"reference_id": req.request_id})
        if answer.status == 404:
            return None
        if not answer.ok:
            raise _refusal(answer)
        return JobRef(self.name, self._taken(answer.json(), "generation_id"))

    async def parse_webhook(self, headers: Mapping[str, str], body: bytes, received_at: datetime) -> WebhookEvent:
        """The body is the one of `GET /status`."""
        said = json_object(body)
        found, reference = text(said, "generation_id"), text(said, "reference_id")
        ref = JobRef(self.name, found) if found else None
        return replace(unsigned(body), ref=ref, reference=reference or None)

    def _status(self, body: Any, external_id: str) -> Status:
        said = word(body, "status")
        state: Any = _STATES.get(said)
        if state is None:
            raise self._unknown_state(said)
        cost, address = self._cost(body), text(body, "image_url")
        if state == "failed":
            return Status("failed", external_id, error=self._failure(body), cost=cost, raw_state=said)
        if state != "succeeded":
            return Status(state, external_id, progress=percent(body, "progress"), raw_state=said)
        if not address:
            return Status("failed", external_id, error=self._no_media(), cost=cost, raw_state=said)
        picture = Artifact("image/png", url=address, meta={"seed": whole(body, "seed")})
        return Status("succeeded", external_id, progress=100, artifacts=(picture,), cost=cost, raw_state=said)

    def _cost(self, body: Any) -> Cost | None:
        cost = member(body, "cost")
        micros = whole(cost, "amount_micros")
        return None if micros is None else Cost(micros, text(cost, "currency"), "reported", {"image": 1})

    def _failure(self, body: Any) -> ProviderError:
        error = member(body, "error")
        said = text(error, "code")
        code = _CODES.get(said, ErrorCode.PROVIDER_ERROR)
        message = shown(error.get("message")) or "the generation failed"
        return ProviderError(code, message, provider_code=said or None)


def _refusal(answer: Answer) -> ProviderError:
    """What `{"error": {"code", "message"}}` means."""
    error = member(answer.json_or_none(), "error")
    if not error:
        return status_error(answer, own=False)
    found = status_error(answer, shown(error.get("message")), provider_code=text(error, "code") or None)
    code = _CODES.get(text(error, "code"))
    if code is not None:
        found.code, found.scope = code, "account" if code in _OF_THE_ACCOUNT else found.scope
    return found


def make(config: ProviderConfig) -> NanoBanana:
    """An adapter for one account."""
    return NanoBanana(config)
