"""Replicate under `/replicate/v1`: predictions by version, model and deployment, the list, cancelling, callbacks.

Rules: providers §7 and §15. Each model here takes a prompt and makes pictures: one address, or a list of them where
`num_outputs` is given. Policy is told as the end of a prediction. What was asked and made is gone an hour after it.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from starlette.responses import JSONResponse, Response

from simulator.call import Call
from simulator.generation import Ask, Charge, Generation, Output, State, seed_of
from simulator.media.images import picture
from simulator.refusals import Reason, Refused
from simulator.settings import ProviderSettings
from simulator.wire import CallbackAsk, Delivery, Endpoint, Variables, Wire, bearer, reference_in

_MICROS_PER_IMAGE = 40_000
_PAGE = 100
_STEP = 32
_SIZES = {
    "1:1": (1024, 1024),
    "16:9": (1344, 768),
    "9:16": (768, 1344),
    "3:2": (1216, 832),
    "2:3": (832, 1216),
    "4:3": (1152, 896),
    "3:4": (896, 1152),
    "4:5": (896, 1088),
    "5:4": (1088, 896),
}
_MIMES = {"webp": "image/webp", "jpg": "image/jpeg", "png": "image/png"}
_EVENTS = {"start": 0.0, "completed": 1.0}
_SILENT = {"output", "logs"}
_VERSION = re.compile(r"(?:(?P<model>[\w.-]+/[\w.-]+):)?(?P<hash>[0-9a-f]{64})")
_WAIT = re.compile(r"wait(?:=(\d+))?")
_LONGEST_WAIT_S = 60
_THROTTLED_S = 30

_STATES = {
    State.QUEUED: "starting",
    State.RUNNING: "processing",
    State.DONE: "succeeded",
    State.FAILED: "failed",
    State.BLOCKED: "failed",
    State.CANCELLED: "canceled",
}
_UNFINISHED = {State.QUEUED, State.RUNNING}
_ERRORS = {
    State.FAILED: "Prediction failed: the model ran into an error. (E1001)",
    State.BLOCKED: "The input or output was flagged as sensitive. Please try again with different inputs. (E005)",
}
_WORDS: Mapping[Reason, tuple[int, str]] = {
    Reason.AUTH: (401, "Unauthenticated"),
    Reason.QUOTA: (402, "Insufficient credit"),
    Reason.RATE: (429, "Too many requests"),
    Reason.CROWDED: (429, "Too many requests"),
    Reason.POLICY: (422, "Input validation failed"),
    Reason.INVALID: (422, "Input validation failed"),
    Reason.NO_MODEL: (422, "Invalid version or not permitted"),
    Reason.NOT_FOUND: (404, "Not found"),
    Reason.CONFLICT: (409, "Conflict"),
    Reason.CANCELLED: (409, "Canceled"),
    Reason.FAILED: (500, "Internal server error"),
    Reason.BROKEN: (500, "Internal server error"),
}


async def by_version(call: Call) -> Response:
    body = call.json()
    found = _VERSION.fullmatch(str(body.get("version")))
    if found is None:
        raise Refused(Reason.NO_MODEL, "The specified version does not exist (or you may not use it).")
    return await _created(call, body, found["model"] or "sim-owner/sim-model", found["hash"])


async def by_model(call: Call) -> Response:
    """Also of a deployment: here it is called like the model that it runs."""
    path = call.request.path_params
    return await _created(call, call.json(), f"{path['owner']}/{path['model']}", "hidden")


async def status(call: Call) -> Response:
    generation = await call.find(call.request.path_params["prediction"])
    found = await _prediction(call, generation)
    match call.odd_status():
        case "unknown":
            found["status"] = "contemplating"
        case "back":
            found |= {"status": "starting", "output": None, "completed_at": None}
        case "extra":
            found["mood"] = {"colour": "yellow"}
    return JSONResponse(found)


async def cancel(call: Call) -> Response:
    """What has ended stays as it is."""
    generation = await call.find(call.request.path_params["prediction"])
    if generation.state(call.now) in _UNFINISHED:
        generation = await call.cancel(generation)
    return JSONResponse(await _prediction(call, generation))


async def listed(call: Call) -> Response:
    """The newest first; `next` is an address that carries a cursor."""
    skip = _skip(call.request.query_params.get("cursor"))
    found = await call.newest(model=None, skip=skip, limit=_PAGE + 1)
    return JSONResponse(
        {
            "next": _page(call, skip + _PAGE) if len(found) > _PAGE else None,
            "previous": _page(call, max(0, skip - _PAGE)) if skip else None,
            "results": [await _prediction(call, generation) for generation in found[:_PAGE]],
        }
    )


async def secret(call: Call) -> Response:
    return JSONResponse({"key": call.simulation.signing.webhook_secret("replicate")})


def callback(ask: CallbackAsk) -> Delivery:
    """The body is the prediction itself; a delivery that is made again has the same id."""
    body = json.dumps(_told(ask.generation, ask.now, ask.links)).encode()
    delivery = f"msg_{ask.generation.id}_{ask.stage}"
    headers = ask.signing.standard_webhook("replicate", delivery=delivery, timestamp=ask.signed_at, body=body)
    if ask.forged:
        headers["webhook-signature"] = "v1," + base64.b64encode(bytes(32)).decode()
    return Delivery(body, {"content-type": "application/json", **headers})


async def _created(call: Call, body: Mapping[str, Any], model: str, version: str) -> Response:
    generation = await call.accept(_ask(body, model, version))
    if waits := _waits(call.request.headers.get("prefer", "")):
        await call.until(min(generation.ends_at, call.now + waits))
    found = await _prediction(call, generation)
    if waits and generation.state(call.now) in _UNFINISHED:
        # Whatever it is doing by then: clients poll on where they read this word, and on no other.
        found["status"] = "starting"
    return JSONResponse(found, 201)


def _waits(prefer: str) -> int:
    """The seconds of `Prefer: wait`, 0 without it."""
    found = _WAIT.search(prefer)
    if found is None:
        return 0
    return min(_LONGEST_WAIT_S, int(found[1] or _LONGEST_WAIT_S))


def _ask(body: Mapping[str, Any], model: str, version: str) -> Ask:
    given = body.get("input")
    if not isinstance(given, dict):
        raise Refused(Reason.INVALID, "- input: input is required", field="input")
    prompt = given.get("prompt")
    if not isinstance(prompt, str) or not prompt:
        raise Refused(Reason.INVALID, "- input: prompt is required", field="input.prompt")
    outputs = _outputs(given, prompt)
    webhook = body.get("webhook")
    if not isinstance(webhook, str | None):
        raise Refused(Reason.INVALID, "- webhook: must be an address", field="webhook")
    return Ask(
        model=model,
        prompt=prompt,
        outputs=outputs,
        charge=Charge(len(outputs) * _MICROS_PER_IMAGE, {"image": len(outputs)}),
        request={"version": version, "input": given, "webhook": webhook},
        reference=reference_in(webhook),
        callback_url=webhook,
        callback_stages=_stages(body),
    )


def _outputs(given: Mapping[str, Any], prompt: str) -> tuple[Output, ...]:
    number = given.get("num_outputs", 1)
    if not isinstance(number, int) or not 1 <= number <= 4:
        raise Refused(Reason.INVALID, "- input.num_outputs: must be from 1 to 4", field="input.num_outputs")
    mime = _MIMES.get(given.get("output_format", "webp"))
    if mime is None:
        raise Refused(Reason.INVALID, "- input.output_format: must be webp, jpg or png", field="input.output_format")
    width, height = _size(given)
    seed = seed_of(prompt, given.get("seed"))
    return tuple(picture(width, height, mime=mime, seed=seed + index) for index in range(number))


def _size(given: Mapping[str, Any]) -> tuple[int, int]:
    """Width and height count with the aspect ratio `custom` alone, and go to the next multiple."""
    ratio = given.get("aspect_ratio", "1:1")
    if ratio in _SIZES:
        return _SIZES[ratio]
    width, height = given.get("width"), given.get("height")
    if ratio == "custom" and isinstance(width, int) and isinstance(height, int):
        if 256 <= min(width, height) <= max(width, height) <= 1440:
            return round(width / _STEP) * _STEP, round(height / _STEP) * _STEP
        raise Refused(Reason.INVALID, "- input: width and height must be from 256 to 1440", field="input.width")
    raise Refused(Reason.INVALID, "- input.aspect_ratio: no such aspect ratio", field="input.aspect_ratio")


def _stages(body: Mapping[str, Any]) -> tuple[tuple[str, float], ...]:
    """Pictures come with the end of the work: `output` and `logs` are taken, and nothing is called for them."""
    wanted = body.get("webhook_events_filter") or [*_EVENTS]
    if not isinstance(wanted, list) or not set(wanted) <= _EVENTS.keys() | _SILENT:
        raise Refused(Reason.INVALID, "- webhook_events_filter: unknown event", field="webhook_events_filter")
    return tuple((event, part) for event, part in _EVENTS.items() if event in wanted)


async def _prediction(call: Call, generation: Generation) -> dict[str, Any]:
    """As it is told now: without input, output and logs once they are deleted."""
    links = await call.links(generation) if generation.state(call.now) is State.DONE else ()
    found = _told(generation, call.now, links)
    if call.now >= _ended_at(generation) + call.settings.url_ttl_s:
        found |= {"data_removed": True, "input": {}, "output": None, "logs": ""}
    return found


def _told(generation: Generation, now: float, links: tuple[str, ...]) -> dict[str, Any]:
    state = generation.state(now)
    ended = state not in _UNFINISHED
    began = state is not State.QUEUED and _ended_at(generation) >= generation.starts_at
    url = f"{generation.base_url}/replicate/v1/predictions/{generation.id}"
    many = "num_outputs" in generation.request["input"]
    return {
        "id": generation.id,
        "model": generation.model,
        **generation.request,
        "output": (list(links) if many else links[0]) if state is State.DONE else None,
        "logs": f"Using seed: {generation.outputs[0].seed}\n" if began else "",
        "error": _ERRORS.get(state),
        "status": _STATES[state],
        "data_removed": False,
        "source": "api",
        "metrics": {"predict_time": generation.ends_at - generation.starts_at} if ended else None,
        "created_at": _moment(generation.accepted_at),
        "started_at": _moment(generation.starts_at) if began else None,
        "completed_at": _moment(_ended_at(generation)) if ended else None,
        "urls": {"get": url, "cancel": f"{url}/cancel"},
    }


def _ended_at(generation: Generation) -> float:
    return generation.ends_at if generation.cancelled_at is None else generation.cancelled_at


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def _skip(cursor: str | None) -> int:
    try:
        return int(base64.urlsafe_b64decode(cursor or "MA=="))
    except ValueError:
        raise Refused(Reason.NOT_FOUND, "Invalid cursor") from None


def _page(call: Call, skip: int) -> str:
    return f"{call.base_url}/replicate/v1/predictions?cursor={base64.urlsafe_b64encode(str(skip).encode()).decode()}"


def refusal(refused: Refused) -> Response:
    """Problem details (RFC 7807). How long a 429 lasts stands in its text."""
    code, title = _WORDS[refused.reason]
    detail, headers = refused.message, {}
    if code == 429:
        seconds = _THROTTLED_S if refused.retry_after is None else refused.retry_after
        detail = f"Request was throttled. Your rate limit resets in ~{seconds:g}s."
        if refused.retry_after is not None and not refused.in_body:
            headers["retry-after"] = f"{refused.retry_after:g}"
    status_code = refused.status or code
    body: dict[str, Any] = {"type": "about:blank", "title": title, "status": status_code, "detail": detail}
    if refused.field:
        body["invalid_fields"] = [{"type": "invalid", "field": refused.field, "description": refused.message}]
    return JSONResponse(body, status_code, headers, media_type="application/problem+json")


def dressed(call: Call, response: Response) -> None:
    response.headers["replicate-request-id"] = call.external_id or uuid4().hex


_PREDICTION = "/v1/predictions/{prediction}"

WIRE = Wire(
    name="replicate",
    endpoints=(
        Endpoint("GET", "/v1/webhooks/default/secret", "secret", secret),
        Endpoint("POST", "/v1/predictions", "submit", by_version),
        Endpoint("POST", "/v1/models/{owner}/{model}/predictions", "submit", by_model),
        Endpoint("POST", "/v1/deployments/{owner}/{model}/predictions", "submit", by_model),
        Endpoint("GET", "/v1/predictions", "list", listed),
        Endpoint("GET", _PREDICTION, "status", status),
        Endpoint("POST", f"{_PREDICTION}/cancel", "cancel", cancel),
    ),
    key_of=bearer,
    refusal=refusal,
    settings=ProviderSettings(url_ttl_s=3600),
    new_id=lambda: uuid4().hex[:26],
    judges_prompts=False,
    links_end_together=True,
    dressed=dressed,
    callback=callback,
    variables=Variables("REPLICATE_API_URL", "REPLICATE_API_TOKEN"),
)
