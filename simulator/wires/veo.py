"""Veo beside Gemini's pictures: `predictLongRunning`, its operations, and the files they end with.

Rules: providers §2a. What policy refuses ends as done, without a video and without a charge. There is no list, no
cancelling and no reference; the header `x-sim-reference` is what its lines are told apart by.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from starlette.responses import JSONResponse, Response

from simulator.call import Call
from simulator.generation import Ask, Charge, Generation, State, seed_of
from simulator.media.videos import video
from simulator.refusals import Reason, Refused
from simulator.settings import ProviderSettings
from simulator.wire import Endpoint, Wire
from simulator.wires.google import HOST, TWO_DAYS_S, VERSIONS, download, file_address, key_of, refusal

# Millionths of a USD for a second.
_PRICES = {
    "veo-3.1-generate-preview": {"720p": 400_000, "1080p": 400_000, "4k": 600_000},
    "veo-3.1-fast-generate-preview": {"720p": 100_000, "1080p": 120_000, "4k": 300_000},
    "veo-3.1-lite-generate-preview": {"720p": 50_000, "1080p": 80_000},
}
_LONG_EDGE = {"720p": 1280, "1080p": 1920, "4k": 3840}
_SECONDS = (4, 6, 8)
_PARAMETERS = {
    "aspectRatio",
    "durationSeconds",
    "resolution",
    "negativePrompt",
    "personGeneration",
    "sampleCount",
}
_FILTERED = (
    "Sorry, we can't create videos with the content you asked for. This prompt may violate our usage guidelines. "
    "You will not be charged for this attempt. Support codes: 58061214"
)


async def predict(call: Call) -> Response:
    model = call.request.path_params["model"]
    if model not in _PRICES:
        raise Refused(Reason.NO_MODEL, f"models/{model} is not found, or not for predictLongRunning.")
    generation = await call.accept(_ask(model, call.json()))
    return JSONResponse({"name": _name(generation)})


async def operation(call: Call) -> Response:
    path = call.request.path_params
    generation = await call.find(path["operation"])
    if generation.model != path["model"]:
        raise Refused(Reason.NOT_FOUND, "The operation does not exist.")
    told = _told(generation, call.odd_status(), generation.state(call.now))
    return JSONResponse({"name": _name(generation), **told})


def _told(generation: Generation, odd: str, state: State) -> dict[str, Any]:
    if odd == "unknown":
        return {"done": "CONTEMPLATING"}
    if odd == "back" or state in {State.QUEUED, State.RUNNING}:
        return {}
    if state in {State.FAILED, State.CANCELLED}:
        return {"done": True, "error": {"code": 3, "message": "Video generation failed: an input could not be used."}}
    if state is State.BLOCKED:
        answer: dict[str, Any] = {"raiMediaFilteredCount": 1, "raiMediaFilteredReasons": [_FILTERED]}
    else:
        uri = file_address(generation.base_url, f"veo{generation.id}")
        answer = {"generatedSamples": [{"video": {"uri": uri}}]}
    mood = {"mood": {"colour": "yellow"}} if odd == "extra" else {}
    kind = "type.googleapis.com/google.ai.generativelanguage.v1beta.PredictLongRunningResponse"
    return {"done": True, "response": {"@type": kind, "generateVideoResponse": answer}, **mood}


def _name(generation: Generation) -> str:
    return f"models/{generation.model}/operations/{generation.id}"


def _ask(model: str, body: Mapping[str, Any]) -> Ask:
    instances, given = body.get("instances"), body.get("parameters") or {}
    if not isinstance(instances, list) or len(instances) != 1 or not isinstance(given, dict):
        raise Refused(Reason.INVALID, "exactly one instance, and an object of parameters, are expected")
    if unknown := sorted(given.keys() - _PARAMETERS):
        raise Refused(Reason.INVALID, f"`{unknown[0]}` isn't supported by this model. Please remove it.")
    instance = instances[0]
    prompt = instance.get("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        raise Refused(Reason.INVALID, "a prompt is required")
    if given.get("sampleCount", 1) != 1:
        raise Refused(Reason.INVALID, "`sampleCount` must be 1")
    seconds, resolution, wide = _shape(model, given)
    long = _LONG_EDGE[resolution]
    short = long * 9 // 16
    frames = {name: _sha256(instance[name]) for name in ("image", "lastFrame") if name in instance}
    return Ask(
        model=model,
        prompt=prompt,
        outputs=(video(*((long, short) if wide else (short, long)), seconds, seed=seed_of(prompt, None)),),
        charge=Charge(seconds * _PRICES[model][resolution], {"second": seconds}),
        request={"prompt": prompt, "frames": frames, "parameters": given},
    )


def _shape(model: str, given: Mapping[str, Any]) -> tuple[int, str, bool]:
    """Seconds, resolution, and whether it lies; raises `Refused`."""
    seconds, resolution = given.get("durationSeconds", 8), given.get("resolution", "720p")
    ratio = given.get("aspectRatio", "16:9")
    if seconds not in _SECONDS:
        raise Refused(Reason.INVALID, f"durationSeconds must be one of {', '.join(map(str, _SECONDS))}")
    if resolution not in _PRICES[model]:
        raise Refused(Reason.INVALID, f"resolution {resolution} is not supported by this model")
    if resolution != "720p" and seconds != _SECONDS[-1]:
        raise Refused(Reason.INVALID, f"resolution {resolution} is made at {_SECONDS[-1]} seconds alone")
    if ratio not in {"16:9", "9:16"}:
        raise Refused(Reason.INVALID, f"aspectRatio {ratio} is not supported by this model")
    return int(seconds), str(resolution), ratio == "16:9"


def _sha256(image: Any) -> str:
    """What a picture is told by; raises `Refused` where it is none."""
    if not isinstance(image, dict) or not image.get("bytesBase64Encoded") or not image.get("mimeType"):
        raise Refused(Reason.INVALID, "an image has bytesBase64Encoded and mimeType")
    return hashlib.sha256(str(image["bytesBase64Encoded"]).encode()).hexdigest()


WIRE = Wire(
    name="veo",
    host=HOST,
    endpoints=tuple(
        endpoint
        for version in VERSIONS
        for endpoint in (
            Endpoint("POST", f"{version}/models/{{model}}:predictLongRunning", "submit", predict),
            Endpoint("GET", f"{version}/models/{{model}}/operations/{{operation}}", "status", operation),
            Endpoint("GET", f"{version}/files/veo{{generation}}:download", "download", download),
        )
    ),
    key_of=key_of,
    refusal=refusal,
    settings=ProviderSettings(url_ttl_s=TWO_DAYS_S),
    new_id=lambda: uuid4().hex[:12],
    judges_prompts=False,
    links_end_together=True,
)
