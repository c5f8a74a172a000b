"""ElevenLabs sound effects and music: synchronous, the answer is the audio itself (spec/providers.md, section 6).

No reference of ours and no list: a lost answer stays unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    Scope,
    Span,
    Status,
)
from provider_worker.adapters.reading import members, text
from provider_worker.adapters.wire import Answer, shown, status_error

EFFECT = Span(0.5, 30.0)
MUSIC = Span(3.0, 600.0)
LONGEST_PROMPT = {MediaKind.SFX: 450, MediaKind.MUSIC: 4_100}

_FORMATS = {"mp3": ("mp3_44100_128", "audio/mpeg"), "wav": ("wav_44100", "audio/wav")}
_MINUTE = 60.0
_CODES: Mapping[str, tuple[ErrorCode, Scope]] = {
    "invalid_api_key": (ErrorCode.AUTH_ERROR, "account"),
    "quota_exceeded": (ErrorCode.QUOTA_EXCEEDED, "account"),
    "too_many_concurrent_requests": (ErrorCode.RATE_LIMIT, "queue"),
    "system_busy": (ErrorCode.RATE_LIMIT, "account"),
    "bad_prompt": (ErrorCode.CONTENT_POLICY, "request"),
    "content_policy_violation": (ErrorCode.CONTENT_POLICY, "request"),
}


class Options(HttpOptions):
    """The models that are asked."""

    sfx_model: str = "eleven_text_to_sound_v2"
    music_model: str = "music_v1"


class ElevenLabs(HttpAdapter):
    """`POST /v1/sound-generation` and `POST /v1/music`."""

    def __init__(self, config: ProviderConfig) -> None:
        super().__init__(config, config.account("xi-api-key", read_s=None))
        self._options = config.read(Options)

    def capabilities(self) -> Sequence[Capability]:
        formats = tuple(_FORMATS)
        return [
            Capability(MediaKind.SFX, Op.TEXT_TO_SFX, "sync", (), durations=EFFECT, formats=formats),
            Capability(
                MediaKind.MUSIC,
                Op.TEXT_TO_MUSIC,
                "sync",
                (),
                durations=MUSIC,
                formats=formats,
                supports=frozenset({"instrumental"}),
            ),
        ]

    def estimate(self, req: GenerationRequest) -> Cost:
        """A price for each effect; music by the minute, to the micro-unit and upwards."""
        if req.kind is MediaKind.SFX:
            return self._usd(self._config.prices.of("generation", kind=req.kind), "estimated", generation=1)
        micros = self._config.prices.of("minute", kind=req.kind)
        milliseconds = round((req.duration_s or _MINUTE) * 1000)
        return self._usd(-(-micros * milliseconds // 60_000), "estimated", millisecond=milliseconds)

    def plan(self, req: GenerationRequest) -> Mapping[str, Any]:
        if (req.kind, req.op) not in {
            (MediaKind.SFX, Op.TEXT_TO_SFX),
            (MediaKind.MUSIC, Op.TEXT_TO_MUSIC),
        }:
            raise self._invalid(f"{self.name} does not make {req.kind} by {req.op}")
        longest = LONGEST_PROMPT[req.kind]
        if not req.prompt.strip() or len(req.prompt) > longest:
            raise self._invalid(f"the prompt must have 1 to {longest} characters")
        if req.format not in _FORMATS:
            raise self._invalid(f"format is {req.format!r}, but must be one of {', '.join(_FORMATS)}")
        span = EFFECT if req.kind is MediaKind.SFX else MUSIC
        if req.duration_s is not None and not span.shortest <= req.duration_s <= span.longest:
            raise self._invalid(f"duration is {req.duration_s:g} s, but must be {span.shortest:g} to {span.longest:g}")
        if req.kind is MediaKind.SFX:
            return {
                "text": req.prompt,
                "duration_seconds": req.duration_s,
                "prompt_influence": 0.3,
                "loop": bool(req.options.get("loop", False)),
                "model_id": self._options.sfx_model,
            }
        return {
            "prompt": req.prompt,
            "music_length_ms": round((req.duration_s or _MINUTE) * 1000),
            "model_id": self._options.music_model,
            "force_instrumental": bool(req.options.get("instrumental", True)),
        }

    async def submit(self, req: GenerationRequest, plan: Mapping[str, Any]) -> JobRef | Status:
        wire_format, mime = _FORMATS[req.format]
        path = "/v1/sound-generation" if req.kind is MediaKind.SFX else "/v1/music"
        answer = await self._wire.submit("POST", path, json=dict(plan), params={"output_format": wire_format})
        if not answer.ok:
            raise _refusal(answer)
        external_id = answer.headers.get("song-id") or answer.headers.get("request-id") or ""
        cost = self._paid(lambda: self.estimate(req))
        if not answer.body:
            return Status("failed", external_id, error=self._no_media(), cost=cost)
        sound = Artifact(mime, data=answer.body)
        return Status("succeeded", external_id, progress=100, artifacts=(sound,), cost=cost)


def _refusal(answer: Answer) -> ProviderError:
    """`{"detail": {"status", "message"}}`, or a list of what is wrong with the request. A 401 may mean money."""
    body = answer.json_or_none()
    detail = body.get("detail") if isinstance(body, dict) else None
    if isinstance(detail, list):
        words = "; ".join(text(found, "msg") for found in members(body, "detail"))
        return status_error(answer, shown(words))
    if not isinstance(detail, dict):
        return status_error(answer, shown(detail), own=detail is not None)
    status = text(detail, "status")
    found = status_error(answer, shown(detail.get("message")), provider_code=status or None)
    if status in _CODES:
        found.code, found.scope = _CODES[status]
    return found


def make(config: ProviderConfig) -> ElevenLabs:
    """An adapter for one key."""
    return ElevenLabs(config)
