"""ElevenLabs under `/elevenlabs/v1`: sound effects and music, synchronous, the answer is the audio itself.

Rules: providers §6. A refusal costs nothing; an effect costs the same at any length, music by the millisecond.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from starlette.responses import JSONResponse, Response

from simulator.call import Call
from simulator.generation import Ask, Charge, seed_of
from simulator.media.sounds import sound
from simulator.refusals import Reason, Refused
from simulator.settings import ProviderSettings
from simulator.wire import Endpoint, Variables, Wire

_EFFECT_MICROS = 120_000
_MICROS_PER_MILLISECOND = 5
_AUTO_S = 3.0
_EFFECT_MODELS = {"eleven_text_to_sound_v2", "eleven_text_to_sound_v3"}
_MUSIC_MODELS = {"music_v1", "music_v2", "music_v2_5"}
_MIMES = {"mp3": "audio/mpeg", "wav": "audio/wav"}

_WORDS: Mapping[Reason, tuple[int, str]] = {
    Reason.AUTH: (401, "invalid_api_key"),
    # Money that is used up has the status of a wrong key.
    Reason.QUOTA: (401, "quota_exceeded"),
    Reason.RATE: (429, "system_busy"),
    Reason.CROWDED: (429, "too_many_concurrent_requests"),
    Reason.POLICY: (400, "content_policy_violation"),
    Reason.INVALID: (422, "invalid_request"),
    Reason.NO_MODEL: (400, "model_not_found"),
    Reason.NOT_FOUND: (404, "not_found"),
    Reason.CONFLICT: (409, "conflict"),
    Reason.CANCELLED: (400, "cancelled"),
    Reason.FAILED: (500, "internal_server_error"),
    Reason.BROKEN: (500, "internal_server_error"),
}


async def effect(call: Call) -> Response:
    body = call.json()
    seconds = body.get("duration_seconds")
    if seconds is not None and not (isinstance(seconds, int | float) and 0.5 <= seconds <= 30):
        raise _invalid("duration_seconds", "expected null or 0.5 to 30")
    _known(body.get("model_id", "eleven_text_to_sound_v2"), _EFFECT_MODELS)
    charge = Charge(_EFFECT_MICROS, {"generation": 1})
    return await _heard(call, body, "text", _AUTO_S if seconds is None else float(seconds), charge)


async def music(call: Call) -> Response:
    body = call.json()
    milliseconds = body.get("music_length_ms", 30_000)
    if not isinstance(milliseconds, int) or not 3_000 <= milliseconds <= 600_000:
        raise _invalid("music_length_ms", "expected 3000 to 600000")
    _known(body.get("model_id", "music_v1"), _MUSIC_MODELS)
    charge = Charge(milliseconds * _MICROS_PER_MILLISECOND, {"millisecond": milliseconds})
    return await _heard(call, body, "prompt", milliseconds / 1000, charge)


async def models(call: Call) -> Response:
    return JSONResponse([{"model_id": name, "name": name} for name in sorted(_EFFECT_MODELS | _MUSIC_MODELS)])


async def _heard(call: Call, body: Mapping[str, Any], field: str, seconds: float, charge: Charge) -> Response:
    prompt = body.get(field)
    if not isinstance(prompt, str) or not prompt.strip():
        raise _invalid(field, "a text is required")
    model = str(body.get("model_id", "default"))
    mime, rate = _format(call.request.query_params.get("output_format", "auto"), model)
    output = sound(seconds, mime=mime, seed=seed_of(prompt, body.get("seed")), sample_rate=rate)
    ask = Ask(
        model=model,
        prompt=prompt,
        outputs=(output,),
        charge=charge,
        request={**body, "output_format": [mime, rate], "endpoint": call.endpoint.path},
    )
    generation = await call.finished(await call.accept(ask))
    (data,) = await call.media(generation)
    return Response(data, media_type=mime, headers={"song-id": generation.id})


def _format(name: str, model: str) -> tuple[str, int]:
    """MIME type and sample rate of `mp3_44100_128`, `wav_48000`; `auto` is what the model does best."""
    best = "mp3_48000_192" if model.startswith("music_v2") else "mp3_44100_128"
    codec, _, rest = (best if name == "auto" else name).partition("_")
    rate = rest.partition("_")[0]
    if codec not in _MIMES or rate not in {"22050", "44100", "48000"}:
        raise _invalid("output_format", "expected mp3_RATE_BITRATE or wav_RATE")
    return _MIMES[codec], int(rate)


def _known(model: Any, models: set[str]) -> None:
    if model not in models:
        raise Refused(Reason.NO_MODEL, f"A model with model ID {model} does not exist.")


def _invalid(field: str, message: str) -> Refused:
    return Refused(Reason.INVALID, message, field=field)


def refusal(refused: Refused) -> Response:
    status, word = _WORDS[refused.reason]
    detail: Any = {"status": word, "message": refused.message}
    if refused.field:
        detail = [{"type": "value_error", "loc": ["body", refused.field], "msg": refused.message}]
    headers = {} if refused.retry_after is None else {"retry-after": f"{refused.retry_after:g}"}
    return JSONResponse({"detail": detail}, refused.status or status, headers)


def dressed(call: Call, response: Response) -> None:
    response.headers["request-id"] = call.external_id or uuid4().hex
    if call.account.max_running is not None:
        response.headers["maximum-concurrent-requests"] = str(call.account.max_running)


WIRE = Wire(
    name="elevenlabs",
    endpoints=(
        Endpoint("POST", "/v1/sound-generation", "submit", effect),
        Endpoint("POST", "/v1/music", "submit", music),
        Endpoint("GET", "/v1/models", "models", models),
    ),
    key_of=lambda request: request.headers.get("xi-api-key"),
    refusal=refusal,
    settings=ProviderSettings(queued_s=(0, 0)),
    new_id=lambda: uuid4().hex,
    dressed=dressed,
    variables=Variables("ELEVENLABS_API_URL", "ELEVENLABS_API_KEY"),
)
