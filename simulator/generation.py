"""One paid piece of work, as a provider keeps it: what was asked, when it starts and ends, how it ends."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from simulator.faults import Fault, without_tags


class State(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    BLOCKED = "blocked"  # what was made was refused by policy
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Output:
    """One file to make. The bytes are a pure function of this: a restarted simulator makes the same ones again."""

    kind: str
    mime: str
    seed: int
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Charge:
    """What a generation costs, in millionths of a USD, and the units it was reckoned from."""

    amount_micros: int
    units: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ask:
    """What a wire understood of a submit.

    `request` is what was asked, as JSON: its hash tells a repeated request from another one. `blocked` is the charge
    when the result is refused by policy; a failed generation costs nothing.
    """

    model: str
    prompt: str
    outputs: tuple[Output, ...]
    charge: Charge
    request: Mapping[str, Any]
    blocked: Charge | None = None
    reference: str | None = None
    tenant: str | None = None
    idempotency_key: str | None = None
    callback_url: str | None = None
    # Which calls are owed, and after what share of the work.
    callback_stages: tuple[tuple[str, float], ...] = (("complete", 1.0),)

    @property
    def sha256(self) -> str:
        text = json.dumps({"model": self.model, "request": self.request}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Generation:
    """A row of the simulator's memory. Times are simulated seconds since 1970; its state is a function of the time."""

    provider: str
    id: str
    account: str
    model: str
    prompt: str
    request: Mapping[str, Any]
    request_sha256: str
    outputs: tuple[Output, ...]
    outcome: State
    faults: tuple[Fault, ...]
    accepted_at: float
    starts_at: float
    ends_at: float
    base_url: str
    amount_micros: int
    reference: str | None = None
    tenant: str | None = None
    idempotency_key: str | None = None
    callback_url: str | None = None
    cancelled_at: float | None = None

    @property
    def subject(self) -> str:
        """What faults that end after some times are counted by."""
        return f"{self.provider}/{self.id}"

    def state(self, now: float) -> State:
        if self.cancelled_at is not None:
            return State.CANCELLED
        if now < self.starts_at:
            return State.QUEUED
        return State.RUNNING if now < self.ends_at else self.outcome

    def progress(self, now: float) -> int:
        """Percent of the work done."""
        if now < self.starts_at:
            return 0
        if now >= self.ends_at:
            return 100
        return int(99 * (now - self.starts_at) / (self.ends_at - self.starts_at))

    def has(self, fault: str) -> Fault | None:
        return next((one for one in self.faults if one.name == fault), None)


def seed_of(prompt: str, given: int | None) -> int:
    """The seed asked for, or one made of the prompt: the same words give the same bytes."""
    if given is not None:
        return given & 0xFFFFFFFF
    return int.from_bytes(hashlib.sha256(without_tags(prompt).encode()).digest()[:4])
