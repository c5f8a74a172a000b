"""Facts: what was heard of a job, each in a slot that is written once.

A slot is (item, attempt, kind, output) and, for what happens to an asset later, the asset's id and revision. Whatever
order facts come in and however often, a job has the same set of them in the end; all it shows follows from that set.
Item 0 stands for the whole job. A fact about several items of one attempt (a quote, a hold, a refusal) lies in the
slot of the lowest of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, NamedTuple
from uuid import UUID

JOB = 0
"""The item number of facts about the whole job."""


class FactKind(IntEnum):
    """What a fact says. The numbers are stored: they are never given another meaning."""

    PREPARED = 1
    REJECTED = 2
    QUOTED = 3
    RESERVED = 4
    REFUSED = 5
    STARTED = 6
    PROGRESSED = 7
    COMPLETED = 8
    FAILED = 9
    CANCELLED = 10
    SKIPPED = 11
    SETTLED = 12
    STORED = 13
    STORE_FAILED = 14
    VISIBILITY = 15
    DELETED = 16
    RECORDED = 17
    CANCEL_REQUESTED = 18
    GAVE_UP = 19
    REDOWNLOAD_REQUESTED = 20
    REDOWNLOADED = 21
    LATE_LOST = 22


Slot = tuple[int, int, int, int, UUID | None]
"""(item, attempt, kind, output, asset id)"""


class Fact(NamedTuple):
    """One fact. `output` is an output's number, for PROGRESSED the percentage, for an asset's later life its revision,
    for redownloads the number of the request.

    `body` is JSON: what the job page needs of the event, and no more. (A tuple, like the states that are made of it:
    every batch makes thousands, and a frozen dataclass takes four times as long.)
    """

    item: int
    attempt: int
    kind: FactKind
    output: int
    body: Mapping[str, Any]
    asset_id: UUID | None = None

    @property
    def slot(self) -> Slot:
        return (*self[:4], self.asset_id)


def cancel_requested(reason: str) -> Fact:
    """The gateway's own: somebody (`user`) or the `deadline` asked the job to stop. The first reason stands."""
    return Fact(JOB, 0, FactKind.CANCEL_REQUESTED, 0, {"reason": reason})


def gave_up(known: list[Slot]) -> Fact:
    """The gateway's own: it waits no longer. `known` are the slots written by then; what comes later is late."""
    slots = [[item, attempt, kind, output] for item, attempt, kind, output, asset_id in known if asset_id is None]
    return Fact(JOB, 0, FactKind.GAVE_UP, 0, {"known": slots})


def redownload_requested(item: int, request: int, *, fetch: bool) -> Fact:
    """The gateway's own: somebody wants what was paid for an item. Without `fetch` it is here, as a late output."""
    return Fact(item, 0, FactKind.REDOWNLOAD_REQUESTED, request, {"fetch": fetch})
