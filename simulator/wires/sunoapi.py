"""Suno as sunoapi.org and kie.ai serve it, under `/sunoapi/api/v1`: one task, two tracks, three callbacks.

Rules: providers §4. Every answer is HTTP 200 and says its real code in the body. No length can be asked for: each
task has two tracks of lengths that come from its words. Callbacks are unsigned and in snake_case.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4, uuid5

from starlette.responses import JSONResponse, Response

from simulator.call import Call
from simulator.generation import Ask, Charge, Generation, State, seed_of
from simulator.media.sounds import sound
from simulator.refusals import Reason, Refused
from simulator.settings import ProviderSettings
from simulator.store import bill
from simulator.wire import CallbackAsk, Delivery, Endpoint, Variables, Wire, bearer, reference_in

# What a generation costs is documented nowhere: as much as the shipped price list holds it to be at most.
_CREDITS = 20
_MICROS_PER_CREDIT = 5_000
_ENDLESS_CREDITS = 100_000
_MODELS = ("V4", "V4_5", "V4_5PLUS", "V4_5ALL", "V5", "V5_5")
_LONGEST_SIMPLE_PROMPT = 500
# Prompt, style and title of the custom mode, in characters.
_LONGEST = {"V4": (3_000, 200, 80)}
_LONGEST_OF_OTHERS = (5_000, 1_000, 100)
_SHORTEST_TRACK_S = 40.0
_FORTNIGHT_S = 14 * 86_400
# After which share of the work each stage is reached.
_STAGES = {"text": 0.3, "first": 0.7, "complete": 1.0}

_CODES: Mapping[Reason, int] = {
    Reason.AUTH: 401,
    Reason.QUOTA: 429,
    Reason.RATE: 430,
    Reason.CROWDED: 405,
    Reason.POLICY: 400,
    Reason.INVALID: 400,
    Reason.NO_MODEL: 400,
    Reason.NOT_FOUND: 404,
    Reason.CONFLICT: 409,
    Reason.CANCELLED: 400,
    Reason.FAILED: 501,
    Reason.BROKEN: 500,
}
_MAINTENANCE = {503: 455}
# Status, code and sentence of a task that came to nothing.
_ENDINGS = {
    State.FAILED: ("GENERATE_AUDIO_FAILED", 501, "Audio generation failed."),
    State.BLOCKED: ("SENSITIVE_WORD_ERROR", 400, "The prompt contains sensitive words."),
}


async def generate(call: Call) -> Response:
    generation = await call.accept(_ask(call.json()))
    return _said({"taskId": generation.id})


async def record(call: Call) -> Response:
    generation = await call.find(call.request.query_params.get("taskId", ""))
    state = {"back": State.QUEUED}.get(call.odd_status(), generation.state(call.now))
    ending = _ENDINGS.get(state)
    data: dict[str, Any] = {
        "taskId": generation.id,
        "parentMusicId": "",
        "param": json.dumps(generation.request),
        "status": "CONTEMPLATING" if call.odd_status() == "unknown" else _word(generation, state, call.now),
        "type": "GENERATE",
        "errorCode": ending and ending[1],
        "errorMessage": ending and ending[2],
        "response": await _response(call, generation) if state in {State.RUNNING, State.DONE} else None,
    }
    if call.odd_status() == "extra":
        data["mood"] = {"colour": "yellow"}
    return _said(data)


async def credits_left(call: Call) -> Response:
    given = call.account.credits_micros
    if given is None:
        return _said(_ENDLESS_CREDITS)
    spent = await call.simulation.database.run(
        lambda connection: bill.spent_micros(connection, "sunoapi", call.account.name)
    )
    return _said((given - spent) // _MICROS_PER_CREDIT)


def callback(ask: CallbackAsk) -> Delivery:
    """Of a stage, whatever has come of the task since; or of the error it ended with."""
    generation = ask.generation
    ending = _ENDINGS.get(generation.state(ask.now))
    code, message, stage = 200, f"{ask.stage} generated successfully.", ask.stage
    tracks: list[dict[str, Any]] | None = []
    if ending is not None:
        (_, code, message), stage, tracks = ending, "error", None
    elif stage != "text":
        tracks = [_snake(track) for track in _tracks(generation, ask.links[: 1 if stage == "first" else None])]
    data = {"callbackType": stage, "task_id": generation.id, "data": tracks}
    body = json.dumps({"code": code, "msg": message, "data": data}).encode()
    return Delivery(body, {"content-type": "application/json"})


def _ask(body: Mapping[str, Any]) -> Ask:
    model, url = body.get("model"), body.get("callBackUrl")
    if model not in _MODELS:
        raise Refused(Reason.INVALID, f"model must be one of {', '.join(_MODELS)}")
    if not isinstance(url, str) or not url:
        raise Refused(Reason.INVALID, "Please enter callBackUrl.")
    for name in ("customMode", "instrumental"):
        if not isinstance(body.get(name), bool):
            raise Refused(Reason.INVALID, f"{name} must be true or false")
    prompt = _prompt(body)
    seed = seed_of(prompt, None)
    return Ask(
        model=model,
        prompt=prompt,
        outputs=tuple(
            sound(seconds, mime="audio/mpeg", seed=seed + index) for index, seconds in enumerate(_lengths(seed))
        ),
        charge=Charge(_CREDITS * _MICROS_PER_CREDIT, {"credits": _CREDITS}),
        request=dict(body),
        reference=reference_in(url),
        callback_url=url,
        callback_stages=tuple(_STAGES.items()),
    )


def _prompt(body: Mapping[str, Any]) -> str:
    """What the music is made from; in the custom mode the style where there are no words."""
    if not body["customMode"]:
        return _text(body, "prompt", _LONGEST_SIMPLE_PROMPT)
    prompt_limit, style_limit, title_limit = _LONGEST.get(body["model"], _LONGEST_OF_OTHERS)
    style = _text(body, "style", style_limit)
    _text(body, "title", title_limit)
    if body["instrumental"] and not body.get("prompt"):
        return style
    return _text(body, "prompt", prompt_limit)


def _text(body: Mapping[str, Any], name: str, longest: int) -> str:
    found = body.get(name)
    if not isinstance(found, str) or not found.strip():
        raise Refused(Reason.INVALID, f"{name} is required")
    if len(found) > longest:
        raise Refused(Reason.INVALID, f"{name} has more than {longest} characters", status=413)
    return found


def _lengths(seed: int) -> tuple[float, float]:
    """Of the two tracks, in seconds: never the same, and not in order of length."""
    short = _SHORTEST_TRACK_S + seed % 4_000 / 100
    long = round(short * 1.3, 2)
    return (short, long) if seed % 2 else (long, short)


def _word(generation: Generation, state: State, now: float) -> str:
    if ending := _ENDINGS.get(state):
        return ending[0]
    if state is State.DONE:
        return "CALLBACK_EXCEPTION" if generation.has("callback_exception") else "SUCCESS"
    if state is State.QUEUED:
        return "PENDING"
    part = generation.progress(now) / 100
    return "FIRST_SUCCESS" if part >= _STAGES["first"] else "TEXT_SUCCESS" if part >= _STAGES["text"] else "PENDING"


async def _response(call: Call, generation: Generation) -> dict[str, Any] | None:
    """The tracks there are by now."""
    word = _word(generation, generation.state(call.now), call.now)
    if word in {"PENDING", "TEXT_SUCCESS"}:
        return None
    links = await call.links(generation)
    return {"taskId": generation.id, "sunoData": _tracks(generation, links[: 1 if word == "FIRST_SUCCESS" else None])}


def _tracks(generation: Generation, links: tuple[str, ...]) -> list[dict[str, Any]]:
    """One for each link."""
    made = datetime.fromtimestamp(generation.accepted_at, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return [
        {
            "id": str(uuid5(UUID(generation.id), str(index))),
            "audioUrl": url,
            "streamAudioUrl": url,
            "imageUrl": None,
            "prompt": generation.prompt,
            "modelName": f"chirp-{generation.model.lower().replace('_', '-')}",
            "title": generation.request.get("title") or "Untitled",
            "tags": generation.request.get("style") or "",
            "createTime": made,
            "duration": generation.outputs[index].params["duration_s"],
        }
        for index, url in enumerate(links)
    ]


def _snake(track: Mapping[str, Any]) -> dict[str, Any]:
    """As callbacks name the fields; `createTime` is the one that both write alike."""
    names = {"audioUrl": "audio_url", "streamAudioUrl": "stream_audio_url", "imageUrl": "image_url"}
    return {{**names, "modelName": "model_name"}.get(name, name): value for name, value in track.items()}


def _said(data: Any, code: int = 200, message: str = "success", headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"code": code, "msg": message, "data": data}, headers=headers)


def refusal(refused: Refused) -> Response:
    code = _CODES[refused.reason]
    if refused.status is not None:
        code = _MAINTENANCE.get(refused.status, code) if refused.reason is Reason.BROKEN else refused.status
    wait = None if refused.in_body else refused.retry_after
    return _said(None, code, refused.message, {} if wait is None else {"retry-after": f"{wait:g}"})


WIRE = Wire(
    name="sunoapi",
    endpoints=(
        Endpoint("POST", "/api/v1/generate", "submit", generate),
        Endpoint("GET", "/api/v1/generate/record-info", "status", record),
        Endpoint("GET", "/api/v1/generate/credit", "credits", credits_left),
    ),
    key_of=bearer,
    refusal=refusal,
    settings=ProviderSettings(url_ttl_s=_FORTNIGHT_S),
    new_id=lambda: uuid4().hex,
    judges_prompts=False,
    links_end_together=True,
    callback=callback,
    variables=Variables("SUNO_API_URL", "SUNO_API_KEY"),
)
