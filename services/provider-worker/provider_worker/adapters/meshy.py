"""Meshy: text, image or model to a textured GLB (spec/providers.md, section 5; docs.meshy.ai).

A text takes two tasks that are paid for one by one: a preview, and its refinement with the textures. No reference of
ours is known there. A lost answer is looked for in the list of tasks by the words that were sent; the list tells
neither the picture nor the model a task was made of, so that such a one is never taken for ours.
"""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from pydantic import Field

from provider_worker.adapters.config import HttpOptions, ProviderConfig
from provider_worker.adapters.config import Options as AdapterOptions
from provider_worker.adapters.http_adapter import HttpAdapter
from provider_worker.adapters.interface import (
    Artifact,
    Capability,
    Cost,
    ErrorCode,
    GenerationRequest,
    InputMedia,
    JobRef,
    MediaKind,
    Op,
    ProviderError,
    Status,
    WebhookEvent,
)
from provider_worker.adapters.reading import member, members, percent, text, whole, word
from provider_worker.adapters.signatures import json_object, unsigned
from provider_worker.adapters.wire import Answer, shown, status_error

LONGEST_PROMPT = 600
POLYGONS = (100, 300_000)
DEFAULT_TRIANGLES = 50_000
PAGES = 5
"""How far back a list is read for a task."""
CLOCK_SKEW = timedelta(minutes=1)
KEPT = timedelta(days=3)
"""How long Meshy keeps a task and its files."""

_PAGE = 50
_NEWEST = datetime.max.replace(tzinfo=UTC)
_GLB = "model/gltf-binary"
_PICTURES = {"image/png": "image/png", "image/jpeg": "image/jpeg"}
_MODELS = {_GLB: "application/octet-stream"}
"""What is taken, and what it is called in a data URI."""
_TEXT, _IMAGE, _RETEXTURE = "/openapi/v2/text-to-3d", "/openapi/v1/image-to-3d", "/openapi/v1/retexture"
_PATHS = {"text-to-3d-preview": _TEXT, "text-to-3d-refine": _TEXT, "image-to-3d": _IMAGE, "retexture": _RETEXTURE}
_PHASES = {
    Op.TEXT_TO_3D: ("preview", "refine"),
    Op.IMAGE_TO_3D: ("image_to_3d",),
    Op.RETEXTURE: ("retexture",),
}
_STATES = {
    "PENDING": "queued",
    "IN_PROGRESS": "running",
    "SUCCEEDED": "succeeded",
    "FAILED": "failed",
    "EXPIRED": "failed",
    "CANCELED": "cancelled",
}
_NOTHING = {"failed", "cancelled"}
_FULL = re.compile(r"NoMore(Concurrent|Pending)Tasks")
_POLICY = re.compile(r"moderat|safety filter", re.IGNORECASE)
_KINDS_OF_ERROR = {
    "invalid_input": ErrorCode.INVALID_REQUEST,
    "timeout": ErrorCode.TEMPORARY,
    "service_unavailable": ErrorCode.TEMPORARY,
}


class Credits(AdapterOptions):
    """What each task takes at most."""

    preview: int = Field(default=20, gt=0)
    refine: int = Field(default=10, gt=0)
    image_to_3d: int = Field(default=30, gt=0)
    retexture: int = Field(default=10, gt=0)


class Options(HttpOptions):
    """What is quoted for a task."""

    credits: Credits = Credits()


