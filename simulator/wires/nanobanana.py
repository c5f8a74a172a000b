"""nanobanana under `/nanobanana` and `/nanobanana/v1`: our own contract, defined in nanobanana.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse, Response

from simulator.call import Call
from simulator.generation import Ask, Charge, Generation, State, seed_of
from simulator.media.images import picture
from simulator.refusals import Reason, Refused
from simulator.settings import ProviderSettings
from simulator.wire import Endpoint, Variables, Wire, bearer

PRICE_MICROS = 39_000
_SMALLEST, _LARGEST = 64, 4096
_LONGEST_PROMPT = 32_000
_LONGEST_REFERENCE = 200
_STATES = {
    State.QUEUED: "queued",
    State.RUNNING: "processing",
    State.DONE: "completed",
    State.FAILED: "failed",
    State.BLOCKED: "failed",
    State.CANCELLED: "failed",
}
_WORDS: Mapping[Reason, tuple[int, str]] = {
    Reason.AUTH: (401, "invalid_api_key"),
    Reason.QUOTA: (402, "insufficient_credits"),
    Reason.RATE: (429, "rate_limited"),
    Reason.CROWDED: (429, "rate_limited"),
    Reason.POLICY: (400, "content_policy"),
    Reason.INVALID: (400, "invalid_request"),
    Reason.NO_MODEL: (404, "invalid_request"),
    Reason.NOT_FOUND: (404, "not_found"),
    Reason.CONFLICT: (409, "invalid_request"),
    Reason.CANCELLED: (409, "invalid_request"),
    Reason.FAILED: (500, "internal"),
    Reason.BROKEN: (500, "internal"),
}


async def generate(call: Call) -> Response:
    generation = await call.accept(_ask(call, call.json()))
    headers = {"idempotent-replayed": "true"} if call.repeated else {}
    wanted_later = "respond-async" in call.request.headers.get("prefer", "")
    if wanted_later or generation.ends_at - call.now > call.settings.answer_within_s:
        return JSONResponse(await _told(call, generation), 202, headers)
    await call.finished(generation)
    return JSONResponse(await _told(call, generation), 200, headers)


async def status(call: Call) -> Response:
    query = call.request.query_params
    if external_id := query.get("generation_id"):
        generation = await call.find(external_id)
    elif reference := query.get("reference_id"):
        generation = await call.find_reference(reference)
    else:
        raise Refused(Reason.INVALID, "generation_id or reference_id is required")
    return JSONResponse(await _told(call, generation))


async def health(call: Call) -> Response:
    return JSONResponse({"status": "ok"})


def _ask(call: Call, body: Mapping[str, Any]) -> Ask:
    prompt, model = body.get("prompt"), body.get("model", "default")
    if not isinstance(prompt, str) or not 1 <= len(prompt) <= _LONGEST_PROMPT:
        raise Refused(Reason.INVALID, f"prompt must have 1 to {_LONGEST_PROMPT} characters")
    if model != "default":
        raise Refused(Reason.NO_MODEL, f"there is no model {model!r}")
    width, height = (_edge(body, name) for name in ("width", "height"))
    seed, reference = body.get("seed"), body.get("reference_id")
    if seed is not None and not isinstance(seed, int):
        raise Refused(Reason.INVALID, "seed must be an integer or null")
    if reference is not None and not (isinstance(reference, str) and 1 <= len(reference) <= _LONGEST_REFERENCE):
        raise Refused(Reason.INVALID, f"reference_id must have 1 to {_LONGEST_REFERENCE} characters")
    return Ask(
        model=model,
        prompt=prompt,
        outputs=(picture(width, height, mime="image/png", seed=seed_of(prompt, seed)),),
        charge=Charge(PRICE_MICROS, {"image": 1}),
        request=dict(body),
        reference=reference,
        idempotency_key=call.request.headers.get("idempotency-key"),
    )


def _edge(body: Mapping[str, Any], name: str) -> int:
    value = body.get(name)
    if not isinstance(value, int) or not _SMALLEST <= value <= _LARGEST:
        raise Refused(Reason.INVALID, f"{name} must be an integer from {_SMALLEST} to {_LARGEST}")
    return value


async def _told(call: Call, generation: Generation) -> dict[str, Any]:
    """A generation as the contract tells it."""
    state = generation.state(call.now)
    found: dict[str, Any] = {
        "generation_id": generation.id,
        "reference_id": generation.reference,
        "status": {"unknown": "contemplating", "back": "queued"}.get(call.odd_status(), _STATES[state]),
        "progress": generation.progress(call.now),
        "seed": generation.outputs[0].seed,
        "cost": {"amount_micros": generation.amount_micros, "currency": "USD"},
    }
    if call.odd_status() == "extra":
        found["mood"] = {"colour": "yellow"}
    if state is State.DONE:
        (url,) = await call.links(generation)
        found |= {"image_url": url, "inference_time_ms": round(1000 * (generation.ends_at - generation.starts_at))}
    if state in {State.FAILED, State.BLOCKED}:
        code = "content_policy" if state is State.BLOCKED else "internal"
        found["error"] = {"code": code, "message": "the result was refused" if state is State.BLOCKED else "it failed"}
    return found


def refusal(refused: Refused) -> Response:
    status_code, code = _WORDS[refused.reason]
    headers = {} if refused.retry_after is None else {"retry-after": f"{refused.retry_after:g}"}
    error = {"code": code, "message": refused.message}
    return JSONResponse({"error": error}, refused.status or status_code, headers)


WIRE = Wire(
    name="nanobanana",
    endpoints=tuple(
        endpoint
        for root in ("", "/v1")
        for endpoint in (
            Endpoint("POST", f"{root}/generate", "submit", generate),
            Endpoint("GET", f"{root}/status", "status", status),
            Endpoint("GET", f"{root}/health", "health", health),
        )
    ),
    key_of=bearer,
    refusal=refusal,
    settings=ProviderSettings(url_ttl_s=3600),
    variables=Variables("NANO_BANANA_API_URL", "NANO_BANANA_API_KEY"),
)
