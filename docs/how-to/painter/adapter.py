"""Painter, an invented provider: pictures by `POST /v1/paintings`, which knows our reference, asked about by id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
)
from provider_worker.adapters.reading import number, text, word
from provider_worker.adapters.wire import Answer, shown, status_error

STATES = {"waiting": "queued", "painting": "running", "done": "succeeded", "refused": "failed", "broken": "failed"}


class Painter(HttpAdapter):
    """One account at Painter."""

    def __init__(self, config: ProviderConfig) -> None:
        super().__init__(config, config.account("X-Painter-Key"))

    def capabilities(self) -> Sequence[Capability]:
        kind, op, edges = MediaKind.IMAGE, Op.TEXT_TO_IMAGE, {"min_edge": 64, "max_edge": 2048}
        made = Capability(kind, op, "async", None, edges, formats=("png",), idempotency="client_ref", result_ttl_s=600)
        return [made]

    def estimate(self, req: GenerationRequest) -> Cost:
        return self._usd(self._config.prices.of("image"), "estimated", image=1)

    def plan(self, req: GenerationRequest) -> Mapping[str, Any]:
        self._check_text(req, Op.TEXT_TO_IMAGE, {MediaKind.IMAGE}, 4000, {"png"})
        return {"prompt": req.prompt, "width": req.width, "height": req.height, "reference": req.request_id}

    async def submit(self, req: GenerationRequest, plan: Mapping[str, Any]) -> JobRef:
        answer = await self._wire.submit("POST", "/v1/paintings", json=dict(plan))
        return JobRef(self.name, self._taken(_read(answer), "id"))

    async def poll(self, ref: JobRef) -> Status:
        body = _read(await self._wire.ask("GET", f"/v1/paintings/{ref.external_id}"))
        said, price = word(body, "state"), number(body, "price_usd")
        state = STATES.get(said)
        if state is None:
            raise self._unknown_state(said)
        cost = None if price is None else Cost(round(price * 1_000_000), "USD", "reported", {"image": 1})
        if state == "succeeded" and (url := text(body, "picture")):
            picture = Artifact("image/png", url=url)
            return Status("succeeded", ref.external_id, artifacts=[picture], cost=cost, raw_state=said)
        if state in {"succeeded", "failed"}:
            code = ErrorCode.CONTENT_POLICY if said == "refused" else ErrorCode.PROVIDER_ERROR
            error = ProviderError(code, f"the painting is {said}, and there is no picture")
            return Status("failed", ref.external_id, error=error, cost=cost, raw_state=said)
        return Status("running" if state == "running" else "queued", ref.external_id, raw_state=said)

    async def find(self, req: GenerationRequest, plan: Mapping[str, Any], since: datetime) -> JobRef | None:
        body = _read(await self._wire.ask("GET", "/v1/paintings", params={"reference": req.request_id}))
        if not isinstance(body, dict) or not isinstance(body.get("paintings"), list):
            raise ProviderError(ErrorCode.PROVIDER_ERROR, f"{self.name} answered with no list of paintings")
        return JobRef(self.name, self._taken(body["paintings"][0], "id")) if body["paintings"] else None


def _read(answer: Answer) -> Any:
    """The body of a success; everything else is raised as what it means."""
    if answer.ok:
        return answer.json()
    body = answer.json_or_none()
    own = isinstance(body, dict) and "problem" in body
    raised = status_error(answer, shown(body["problem"]) if own else "", own=own)
    if own and body.get("rule") == "content":
        raised.code = ErrorCode.CONTENT_POLICY
    raise raised


def make(config: ProviderConfig) -> Painter:
    """What the worker calls for `adapter: painter.adapter`."""
    return Painter(config)
