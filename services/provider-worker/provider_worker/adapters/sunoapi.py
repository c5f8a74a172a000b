"""Suno through sunoapi.org or kie.ai, which speak one shape (spec/providers.md, section 4).

The real code stands in the body; 429 there means no credits and 430 too fast. There is no length to ask for, and two
tracks come back: the one nearest to the asked length is taken, and is trimmed by us. No reference of ours is known
there; the callback's address brings a lost job back.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
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
    Outcome,
    ProviderError,
    Scope,
    Span,
    Status,
    WebhookEvent,
)
from provider_worker.adapters.reading import member, members, number, text, whole, word
from provider_worker.adapters.signatures import check_kie, json_object, unsigned
from provider_worker.adapters.wire import Answer, shown, status_error

LENGTH = Span(30.0, 240.0)
LONGEST_PROMPT = 500
"""Of the simple mode, which needs no style and no title."""

_STATES = {
    "PENDING": "queued",
    "TEXT_SUCCESS": "running",
    "FIRST_SUCCESS": "running",
    "SUCCESS": "succeeded",
    "CREATE_TASK_FAILED": "failed",
    "GENERATE_AUDIO_FAILED": "failed",
    "SENSITIVE_WORD_ERROR": "failed",
    # Only the callback went wrong: the tracks may be there.
    "CALLBACK_EXCEPTION": "succeeded",
}
_PROGRESS = {"TEXT_SUCCESS": 30, "FIRST_SUCCESS": 70}
_BODY_CODES: Mapping[int, tuple[ErrorCode, Scope]] = {
    400: (ErrorCode.INVALID_REQUEST, "request"),
    401: (ErrorCode.AUTH_ERROR, "account"),
    404: (ErrorCode.INVALID_REQUEST, "request"),
    405: (ErrorCode.RATE_LIMIT, "account"),
    413: (ErrorCode.INVALID_REQUEST, "request"),
    429: (ErrorCode.QUOTA_EXCEEDED, "account"),
    430: (ErrorCode.RATE_LIMIT, "account"),
    455: (ErrorCode.TEMPORARY, "account"),
    500: (ErrorCode.TEMPORARY, "request"),
}


class Options(HttpOptions):
    """`webhook_key_env` names the variable with kie.ai's key."""

    webhook_key_env: str = ""


