"""Taking a submit: one transaction from the idempotency key to the bill line and the callbacks that are owed."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace

from simulator.clock import NEVER
from simulator.faults import Fault, Stage, one_of, share
from simulator.generation import Ask, Charge, Generation, State
from simulator.refusals import Reason, Refused
from simulator.settings import Account, ProviderSettings
from simulator.store import bill, callbacks, generations


@dataclass(frozen=True, slots=True)
class Taken:
    """A generation; `repeated` when it was there already under its idempotency key."""

    generation: Generation
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Terms:
    """Under what a submit is taken."""

    provider: str
    account: Account
    settings: ProviderSettings
    external_id: str
    base_url: str
    now: float
    seed: str


def known(connection: sqlite3.Connection, ask: Ask, terms: Terms) -> Taken | None:
    """The generation of this idempotency key; raises `Refused` when the key was used for something else."""
    if ask.idempotency_key is None:
        return None
    found = generations.by_key(connection, terms.provider, terms.account.name, ask.idempotency_key)
    if found is None:
        return None
    if found.request_sha256 != ask.sha256:
        raise Refused(Reason.CONFLICT, "this idempotency key was used for another request")
    return Taken(found, repeated=True)


def taken(connection: sqlite3.Connection, ask: Ask, terms: Terms, faults: tuple[Fault, ...]) -> Taken:
    """Take, bill and keep a new generation; raises `Refused` when the account does not allow it."""
    outcome, ask, charge = _ending(ask, faults)
    unfinished = generations.unfinished_ends(connection, terms.provider, terms.account.name, terms.now)
    _allow(connection, terms, charge, len(unfinished))
    starts_at, ends_at = _times(terms, ask, faults, unfinished)
    generation = Generation(
        provider=terms.provider,
        id=terms.external_id,
        account=terms.account.name,
        model=ask.model,
        prompt=ask.prompt,
        request=ask.request,
        request_sha256=ask.sha256,
        outputs=ask.outputs,
        outcome=outcome,
        faults=tuple(fault for fault in faults if _stays(fault)),
        accepted_at=terms.now,
        starts_at=starts_at,
        ends_at=ends_at,
        base_url=terms.base_url,
        amount_micros=charge.amount_micros,
        reference=ask.reference,
        tenant=ask.tenant,
        idempotency_key=ask.idempotency_key,
        callback_url=ask.callback_url,
    )
    generations.add(connection, generation)
    if charge.amount_micros:
        bill.add(connection, generation, charge, now=terms.now)
    _owe_callbacks(connection, generation, ask)
    return Taken(generation)


def cancelled(connection: sqlite3.Connection, generation: Generation, now: float) -> Generation:
    """End unfinished work. What had not started is given back; what had is paid for."""
    generations.cancel(connection, generation.provider, generation.id, now)
    if generation.state(now) is State.QUEUED and generation.amount_micros:
        bill.add(connection, generation, Charge(-generation.amount_micros), now=now, kind="refund")
    callbacks.move(connection, generation.provider, generation.id, now)
    return replace(generation, cancelled_at=now)


def _ending(ask: Ask, faults: tuple[Fault, ...]) -> tuple[State, Ask, Charge]:
    """How it will end, what it will have made, and what that costs: faults decide it before the work begins."""
    if one_of(faults, "fail"):
        return State.FAILED, ask, Charge(0)
    if one_of(faults, "policy"):
        return State.BLOCKED, ask, ask.blocked or Charge(0)
    if one_of(faults, "partial"):
        made = max(1, len(ask.outputs) // 2)
        part = Charge(ask.charge.amount_micros * made // len(ask.outputs), ask.charge.units)
        return State.DONE, replace(ask, outputs=ask.outputs[:made]), part
    return State.DONE, ask, ask.charge


def _allow(connection: sqlite3.Connection, terms: Terms, charge: Charge, unfinished: int) -> None:
    account = terms.account
    if account.credits_micros is not None:
        spent = bill.spent_micros(connection, terms.provider, account.name)
        if spent + charge.amount_micros > account.credits_micros:
            raise Refused(Reason.QUOTA, "the credits of this account are used up")
    if account.max_unfinished is not None and unfinished >= account.max_unfinished:
        raise Refused(Reason.CROWDED, f"{unfinished} requests of this account are unfinished")


def _times(terms: Terms, ask: Ask, faults: tuple[Fault, ...], unfinished: list[float]) -> tuple[float, float]:
    """When the work starts and ends. With no place free it starts when enough of what is before it has ended."""
    queued, running = (
        low + (high - low) * share(terms.seed, ask.sha256, name)
        for name, (low, high) in (("queued", terms.settings.queued_s), ("running", terms.settings.running_s))
    )
    starts_at = terms.now + queued
    places = terms.account.max_running
    if places is not None and len(unfinished) >= places:
        starts_at = max(starts_at, unfinished[len(unfinished) - places])
    if one_of(faults, "never"):
        return starts_at, NEVER
    slow = one_of(faults, "slow")
    return starts_at, starts_at + running + (slow.value or 60 if slow else 0)


def _owe_callbacks(connection: sqlite3.Connection, generation: Generation, ask: Ask) -> None:
    silent = generation.has("no_webhook") or generation.has("callback_exception")
    if ask.callback_url is None or silent or generation.ends_at >= NEVER:
        return
    late = generation.has("late_webhook")
    # What fails is told once, at its end.
    stages = ask.callback_stages if generation.outcome is State.DONE else ask.callback_stages[-1:]
    for stage, part in stages:
        callbacks.add(
            connection,
            provider=generation.provider,
            external_id=generation.id,
            stage=stage,
            url=ask.callback_url,
            due_at=generation.starts_at
            + part * (generation.ends_at - generation.starts_at)
            + (late.value or 60 if late else 0),
        )


def _stays(fault: Fault) -> bool:
    """Whether a fault goes on acting after the submit was answered."""
    return fault.endpoint != "submit" or fault.stage not in {Stage.REFUSE, Stage.LOSE}
