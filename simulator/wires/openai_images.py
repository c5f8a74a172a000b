"""OpenAI Images under `/openai/v1`: generations and edits, synchronous, inline base64.

Rules: providers §3a. A refusal by policy costs nothing here; prices are by token.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from starlette.responses import JSONResponse, Response

from simulator.call import Call
from simulator.generation import Ask, Charge, Generation, Output, seed_of
from simulator.media.images import picture
from simulator.refusals import Reason, Refused
from simulator.settings import ProviderSettings
from simulator.wire import Endpoint, Variables, Wire, bearer

MODELS = (
    "gpt-image-1-mini",
    "gpt-image-1.5",
    "gpt-image-2",
    "gpt-image-2.5-flare",
    "gpt-image-2.5-sunburst",
    "gpt-image-2.6-flare",
    "gpt-image-2.6-sunburst",
)
_FIXED_SIZES = {"1024x1024", "1536x1024", "1024x1536"}
_MIMES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
# Output tokens of a 1024x1024 picture; other sizes in proportion to their pixels.
_TOKENS = {"low": 200, "medium": 1767, "high": 7033, "auto": 1767, "xhigh": 10_550, "max": 14_066}
_OLD_TOKENS = {"low": 272, "medium": 1056, "high": 4160, "auto": 1056}
_IMAGE_TOKENS = 323
_MICROS_PER_TOKEN = {"text": 5, "image": 8, "output": 30}

# Status, `type` and `code` of each refusal.
_WORDS: Mapping[Reason, tuple[int, str, str | None]] = {
    Reason.AUTH: (401, "invalid_request_error", "invalid_api_key"),
    Reason.QUOTA: (429, "insufficient_quota", "insufficient_quota"),
    Reason.RATE: (429, "requests", "rate_limit_exceeded"),
    Reason.CROWDED: (429, "requests", "rate_limit_exceeded"),
    Reason.POLICY: (400, "image_generation_user_error", "moderation_blocked"),
    Reason.INVALID: (400, "invalid_request_error", "invalid_value"),
    Reason.NO_MODEL: (404, "invalid_request_error", "model_not_found"),
    Reason.NOT_FOUND: (404, "invalid_request_error", None),
    Reason.CONFLICT: (409, "invalid_request_error", "conflict"),
    Reason.CANCELLED: (400, "invalid_request_error", "cancelled"),
    Reason.FAILED: (500, "image_generation_server_error", "image_generation_failed"),
    Reason.BROKEN: (500, "server_error", "server_error"),
}


async def generate(call: Call) -> Response:
    body = call.json()
    return await _answer(call, body, pictures=[])


async def edit(call: Call) -> Response:
    async with call.request.form(max_part_size=52_428_800) as form:
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
        given = [value for name, value in form.multi_items() if not isinstance(value, str) and name.startswith("image")]
        pictures = [hashlib.sha256(await one.read()).hexdigest() for one in given]
    if not 1 <= len(pictures) <= 16:
        raise _invalid("image", f"{len(pictures)} images were given, 1 to 16 are possible")
    return await _answer(call, fields, pictures=pictures)


async def models(call: Call) -> Response:
    found = [{"id": name, "object": "model", "created": 1_776_000_000, "owned_by": "system"} for name in MODELS]
    return JSONResponse({"object": "list", "data": found})


async def _answer(call: Call, body: Mapping[str, Any], *, pictures: list[str]) -> Response:
    ask = _ask(call, body, pictures)
    generation = await call.finished(await call.accept(ask))
    files = await call.media(generation)
    usage = ask.charge.units
    return JSONResponse(
        {
            "created": int(generation.accepted_at),
            "background": body.get("background", "opaque"),
            "output_format": body.get("output_format", "png"),
            "quality": body.get("quality", "auto"),
            "size": _size_of(generation),
            "data": [{"b64_json": base64.b64encode(data).decode()} for data in files],
            "usage": {
                "input_tokens": int(usage["text_tokens"] + usage["image_tokens"]),
                "input_tokens_details": {
                    "text_tokens": int(usage["text_tokens"]),
                    "image_tokens": int(usage["image_tokens"]),
                },
                "output_tokens": int(usage["output_tokens"]),
                "total_tokens": int(sum(usage.values())),
            },
        }
    )


def _ask(call: Call, body: Mapping[str, Any], pictures: list[str]) -> Ask:
    model, prompt = str(body.get("model", "gpt-image-2")), body.get("prompt")
    if model not in MODELS:
        raise Refused(Reason.NO_MODEL, f"The model '{model}' does not exist or you do not have access to it.")
    if not isinstance(prompt, str) or not 1 <= len(prompt) <= 32_000:
        raise _invalid("prompt", "a prompt of 1 to 32000 characters is required")
    number = _whole(body, "n", 1, 10)
    width, height = _size(model, str(body.get("size", "auto")))
    mime = _MIMES.get(str(body.get("output_format", "png")))
    quality = str(body.get("quality", "auto"))
    tokens = _OLD_TOKENS if model.startswith("gpt-image-1") else _TOKENS
    if mime is None:
        raise _invalid("output_format", "supported values are png, jpeg and webp")
    if quality not in tokens:
        raise _invalid("quality", f"supported values are {', '.join(tokens)}")
    made = tokens[quality] * width * height // (1024 * 1024) * number
    units = {
        "text_tokens": max(1, len(prompt) // 4),
        "image_tokens": _IMAGE_TOKENS * len(pictures),
        "output_tokens": made,
    }
    return Ask(
        model=model,
        prompt=prompt,
        outputs=tuple(_output(body, prompt, mime, (width, height), index) for index in range(number)),
        charge=Charge(
            units["text_tokens"] * _MICROS_PER_TOKEN["text"]
            + units["image_tokens"] * _MICROS_PER_TOKEN["image"]
            + units["output_tokens"] * _MICROS_PER_TOKEN["output"],
            units,
        ),
        request={**body, "images": pictures},
        reference=call.request.headers.get("x-client-request-id"),
        tenant=body.get("safety_identifier") or body.get("user"),
    )


def _output(body: Mapping[str, Any], prompt: str, mime: str, size: tuple[int, int], index: int) -> Output:
    return picture(
        *size,
        mime=mime,
        seed=seed_of(prompt, None) + index,
        transparent=body.get("background") == "transparent",
        quality=body.get("output_compression") and _whole(body, "output_compression", 0, 100),
    )


def _size(model: str, size: str) -> tuple[int, int]:
    """Free sizes within bounds since gpt-image-2; three before."""
    if size == "auto":
        return 1024, 1024
    if model.startswith("gpt-image-1") and size not in _FIXED_SIZES:
        raise _invalid("size", f"supported values are {', '.join(sorted(_FIXED_SIZES))} and auto")
    width, _, height = size.partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise _invalid("size", "expected WIDTHxHEIGHT or auto")
    w, h = int(width), int(height)
    if w % 16 or h % 16 or not 655_360 <= w * h <= 8_294_400 or max(w, h) > min(3840, 3 * min(w, h)):
        raise _invalid("size", "edges are multiples of 16 up to 3840, at most 3:1, with 655360 to 8294400 pixels")
    return w, h


def _size_of(generation: Generation) -> str:
    params = generation.outputs[0].params
    return f"{params['width']}x{params['height']}"


def _whole(body: Mapping[str, Any], name: str, least: int, most: int) -> int:
    try:
        found = int(body.get(name, least))
    except (TypeError, ValueError):
        raise _invalid(name, "expected an integer") from None
    if not least <= found <= most:
        raise _invalid(name, f"expected {least} to {most}")
    return found


def _invalid(field: str, message: str) -> Refused:
    return Refused(Reason.INVALID, f"Invalid value for '{field}': {message}.", field=field)


def refusal(refused: Refused) -> Response:
    status, kind, code = _WORDS[refused.reason]
    error: dict[str, Any] = {"message": refused.message, "type": kind, "param": refused.field, "code": code}
    if refused.reason is Reason.POLICY:
        error["moderation_details"] = {"moderation_stage": refused.stage, "categories": ["violence"]}
    headers = {}
    if refused.retry_after is not None:
        headers = {"retry-after": f"{refused.retry_after:g}", "retry-after-ms": str(round(refused.retry_after * 1000))}
    return JSONResponse({"error": error}, refused.status or status, headers)


def dressed(call: Call, response: Response) -> None:
    response.headers["x-request-id"] = f"req_{uuid4().hex}"
    response.headers["openai-version"] = "2020-10-01"
    if rate := call.account.rate:
        response.headers["x-ratelimit-limit-requests"] = str(rate.requests)


WIRE = Wire(
    name="openai",
    endpoints=(
        Endpoint("POST", "/v1/images/generations", "submit", generate),
        Endpoint("POST", "/v1/images/edits", "submit", edit),
        Endpoint("GET", "/v1/models", "models", models),
    ),
    key_of=bearer,
    refusal=refusal,
    settings=ProviderSettings(queued_s=(0, 0)),
    new_id=lambda: f"img_{uuid4().hex}",
    dressed=dressed,
    variables=Variables("OPENAI_API_URL", "OPENAI_API_KEY", path="/v1"),
)