class Meshy(HttpAdapter):
    """`POST` to one of three paths, then `GET {path}/{id}`. A preview that has succeeded asks for its refinement."""

    def __init__(self, config: ProviderConfig) -> None:
        super().__init__(config, config.account("Authorization", "Bearer "))
        self._credits = config.read(Options).credits.model_dump()
        self._model = {"ai_model": config.model} if config.model else {}

    def capabilities(self) -> Sequence[Capability]:
        return [
            Capability(
                kind=MediaKind.MODEL_3D,
                op=op,
                mode="async",
                sizes=(),
                formats=("glb",),
                supports=frozenset({"pbr", "max_triangles"}),
                webhook=True,
                cancel="queued_only",
                idempotency="list_lookup",
                result_ttl_s=int(KEPT.total_seconds()),
            )
            for op in _PHASES
        ]

    def estimate(self, req: GenerationRequest) -> Cost:
        """All phases of it."""
        number = sum(self._credits[phase] for phase in _PHASES[req.op])
        return self._priced(number, "estimated")

    def plan(self, req: GenerationRequest) -> Mapping[str, Any]:
        """Of the first phase; `max_triangles` in the options is an upper bound (R55)."""
        op = req.op if req.op in _PHASES else Op.TEXT_TO_3D
        wordless = op is not Op.TEXT_TO_3D and (op is Op.IMAGE_TO_3D or _given(req, "style") is not None)
        self._check_text(req, op, {MediaKind.MODEL_3D}, LONGEST_PROMPT, ("glb",), needs_prompt=not wordless)
        if op is Op.RETEXTURE:
            return self._retexture(req)
        mesh = {
            **self._model,
            "should_remesh": True,
            "topology": "triangle",
            "target_polycount": self._polygons(req),
            "target_formats": ["glb"],
            "moderation": True,
        }
        if op is Op.TEXT_TO_3D:
            return {"mode": "preview", "prompt": req.prompt, **mesh}
        image = self._media(req, "reference", _PICTURES)
        textures = {"should_texture": True, "enable_pbr": True}
        return {"image_url": image, **textures, **mesh, **({"texture_prompt": req.prompt} if req.prompt else {})}

    async def submit(self, req: GenerationRequest, plan: Mapping[str, Any]) -> JobRef | Status:
        answer = await self._wire.submit("POST", _path(plan), json=dict(plan))
        if not answer.ok:
            raise _refusal(answer)
        name = self._taken(answer.json(), "result")
        return self._ref(name, _path(plan), plan.get("mode"), datetime.now(UTC) - CLOCK_SKEW)

    async def poll(self, ref: JobRef) -> Status:
        answer = await self._wire.ask("GET", f"{ref.data['path']}/{ref.external_id}")
        if answer.status == 404 and await self._is_deleted(ref):
            return Status("cancelled", ref.external_id, raw_state="deleted")
        if not answer.ok:
            raise _refusal(answer)
        body = answer.json()
        said = word(body, "status")
        state: Any = _STATES.get(said)
        if state is None:
            raise self._unknown_state(said)
        if state in {"failed", "cancelled"}:
            cost = self._paid(lambda: self._cost(body))
            return Status(state, ref.external_id, error=_failure(body, said), cost=cost, raw_state=said)
        if state != "succeeded":
            return Status(state, ref.external_id, progress=percent(body, "progress"), raw_state=said)
        return self._preview(ref, body) if ref.data.get("mode") == "preview" else self._made(ref, body)

    async def find(self, req: GenerationRequest, plan: Mapping[str, Any], since: datetime) -> JobRef | None:
        """The only task since then that was made of these words. Of a picture or a model it cannot be told.

        None is a definite no, which nobody can give of what was made longer ago than tasks are kept.
        """
        path = _path(plan)
        alike = [task async for task in self._listed(path, since) if _alike(task, req, plan)]
        # One that came to nothing costs nothing, and may be an earlier call of this attempt.
        alike = [task for task in alike if _STATES.get(word(task, "status")) not in _NOTHING] or alike[:1]
        if len(alike) > 1 or (alike and (path != _TEXT or not _tells_its_words(alike[0]))):
            raise ProviderError(ErrorCode.PROVIDER_ERROR, f"{self.name} has {len(alike)} tasks that may be this one")
        if not alike and datetime.now(UTC) - since > KEPT:
            raise ProviderError(ErrorCode.PROVIDER_ERROR, f"{self.name} keeps tasks for {KEPT.days} days alone")
        return self._ref(self._taken(alike[0], "id"), path, plan.get("mode"), since) if alike else None

    async def cancel(self, ref: JobRef) -> bool:
        """Deletes what waits, which is then refunded. What has ended would be deleted too, and stays paid."""
        address = f"{ref.data['path']}/{ref.external_id}"
        found = (await self._wire.ask("GET", address)).json_or_none()
        if word(found, "status") != "PENDING":
            return False
        return (await self._wire.ask("DELETE", address)).ok

    async def parse_webhook(self, headers: Mapping[str, str], body: bytes, received_at: datetime) -> WebhookEvent:
        """The task itself, for each of its changes, to one address for the whole account; nothing is signed."""
        task = json_object(body)
        kind, name, made = text(task, "type"), text(task, "id"), _moment(task)
        if not name or kind not in _PATHS or made == _NEWEST:
            return unsigned(body)
        mode = kind.removeprefix("text-to-3d-") if _PATHS[kind] == _TEXT else None
        return replace(unsigned(body), ref=self._ref(name, _PATHS[kind], mode, made))

    def _retexture(self, req: GenerationRequest) -> Mapping[str, Any]:
        style = {"image_style_url": self._media(req, "style", _PICTURES)} if _given(req, "style") else {}
        return {
            "model_url": self._media(req, "model", _MODELS),
            **self._model,
            **(style or {"text_style_prompt": req.prompt}),
            "enable_original_uv": True,
            "enable_pbr": True,
            "target_formats": ["glb"],
        }

    def _polygons(self, req: GenerationRequest) -> int:
        """A tenth below what is allowed: Meshy comes near to its target, from above as from below."""
        lowest, highest = POLYGONS
        most = req.options.get("max_triangles") or DEFAULT_TRIANGLES
        if not isinstance(most, int) or not lowest <= most <= highest:
            raise self._invalid(f"max_triangles is {most!r}, but must be {lowest} to {highest}")
        return max(lowest, most * 9 // 10)

    def _media(self, req: GenerationRequest, role: str, mimes: Mapping[str, str]) -> str:
        """The address of an input, or its bytes as a data URI."""
        found = _given(req, role)
        if found is None:
            raise self._invalid(f"{req.op} needs an input with the role {role}")
        if found.mime not in mimes:
            raise self._invalid(f"the input is {found.mime}, but must be one of {', '.join(mimes)}")
        if found.data is None:
            return found.url or ""
        return f"data:{mimes[found.mime]};base64,{base64.b64encode(found.data).decode()}"

    def _ref(self, name: str, path: str, mode: str | None, since: datetime) -> JobRef:
        """`since`: the task is not older."""
        return JobRef(self.name, name, {"path": path, "mode": mode, "since": since.isoformat()})

    async def _is_deleted(self, ref: JobRef) -> bool:
        """Whether a task that is not there is in no list either, and not for its age.

        Meshy deletes none that is at work, and we none that has ended: it was waiting, and is refunded.
        """
        since = datetime.fromisoformat(ref.data["since"])
        if datetime.now(UTC) - since > KEPT:
            return False
        return ref.external_id not in {text(task, "id") async for task in self._listed(ref.data["path"], since)}

    async def _listed(self, path: str, since: datetime) -> AsyncIterator[Mapping[str, Any]]:
        """Tasks made since then, newest first; raises where there are more than are read, or no list is."""
        for page in range(1, PAGES + 1):
            query = {"page_num": page, "page_size": _PAGE, "sort_by": "-created_at"}
            answer = await self._wire.ask("GET", path, params=query)
            if not answer.ok:
                raise _refusal(answer)
            tasks = answer.json()
            if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
                raise ProviderError(ErrorCode.PROVIDER_ERROR, f"{self.name} answered with no list of tasks")
            for task in tasks:
                if _moment(task) < since:
                    return
                yield task
            if len(tasks) < _PAGE:
                return
        raise ProviderError(ErrorCode.PROVIDER_ERROR, f"{self.name} has too many tasks to look through")

    def _preview(self, ref: JobRef, body: Mapping[str, Any]) -> Status:
        refinement = {
            "mode": "refine",
            "preview_task_id": ref.external_id,
            **self._model,
            "enable_pbr": True,
            "remove_lighting": True,
            "target_formats": ["glb"],
        }
        cost = self._taken_for("preview", body)
        return Status("succeeded", ref.external_id, cost=cost, next_phase=refinement, raw_state="SUCCEEDED")

    def _made(self, ref: JobRef, body: Mapping[str, Any]) -> Status:
        phase = {_TEXT: "refine", _IMAGE: "image_to_3d", _RETEXTURE: "retexture"}[ref.data["path"]]
        cost, address = self._taken_for(phase, body), text(member(body, "model_urls"), "glb")
        if not address:
            return Status("failed", ref.external_id, error=self._no_media(), cost=cost, raw_state="SUCCEEDED")
        model = Artifact(_GLB, url=address, meta={"triangles": whole(body, "face_count")})
        artifacts = (model, *_pictures(body))
        return Status("succeeded", ref.external_id, progress=100, artifacts=artifacts, cost=cost, raw_state="SUCCEEDED")

    def _taken_for(self, phase: str, body: Mapping[str, Any]) -> Cost | None:
        """What a phase cost that has succeeded."""
        usual = partial(self._priced, self._credits[phase], "priced_from_usage")
        return self._paid(lambda: self._cost(body), usual)

    def _cost(self, body: Mapping[str, Any]) -> Cost | None:
        """As Meshy tells it; what failed is refunded and takes none."""
        taken = whole(body, "consumed_credits")
        return self._priced(taken, "reported") if taken else None

    def _priced(self, number: int, basis: str) -> Cost:
        return self._usd(number * self._config.prices.of("credit", model=self._config.model), basis, credit=number)


def _path(plan: Mapping[str, Any]) -> str:
    if "mode" in plan:
        return _TEXT
    return _IMAGE if "image_url" in plan else _RETEXTURE


def _alike(task: Mapping[str, Any], req: GenerationRequest, plan: Mapping[str, Any]) -> bool:
    """Whether a task shows the words that were sent, or none. A refinement shows those of its preview."""
    if "mode" not in plan:
        words = "texture_prompt" if "image_url" in plan else "text_style_prompt"
        return bool((task.get(words) or "") == plan.get(words, ""))
    preview = plan.get("preview_task_id")
    if not _tells_its_words(task):
        return True
    alike = task["type"] == f"text-to-3d-{plan['mode']}" and task["prompt"] == req.prompt
    return alike and bool(task.get("preview_task_id", preview) == preview)


def _tells_its_words(task: Mapping[str, Any]) -> bool:
    return bool(text(task, "type") and text(task, "prompt"))


def _pictures(body: Mapping[str, Any]) -> Iterator[Artifact]:
    """The maps, which are in the model too, and the thumbnail."""
    for maps in members(body, "texture_urls"):
        for name in maps:
            if address := text(maps, name):
                yield Artifact("image/png", url=address, role="texture_map", meta={"map": name})
    if thumbnail := text(body, "thumbnail_url"):
        yield Artifact("image/png", url=thumbnail, role="thumbnail")


def _given(req: GenerationRequest, role: str) -> InputMedia | None:
    return next((found for found in req.inputs if found.role == role), None)


def _moment(task: Mapping[str, Any]) -> datetime:
    """In milliseconds there; a task without a time is as new as can be."""
    made = whole(task, "created_at")
    try:
        return _NEWEST if made is None else datetime.fromtimestamp(made / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return _NEWEST


def _failure(body: Mapping[str, Any], said: str) -> ProviderError:
    """Of a task: `type` is one of four, `code` tells more where there is more."""
    error = member(body, "task_error")
    code, message = text(error, "code") or text(error, "type") or said, shown(error.get("message"))
    kind = _KINDS_OF_ERROR.get(text(error, "type"), ErrorCode.PROVIDER_ERROR)
    if _POLICY.search(f"{code} {message}"):
        kind = ErrorCode.CONTENT_POLICY
    return ProviderError(kind, message or f"the task ended as {said}", provider_code=code)


def _refusal(answer: Answer) -> ProviderError:
    """`{"message"}`. Of the two kinds of 429 one is about how many tasks wait, and ends when one of them does."""
    body = answer.json_or_none()
    if not isinstance(body, dict) or "message" not in body:
        return status_error(answer, own=False)
    message = shown(body["message"])
    found = status_error(answer, message)
    if answer.status == 429 and (full := _FULL.search(message)):
        found.scope, found.provider_code = "queue", full[0]
    elif answer.status == 404:
        # A task: a model nobody knows is a 400.
        found.scope = "request"
    elif answer.status in {400, 422} and _POLICY.search(message):
        found.code = ErrorCode.CONTENT_POLICY
    return found


def make(config: ProviderConfig) -> Meshy:
    """An adapter for one key."""
    return Meshy(config)
