"""What the engine needs of the rooms around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol
from uuid import UUID

from provider_worker.provenance import StatementOf
from provider_worker.tasks import (
    Claimed,
    Closed,
    CountedBills,
    Finished,
    OpenBill,
    Piece,
    Pool,
    Revived,
    Staged,
    Step,
    Written,
)
from schemas.events import GenerationSettled
from schemas.parts import ErrorCode, PreparedItem

Lease = tuple[int, int]
"""Task id and epoch."""


class TaskStore(Protocol):
    """The worker's database. Everything raises `chassis.errors.Transient` where trying again later is right."""

    async def claim(self, pools: Sequence[Pool], limit: int, lease_s: float) -> Claimed:
        """Leases due and ready tasks, and writes down that providers are about to be called; committed on return."""
        ...

    async def write(self, step: Step) -> Written:
        """Writes a step if its task is still held; committed on return. May share its transaction with others."""
        ...

    async def is_taken(self, provider: str, external_id: str, attempt_id: UUID) -> bool:
        """Whether the provider's job of this name is another attempt's."""
        ...

    async def renew(self, leases: Sequence[Lease], lease_s: float) -> set[int]:
        """The ids of those that are still held, now for `lease_s` seconds more."""
        ...

    async def hand_back(self, leases: Sequence[Lease]) -> None: ...

    async def revive(self) -> Revived: ...

    async def announce_forgotten(self) -> int:
        """How many tenants had ready tasks and no turn: they have one now."""
        ...

    async def ask_again(self, age_s: float) -> int:
        """How many quotes that nobody answered were said again."""
        ...

    async def open_bills(self, most: int, again_in_s: float) -> Sequence[OpenBill]:
        """Bills due to be looked up; the same ones come again after `again_in_s` seconds."""
        ...

    async def count_bills(self) -> Sequence[CountedBills]: ...

    async def settle(self, bill: OpenBill, event: GenerationSettled, staged: Staged | None) -> bool:
        """Closes the bill with its event; False where somebody else has looked it up meanwhile."""
        ...

    async def postpone(self, bill: OpenBill, seconds: float, *, flagged: bool) -> None:
        """Looks it up later; `flagged`: an operator has to settle it."""
        ...

    async def provider_failed(self, provider: str, code: ErrorCode, message: str, open_s: float | None) -> None:
        """Opens the provider's breaker for `open_s` seconds, or for a while after enough failures in a row."""
        ...

    async def provider_unproven(self, provider: str) -> None:
        """The call that was let through an open breaker has proven nothing: another one may go."""
        ...

    async def provider_well(self, provider: str) -> None:
        """Closes the provider's breaker."""
        ...

    async def troubled(self) -> Mapping[str, Closed]:
        """Providers whose last calls failed; with 0 seconds where the breaker is closed."""
        ...

    async def closed_long_ago(self, age_s: float) -> Mapping[UUID, Sequence[str]]:
        """Staged keys by attempt."""
        ...

    async def mark_swept(self, attempts: Sequence[UUID]) -> None: ...


class LeaseLost(Exception):
    """Somebody else holds the task now, or it has ended: whatever this holder knows is no longer its to say."""


class Refused(Exception):
    """The bytes are not what was asked for; the message may be shown (R72)."""


class Finisher(Protocol):
    """Decodes whole results where that can do no harm."""

    async def finish(self, pieces: Sequence[Piece], item: PreparedItem, statement: StatementOf) -> Finished:
        """The staged pieces as they are handed over, each under its own key; the first of them is the primary.

        A picture has exactly the item's size and format; of another kind what differs from the item is flagged. A
        further piece that is broken is dropped and flagged; raises `Refused` where the primary is.
        """
        ...
