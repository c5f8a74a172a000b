"""Where requests to a wire come in: logged, checked for key, rate and rules, handled, and answered in its words."""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from simulator import damage
from simulator.answers import UNANSWERED, CutOff
from simulator.call import Call, forever
from simulator.faults import SUBMIT, Fault, asked
from simulator.refusals import Cut, Foreign, Hang, Reason, Refused
from simulator.settings import Account
from simulator.store import calls
from simulator.store import faults as fault_store
from simulator.wire import Endpoint, Wire

if TYPE_CHECKING:
    from simulator.simulation import Simulation

log = logging.getLogger(__name__)
_NOBODY = Account(key="-", name="-")


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request as it was written down: its number, the submits its rate counts, the rules that hit it."""

    number: int
    account: Account | None
    submits: tuple[float, ...]
    rules: tuple[Fault, ...]


async def answered(simulation: Simulation, wire: Wire, endpoint: Endpoint, request: Request) -> Response:
    """The answer to one request of a wire. It is in the call log before it is given."""
    arrival = await _arrived(simulation, wire, endpoint, request)
    try:
        body = await request.body()
    except ClientDisconnect:
        body = b""
    call = Call(simulation, wire, endpoint, request, body, arrival.account or _NOBODY, arrival.rules)
    response = await _response(call, arrival)
    facts: dict[str, Any] = {
        "now": simulation.clock.now(),
        "status": None if response.status_code == UNANSWERED else response.status_code,
        "reference": call.reference,
        "tenant": call.tenant,
        "external_id": call.external_id,
        "fault": ", ".join(map(str, call.acted)) or None,
        "repeated": call.repeated,
    }
    await simulation.database.run(lambda connection: calls.ended(connection, arrival.number, facts))
    if call.unknown_tags:
        tags = ", ".join(call.unknown_tags).encode("ascii", "replace").decode()
        response.headers["x-sim-warning"] = f"unknown: {tags}"
    return response


async def _arrived(simulation: Simulation, wire: Wire, endpoint: Endpoint, request: Request) -> Arrival:
    """Write the request down with its account, and see what its rate and the rules of the admin API say."""
    now = simulation.clock.now()
    account = simulation.accounts(wire.name).get(wire.key_of(request) or "")

    def arrive(connection: sqlite3.Connection) -> Arrival:
        submits: list[float] = []
        rules: list[Fault] = []
        if account and account.rate and endpoint.name == SUBMIT:
            since = now - account.rate.per_s
            submits = calls.submits_since(connection, wire.name, account.name, since)
        if account and not (account.rate and len(submits) >= account.rate.requests):
            rules = fault_store.fired(connection, wire.name, endpoint.name)
        number = calls.arrived(
            connection,
            now=now,
            provider=wire.name,
            endpoint=endpoint.name,
            account=account.name if account else None,
            method=request.method,
            path=request.url.path,
        )
        return Arrival(number, account, tuple(submits), tuple(rules))

    return await simulation.database.run(arrive)


async def _response(call: Call, arrival: Arrival) -> Response:
    try:
        response = await _handled(call, arrival)
    except Refused as refused:
        response = call.wire.refusal(refused)
    except Foreign as foreign:
        return Response(damage.pages(foreign.status), foreign.status, media_type="text/html")
    except Cut:
        return CutOff()
    except Exception:
        # Without an answer the log would say that the caller was left without one.
        log.exception("simulator_broke")
        return Response("the simulator broke", 500, media_type="text/plain")
    call.wire.dressed(call, response)
    return response


async def _handled(call: Call, arrival: Arrival) -> Response:
    try:
        if not call.endpoint.open:
            _enter(call, arrival)
        return await call.endpoint.handler(call)
    except Hang:
        await forever(call)
        raise Cut from None


def _enter(call: Call, arrival: Arrival) -> None:
    """Hold key and rate, and let faults act that are not the submit's own; raises what refuses."""
    if arrival.account is None:
        missing = call.wire.key_of(call.request) is None
        raise Refused(Reason.AUTH, "the key is missing" if missing else "the key is not valid")
    rate, submits = arrival.account.rate, arrival.submits
    if rate and len(submits) >= rate.requests:
        free_at = submits[len(submits) - rate.requests] + rate.per_s
        raise Refused(Reason.RATE, "too many requests", retry_after=max(0.001, free_at - call.now))
    if call.endpoint.name == SUBMIT:
        return
    header = asked("", call.request.headers.get("x-sim-faults", "")).faults
    call.rules += tuple(fault for fault in header if fault.endpoint == call.endpoint.name)
    call.acted += call.rules
    call.refuse_by(call.rules)
    call.lose_by(call.rules)
