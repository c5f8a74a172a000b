"""Interactions beside Gemini's pictures: videos of Omni and music of Lyria, and the callbacks about them.

Rules: providers §1b and §2b. What policy refuses is completed with words alone. A name that is not there is a 400. The
previews of Lyria answer with `outputs` where all others have `steps`, as the vendor's client knows. Of several callback
addresses the first is called. All callbacks are signed with the secret that `POST /v1beta/webhooks` gives out.
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
from simulator.generation import Ask, Generation, State
from simulator.refusals import Reason, Refused
from simulator.settings import ProviderSettings
from simulator.store import kept
from simulator.wire import CallbackAsk, Delivery, Endpoint, Wire, reference_in
from simulator.wires.google import HOST, TWO_DAYS_S, VERSIONS, download, file_address, key_of
from simulator.wires.interaction_models import made_of

NAME = "gemini_interactions"

_LARGEST_INLINE = 4 * 1024 * 1024
_LABEL = re.compile(r"[\w-]{0,63}")
_LABEL_NAME = re.compile(r"[^\W\d_A-Z][\w-]{0,62}")
_WITH_OUTPUTS = {"lyria-3-clip-preview", "lyria-3-pro-preview"}
_UNFINISHED = {State.QUEUED, State.RUNNING}
_STATES = {
    State.QUEUED: "queued",
    State.RUNNING: "in_progress",
    State.DONE: "completed",
    State.FAILED: "failed",
    State.BLOCKED: "completed",
    State.CANCELLED: "cancelled",
}
_REFUSED = "I can't make this for you: it goes against the usage policies. Let's try something else."
_FAILED = {"code": "internal_error", "message": "An internal error has occurred."}

_WORDS: Mapping[Reason, tuple[int, str]] = {
    Reason.AUTH: (400, "invalid_request"),
    Reason.QUOTA: (429, "resource_exhausted"),
    Reason.RATE: (429, "too_many_requests"),
    Reason.CROWDED: (429, "too_many_requests"),
    Reason.INVALID: (400, "invalid_request"),
    Reason.NO_MODEL: (404, "not_found"),
    Reason.NOT_FOUND: (400, "invalid_request"),
    Reason.CONFLICT: (409, "aborted"),
    Reason.CANCELLED: (400, "cancelled"),
    Reason.FAILED: (500, "internal_error"),
    Reason.BROKEN: (500, "internal_error"),
}
_BROKEN = {503: "service_unavailable", 504: "deadline_exceeded"}


async def create(call: Call) -> Response:
    """Answers at once in the background, and otherwise with the end."""
    body = call.json()
    generation = await call.accept(_ask(body, await _registered(call)))
    if not body.get("background"):
        await call.until(generation.ends_at)
    return JSONResponse(await _told(call, generation))


async def status(call: Call) -> Response:
    generation = await _found(call)
    told = await _told(call, generation)
    match call.odd_status():
        case "unknown":
            told["status"] = "contemplating"
        case "back":
            told = {**_head(generation, call.now), "status": "queued"}
        case "extra":
            told["mood"] = {"colour": "yellow"}
    return JSONResponse(told)


async def cancel(call: Call) -> Response:
    generation = await _found(call)
    if generation.state(call.now) not in _UNFINISHED:
        raise Refused(Reason.INVALID, "Only an interaction that is still running can be cancelled.")
    return JSONResponse(await _told(call, await call.cancel(generation)))


async def delete(call: Call) -> Response:
    """Forgets it; the work goes on."""
    generation = await _found(call)
    await call.simulation.database.run(lambda connection: kept.put(connection, _deleted(generation.id), True))
    return JSONResponse({})


async def register(call: Call) -> Response:
    """A project's own callback address, the last one registered; its secret is told here and nowhere else."""
    body = call.json()
    uri, events = body.get("uri"), body.get("subscribed_events")
    if not isinstance(uri, str) or not uri or not isinstance(events, list) or not events:
        raise Refused(Reason.INVALID, "uri and subscribed_events are required")
    await call.simulation.database.run(lambda connection: kept.put(connection, _webhook(call), [uri, events]))
    secret = call.simulation.signing.webhook_secret(NAME)
    told = {"id": uuid4().hex, "name": body.get("name"), "uri": uri, "subscribed_events": events, "state": "enabled"}
    return JSONResponse({**told, "create_time": _moment(call.now), "new_signing_secret": secret})


def callback(ask: CallbackAsk) -> Delivery:
    """What has ended, and how: the result itself is asked for."""
    generation, state = ask.generation, ask.generation.state(ask.now)
    event = {State.FAILED: "failed", State.CANCELLED: "cancelled"}.get(state, "completed")
    data = {"id": generation.id}
    if state is State.FAILED:
        data |= {"error_code": _FAILED["code"], "error_message": _FAILED["message"]}
    told = {"type": f"interaction.{event}", "version": "v1", "timestamp": _moment(generation.ends_at), "data": data}
    if metadata := (generation.request.get("webhook_config") or {}).get("user_metadata"):
        told["user_metadata"] = metadata
    body = json.dumps(told).encode()
    headers = ask.signing.standard_webhook(NAME, delivery=f"msg_{generation.id}", timestamp=ask.signed_at, body=body)
    if ask.forged:
        headers["webhook-signature"] = "v1," + base64.b64encode(bytes(32)).decode()
    return Delivery(body, {"content-type": "application/json", **headers})


