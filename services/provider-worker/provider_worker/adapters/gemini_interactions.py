"""Google's Interactions: videos of Omni, music of Lyria (spec/providers.md, sections 1b and 2b).

What it refuses is `completed` with words alone. It keeps our reference as a label and gives it back with its callback,
but there is no list to look it up in: a lost answer stays unknown until that comes.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from provider_worker.adapters.config import HttpOptions, ProviderConfig
from provider_worker.adapters.google_errors import google_error
from provider_worker.adapters.google_videos import LONGEST_PROMPT, failed, file_of, refused
from provider_worker.adapters.http_adapter import HttpAdapter, decoded, pseudonym
from provider_worker.adapters.interaction_models import Model, Music, Video, told_by_hash, with_bytes
from provider_worker.adapters.interface import (
    Artifact,
    Capability,
    Cost,
    GenerationRequest,
    JobRef,
    ProviderError,
    Status,
    WebhookEvent,
)
from provider_worker.adapters.reading import member, members, text, word
from provider_worker.adapters.signatures import check_standard, json_object, unsigned
from provider_worker.adapters.wire import shown

_JWT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+")
_STATES = {
    "queued": "queued",
    "in_progress": "running",
    "completed": "succeeded",
    "failed": "failed",
    "cancelled": "cancelled",
    # Nobody here answers a question or grants a further budget: it has ended.
    "incomplete": "failed",
    "requires_action": "failed",
    "requires_continuation": "failed",
    "budget_exceeded": "failed",
}


class Options(HttpOptions):
    """`webhook_secret_env` names the variable with the callbacks' secret."""

    webhook_secret_env: str = ""


class Interactions(HttpAdapter):
    """`POST /v1beta/interactions` in the background, then `GET /v1beta/interactions/{id}`."""

    def __init__(self, config: ProviderConfig, secret: str = "") -> None:
        """`secret` is the `whsec_` one of the project's callbacks; without it they are hints of anybody's."""
        super().__init__(config, config.account("x-goog-api-key"))
        self._model: Model = Music(config) if config.model.startswith("lyria") else Video(config)
        self._secret = secret

    def capabilities(self) -> Sequence[Capability]:
        return self._model.capabilities()

    def estimate(self, req: GenerationRequest) -> Cost:
        order = self._model.order(req)
        return self._usd(order.micros, "estimated", **order.units)

    def plan(self, req: GenerationRequest) -> Mapping[str, Any]:
        """A picture stands in it by its hash: what is sent of it is in the request."""
        model = self._model
        op = req.op if req.op in model.ops else model.ops[0]
        self._check_text(req, op, model.kinds, LONGEST_PROMPT, model.formats)
        order = model.order(req)
        body: dict[str, Any] = {
            "model": self._config.model,
            "input": _steps(told_by_hash(order)),
            "background": True,
            "labels": {"reference": req.request_id, "tenant": pseudonym(req.tenant_id)},
        }
        if order.form:
            body["response_format"] = dict(order.form)
        if callback := self._callback(req):
            body["webhook_config"] = {"uris": [callback], "user_metadata": {"reference": req.request_id}}
        return body

    async def submit(self, req: GenerationRequest, plan: Mapping[str, Any]) -> JobRef | Status:
        order = self._model.order(req)
        picture = base64.b64encode(order.picture.data or b"").decode() if order.picture else ""
        body = {**plan, "input": _steps(with_bytes(order, picture))}
        answer = await self._wire.submit("POST", "/v1beta/interactions", json=body)
        if not answer.ok:
            raise google_error(answer)
        data = {"micros": order.micros, "units": dict(order.units), "asked_s": req.duration_s}
        return JobRef(self.name, self._taken(answer.json(), "id"), data)

    async def poll(self, ref: JobRef) -> Status:
        answer = await self._wire.ask("GET", _path(ref))
        if not answer.ok:
            raise google_error(answer)
        body = answer.json()
        said = word(body, "status")
        state: Any = _STATES.get(said)
        if state is None:
            raise self._unknown_state(said)
        if state == "succeeded":
            return self._ended(ref, body)
        if state in {"failed", "cancelled"}:
            return Status(state, ref.external_id, error=_failure(body, said), raw_state=said)
        return Status(state, ref.external_id, raw_state=said)

    async def cancel(self, ref: JobRef) -> bool:
        """What has ended is refused."""
        return word((await self._wire.ask("POST", f"{_path(ref)}/cancel")).json_or_none(), "status") == "cancelled"

    async def parse_webhook(self, headers: Mapping[str, str], body: bytes, received_at: datetime) -> WebhookEvent:
        """`{"type", "data": {"id"}, "user_metadata"}`: what has come of it is asked for.

        A JWT, which Google is said to sign the callbacks of one request with, is not looked into: it stays a hint.
        """
        secret = "" if _JWT.fullmatch(headers.get("webhook-signature", "")) else self._secret
        delivery = check_standard(headers, body, secret, received_at) if secret else unsigned(body).delivery_id
        said = json_object(body)
        found, reference = text(member(said, "data"), "id"), text(member(said, "user_metadata"), "reference")
        return WebhookEvent(
            delivery,
            JobRef(self.name, found) if found else None,
            reference=reference or None,
            verified=bool(secret),
        )

    def _ended(self, ref: JobRef, body: Mapping[str, Any]) -> Status:
        contents = list(_contents(body))
        made = [content for content in contents if content.get("type") == self._model.content]
        if not made:
            words = " ".join(text(content, "text") for content in contents)
            error = refused(shown(words) or f"{self.name} made nothing of it", "completed")
            return Status("failed", ref.external_id, error=error, raw_state="completed")
        cost = self._paid(lambda: self._cost(ref))
        try:
            artifact = self._artifact(made[-1])
        except ProviderError as error:
            return Status("failed", ref.external_id, error=error, cost=cost, raw_state="completed")
        return Status(
            "succeeded", ref.external_id, progress=100, artifacts=(artifact,), cost=cost, raw_state="completed"
        )

    def _artifact(self, content: Mapping[str, Any]) -> Artifact:
        mime = text(content, "mime_type") or self._model.mime
        if inline := content.get("data"):
            return Artifact(mime, data=decoded(inline, self.name))
        if not text(content, "uri"):
            raise self._no_media(f"completed without the bytes of its {self._model.content}")
        return file_of(text(content, "uri"), mime, self._config.base_url)

    def _cost(self, ref: JobRef) -> Cost | None:
        """None of a job that its callback brought back: what it was asked for is not known here."""
        if "micros" not in ref.data:
            return None
        return self._usd(int(ref.data["micros"]), "priced_from_usage", **ref.data["units"])


def _steps(contents: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """As the vendor's own client wraps them."""
    return [{"type": "user_input", "content": contents}]


def _contents(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """What the model has said and made; the previews of Lyria answer with `outputs` instead of steps."""
    for step in members(body, "steps"):
        if step.get("type") == "model_output":
            yield from members(step, "content")
    yield from members(body, "outputs")


def _failure(body: Mapping[str, Any], said: str) -> ProviderError:
    first = next(iter(members(body, "errors")), {})
    message = shown(first.get("message")) or f"the interaction ended as {said}"
    return failed(message, text(first, "code") or said)


def _path(ref: JobRef) -> str:
    return f"/v1beta/interactions/{quote(ref.external_id, safe='')}"


def make(config: ProviderConfig) -> Interactions:
    """An adapter for one key and one model."""
    return Interactions(config, os.environ.get(config.read(Options).webhook_secret_env, ""))
