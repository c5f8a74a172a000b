"""Painter's wire, for the simulator: what its documents say, in the words its servers use."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse, Response

from simulator.call import Call
from simulator.generation import Ask, Charge, Generation, State, seed_of
from simulator.media.images import picture
from simulator.refusals import Reason, Refused
from simulator.wire import Endpoint, Variables, Wire

PRICE_MICROS = 20_000
STATES = {
    State.QUEUED: "waiting",
    State.RUNNING: "painting",
    State.DONE: "done",
    State.BLOCKED: "refused",
    State.FAILED: "broken",
}
STATUSES = {Reason.AUTH: 401, Reason.QUOTA: 402, Reason.NOT_FOUND: 404, Reason.RATE: 429, Reason.BROKEN: 500}


async def paint(call: Call) -> Response:
    body = call.json()
    prompt, width, height = body.get("prompt"), body.get("width"), body.get("height")
    if not isinstance(prompt, str) or not isinstance(width, int) or not isinstance(height, int):
        raise Refused(Reason.INVALID, "a painting needs prompt, width and height")
    output = picture(width, height, mime="image/png", seed=seed_of(prompt, None))
    charge = Charge(PRICE_MICROS, {"image": 1})
    ask = Ask("oil-1", prompt, (output,), charge, request=body, reference=body.get("reference"))
    return JSONResponse(await told(call, await call.accept(ask)), 202)


async def painting(call: Call) -> Response:
    return JSONResponse(await told(call, await call.find(call.request.path_params["id"])))


async def paintings(call: Call) -> Response:
    try:
        found = [await told(call, await call.find_reference(call.request.query_params["reference"]))]
    except Refused as refused:
        if refused.reason is not Reason.NOT_FOUND:
            raise
        found = []
    return JSONResponse({"paintings": found})


async def told(call: Call, generation: Generation) -> dict[str, Any]:
    state = generation.state(call.now)
    word = "drying" if call.odd_status() == "unknown" else STATES[state]
    (link,) = await call.links(generation) if state is State.DONE else (None,)
    return {"id": generation.id, "state": word, "picture": link, "price_usd": generation.amount_micros / 1_000_000}


def refusal(refused: Refused) -> Response:
    status = refused.status or STATUSES.get(refused.reason, 400)
    headers = {} if refused.retry_after is None else {"retry-after": f"{refused.retry_after:g}"}
    rule = "content" if refused.reason is Reason.POLICY else None
    return JSONResponse({"problem": refused.message, "rule": rule}, status, headers)


WIRE = Wire(
    name="painter",
    endpoints=(
        Endpoint("POST", "/v1/paintings", "submit", paint),
        Endpoint("GET", "/v1/paintings", "list", paintings),
        Endpoint("GET", "/v1/paintings/{id}", "status", painting),
    ),
    key_of=lambda request: request.headers.get("x-painter-key"),
    refusal=refusal,
    variables=Variables("PAINTER_API_URL", "PAINTER_API_KEY"),
)
