"""Gemini image models ("Nano Banana"): synchronous, the picture inline (spec/providers.md, section 1).

A refusal comes as HTTP 200 without a picture. The API knows neither a reference of ours nor a list: a lost answer stays
unknown.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from provider_worker.adapters.config import HttpOptions, ProviderConfig
from provider_worker.adapters.google_errors import google_error
from provider_worker.adapters.http_adapter import HttpAdapter, decoded
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
)
from provider_worker.adapters.pictures import MOST_TOKENS, pictures_of, told_by_hash, words_of
from provider_worker.adapters.reading import member, members, text, whole
from provider_worker.adapters.sizes import Native, nearest
from provider_worker.adapters.wire import shown

LONGEST_PROMPT = 20_000
KINDS = (MediaKind.IMAGE, MediaKind.TEXTURE, MediaKind.ENVIRONMENT_MAP)
OPS = (Op.TEXT_TO_IMAGE, Op.EDIT_IMAGE)
FORMATS = ("png", "jpeg", "webp")

_Sizes = Mapping[tuple[int, int], Mapping[str, str]]
"""Each native size with the `imageConfig` that asks for it."""

_FLASH_25: _Sizes = {
    (1024, 1024): {"aspectRatio": "1:1"},
    (832, 1248): {"aspectRatio": "2:3"},
    (1248, 832): {"aspectRatio": "3:2"},
    (864, 1184): {"aspectRatio": "3:4"},
    (1184, 864): {"aspectRatio": "4:3"},
    (896, 1152): {"aspectRatio": "4:5"},
    (1152, 896): {"aspectRatio": "5:4"},
    (768, 1344): {"aspectRatio": "9:16"},
    (1344, 768): {"aspectRatio": "16:9"},
    (1536, 672): {"aspectRatio": "21:9"},
}
_AT_1K = {
    "1:1": (1024, 1024),
    "2:3": (848, 1264),
    "3:2": (1264, 848),
    "3:4": (896, 1200),
    "4:3": (1200, 896),
    "4:5": (928, 1152),
    "5:4": (1152, 928),
    "9:16": (768, 1376),
    "16:9": (1376, 768),
    "21:9": (1584, 672),
}
_GEMINI_3: _Sizes = {
    (width * times, height * times): {"aspectRatio": ratio, "imageSize": tier}
    for tier, times in (("1K", 1), ("2K", 2), ("4K", 4))
    for ratio, (width, height) in _AT_1K.items()
}

_POLICY = {
    "SAFETY",
    "RECITATION",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT",
    "IMAGE_RECITATION",
}


Options = HttpOptions


class GeminiImage(HttpAdapter):
    """`POST /v1beta/models/{model}:generateContent`."""

    def __init__(self, config: ProviderConfig) -> None:
        super().__init__(config, config.account("x-goog-api-key", read_s=None))
        self._sizes = _FLASH_25 if config.model.startswith("gemini-2.5") else _GEMINI_3

    def capabilities(self) -> Sequence[Capability]:
        return [
            Capability(kind=kind, op=op, mode="sync", sizes=list(self._sizes), formats=FORMATS)
            for kind in KINDS
            for op in OPS
        ]

    def estimate(self, req: GenerationRequest) -> Cost:
        # A token is at least a byte.
        tokens = len(words_of(req).encode()) + MOST_TOKENS * len(req.inputs)
        read = self._config.prices.of_tokens(tokens, 0, model=self._config.model) or 0
        return self._usd(self._price(self._native(req)) + read, "estimated", image=1)

    def plan(self, req: GenerationRequest) -> Mapping[str, Any]:
        """Pictures stand in it by their hash: what is sent of them is in the request."""
        self._check_text(req, req.op if req.op in OPS else Op.TEXT_TO_IMAGE, KINDS, LONGEST_PROMPT)
        native, pictures = self._native(req), pictures_of(req)
        return {
            "contents": _contents(req, [{"sha256": told_by_hash(found)} for found in pictures]),
            "generationConfig": {
                "responseModalities": ["IMAGE"],
                "imageConfig": dict(self._sizes[native.width, native.height]),
            },
        }

    async def submit(self, req: GenerationRequest, plan: Mapping[str, Any]) -> JobRef | Status:
        pictures = [{"data": base64.b64encode(found.data or b"").decode()} for found in pictures_of(req)]
        path = f"/v1beta/models/{self._config.model}:generateContent"
        answer = await self._wire.submit("POST", path, json={**plan, "contents": _contents(req, pictures)})
        if not answer.ok:
            raise google_error(answer)
        body = answer.json()
        external_id, part = text(body, "responseId"), _picture(body)
        if part is None:
            # A result that was refused costs its prompt; a prompt that was refused, and no result at all, cost nothing.
            cost = self._cost(body) if text(_first(body), "finishReason") in _POLICY else None
            return Status("failed", external_id, error=self._blocked(body), cost=cost, raw_state=_reason(body))
        cost = self._paid(lambda: self._cost(body), lambda: self.estimate(req))
        try:
            data = decoded(part.get("data"), self.name)
        except ProviderError as error:
            return Status("failed", external_id, error=error, cost=cost)
        picture = Artifact(text(part, "mimeType") or "image/png", data=data)
        return Status("succeeded", external_id, progress=100, artifacts=(picture,), cost=cost)

    def _cost(self, body: Any) -> Cost | None:
        """By tokens, where the route file knows their price and the answer their number."""
        usage = member(body, "usageMetadata")
        read, written = whole(usage, "promptTokenCount") or 0, whole(usage, "candidatesTokenCount") or 0
        micros = self._config.prices.of_tokens(read, written, model=self._config.model)
        if micros is None or not read:
            return None
        return self._usd(micros, "priced_from_usage", input_tokens=read, output_tokens=written)

    def _native(self, req: GenerationRequest) -> Native:
        return nearest(req.width, req.height, self._sizes)

    def _price(self, native: Native) -> int:
        tier = self._sizes[native.width, native.height].get("imageSize", "1K")
        return self._config.prices.of("image", model=self._config.model, size=tier)

    def _blocked(self, body: Any) -> ProviderError:
        reason, feedback = _reason(body), member(body, "promptFeedback")
        said = text(feedback, "blockReasonMessage") or text(_first(body), "finishMessage")
        if text(feedback, "blockReason") or reason in _POLICY:
            message = shown(said) or f"{self.name} refused the prompt ({reason})"
            return ProviderError(ErrorCode.CONTENT_POLICY, message, provider_code=reason)
        error = self._no_media(f"answered without a picture ({reason or 'no reason given'})")
        error.provider_code = reason
        return error


def _contents(req: GenerationRequest, pictures: Sequence[Mapping[str, str]]) -> list[Mapping[str, Any]]:
    """The words, and each picture as `pictures` has it."""
    given = zip(pictures_of(req), pictures, strict=True)
    parts = [{"inlineData": {"mimeType": found.mime, **shown}} for found, shown in given]
    return [{"role": "user", "parts": [{"text": words_of(req)}, *parts]}]


def _first(body: Any) -> Mapping[str, Any]:
    return next(iter(members(body, "candidates")), {})


def _reason(body: Any) -> str | None:
    return text(member(body, "promptFeedback"), "blockReason") or text(_first(body), "finishReason") or None


def _picture(body: Any) -> Mapping[str, Any] | None:
    """The last part with data that is no draft: Gemini 3 shows what it was thinking, too."""
    parts = members(member(_first(body), "content"), "parts")
    found = [member(part, "inlineData") for part in parts if member(part, "inlineData") and not part.get("thought")]
    return found[-1] if found else None


def make(config: ProviderConfig) -> GeminiImage:
    """An adapter for one key of the Gemini API."""
    return GeminiImage(config)
