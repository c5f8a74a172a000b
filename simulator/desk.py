"""Where requests to a wire come in: logged, checked for key, rate and rules, handled, and answered in its words."""

from __future__ import annotations

import sqlite3
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

_NOBODY = Account(key="-", name="-")


async def answered(simulation: Simulation, wire: Wire, endpoint: Endpoint, request: Request) -> Response:
    """The answer to one request of a wire. It is in the call log before it is given."""
    number = await _arrived(simulation, wire, endpoint, request)
    try:
        body = await request.body()
    except ClientDisconnect:
        body = b""
    call = Call(simulation, wire, endpoint, request, body, _NOBODY)
    response = await _response(call, number)
    facts: dict[str, Any] = {
        "now": simulation.clock.now(),
        "status": None if response.status_code == UNANSWERED else response.status_code,
        "reference": call.reference,
        "tenant": call.tenant,
        "external_id": call.external_id,
        "fault": ", ".join(map(str, call.acted)) or None,
        "repeated": call.repeated,
    }
    await simulation.database.run(lambda connection: calls.ended(connection, number, facts))
    if call.unknown_tags:
        response.headers["x-sim-warning"] = (
            "unknown: " + ", ".join(call.unknown_tags).encode("ascii", "replace").decode()
        )
    return response


async def _arrived(simulation: Simulation, wire: Wire, endpoint: Endpoint, request: Request) -> int:
    now = simulation.clock.now()
    return await simulation.database.run(
        lambda connection: calls.arrived(
            connection,
            now=now,
            provider=wire.name,
            endpoint=endpoint.name,
            method=request.method,
            path=request.url.path,
        )
    )


async def _response(call: Call, number: int) -> Response:
    try:
        response = await _handled(call, number)
    except Refused as refused:
        response = call.wire.refusal(refused)
    except Foreign as foreign:
        return Response(damage.pages(foreign.status), foreign.status, media_type="text/html")
    except Cut:
        return CutOff()
    call.wire.dressed(call, response)
    return response


async def _handled(call: Call, number: int) -> Response:
    try:
        if not call.endpoint.open:
            call.account = _account(call)
            await _enter(call, number)
        return await call.endpoint.handler(call)
    except Hang:
        await forever(call)
        raise Cut from None


def _account(call: Call) -> Account:
    accounts = call.simulation.accounts(call.wire.name)
    key = call.wire.key_of(call.request)
    if key is None or key not in accounts:
        raise Refused(Reason.AUTH, "the key is missing" if key is None else "the key is not valid")
    return accounts[key]


async def _enter(call: Call, number: int) -> None:
    """Hold the account's rate, and let the rules of the admin API act."""
    account, name, now = call.account, call.endpoint.name, call.now
    rate = account.rate

    def enter(connection: sqlite3.Connection) -> tuple[list[float], list[Fault]]:
        calls.named(connection, number, account.name)
        before = (
            calls.submits_since(connection, call.wire.name, account.name, now - rate.per_s)
            if rate and name == SUBMIT
            else []
        )
        return before, fault_store.fired(connection, call.wire.name, name)

    before, rules = await call.simulation.database.run(enter)
    # This call is among those before: it is in the log already.
    if rate and len(before) > rate.requests:
        oldest = before[len(before) - 1 - rate.requests]
        raise Refused(Reason.RATE, "too many requests", retry_after=max(0.001, oldest + rate.per_s - now))
    call.rules = tuple(rules)
    if name == SUBMIT:
        return
    header = asked("", call.request.headers.get("x-sim-faults", "")).faults
    call.rules += tuple(fault for fault in header if fault.endpoint == name)
    call.acted += call.rules
    call.refuse_by(call.rules)
    call.lose_by(call.rules)
