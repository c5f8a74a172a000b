"""The leases this process holds, as far as it can know without asking."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from chassis.telemetry import get_logger
from provider_worker import metrics
from provider_worker.engine.ports import Lease, TaskStore
from provider_worker.tasks import Task

log = get_logger()

TRUSTED_SHARE = 0.8
"""Of a lease's time, on our monotonic clock: the database's ends the lease, and ours may run slower."""


@dataclass(slots=True)
class _Held:
    epoch: int
    until: float
    work: asyncio.Task[None]


class Leases:
    """Held leases with the work that runs under them. Times in seconds, by a monotonic clock."""

    def __init__(self, store: TaskStore, *, lease_s: float = 30.0, now: Callable[[], float] = time.monotonic) -> None:
        self.lease_s = lease_s
        self._store = store
        self._now = now
        self._held: dict[int, _Held] = {}
        metrics.IN_FLIGHT.set_function(lambda: len(self._held))

    def __len__(self) -> int:
        return len(self._held)

    def now(self) -> float:
        """Take it before the claim is sent: the lease began later."""
        return self._now()

    def take(self, task: Task, since: float, work: asyncio.Task[None]) -> None:
        self._held[task.id] = _Held(task.epoch, since + self.lease_s * TRUSTED_SHARE, work)

    def drop(self, task: Task) -> None:
        held = self._held.get(task.id)
        if held is not None and held.epoch == task.epoch:
            del self._held[task.id]

    def is_ours(self, task: Task) -> bool:
        """False once the lease may have run out, or has: then nothing may be sent any more."""
        held = self._held.get(task.id)
        return held is not None and held.epoch == task.epoch and self._now() < held.until

    async def renew(self) -> bool:
        """Extends all leases by one statement; the work of those that are lost is ended."""
        held = dict(self._held)
        if not held:
            return False
        since = self._now()
        ours = await self._store.renew([(number, lease.epoch) for number, lease in held.items()], self.lease_s)
        for number, lease in held.items():
            if number in ours:
                lease.until = since + self.lease_s * TRUSTED_SHARE
            elif self._held.get(number) is lease and not lease.work.done():
                log.warning("lease_lost", task=number)
                lease.work.cancel()
        return False

    async def release(self, patience_s: float, awaited: Callable[[], Collection[int]] = tuple) -> None:
        """Waits for the work under way, ends what takes longer, and gives its leases to whoever claims next.

        `awaited` are the ids of tasks whose work nobody could take up: these have as long as their leases last.
        """
        works = [lease.work for lease in self._held.values()]
        if works:
            await self.renew()
            since = self._now()
            await asyncio.wait(works, timeout=patience_s)
            while waited := [self._held[number].work for number in awaited() if number in self._held]:
                left_s = since + self.lease_s * TRUSTED_SHARE - self._now()
                if left_s <= 0:
                    break
                await asyncio.wait(waited, timeout=left_s)
        left: list[Lease] = [(number, lease.epoch) for number, lease in self._held.items()]
        for lease in list(self._held.values()):
            lease.work.cancel()
        await asyncio.gather(*works, return_exceptions=True)
        if left:
            log.info("leases_handed_back", tasks=len(left))
            await self._store.hand_back(left)
