"""Meshy under `/meshy/openapi`: text, image and retexture tasks, their lists, deletion, the balance, one webhook.

Rules: providers §5, docs.meshy.ai. A text becomes a textured model by two tasks that are paid for one by one: a preview
and its refinement, whose reference on the bill is the preview. What policy refuses is a task that failed; a failed task
costs nothing. An account has one webhook for all of its tasks (`webhook_url`), and nothing is signed.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from starlette.responses import JSONResponse, Response

from simulator.call import Call
from simulator.generation import Ask, Charge, Generation, Output, State, seed_of
from simulator.media.images import picture
from simulator.media.models import model
from simulator.refusals import Reason, Refused
from simulator.settings import ProviderSettings
from simulator.store import bill, generations
from simulator.wire import CallbackAsk, Delivery, Endpoint, Handler, Variables, Wire, bearer

_MICROS_PER_CREDIT = 20_000
_ENDLESS_CREDITS = 100_000
_OLD_MODEL = "meshy-5"
_PREVIEW, _REFINE, _IMAGE, _RETEXTURE = "text-to-3d-preview", "text-to-3d-refine", "image-to-3d", "retexture"
_KINDS = {"text-to-3d": {_PREVIEW, _REFINE}, "image-to-3d": {_IMAGE}, "retexture": {_RETEXTURE}}
# Of what was asked, a task shows this: neither the picture or model it is made of, nor the preview it refines.
_ECHOED = {
    _PREVIEW: ("prompt",),
    _REFINE: ("prompt", "texture_prompt"),
    _IMAGE: ("texture_prompt",),
    _RETEXTURE: ("text_style_prompt",),
}
_MODELS = (_OLD_MODEL, "meshy-6", "latest")
_NEWER_MODELS = (*_MODELS, "meshy-7")
_LONGEST_PROMPT = 600
_POLYGONS = (100, 300_000)
_DEFAULT_POLYGONS = 30_000
_TEXTURE = 256
_THREE_DAYS_S = 3 * 86_400
_LONGEST_PAGE = 50
_NEWEST_FIRST = "-created_at"
_STAGES = (("IN_PROGRESS", 0.0), ("SUCCEEDED", 1.0))
_MAPS = ("base_color", "metallic", "normal", "roughness")

_STATES = {
    State.QUEUED: "PENDING",
    State.RUNNING: "IN_PROGRESS",
    State.DONE: "SUCCEEDED",
    State.FAILED: "FAILED",
    State.BLOCKED: "FAILED",
    State.CANCELLED: "CANCELED",
}
_ERRORS = {
    State.FAILED: {"type": "server_error", "message": "An internal error occurred. Please retry."},
    State.BLOCKED: {
        "type": "invalid_input",
        "code": "moderation_blocked",
        "message": "The prompt or the images were rejected by safety filters.",
    },
}
_STATUSES: Mapping[Reason, int] = {
    Reason.AUTH: 401,
    Reason.QUOTA: 402,
    Reason.RATE: 429,
    Reason.CROWDED: 429,
    Reason.POLICY: 400,
    Reason.INVALID: 400,
    Reason.NO_MODEL: 400,
    Reason.NOT_FOUND: 404,
    Reason.CONFLICT: 409,
    Reason.CANCELLED: 409,
    Reason.FAILED: 500,
    Reason.BROKEN: 500,
}
_SENTENCES = {
    Reason.AUTH: "Invalid API key",
    Reason.QUOTA: "Insufficient funds",
    Reason.RATE: "RateLimitExceeded",
    Reason.CROWDED: "NoMoreConcurrentTasks",
}


async def text_to_3d(call: Call) -> Response:
    body = call.json()
    if body.get("mode") == "preview":
        return await _taken(call, _preview(body))
    if body.get("mode") == "refine":
        return await _taken(call, await _refine(call, body))
    raise Refused(Reason.INVALID, "mode must be preview or refine")


async def image_to_3d(call: Call) -> Response:
    body = call.json()
    image = _media(body, "image_url")
    textured = body.get("should_texture", True)
    if body.get("enable_pbr") and not textured:
        raise Refused(Reason.INVALID, "enable_pbr needs should_texture")
    words = _text(body, "texture_prompt", needed=False)
    price = (20 if _model(body, _NEWER_MODELS) != _OLD_MODEL else 5) + (10 if textured else 0)
    outputs = _outputs(body, _polygons(body), seed_of(f"{words} {image}", None), textured=bool(textured))
    return await _taken(call, _ask(_IMAGE, words, outputs, price, body))


async def retexture(call: Call) -> Response:
    body = call.json()
    if task := body.get("input_task_id"):
        polygons = (await _finished(call, task)).outputs[0].params["triangles"]
    else:
        _media(body, "model_url")
        polygons = _DEFAULT_POLYGONS
    words = _text(body, "text_style_prompt", needed="image_style_url" not in body)
    style = words or _media(body, "image_style_url")
    _model(body, _NEWER_MODELS)
    outputs = _outputs(body, polygons, seed_of(style, None), textured=True)
    return await _taken(call, _ask(_RETEXTURE, words, outputs, 10, body))


async def status(call: Call) -> Response:
    generation = await _there(call)
    found = _task(generation, call.now, await call.links(generation))
    match call.odd_status():
        case "unknown":
            found["status"] = "CONTEMPLATING"
        case "back":
            found |= {"status": "PENDING", "progress": 0, "model_urls": {}, "texture_urls": []}
        case "extra":
            found["mood"] = {"colour": "yellow"}
    return JSONResponse(found)


async def listed(call: Call) -> Response:
    """A page of the tasks of one endpoint. What was deleted is in no list."""
    query = call.request.query_params
    size, number = _number(query.get("page_size"), 10), _number(query.get("page_num"), 1)
    if size > _LONGEST_PAGE:
        raise Refused(Reason.INVALID, f"page_size must be at most {_LONGEST_PAGE}")
    kinds = _KINDS[call.request.url.path.rsplit("/", 1)[1]]
    everything = await call.newest(model=None, skip=0, limit=-1)
    tasks = [one for one in everything if one.model in kinds and one.cancelled_at is None]
    if query.get("sort_by", _NEWEST_FIRST) != _NEWEST_FIRST:
        tasks.reverse()
    page = tasks[size * (number - 1) : size * number]
    return JSONResponse([_task(one, call.now, await call.links(one)) for one in page])


async def delete(call: Call) -> Response:
    """What waits is given back, what is at work cannot be deleted, what has ended is gone and stays paid."""
    generation = await _there(call)
    if generation.state(call.now) is State.RUNNING:
        raise Refused(Reason.CONFLICT, "Task is in progress and cannot be deleted")
    await call.cancel(generation)
    return Response(status_code=200)


async def balance(call: Call) -> Response:
    given = call.account.credits_micros
    if given is None:
        return JSONResponse({"balance": _ENDLESS_CREDITS})
    spent = await call.simulation.database.run(
        lambda connection: bill.spent_micros(connection, "meshy", call.account.name)
    )
    return JSONResponse({"balance": (given - spent) // _MICROS_PER_CREDIT})


def callback(ask: CallbackAsk) -> Delivery:
    """The task as it stands now; nothing says who sends it."""
    body = json.dumps(_task(ask.generation, ask.now, ask.links)).encode()
    return Delivery(body, {"content-type": "application/json"})


async def _taken(call: Call, ask: Ask) -> Response:
    generation = await call.accept(replace(ask, callback_url=call.account.webhook_url))
    return JSONResponse({"result": generation.id}, 202)


def _preview(body: Mapping[str, Any]) -> Ask:
    words = _text(body, "prompt", needed=True)
    price = 20 if _model(body, _MODELS) != _OLD_MODEL else 5
    outputs = _outputs(body, _polygons(body), seed_of(words, None), textured=False)
    return _ask(_PREVIEW, words, outputs, price, body)


async def _refine(call: Call, body: Mapping[str, Any]) -> Ask:
    """A preview with textures, by its own words where there are no others."""
    preview = await _finished(call, body.get("preview_task_id"))
    if preview.model != _PREVIEW:
        raise Refused(Reason.INVALID, "preview_task_id is not a preview task")
    words = _text(body, "texture_prompt", needed=False) or preview.prompt
    mesh = preview.outputs[0]
    outputs = _outputs(body, mesh.params["triangles"], mesh.seed, textured=True)
    ask = _ask(_REFINE, words, outputs, 10, {**body, "prompt": preview.prompt})
    return replace(ask, reference=preview.id, tenant=preview.tenant)


def _ask(kind: str, words: str, outputs: tuple[Output, ...], price: int, body: Mapping[str, Any]) -> Ask:
    return Ask(
        model=kind,
        prompt=words,
        outputs=outputs,
        charge=Charge(price * _MICROS_PER_CREDIT, {"credits": price}),
        request=dict(body),
        callback_stages=_STAGES,
    )


def _outputs(body: Mapping[str, Any], polygons: int, seed: int, *, textured: bool) -> tuple[Output, ...]:
    """The model, its thumbnail, and its maps: base colour alone without PBR."""
    pbr = textured and bool(body.get("enable_pbr"))
    maps = _MAPS[: len(_MAPS) if pbr else 1] if textured else ()
    return (
        model(polygons, seed=seed, texture=_TEXTURE, pbr=pbr),
        *(picture(_TEXTURE, _TEXTURE, mime="image/png", seed=seed + place) for place in range(1 + len(maps))),
    )


async def _finished(call: Call, task: Any) -> Generation:
    """A task of this account that another one builds on; the faults of its prompt are not those of this request."""
    found = await call.simulation.database.run(lambda connection: generations.by_id(connection, "meshy", str(task)))
    if found is None or found.account != call.account.name or found.cancelled_at is not None:
        raise Refused(Reason.NOT_FOUND, "Task not found")
    if found.state(call.now) is not State.DONE:
        raise Refused(Reason.INVALID, "The task has not succeeded")
    return found


async def _there(call: Call) -> Generation:
    generation = await call.find(call.request.path_params["task"])
    kinds = _KINDS[call.request.url.path.rsplit("/", 2)[1]]
    if generation.cancelled_at is not None or generation.model not in kinds:
        raise Refused(Reason.NOT_FOUND, "Task not found")
    return generation


def _task(generation: Generation, now: float, links: tuple[str, ...]) -> dict[str, Any]:
    state, request = generation.state(now), generation.request
    mesh, *pictures = links if state is State.DONE else ("",)
    thumbnail, maps = "".join(pictures[:1]), pictures[1:]
    return {
        "id": generation.id,
        "type": generation.model,
        "model_urls": {"glb": mesh} if mesh else {},
        "thumbnail_url": thumbnail,
        **{name: request.get(name, "") for name in _ECHOED[generation.model]},
        "progress": generation.progress(now),
        "created_at": int(generation.accepted_at * 1000),
        "started_at": int(generation.starts_at * 1000) if now >= generation.starts_at else 0,
        "finished_at": int(generation.ends_at * 1000) if now >= generation.ends_at else 0,
        "status": _STATES[state],
        "texture_urls": [dict(zip(_MAPS, maps, strict=False))] if maps else [],
        "preceding_tasks": 0,
        "task_error": _ERRORS.get(state, {"message": ""}),
        "consumed_credits": generation.amount_micros // _MICROS_PER_CREDIT,
    }


def _text(body: Mapping[str, Any], name: str, *, needed: bool) -> str:
    found = body.get(name) or ""
    if not isinstance(found, str) or (needed and not found.strip()):
        raise Refused(Reason.INVALID, f"{name} is required")
    if len(found) > _LONGEST_PROMPT:
        raise Refused(Reason.INVALID, f"{name} must be at most {_LONGEST_PROMPT} characters")
    return found


def _media(body: Mapping[str, Any], name: str) -> str:
    """An address, or the bytes themselves as a data URI."""
    found = body.get(name)
    if not isinstance(found, str) or not found:
        raise Refused(Reason.INVALID, f"{name} is required")
    head, _, data = found.partition(";base64,")
    if found.startswith("https://"):
        return found
    try:
        if head.startswith("data:") and base64.b64decode(data, validate=True):
            return found
    except ValueError:
        pass
    raise Refused(Reason.INVALID, f"{name} is neither a public https address nor a data URI")


def _model(body: Mapping[str, Any], known: tuple[str, ...]) -> str:
    found = str(body.get("ai_model", "latest"))
    if found not in known:
        raise Refused(Reason.NO_MODEL, f"ai_model must be one of {', '.join(known)}")
    return found


def _polygons(body: Mapping[str, Any]) -> int:
    """What remeshing aims at; without it the mesh is as fine as it came."""
    lowest, highest = _POLYGONS
    found = body.get("target_polycount", _DEFAULT_POLYGONS)
    if not isinstance(found, int) or not lowest <= found <= highest:
        raise Refused(Reason.INVALID, f"target_polycount must be from {lowest} to {highest}")
    return found if body.get("should_remesh") else max(found, 2 * _DEFAULT_POLYGONS)


def _number(text: str | None, default: int) -> int:
    found = int(text) if text and text.isdecimal() else default
    return max(1, found)


def refusal(refused: Refused) -> Response:
    """One field, `message`; a queue that is full says nothing of when there will be a place."""
    wait = None if refused.in_body else refused.retry_after
    headers = {} if wait is None else {"retry-after": f"{wait:g}"}
    message = _SENTENCES.get(refused.reason, refused.message)
    return JSONResponse({"message": message}, refused.status or _STATUSES[refused.reason], headers)


def _endpoints(path: str, submit: Handler) -> tuple[Endpoint, ...]:
    return (
        Endpoint("POST", path, "submit", submit),
        Endpoint("GET", path, "list", listed),
        Endpoint("GET", f"{path}/{{task}}", "status", status),
        Endpoint("DELETE", f"{path}/{{task}}", "cancel", delete),
    )


WIRE = Wire(
    name="meshy",
    endpoints=(
        *_endpoints("/openapi/v2/text-to-3d", text_to_3d),
        *_endpoints("/openapi/v1/image-to-3d", image_to_3d),
        *_endpoints("/openapi/v1/retexture", retexture),
        Endpoint("GET", "/openapi/v1/balance", "balance", balance),
    ),
    key_of=bearer,
    refusal=refusal,
    settings=ProviderSettings(url_ttl_s=_THREE_DAYS_S),
    judges_prompts=False,
    links_end_together=True,
    callback=callback,
    variables=Variables("MESHY_API_URL", "MESHY_API_KEY"),
)