def _ask(body: Mapping[str, Any], registered: str | None) -> Ask:
    labels, config = body.get("labels") or {}, body.get("webhook_config") or {}
    for name, value in labels.items():
        if not _LABEL_NAME.fullmatch(name) or not _LABEL.fullmatch(str(value)) or str(value).lower() != value:
            raise Refused(Reason.INVALID, f"labels: {name} and its value need up to 63 of a-z, 0-9, _ and -")
    url = next(iter(config.get("uris") or ()), registered)
    output, charge, prompt, request = made_of(body)
    return Ask(
        model=str(body["model"]),
        prompt=prompt,
        outputs=(output,),
        charge=charge,
        request={**request, "labels": labels, "webhook_config": config},
        reference=labels.get("reference") or reference_in(url),
        tenant=labels.get("tenant"),
        callback_url=url,
    )


async def _told(call: Call, generation: Generation) -> dict[str, Any]:
    """As it stands now."""
    state, told = generation.state(call.now), _head(generation, call.now)
    if state in _UNFINISHED or state is State.CANCELLED:
        return told
    if state is State.FAILED:
        return {**told, "errors": [_FAILED]}
    content = await _content(call, generation) if state is State.DONE else [{"type": "text", "text": _REFUSED}]
    modality = generation.outputs[0].mime.partition("/")[0] if state is State.DONE else "text"
    told["usage"] = {
        "total_input_tokens": max(1, len(generation.prompt) // 4),
        "output_tokens_by_modality": [{"modality": modality, "tokens": 1_000}],
    }
    if generation.model in _WITH_OUTPUTS:
        return {**told, "outputs": content}
    return {**told, "steps": [{"type": "model_output", "content": content}]}


def _head(generation: Generation, now: float) -> dict[str, Any]:
    return {
        "id": generation.id,
        "object": "interaction",
        "model": generation.model,
        "status": _STATES[generation.state(now)],
        "created": _moment(generation.accepted_at),
        "updated": _moment(min(now, generation.ends_at)),
        "labels": generation.request["labels"],
    }


async def _content(call: Call, generation: Generation) -> list[dict[str, Any]]:
    output, delivery = generation.outputs[0], generation.request["delivery"]
    kind = output.mime.partition("/")[0]
    words = [{"type": "text", "text": "[Verse] La, la."}] if kind == "audio" else []
    found: dict[str, Any] = {"type": kind, "mime_type": output.mime}
    if delivery == "inline":
        (data,) = await call.media(generation)
        if len(data) <= _LARGEST_INLINE:
            return [*words, found | {"data": base64.b64encode(data).decode()}]
    return [*words, found | {"uri": file_address(generation.base_url, f"omni{generation.id}")}]


async def _found(call: Call) -> Generation:
    """The interaction of the path; raises `Refused`."""
    generation = await call.find(call.request.path_params["interaction"])
    name = _deleted(generation.id)
    if await call.simulation.database.run(lambda connection: kept.get(connection, name)):
        raise Refused(Reason.NOT_FOUND, "it was deleted")
    return generation


async def _registered(call: Call) -> str | None:
    """Where this account's ended interactions are told to."""
    found = await call.simulation.database.run(lambda connection: kept.get(connection, _webhook(call)))
    return found[0] if found and "interaction.completed" in found[1] else None


def _deleted(interaction: str) -> str:
    return f"deleted/{NAME}/{interaction}"


def _webhook(call: Call) -> str:
    return f"webhook/{NAME}/{call.account.name}"


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def refusal(refused: Refused) -> Response:
    """A code in words, and a sentence."""
    status_code, word = _WORDS[refused.reason]
    if refused.reason is Reason.BROKEN and refused.status:
        status_code, word = refused.status, _BROKEN.get(refused.status, word)
    message = refused.message
    if refused.reason is Reason.NOT_FOUND:
        message = "Invalid interaction name."
    if refused.reason is Reason.AUTH:
        message = "API key not valid. Please pass a valid API key."
    if refused.reason is Reason.QUOTA:
        message = "You exceeded your current quota: GenerateRequestsPerDayPerProjectPerModel"
    headers = {}
    if refused.retry_after is not None:
        message = f"{message}. Please retry in {refused.retry_after:g}s."
        if not refused.in_body:
            headers["retry-after"] = f"{refused.retry_after:g}"
    return JSONResponse({"error": {"code": word, "message": message}}, status_code, headers)


WIRE = Wire(
    name=NAME,
    host=HOST,
    endpoints=tuple(
        endpoint
        for version in VERSIONS
        for endpoint in (
            Endpoint("POST", f"{version}/interactions", "submit", create),
            Endpoint("GET", f"{version}/interactions/{{interaction}}", "status", status),
            Endpoint("POST", f"{version}/interactions/{{interaction}}/cancel", "cancel", cancel),
            Endpoint("DELETE", f"{version}/interactions/{{interaction}}", "delete", delete),
            Endpoint("GET", f"{version}/files/omni{{generation}}:download", "download", download),
            Endpoint("POST", f"{version}/webhooks", "webhooks", register),
        )
    ),
    key_of=key_of,
    refusal=refusal,
    settings=ProviderSettings(url_ttl_s=TWO_DAYS_S),
    new_id=lambda: f"v1{uuid4().hex}",
    judges_prompts=False,
    links_end_together=True,
    callback=callback,
)
