"""nanobanana: a wire contract of our own, served by the simulator (simulator/wires/nanobanana.md).

It knows our reference (`reference_id`, `Idempotency-Key`), so a submit may be sent again and a lost one is found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from provider_worker.adapters.config import ProviderConfig
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
        if body.get("status") in {"completed", "failed"}:
            return self._status(body)
        # Whatever it calls the state: it has the job now.
        return JobRef(self.name, self._taken(body, "generation_id"))

    async def poll(self, ref: JobRef) -> Status:
        answer = await self._wire.ask("GET", "/status", params={"generation_id": ref.external_id})
        if not answer.ok:
            raise _refusal(answer)
        return self._status(answer.json())

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
        found, reference = said.get("generation_id"), said.get("reference_id")
        ref = JobRef(self.name, str(found)) if found else None
        return replace(unsigned(body), ref=ref, reference=str(reference) if reference else None)

    def _status(self, body: Mapping[str, Any]) -> Status:
        word, external_id = str(body.get("status")), str(body.get("generation_id") or "")
        state: Any = _STATES.get(word)
        if state is None:
            raise self._unknown_state(word)
        cost = self._cost(body)
        if state == "failed":
            return Status("failed", external_id, error=self._failure(body), cost=cost, raw_state=word)
        if state != "succeeded":
            return Status(state, external_id, progress=body.get("progress"), raw_state=word)
        if not body.get("image_url"):
            return Status("failed", external_id, error=self._no_media(), cost=cost, raw_state=word)
        picture = Artifact("image/png", url=str(body["image_url"]), meta={"seed": body.get("seed")})
        return Status("succeeded", external_id, progress=100, artifacts=(picture,), cost=cost, raw_state=word)

    def _cost(self, body: Mapping[str, Any]) -> Cost | None:
        cost = body.get("cost")
        if not isinstance(cost, dict) or not isinstance(cost.get("amount_micros"), int):
            return None
        return Cost(cost["amount_micros"], str(cost.get("currency")), "reported", {"image": 1})

    def _failure(self, body: Mapping[str, Any]) -> ProviderError:
        error = body.get("error") or {}
        code = _CODES.get(str(error.get("code")), ErrorCode.PROVIDER_ERROR)
        return ProviderError(
            code, shown(error.get("message")) or "the generation failed", provider_code=error.get("code")
        )


def _refusal(answer: Answer) -> ProviderError:
    """What `{"error": {"code", "message"}}` means."""
    body = answer.json_or_none()
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return status_error(answer, own=False)
    found = status_error(answer, shown(error.get("message")), provider_code=str(error.get("code") or "") or None)
    code = _CODES.get(str(error.get("code")))
    if code is not None:
        found.code, found.scope = code, "account" if code in _OF_THE_ACCOUNT else found.scope
    return found


def make(config: ProviderConfig) -> NanoBanana:
    """An adapter for one account."""
    return NanoBanana(config)
