"""The admin API under `/admin`: turns the clock, settings, accounts and faults; tells calls, bill and counters."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulator import counting
from simulator.faults import KNOWN, STATUS_ENDPOINT, SUBMIT, Stage, UnknownFault, parsed
from simulator.settings import Account
from simulator.simulation import Simulation
from simulator.store import bill, callbacks, calls, generations
from simulator.store import faults as fault_store

Answer = Callable[[Simulation, Request], Awaitable[Any]]
_EVERYWHERE = "*"


class ClockChange(BaseModel):
    model_config = ConfigDict(extra="forbid")

    advance_s: float = Field(default=0, ge=0)
    speed: float | None = Field(default=None, ge=0, le=10_000)


class AccountsChange(BaseModel):
    model_config = ConfigDict(extra="forbid")

    provider: str
    accounts: list[Account]


class FaultRule(BaseModel):
    model_config = ConfigDict(extra="forbid")

    fault: str
    provider: str = _EVERYWHERE
    endpoint: str | None = None
    probability: float = Field(default=1, ge=0, le=1)
    count: int | None = Field(default=None, ge=1)
    seed: str | int = 0


class Chosen(BaseModel):
    """Which calls to tell."""

    provider: str | None = None
    endpoint: str | None = None
    reference: str | None = None
    external_id: str | None = None
    limit: int = Field(default=1000, ge=1, le=1_000_000)


class BadRequest(ValueError):
    """Answered 400 with its words."""


def routes(simulation: Simulation) -> list[Route]:
    """All of `/admin`."""
    return [
        Route(f"/admin/{path}", _answering(simulation, answer), methods=[method])
        for (method, path), answer in ANSWERS.items()
    ]


async def health(simulation: Simulation, request: Request) -> Any:
    return {"ok": True, "providers": sorted(simulation.wires), **_time(simulation)}


async def clock(simulation: Simulation, request: Request) -> Any:
    change = ClockChange.model_validate(await _body(request))
    await simulation.move_clock(advance_s=change.advance_s, speed=change.speed)
    return _time(simulation)


async def settings(simulation: Simulation, request: Request) -> Any:
    return {name: simulation.settings(name).model_dump(mode="json") for name in simulation.wires}


async def change_settings(simulation: Simulation, request: Request) -> Any:
    body = await _body(request)
    names = _providers(simulation, body.pop("provider", _EVERYWHERE))
    changed = await asyncio.gather(*(simulation.turn(name, body) for name in names))
    return {name: one.model_dump(mode="json") for name, one in zip(names, changed, strict=True)}


async def accounts(simulation: Simulation, request: Request) -> Any:
    return {
        name: [account.model_dump(mode="json") for account in simulation.accounts(name).values()]
        for name in simulation.wires
    }


async def change_accounts(simulation: Simulation, request: Request) -> Any:
    change = AccountsChange.model_validate(await _body(request))
    (name,) = _providers(simulation, change.provider)
    await simulation.give(name, change.accounts)
    return {name: [account.model_dump(mode="json") for account in change.accounts]}


async def fault_rules(simulation: Simulation, request: Request) -> Any:
    return await simulation.database.run(fault_store.rules)


async def add_fault_rule(simulation: Simulation, request: Request) -> Any:
    rule = FaultRule.model_validate(await _body(request))
    _providers(simulation, rule.provider)
    fault = parsed(rule.fault, endpoint=rule.endpoint)
    if fault.times is not None:
        raise BadRequest("a rule counts by `count`, not by x")
    if fault.endpoint not in _places(fault.stage):
        raise BadRequest(f"{rule.fault} acts on {', '.join(sorted(_places(fault.stage)))}, not on {fault.endpoint}")
    kept = rule.model_dump() | {"endpoint": fault.endpoint, "seed": str(rule.seed)}
    return {"rule": await simulation.database.run(lambda connection: fault_store.add_rule(connection, kept))}


async def remove_fault_rules(simulation: Simulation, request: Request) -> Any:
    rule = request.query_params.get("rule")
    number = None if rule is None else int(rule)
    return {"removed": await simulation.database.run(lambda connection: fault_store.remove_rules(connection, number))}


async def call_log(simulation: Simulation, request: Request) -> Any:
    chosen = Chosen.model_validate(dict(request.query_params)).model_dump()
    return await simulation.database.run(lambda connection: calls.log(connection, chosen))


async def whole_bill(simulation: Simulation, request: Request) -> Any:
    provider = request.query_params.get("provider")

    def read(connection: Any) -> dict[str, Any]:
        sums = bill.sums(connection, provider)
        return {
            "currency": "USD",
            "amount_micros": sum(one["amount_micros"] for one in sums),
            "generations": sum(one["generations"] for one in sums),
            "sums": sums,
            "paid_more_than_once": bill.paid_more_than_once(connection, provider),
            "same_requests": bill.same_requests(connection, provider),
            "lines": bill.lines(connection, provider),
        }

    return await simulation.database.run(read)


async def counters(simulation: Simulation, request: Request) -> Any:
    def read(connection: Any) -> dict[str, Any]:
        return {
            "calls": calls.counts(connection),
            "repeated_submits": calls.repeated_submits(connection),
            "peaks": counting.peaks(generations.spans(connection)),
        }

    return await simulation.database.run(read)


async def callback_log(simulation: Simulation, request: Request) -> Any:
    provider = request.query_params.get("provider")
    return await simulation.database.run(lambda connection: callbacks.log(connection, provider))


async def webhook_secrets(simulation: Simulation, request: Request) -> Any:
    return {name: simulation.signing.webhook_secret(name) for name in simulation.wires}


async def reset(simulation: Simulation, request: Request) -> Any:
    await simulation.reset()
    return {"ok": True}


ANSWERS: dict[tuple[Literal["GET", "POST", "DELETE"], str], Answer] = {
    ("GET", "health"): health,
    ("POST", "clock"): clock,
    ("GET", "settings"): settings,
    ("POST", "settings"): change_settings,
    ("GET", "accounts"): accounts,
    ("POST", "accounts"): change_accounts,
    ("GET", "faults"): fault_rules,
    ("POST", "faults"): add_fault_rule,
    ("DELETE", "faults"): remove_fault_rules,
    ("GET", "calls"): call_log,
    ("GET", "bill"): whole_bill,
    ("GET", "counters"): counters,
    ("GET", "callbacks"): callback_log,
    ("GET", "webhook-secrets"): webhook_secrets,
    ("POST", "reset"): reset,
}


def _answering(simulation: Simulation, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
    async def answering(request: Request) -> Response:
        try:
            return JSONResponse(await answer(simulation, request))
        except (BadRequest, UnknownFault) as error:
            return JSONResponse({"error": str(error), "faults": sorted(KNOWN)}, 400)
        except ValidationError as error:
            return JSONResponse({"error": error.errors(include_url=False, include_context=False)}, 400)

    return answering


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body() or b"{}")
    except ValueError:
        raise BadRequest("the body is not valid JSON") from None
    if not isinstance(body, dict):
        raise BadRequest("the body is not a JSON object")
    return body


def _providers(simulation: Simulation, name: str) -> list[str]:
    if name == _EVERYWHERE:
        return list(simulation.wires)
    if name not in simulation.wires:
        raise BadRequest(f"no provider is called {name!r}, but {', '.join(sorted(simulation.wires))}")
    return [name]


def _places(stage: Stage) -> set[str]:
    """The endpoints on which a rule with a fault of this stage can act."""
    if stage in {Stage.REFUSE, Stage.LOSE}:
        return {SUBMIT, STATUS_ENDPOINT, "result", "cancel", "list", "models", "file"}
    return {STATUS_ENDPOINT} if stage is Stage.STATUS else {SUBMIT, "file"} if stage is Stage.FILE else {SUBMIT}


def _time(simulation: Simulation) -> dict[str, float]:
    return {"now": simulation.clock.now(), "speed": simulation.clock.speed}
