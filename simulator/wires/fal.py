"""fal's queue under `/fal`: submit, status, result, cancel, list, callbacks signed by Ed25519.

Rules: providers §8 and §15. `queue.fal.run`, `rest.fal.ai` (the key set) and `api.fal.ai` (the list) are one host here.
A cancelled request ends `COMPLETED` with an error; a failed one costs nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from math import ceil
from typing import Any

from starlette.responses import JSONResponse, Response

from simulator.call import Call
from simulator.generation import Ask, Charge, Generation, State, seed_of
from simulator.media.images import picture
from simulator.refusals import Reason, Refused
from simulator.settings import ProviderSettings
from simulator.wire import CallbackAsk, Delivery, Endpoint, Variables, Wire, bearer, reference_in

_MICROS_PER_MEGAPIXEL = 25_000
_WEEK_S = 7 * 86_400
_NAMED_SIZES = {
    "square_hd": (1024, 1024),
    "square": (512, 512),
    "portrait_4_3": (768, 1024),
    "portrait_16_9": (576, 1024),
    "landscape_4_3": (1024, 768),
    "landscape_16_9": (1024, 576),
}
_PAGE = 50

# Status, `error_type`, and whether another try may help.
_WORDS: Mapping[Reason, tuple[int, str, bool]] = {
    Reason.AUTH: (401, "unauthorized", False),
    Reason.QUOTA: (402, "insufficient_credits", False),
    Reason.RATE: (429, "rate_limited", True),
    Reason.CROWDED: (429, "concurrency_limit", True),
    Reason.POLICY: (422, "content_policy_violation", False),
    Reason.INVALID: (422, "value_error", False),
    Reason.NO_MODEL: (404, "not_found", False),
    Reason.NOT_FOUND: (404, "not_found", False),
    Reason.CONFLICT: (409, "conflict", False),
    Reason.CANCELLED: (499, "request_cancelled", False),
    Reason.FAILED: (500, "internal_server_error", True),
    Reason.BROKEN: (500, "internal_server_error", True),
}
_ENDINGS = {State.FAILED: Reason.FAILED, State.BLOCKED: Reason.POLICY, State.CANCELLED: Reason.CANCELLED}
_SENTENCES = {
    Reason.FAILED: "Internal server error",
    Reason.POLICY: "The content could not be processed because it was flagged by a content checker.",
    Reason.CANCELLED: "Request was cancelled",
}


async def submit(call: Call) -> Response:
    generation = await call.accept(_ask(call, call.request.path_params["model"], call.json()))
    links = _links(generation)
    return JSONResponse({"request_id": generation.id, "gateway_request_id": generation.id, "queue_position": 0} | links)


async def status(call: Call) -> Response:
    generation = await call.find(call.request.path_params["request"])
    state = {"back": State.QUEUED}.get(call.odd_status(), generation.state(call.now))
    found: dict[str, Any] = {"request_id": generation.id, **_links(generation)}
    logs: list[Any] | None = [] if call.request.query_params.get("logs") in {"1", "true"} else None
    if call.odd_status() == "extra":
        found["mood"] = {"colour": "yellow"}
    if call.odd_status() == "unknown":
        return JSONResponse(found | {"status": "CONTEMPLATING"})
    if state is State.QUEUED:
        return JSONResponse(found | {"status": "IN_QUEUE", "queue_position": 0}, 202)
    if state is State.RUNNING:
        return JSONResponse(found | {"status": "IN_PROGRESS", "logs": logs}, 202)
    found |= {
        "status": "COMPLETED",
        "logs": logs,
        "metrics": {"inference_time": generation.ends_at - generation.starts_at},
    }
    if ending := _ENDINGS.get(state):
        found |= {"error": _SENTENCES[ending], "error_type": _WORDS[ending][1]}
    return JSONResponse(found)


async def result(call: Call) -> Response:
    generation = await call.find(call.request.path_params["request"])
    state = generation.state(call.now)
    if state in {State.QUEUED, State.RUNNING}:
        raise Refused(Reason.INVALID, "Request is still in progress", status=400)
    if ending := _ENDINGS.get(state):
        raise Refused(ending, _SENTENCES[ending])
    return JSONResponse(_result(generation, await call.links(generation)))


async def cancel(call: Call) -> Response:
    generation = await call.find(call.request.path_params["request"])
    if generation.state(call.now) not in {State.QUEUED, State.RUNNING}:
        return JSONResponse({"status": "ALREADY_COMPLETED"}, 400)
    await call.cancel(generation)
    return JSONResponse({"status": "CANCELLATION_REQUESTED"}, 202)


async def listed(call: Call) -> Response:
    """The list of the platform API, the newest first, with what was sent as `json_input`."""
    query = call.request.query_params
    limit, skip = min(100, int(query.get("limit", _PAGE))), int(query.get("cursor") or 0)
    found = await call.newest(model=query.get("endpoint_id"), skip=skip, limit=limit + 1)
    items = [_item(generation, call.now) for generation in found[:limit]]
    more = len(found) > limit
    return JSONResponse({"items": items, "next_cursor": str(skip + limit) if more else None, "has_more": more})


async def jwks(call: Call) -> Response:
    return JSONResponse(call.simulation.signing.jwks(), headers={"cache-control": "max-age=86400"})


def callback(ask: CallbackAsk) -> Delivery:
    generation = ask.generation
    ending = _ENDINGS.get(generation.state(ask.now))
    said: dict[str, Any] = {"request_id": generation.id, "gateway_request_id": generation.id}
    if ending is None:
        said |= {"status": "OK", "payload": _result(generation, ask.links)}
    else:
        code, error_type, _ = _WORDS[ending]
        detail = [{"loc": ["body", "prompt"], "msg": _SENTENCES[ending], "type": error_type}]
        said |= {"status": "ERROR", "error": f"Unexpected status code: {code}", "payload": {"detail": detail}}
    body = json.dumps(said).encode()
    signed = "\n".join([generation.id, "sim-user", str(ask.signed_at), hashlib.sha256(body).hexdigest()])
    signature = ask.signing.ed25519(signed.encode())
    headers = {
        "content-type": "application/json",
        "x-fal-webhook-request-id": generation.id,
        "x-fal-webhook-user-id": "sim-user",
        "x-fal-webhook-timestamp": str(ask.signed_at),
        "x-fal-webhook-signature": (bytes(64) if ask.forged else signature).hex(),
    }
    return Delivery(body, headers)


def _ask(call: Call, model: str, body: Mapping[str, Any]) -> Ask:
    prompt = body.get("prompt")
    if model.count("/") < 1:
        raise Refused(Reason.NO_MODEL, f"Application '{model}' not found")
    if not isinstance(prompt, str) or not prompt:
        raise Refused(Reason.INVALID, "Field required", field="prompt")
    number = body.get("num_images", 1)
    if not isinstance(number, int) or not 1 <= number <= 4:
        raise Refused(Reason.INVALID, "Input should be between 1 and 4", field="num_images")
    width, height = _size(body.get("image_size", "landscape_4_3"))
    mime = {"png": "image/png", "jpeg": "image/jpeg"}.get(body.get("output_format", "jpeg"))
    if mime is None:
        raise Refused(Reason.INVALID, "Input should be 'jpeg' or 'png'", field="output_format")
    megapixels = ceil(width * height / 1_000_000) * number
    seed = seed_of(prompt, body.get("seed"))
    webhook = call.request.query_params.get("fal_webhook")
    return Ask(
        model=model,
        prompt=prompt,
        outputs=tuple(picture(width, height, mime=mime, seed=seed + index) for index in range(number)),
        charge=Charge(megapixels * _MICROS_PER_MEGAPIXEL, {"megapixels": megapixels}),
        request=dict(body),
        reference=reference_in(webhook),
        callback_url=webhook,
    )


def _size(given: Any) -> tuple[int, int]:
    if isinstance(given, str) and given in _NAMED_SIZES:
        return _NAMED_SIZES[given]
    width, height = (given.get(edge) if isinstance(given, dict) else None for edge in ("width", "height"))
    if isinstance(width, int) and isinstance(height, int) and 64 <= min(width, height) <= max(width, height) <= 4096:
        return width, height
    raise Refused(
        Reason.INVALID, "Input should be a named size, or width and height from 64 to 4096", field="image_size"
    )


def _links(generation: Generation) -> dict[str, str]:
    """Without the model's sub-path, as fal gives them."""
    root = "/".join(generation.model.split("/")[:2])
    url = f"{generation.base_url}/fal/{root}/requests/{generation.id}"
    return {"response_url": url, "status_url": f"{url}/status", "cancel_url": f"{url}/cancel"}


