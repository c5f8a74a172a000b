"""Replicate's predictions (spec/providers.md, section 7).

`model` is `owner/name`, or a version's hash. Outputs live for an hour. A lost answer is looked for in the list of
predictions, by our reference in the address it calls back, or by the very input. Sizes are those of the FLUX
models, which take width and height with the aspect ratio `custom`.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
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
    ProviderError,
    Status,
    WebhookEvent,
)
from provider_worker.adapters.reading import member, text, word
from provider_worker.adapters.signatures import Keys, check_standard, json_object
from provider_worker.adapters.wire import Answer, shown, status_error

LONGEST_PROMPT = 20_000
KINDS = (MediaKind.IMAGE, MediaKind.TEXTURE)
FORMATS = ("png", "jpeg", "webp")
PAGES = 5
"""How far back the list is read for a job whose answer was lost."""

KEPT = timedelta(hours=1)
"""How long Replicate keeps what a prediction was made of."""

_RULE = {"multiple": 32, "min_edge": 256, "max_edge": 1440}
_STATES = {
    "starting": "queued",
    "processing": "running",
    "succeeded": "succeeded",
    "failed": "failed",
    "canceled": "cancelled",
    "aborted": "cancelled",
}
_POLICY = re.compile(r"nsfw|safety|sensitive|content policy|moderat", re.IGNORECASE)
_RESETS = re.compile(r"resets in ~?(\d+(?:\.\d+)?)s")
_VERSION = re.compile(r"[0-9a-f]{64}")


Options = HttpOptions


class Replicate(HttpAdapter):
    """`POST /v1/models/{owner}/{name}/predictions` or `/v1/predictions`, then `GET /v1/predictions/{id}`."""

    def __init__(self, config: ProviderConfig) -> None:
        super().__init__(config, config.account("Authorization", "Bearer "))
        self._secret = Keys(self._signing_secret)

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
                cancel="best_effort",
                idempotency="list_lookup",
                result_ttl_s=3600,
            )
            for kind in KINDS
        ]

    def estimate(self, req: GenerationRequest) -> Cost:
        return self._usd(self._config.prices.of("image", model=self._config.model), "estimated", image=1)

    def plan(self, req: GenerationRequest) -> Mapping[str, Any]:
        self._check_text(req, Op.TEXT_TO_IMAGE, KINDS, LONGEST_PROMPT, FORMATS)
        native = self._nearest(req, _RULE)
        wanted: dict[str, Any] = {
            "prompt": req.prompt,
            "aspect_ratio": "custom",
            "width": native.width,
            "height": native.height,
            "output_format": "jpg" if req.format == "jpeg" else req.format,
        }
        body: dict[str, Any] = {"input": wanted if req.seed is None else {**wanted, "seed": req.seed}}
        if _VERSION.fullmatch(self._config.model):
            body["version"] = self._config.model
        if callback := self._callback(req):
            body |= {"webhook": callback, "webhook_events_filter": ["completed"]}
        return body

    async def submit(self, req: GenerationRequest, plan: Mapping[str, Any]) -> JobRef | Status:
        path = "/v1/predictions" if "version" in plan else f"/v1/models/{self._config.model}/predictions"
        answer = await self._wire.submit("POST", path, json=dict(plan))
        if not answer.ok:
            raise _refusal(answer)
        return self._ref(answer.json())

    async def poll(self, ref: JobRef) -> Status:
        answer = await self._wire.ask("GET", f"/v1/predictions/{ref.external_id}")
        if not answer.ok:
            raise _refusal(answer)
        body = answer.json()
        said = word(body, "status")
        state: Any = _STATES.get(said)
        if state is None:
            raise self._unknown_state(said)
        if state in {"failed", "cancelled"}:
            cost = self._stopped(body) if state == "cancelled" else None
            return Status(state, ref.external_id, error=self._failure(body, said), cost=cost, raw_state=said)
        if state != "succeeded":
            return Status(state, ref.external_id, raw_state=said)
        return self._made(ref.external_id, body)

    async def find(self, req: GenerationRequest, plan: Mapping[str, Any], since: datetime) -> JobRef | None:
        """The prediction that calls us back for this attempt, or the only one of this input that calls nobody.

        None is a definite no: one that calls nobody and whose input is deleted may be ours, and what was made longer
        ago than inputs are kept may have been.
        """
        alike, untold = [], 0
        async for prediction in self._listed(since):
            if callback := text(prediction, "webhook"):
                if req.request_id in callback.split("/"):
                    return self._ref(prediction)
            elif not member(prediction, "input") or prediction.get("data_removed"):
                untold += 1
            elif prediction["input"] == plan["input"]:
                alike.append(prediction)
        if len(alike) == 1 and not untold:
            return self._ref(alike[0])
        if alike or untold:
            message = f"{self.name} has {len(alike) + untold} jobs that may be this one"
            raise ProviderError(ErrorCode.PROVIDER_ERROR, message)
        if datetime.now(UTC) - since > KEPT:
            raise ProviderError(ErrorCode.PROVIDER_ERROR, f"{self.name} keeps what it was asked for an hour alone")
        return None

    async def cancel(self, ref: JobRef) -> bool:
        """What had ended is answered like what is stopped, but for its state."""
        answer = await self._wire.ask("POST", f"/v1/predictions/{ref.external_id}/cancel")
        return answer.ok and _STATES.get(word(answer.json_or_none(), "status")) == "cancelled"

    async def parse_webhook(self, headers: Mapping[str, str], body: bytes, received_at: datetime) -> WebhookEvent:
        """The body is the prediction."""
        delivery = await self._secret.checked(lambda secret: check_standard(headers, body, secret, received_at))
        found = text(json_object(body), "id")
        return WebhookEvent(delivery, JobRef(self.name, found) if found else None, verified=True)

    async def _signing_secret(self) -> str:
        answer = await self._wire.ask("GET", "/v1/webhooks/default/secret")
        if not answer.ok:
            raise _refusal(answer)
        return self._taken(answer.json(), "key")

    def _ref(self, body: Any) -> JobRef:
        return JobRef(self.name, self._taken(body, "id"))

    async def _listed(self, since: datetime) -> AsyncIterator[Mapping[str, Any]]:
        """Predictions made since then, newest first; raises where there are more than are read."""
        path: str | None = "/v1/predictions"
        for _ in range(PAGES):
            if path is None:
                return
            answer = await self._wire.ask("GET", path)
            if not answer.ok:
                raise _refusal(answer)
            body = answer.json()
            found = body.get("results") if isinstance(body, dict) else None
            if not isinstance(found, list) or not all(isinstance(prediction, dict) for prediction in found):
                raise ProviderError(ErrorCode.PROVIDER_ERROR, f"{self.name} answered with no list of predictions")
            for prediction in found:
                if _moment(prediction) < since:
                    return
                yield prediction
            path = text(body, "next") or None
        if path is not None:
            raise ProviderError(ErrorCode.PROVIDER_ERROR, f"{self.name} has too many jobs to look through")

    def _made(self, external_id: str, body: Any) -> Status:
        price = partial(self._config.prices.of, "image", model=self._config.model)
        cost = self._paid(lambda: self._usd(price(), "priced_from_usage", image=1))
        address = next(_addresses(body.get("output")), None)
        if address is None:
            return Status("failed", external_id, error=self._no_media(), cost=cost, raw_state="succeeded")
        picture = Artifact("image/png", url=address)
        return Status("succeeded", external_id, progress=100, artifacts=(picture,), cost=cost, raw_state="succeeded")

    def _stopped(self, body: Mapping[str, Any]) -> Cost | None:
        """What had begun is paid for, up to what a result costs; None where it is not said whether it had."""
        if "started_at" not in body:
            return None
        price = self._config.prices.of("image", model=self._config.model)
        return self._usd(price if body["started_at"] else 0, "estimated", image=1)

    def _failure(self, body: Mapping[str, Any], word: str) -> ProviderError:
        message = shown(body.get("error")) or f"the prediction ended as {word}"
        code = ErrorCode.CONTENT_POLICY if _POLICY.search(message) else ErrorCode.PROVIDER_ERROR
        return ProviderError(code, message, provider_code=word)


def _addresses(output: Any) -> Iterator[str]:
    for found in output if isinstance(output, list) else [output]:
        if isinstance(found, str) and found:
            yield found


def _moment(prediction: Mapping[str, Any]) -> datetime:
    try:
        found = datetime.fromisoformat(str(prediction.get("created_at")))
    except ValueError:
        return datetime.max.replace(tzinfo=UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _refusal(answer: Answer) -> ProviderError:
    """Problem details (RFC 7807); the delay of a 429 stands in `detail`."""
    body = answer.json_or_none()
    if not isinstance(body, dict) or not {"detail", "title"} & body.keys():
        return status_error(answer, own=False)
    title = text(body, "title")
    detail = text(body, "detail") or title
    found = status_error(answer, shown(detail), provider_code=title or None)
    if (match := _RESETS.search(detail)) and found.retry_after is None:
        found.retry_after = float(match[1])
    return found


def make(config: ProviderConfig) -> Replicate:
    """An adapter for one token and one model."""
    return Replicate(config)
