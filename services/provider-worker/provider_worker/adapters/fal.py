"""fal.ai's queue: submit, poll the addresses it gives, cancel, callback (spec/providers.md, section 8).

`model` is the endpoint, such as `fal-ai/flux/dev`. The queue knows no reference of ours; a callback may bring back a
job whose answer was lost.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import quote

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from chassis.foreign import ForeignError, Limits, Policy, download, guarded_client, origin_of
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
from provider_worker.adapters.reading import members, text, whole, word
from provider_worker.adapters.signatures import Keys, check_fal, json_object, keys_of
from provider_worker.adapters.wire import Answer, shown, status_error

LONGEST_PROMPT = 20_000
KINDS = (MediaKind.IMAGE, MediaKind.TEXTURE)
FORMATS = ("png", "jpeg")
PUBLIC = "https://queue.fal.run"
KEY_HOST = "rest.fal.ai"

_KEY_SET = "/.well-known/jwks.json"
_KEY_LIMITS = Limits(max_bytes=64 * 1024, seconds=10)
_RULE = {"multiple": 16, "min_edge": 256, "max_edge": 2048}
_POLICY = {"content_policy_violation"}
_MADE_NOTHING = {"no_media_generated"}
_OF_THE_QUESTION = {401, 403, 408, 429, 502, 503, 504}
"""What went wrong with reading a result says nothing about the job, which is made and paid for."""
_FINAL = {"image_too_small", "image_too_large", "file_download_error", "image_load_error"}


Options = HttpOptions


class Fal(HttpAdapter):
    """`POST /{model}`, then the `status_url`, `response_url` and `cancel_url` of the answer."""

    def __init__(self, config: ProviderConfig) -> None:
        super().__init__(config, config.account("Authorization", "Key "))
        # Whoever serves fal's wire elsewhere serves its keys as well.
        own = origin_of(config.base_url)
        host = f"https://{KEY_HOST}" if own == origin_of(PUBLIC) else config.base_url.rstrip("/")
        self._key_set = host + _KEY_SET
        self._key_client = guarded_client(Policy(hosts=(KEY_HOST,), trusted=frozenset({own})), timeout=10, most=1)
        self._keys = Keys(self._published_keys)

    def capabilities(self) -> Sequence[Capability]:
        return [
            Capability(
                kind=kind,
                op=Op.TEXT_TO_IMAGE,
                mode="async",
                sizes=None,
                size_rule=_RULE,
                formats=FORMATS,
                supports=frozenset({"seed"}),
                webhook=True,
                cancel="queued_only",
                result_ttl_s=7 * 24 * 3600,
            )
            for kind in KINDS
        ]

    def estimate(self, req: GenerationRequest) -> Cost:
        return self._usd(self._config.prices.of("image", model=self._config.model), "estimated", image=1)

    def plan(self, req: GenerationRequest) -> Mapping[str, Any]:
        self._check_text(req, Op.TEXT_TO_IMAGE, KINDS, LONGEST_PROMPT, FORMATS)
        native = self._nearest(req, _RULE)
        body: dict[str, Any] = {
            "prompt": req.prompt,
            "image_size": {"width": native.width, "height": native.height},
            "num_images": 1,
            "output_format": req.format,
        }
        return body if req.seed is None else {**body, "seed": req.seed}

    async def submit(self, req: GenerationRequest, plan: Mapping[str, Any]) -> JobRef | Status:
        answer = await self._wire.submit(
            "POST",
            f"/{self._config.model}",
            json=dict(plan),
            params={"fal_webhook": callback} if (callback := self._callback(req)) else None,
            headers={"X-Fal-Request-Timeout": str(int(self._config.timeout_s))},
        )
        if not answer.ok:
            raise _refusal(answer)
        body = answer.json()
        request_id = self._taken(body, "request_id")
        usual = self._addresses(request_id)
        given = {name: self._own(text(body, name)) or address for name, address in usual.items()}
        return JobRef(self.name, request_id, given)

    async def poll(self, ref: JobRef) -> Status:
        answer = await self._wire.ask("GET", ref.data["status_url"])
        if not answer.ok:
            raise _refusal(answer)
        said = word(answer.json(), "status")
        if said == "IN_QUEUE":
            return Status("queued", ref.external_id, raw_state=said)
        if said == "IN_PROGRESS":
            return Status("running", ref.external_id, raw_state=said)
        if said != "COMPLETED":
            raise self._unknown_state(said)
        return await self._result(ref)

    async def cancel(self, ref: JobRef) -> bool:
        """True where it had not begun."""
        return (await self._wire.ask("PUT", ref.data["cancel_url"])).status in {200, 202}

    async def parse_webhook(self, headers: Mapping[str, str], body: bytes, received_at: datetime) -> WebhookEvent:
        delivery = await self._keys.checked(lambda keys: check_fal(headers, body, keys, received_at))
        said = json_object(body)
        found = text(said, "gateway_request_id") or text(said, "request_id")
        ref = JobRef(self.name, found, self._addresses(found)) if found else None
        return WebhookEvent(delivery, ref, verified=True)

    async def close(self) -> None:
        await self._key_client.aclose()
        await super().close()

    def _own(self, url: str) -> str | None:
        """`url`, where it leads to the queue itself: the job can be asked about nowhere else."""
        try:
            return url if origin_of(url) == origin_of(self._config.base_url) else None
        except ForeignError:
            return None

    def _addresses(self, request_id: str) -> dict[str, str]:
        """As the queue gives them: without the model's sub-path."""
        root = "/".join(self._config.model.split("/")[:2])
        url = f"{self._config.base_url.rstrip('/')}/{root}/requests/{quote(request_id, safe='')}"
        return {"status_url": f"{url}/status", "response_url": url, "cancel_url": f"{url}/cancel"}

    async def _published_keys(self) -> list[Ed25519PublicKey]:
        try:
            raw = b"".join([chunk async for chunk in download(self._key_client, self._key_set, _KEY_LIMITS)])
            return keys_of(json.loads(raw))
        except (ForeignError, httpx.HTTPError, ValueError, RecursionError) as error:
            raise ProviderError(ErrorCode.TEMPORARY, f"{self.name}'s keys could not be read: {error}") from error

    async def _result(self, ref: JobRef) -> Status:
        """`COMPLETED` says that it has ended; how is told by the result."""
        answer = await self._wire.ask("GET", ref.data["response_url"])
        if not answer.ok:
            error = _refusal(answer)
            if error.provider_code is None or answer.status in _OF_THE_QUESTION:
                raise error
            state: Any = "cancelled" if error.provider_code == "request_cancelled" else "failed"
            return Status(state, ref.external_id, error=error, raw_state="COMPLETED")
        body = answer.json()
        pictures = [found for found in members(body, "images") if text(found, "url")]
        price = partial(self._config.prices.of, "image", model=self._config.model)
        cost = self._paid(lambda: self._usd(price(), "priced_from_usage", image=1))
        if not pictures:
            return Status("failed", ref.external_id, error=self._no_media(), cost=cost, raw_state="COMPLETED")
        picture = Artifact(
            text(pictures[0], "content_type") or "image/png",
            url=text(pictures[0], "url"),
            meta={"seed": whole(body, "seed")},
        )
        return Status(
            "succeeded", ref.external_id, progress=100, artifacts=(picture,), cost=cost, raw_state="COMPLETED"
        )


def _refusal(answer: Answer) -> ProviderError:
    """`{"detail": [{"loc", "msg", "type"}]}` of a model, `{"detail": "...", "error_type"}` of a request."""
    body = answer.json_or_none()
    if not isinstance(body, dict) or "detail" not in body:
        return status_error(answer, own=False)
    detail = body["detail"]
    first = next(iter(members(body, "detail")), {})
    kind = text(first, "type") or text(body, "error_type")
    found = status_error(answer, shown(first.get("msg") or detail), provider_code=kind or None)
    if kind in _POLICY:
        found.code, found.scope = ErrorCode.CONTENT_POLICY, "request"
    elif kind in _MADE_NOTHING:
        found.code = ErrorCode.PROVIDER_ERROR
    elif kind in _FINAL or (answer.headers.get("x-fal-retryable") == "false" and answer.status >= 500):
        found.code = ErrorCode.PROVIDER_ERROR if answer.status >= 500 else ErrorCode.INVALID_REQUEST
    return found


def make(config: ProviderConfig) -> Fal:
    """An adapter for one fal.ai key and one of its models."""
    return Fal(config)