def _result(generation: Generation, links: tuple[str, ...]) -> dict[str, Any]:
    images = [
        {
            "url": url,
            "width": output.params["width"],
            "height": output.params["height"],
            "content_type": output.mime,
        }
        for url, output in zip(links, generation.outputs, strict=True)
    ]
    return {
        "images": images,
        "seed": generation.outputs[0].seed,
        "prompt": generation.prompt,
        "has_nsfw_concepts": [False] * len(images),
        "timings": {"inference": generation.ends_at - generation.starts_at},
    }


def _item(generation: Generation, now: float) -> dict[str, Any]:
    ended = generation.state(now) not in {State.QUEUED, State.RUNNING}
    ending = _ENDINGS.get(generation.state(now))
    return {
        "request_id": generation.id,
        "endpoint_id": generation.model,
        "sent_at": _moment(generation.accepted_at),
        "started_at": _moment(generation.starts_at) if now >= generation.starts_at else None,
        "ended_at": _moment(generation.ends_at) if ended else None,
        "status_code": (_WORDS[ending][0] if ending else 200) if ended else None,
        "duration": generation.ends_at - generation.starts_at if ended else None,
        "json_input": generation.request,
    }


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def refusal(refused: Refused) -> Response:
    status_code, error_type, retryable = _WORDS[refused.reason]
    headers = {"x-fal-error-type": error_type, "x-fal-retryable": str(retryable).lower()}
    if refused.retry_after is not None:
        headers["retry-after"] = f"{refused.retry_after:g}"
    body: dict[str, Any] = {"detail": refused.message, "error_type": error_type}
    if refused.reason in {Reason.POLICY, Reason.INVALID, Reason.FAILED} and refused.status is None:
        loc = ["body", refused.field or "prompt"]
        body = {"detail": [{"loc": loc, "msg": refused.message, "type": error_type}]}
    return JSONResponse(body, refused.status or status_code, headers)


def dressed(call: Call, response: Response) -> None:
    if call.external_id:
        response.headers["x-fal-request-id"] = call.external_id


_REQUESTS = "/{owner}/{app}/requests/{request}"

WIRE = Wire(
    name="fal",
    endpoints=(
        Endpoint("GET", "/.well-known/jwks.json", "jwks", jwks, open=True),
        Endpoint("GET", "/v1/models/requests/by-endpoint", "list", listed),
        Endpoint("GET", f"{_REQUESTS}/status", "status", status),
        Endpoint("PUT", f"{_REQUESTS}/cancel", "cancel", cancel),
        Endpoint("GET", _REQUESTS, "result", result),
        Endpoint("POST", "/{model:path}", "submit", submit),
    ),
    key_of=lambda request: bearer(request, "Key"),
    refusal=refusal,
    settings=ProviderSettings(url_ttl_s=_WEEK_S),
    dressed=dressed,
    callback=callback,
    variables=Variables("FAL_API_URL", "FAL_KEY"),
)
