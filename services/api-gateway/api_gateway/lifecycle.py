"""The states of a job and the ways between them (R15)."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    """Accepted; no service has answered yet."""
    PROCESSING = "processing"
    """Its prompts are made; its stage says how far it is."""
    COMPLETED = "completed"
    """Every item is stored."""
    PARTIAL = "partial"
    """Some items are stored, some are not (R16)."""
    FAILED = "failed"
    """No item is stored."""
    CANCELLED = "cancelled"
    """It was stopped before any item was stored."""


TERMINAL = frozenset({Status.COMPLETED, Status.PARTIAL, Status.FAILED, Status.CANCELLED})

_NEXT: dict[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.PROCESSING}),
    Status.PROCESSING: TERMINAL,
}


class InvalidStateTransition(Exception):
    """A job was to go where its state machine has no way."""

    def __init__(self, before: Status, after: Status) -> None:
        super().__init__(f"a job that is {before} cannot become {after}")
        self.before = before
        self.after = after


def step(before: Status, after: Status) -> Status:
    """`after`, if it is `before` itself or one step from it. Terminal states are final."""
    if after is not before and after not in _NEXT.get(before, frozenset()):
        raise InvalidStateTransition(before, after)
    return after


def passage(before: Status, after: Status) -> list[Status]:
    """The states a job goes through from `before` to `after`: one that leaves `queued` always passes `processing`."""
    if before is after:
        return []
    if before is Status.QUEUED and after in TERMINAL:
        return [step(before, Status.PROCESSING), step(Status.PROCESSING, after)]
    return [step(before, after)]
