"""OpenAI Images: GPT image models, synchronous, the picture inline (spec/providers.md, section 3a).

Options of the route file: `quality` and `background`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from provider_worker.adapters.config import HttpOptions, ProviderConfig
from provider_worker.adapters.http_adapter import HttpAdapter, decoded, pseudonym
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
from provider_worker.adapters.pictures import MOST_TOKENS, mask_of, pictures_of, told_by_hash, words_of
from provider_worker.adapters.reading import member, members, text, whole
from provider_worker.adapters.sizes import nearest
from provider_worker.adapters.wire import Answer, shown, status_error

LONGEST_PROMPT = 32_000
FORMATS = ("png", "jpeg", "webp")
KINDS = (MediaKind.IMAGE, MediaKind.TEXTURE)
OPS = (Op.TEXT_TO_IMAGE, Op.EDIT_IMAGE, Op.INPAINT)

_FIXED = ((1024, 1024), (1536, 1024), (1024, 1536))
_FREE = {"multiple": 16, "max_edge": 3840, "min_px": 655_360, "max_px": 8_294_400, "max_ratio": 3}
_PICTURES, _MASK = "image", "mask"
_MEGAPIXEL = 1024 * 1024
_POLICY = {"moderation_blocked", "content_policy_violation"}
_NO_MONEY = ("insufficient_quota", "billing_")


class Options(HttpOptions):
    """The two highest qualities are those of gpt-image-2.5."""

    quality: Literal["low", "medium", "high", "auto", "xhigh", "max"] = "medium"
    background: Literal["auto", "opaque", "transparent"] = "auto"


class OpenAIImages(HttpAdapter):
    """`POST /images/generations`, or `/images/edits` of pictures.

    It knows neither a reference of ours nor a list: a lost answer stays unknown.
    """

    def __init__(self, config: ProviderConfig) -> None:
        super().__init__(config, config.account("Authorization", "Bearer ", read_s=None))
        self._options = config.read(Options)
        self._free_sizes = not config.model.startswith("gpt-image-1")

    def capabilities(self) -> Sequence[Capability]:
        return [
            Capability(
                kind=kind,
                op=op,
                mode="sync",
                sizes=None if self._free_sizes else _FIXED,
                size_rule=_FREE if self._free_sizes else {},
                formats=FORMATS,
            )
            for kind in KINDS
            for op in OPS
        ]

    def estimate(self, req: GenerationRequest) -> Cost:
        """The price of an image of this quality for each megapixel that was begun, and of the tokens that are read."""
        plan = self.plan(req)
        width, height = map(int, plan["size"].split("x"))
        megapixels = -(-width * height // _MEGAPIXEL)
        # A token is at least a byte.
        tokens = len(plan["prompt"].encode()) + MOST_TOKENS * len(req.inputs)
        read = self._config.prices.of_tokens(tokens, 0, **self._facts(plan)) or 0
        micros = self._config.prices.of("image", **self._facts(plan)) * megapixels + read
        return self._usd(micros, "estimated", image=1)

    def plan(self, req: GenerationRequest) -> Mapping[str, Any]:
        """Pictures stand in it by their hash: what is sent of them is in the request."""
        self._check_text(req, req.op if req.op in OPS else Op.TEXT_TO_IMAGE, KINDS, LONGEST_PROMPT, FORMATS)
        pictures, mask = pictures_of(req), mask_of(req)
        native = self._nearest(req, _FREE) if self._free_sizes else nearest(req.width, req.height, _FIXED)
        return {
            "model": self._config.model,
            "prompt": words_of(req),
            "n": 1,
            "size": f"{native.width}x{native.height}",
            "quality": self._options.quality,
            "background": self._options.background,
            "output_format": req.format,
            "safety_identifier": pseudonym(req.tenant_id),
            **({_PICTURES: [told_by_hash(found) for found in pictures]} if pictures else {}),
            **({_MASK: told_by_hash(mask)} if mask else {}),
        }

    async def submit(self, req: GenerationRequest, plan: Mapping[str, Any]) -> JobRef | Status:
        headers = {"X-Client-Request-Id": req.request_id}
        if _PICTURES not in plan:
            answer = await self._wire.submit("POST", "/images/generations", json=dict(plan), headers=headers)
        else:
            fields = {name: str(value) for name, value in plan.items() if name not in {_PICTURES, _MASK}}
            answer = await self._wire.submit("POST", "/images/edits", data=fields, files=_files(req), headers=headers)
        if not answer.ok:
            raise _refusal(answer)
        body, external_id = answer.json(), answer.headers.get("x-request-id", "")
        pictures = [found["b64_json"] for found in members(body, "data") if found.get("b64_json")]
        cost = self._paid(lambda: self._cost(plan, member(body, "usage")), lambda: self.estimate(req))
        try:
            data = decoded(pictures[0], self.name) if pictures else None
        except ProviderError as error:
            return Status("failed", external_id, error=error, cost=cost)
        if data is None:
            return Status("failed", external_id, error=self._no_media(), cost=cost)
        picture = Artifact(f"image/{plan['output_format']}", data=data)
        return Status("succeeded", external_id, progress=100, artifacts=(picture,), cost=cost)

    def _cost(self, plan: Mapping[str, Any], usage: Mapping[str, Any]) -> Cost | None:
        """By tokens, where the route file knows their price and the answer their number."""
        read, written = whole(usage, "input_tokens"), whole(usage, "output_tokens")
        micros = self._config.prices.of_tokens(read or 0, written or 0, **self._facts(plan))
        if micros is None or not (read and written):
            return None
        return self._usd(micros, "priced_from_usage", input_tokens=read, output_tokens=written)

    def _facts(self, plan: Mapping[str, Any]) -> dict[str, str]:
        return {"model": plan["model"], "quality": plan["quality"]}


def _files(req: GenerationRequest) -> list[tuple[str, tuple[str, bytes, str]]]:
    given = [("image[]", found) for found in pictures_of(req)]
    given += [("mask", mask)] if (mask := mask_of(req)) else []
    return [
        (field, (f"{number}.{found.mime.partition('/')[2]}", found.data or b"", found.mime))
        for number, (field, found) in enumerate(given)
    ]


def _refusal(answer: Answer) -> ProviderError:
    """What `{"error": {"code", "type", "message"}}` means."""
    error = member(answer.json_or_none(), "error")
    if not error:
        return status_error(answer, own=False)
    code, kind = text(error, "code"), text(error, "type")
    found = status_error(
        answer,
        shown(error.get("message")),
        provider_code=code or kind or None,
        request_id=answer.headers.get("x-request-id"),
    )
    if code in _POLICY:
        found.code, found.scope = ErrorCode.CONTENT_POLICY, "request"
    elif code.startswith(_NO_MONEY) or code.endswith("_spend_limit_exceeded") or kind.startswith(_NO_MONEY):
        found.code, found.scope = ErrorCode.QUOTA_EXCEEDED, "account"
    return found


def make(config: ProviderConfig) -> OpenAIImages:
    """An adapter for one OpenAI account."""
    return OpenAIImages(config)
