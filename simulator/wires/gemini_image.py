"""Gemini pictures under `/gemini/v1beta` and `/gemini/v1`: `generateContent`, synchronous, inline base64.

Rules: providers §1. A picture that policy refuses is HTTP 200 without one, and costs its prompt alone.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from starlette.responses import JSONResponse, Response

from simulator.call import Call
from simulator.generation import Ask, Charge, seed_of
from simulator.media.images import picture
from simulator.refusals import Reason, Refused
from simulator.settings import ProviderSettings
from simulator.wire import Endpoint, Variables, Wire
from simulator.wires.google import VERSIONS, key_of, refusal

_FLASH_25 = {
    "1:1": (1024, 1024),
    "2:3": (832, 1248),
    "3:2": (1248, 832),
    "3:4": (864, 1184),
    "4:3": (1184, 864),
    "4:5": (896, 1152),
    "5:4": (1152, 896),
    "9:16": (768, 1344),
    "16:9": (1344, 768),
    "21:9": (1536, 672),
}
_AT_1K = {
    "1:1": (1024, 1024),
    "3:2": (1264, 848),
    "4:3": (1200, 896),
    "5:4": (1152, 928),
    "16:9": (1376, 768),
    "21:9": (1584, 672),
    "2:3": (848, 1264),
    "3:4": (896, 1200),
    "4:5": (928, 1152),
    "9:16": (768, 1376),
}
_WIDE = {"1:4": (512, 2048), "4:1": (2048, 512), "1:8": (352, 2928), "8:1": (2928, 352)}
# Millionths of a USD for a prompt token, and for an output token.
_PRICES = {
    "gemini-2.5-flash-image": (0.3, 30),
    "gemini-3-pro-image": (2, 120),
    "gemini-3.1-flash-image": (0.5, 60),
    "gemini-3.1-flash-lite-image": (0.25, 30),
    "gemini-nano-banana-2.1": (0.5, 60),
}
_TOKENS = {"512": 747, "1K": 1120, "2K": 1680, "4K": 2520}
_PRO_TOKENS = {"1K": 1120, "2K": 1120, "4K": 2000}
_SCALE = {"1K": 1, "2K": 2, "4K": 4}


async def generate(call: Call) -> Response:
    model, _, action = call.request.path_params["call"].partition(":")
    if action != "generateContent" or model not in _PRICES:
        raise Refused(Reason.NO_MODEL, f"models/{model} is not found for API version v1beta, or not for {action}.")
    try:
        generation = await call.accept(_ask(call, model, call.json()))
    except Refused as refused:
        if refused.reason is not Reason.POLICY:
            raise
        return JSONResponse({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, **_usage(model, 0, 0)})
    tokens = {name: int(generation.request["tokens"][name]) for name in ("prompt", "output")}
    try:
        await call.finished(generation)
    except Refused as refused:
        if refused.reason is Reason.POLICY:
            return JSONResponse(_candidate([], "IMAGE_SAFETY") | _usage(model, tokens["prompt"], 0))
        if refused.reason is Reason.FAILED:
            return JSONResponse(_candidate([], "NO_IMAGE") | _usage(model, tokens["prompt"], 0))
        raise
    parts: list[dict[str, Any]] = [{"text": "Here it is."}]
    for output, data in zip(generation.outputs, await call.media(generation), strict=True):
        parts.append({"inlineData": {"mimeType": output.mime, "data": base64.b64encode(data).decode()}})
    return JSONResponse(_candidate(parts, "STOP") | _usage(model, tokens["prompt"], tokens["output"]))


async def models(call: Call) -> Response:
    return JSONResponse({"models": [_model(name) for name in _PRICES]})


async def model(call: Call) -> Response:
    name = call.request.path_params["model"]
    if name not in _PRICES:
        raise Refused(Reason.NO_MODEL, f"models/{name} is not found for API version v1beta.")
    return JSONResponse(_model(name))


def _ask(call: Call, model: str, body: Mapping[str, Any]) -> Ask:
    contents = body.get("contents")
    if not isinstance(contents, list) or not contents:
        raise Refused(Reason.INVALID, "* GenerateContentRequest.contents: contents is not specified")
    parts = [part for content in contents for part in content.get("parts", [])]
    prompt = "\n".join(part["text"] for part in parts if "text" in part)
    pictures = [part["inlineData"] for part in parts if "inlineData" in part]
    config = body.get("generationConfig", {})
    width, height, output_tokens = _size(model, config.get("imageConfig", {}))
    prompt_tokens = max(1, len(prompt) // 4) + 258 * len(pictures)
    in_price, out_price = _PRICES[model]
    seed = seed_of(prompt, config.get("seed"))
    return Ask(
        model=model,
        prompt=prompt,
        outputs=(picture(width, height, mime="image/png", seed=seed),),
        charge=Charge(
            round(prompt_tokens * in_price + output_tokens * out_price),
            {"prompt_tokens": prompt_tokens, "output_tokens": output_tokens},
        ),
        blocked=Charge(round(prompt_tokens * in_price), {"prompt_tokens": prompt_tokens}),
        request={
            "prompt": prompt,
            "config": config,
            "pictures": [hashlib.sha256(one["data"].encode()).hexdigest() for one in pictures],
            "tokens": {"prompt": prompt_tokens, "output": output_tokens},
        },
        tenant=(body.get("labels") or {}).get("tenant"),
        reference=(body.get("labels") or {}).get("reference"),
    )


def _size(model: str, image: Mapping[str, Any]) -> tuple[int, int, int]:
    """Width, height and output tokens; raises `Refused`."""
    ratio, tier = image.get("aspectRatio") or "1:1", image.get("imageSize") or "1K"
    if model == "gemini-2.5-flash-image":
        if ratio not in _FLASH_25 or tier != "1K":
            raise Refused(Reason.INVALID, f"aspect ratio {ratio} at {tier} is not supported by this model")
        return *_FLASH_25[ratio], 1290
    pro = model == "gemini-3-pro-image"
    sizes, tokens = (_AT_1K, _PRO_TOKENS) if pro else (_AT_1K | _WIDE, _TOKENS)
    if ratio not in sizes or tier not in tokens:
        raise Refused(Reason.INVALID, f"aspect ratio {ratio} at {tier} is not supported by this model")
    width, height = sizes[ratio]
    if tier == "512":
        return width // 2, height // 2, tokens[tier]
    return width * _SCALE[tier], height * _SCALE[tier], tokens[tier]


def _candidate(parts: list[dict[str, Any]], reason: str) -> dict[str, Any]:
    return {"candidates": [{"index": 0, "finishReason": reason, "content": {"role": "model", "parts": parts}}]}


def _usage(model: str, prompt: int, output: int) -> dict[str, Any]:
    details = [{"modality": "IMAGE", "tokenCount": output}] if output else []
    usage = {"promptTokenCount": prompt, "candidatesTokenCount": output, "totalTokenCount": prompt + output}
    return {
        "usageMetadata": usage | {"candidatesTokensDetails": details},
        "modelVersion": model,
        "responseId": uuid4().hex[:23],
    }


def _model(name: str) -> dict[str, Any]:
    return {"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": ["generateContent"]}


WIRE = Wire(
    name="gemini",
    endpoints=tuple(
        endpoint
        for version in VERSIONS
        for endpoint in (
            Endpoint("POST", f"{version}/models/{{call}}", "submit", generate),
            Endpoint("GET", f"{version}/models", "models", models),
            Endpoint("GET", f"{version}/models/{{model}}", "models", model),
        )
    ),
    key_of=key_of,
    refusal=refusal,
    settings=ProviderSettings(queued_s=(0, 0)),
    variables=Variables("GEMINI_API_URL", "GEMINI_API_KEY"),
)