class Suno(HttpAdapter):
    """`POST /api/v1/generate`, `GET /api/v1/generate/record-info`."""

    def __init__(self, config: ProviderConfig, webhook_key: str = "") -> None:
        super().__init__(config, config.account("Authorization", "Bearer "))
        self._webhook_key = webhook_key

    def capabilities(self) -> Sequence[Capability]:
        return [
            Capability(
                kind=MediaKind.MUSIC,
                op=Op.TEXT_TO_MUSIC,
                mode="async",
                sizes=(),
                durations=LENGTH,
                formats=("mp3",),
                supports=frozenset({"instrumental"}),
                webhook=True,
                result_ttl_s=14 * 24 * 3600,
            )
        ]

    def estimate(self, req: GenerationRequest) -> Cost:
        return self._usd(self._config.prices.of("generation", model=self._config.model), "estimated", generation=1)

    def plan(self, req: GenerationRequest) -> Mapping[str, Any]:
        self._check_text(req, Op.TEXT_TO_MUSIC, {MediaKind.MUSIC}, LONGEST_PROMPT, ("mp3",))
        if req.duration_s is not None and not LENGTH.shortest <= req.duration_s <= LENGTH.longest:
            raise self._invalid(
                f"duration is {req.duration_s:g} s, but must be {LENGTH.shortest:g} to {LENGTH.longest:g}"
            )
        return {
            "customMode": False,
            "instrumental": bool(req.options.get("instrumental", True)),
            "model": self._config.model,
            "prompt": req.prompt,
            # The contract wants one; without a callback of ours it leads nowhere, and the task is polled.
            "callBackUrl": self._callback(req) or "https://callback.invalid/",
        }

    async def submit(self, req: GenerationRequest, plan: Mapping[str, Any]) -> JobRef | Status:
        answer = await self._wire.submit("POST", "/api/v1/generate", json=dict(plan))
        return JobRef(self.name, self._taken(_data(answer), "taskId"), {"seconds": req.duration_s})

    async def parse_webhook(self, headers: Mapping[str, str], body: bytes, received_at: datetime) -> WebhookEvent:
        """One for each stage. sunoapi.org signs nothing, kie.ai what does not cover the body: either is a hint."""
        data = member(json_object(body), "data")
        found = text(data, "task_id") or text(data, "taskId")
        if self._webhook_key:
            check_kie(headers, found, self._webhook_key, received_at)
        return replace(unsigned(body), ref=JobRef(self.name, found) if found else None)

    async def poll(self, ref: JobRef) -> Status:
        data = _data(await self._wire.ask("GET", "/api/v1/generate/record-info", params={"taskId": ref.external_id}))
        said = word(data, "status")
        state: Any = _STATES.get(said)
        if state is None:
            raise self._unknown_state(said)
        if state == "failed":
            code = ErrorCode.CONTENT_POLICY if said == "SENSITIVE_WORD_ERROR" else ErrorCode.PROVIDER_ERROR
            error = ProviderError(
                code, shown(data.get("errorMessage")) or f"the task ended as {said}", provider_code=said
            )
            return Status("failed", ref.external_id, error=error, raw_state=said)
        tracks = [track for track in members(_response(data), "sunoData") if text(track, "audioUrl")]
        if said == "CALLBACK_EXCEPTION" and not tracks:
            state = "running"
        if state != "succeeded":
            return Status(state, ref.external_id, progress=_PROGRESS.get(said), raw_state=said)
        return self._made(ref, tracks, said)

    def _made(self, ref: JobRef, tracks: list[Mapping[str, Any]], said: str) -> Status:
        price = partial(self._config.prices.of, "generation", model=self._config.model)
        # No answer and no document says what a generation costs.
        cost = self._paid(lambda: self._usd(price(), "estimated", generation=1))
        if not tracks:
            error = self._no_media(f"ended as {said} without a track")
            return Status("failed", ref.external_id, error=error, cost=cost, raw_state=said)
        # Of a job that a callback brought back the asked length is not known: what is too long can still be cut.
        wanted = float(ref.data.get("seconds") or LENGTH.longest)
        tracks.sort(key=lambda track: abs((number(track, "duration") or 0.0) - wanted))
        first, *others = [
            Artifact("audio/mpeg", url=text(track, "audioUrl"), meta={"duration_s": number(track, "duration")})
            for track in tracks
        ]
        variants = [Artifact(other.mime, url=other.url, role="variant", meta=other.meta) for other in others]
        return Status(
            "succeeded", ref.external_id, progress=100, artifacts=(first, *variants), cost=cost, raw_state=said
        )


def _response(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """An object, or its text: gateways give either."""
    inner = data.get("response")
    try:
        found = json.loads(inner) if isinstance(inner, str) else inner
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {}


def _data(answer: Answer) -> Mapping[str, Any]:
    """`data` of a body whose own code is 200; raises what the code means."""
    body = answer.json_or_none()
    code = whole(body, "code")
    if code is None:
        raise _unclear(answer, "a code") if answer.ok else status_error(answer, own=False)
    if code == 200:
        if not isinstance(body.get("data"), dict):
            raise _unclear(answer, "data")
        return member(body, "data")
    found = status_error(answer, shown(body.get("msg")), provider_code=str(code))
    found.code, found.scope = _BODY_CODES.get(code, (ErrorCode.PROVIDER_ERROR, "request"))
    raise found


def _unclear(answer: Answer, missing: str) -> ProviderError:
    """A success that does not say what it is about: a submit may have been taken."""
    return ProviderError(
        ErrorCode.PROVIDER_ERROR,
        f"{answer.provider} answered without {missing}",
        outcome=Outcome.UNKNOWN if answer.submitting else Outcome.REJECTED,
    )


def make(config: ProviderConfig) -> Suno:
    """An adapter for one key of a Suno gateway."""
    return Suno(config, os.environ.get(config.read(Options).webhook_key_env, ""))
