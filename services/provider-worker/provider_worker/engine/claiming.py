"""The claim loop: as many tasks as there are free hands, while their bytes can be kept."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from chassis import crash
from chassis.telemetry import get_logger
from provider_worker import metrics
from provider_worker.engine.attempts import Attempt, Tools, facts
from provider_worker.engine.gate import StoreGate
from provider_worker.engine.leases import Leases
from provider_worker.engine.ports import TaskStore
from provider_worker.tasks import Pool, Task

log = get_logger()

MOST_EMPTY_CLAIMS = 16
"""In a row, while further tenants wait: all of them may be at their caps in other processes."""


class Claimer:
    """Claims tasks and starts their work, `hands` at a time. `wake` is set when a claim may find something."""

    def __init__(self, store: TaskStore, leases: Leases, gate: StoreGate, pools: Sequence[Pool], *, hands: int) -> None:
        self.wake = asyncio.Event()
        self._store = store
        self._leases = leases
        self._gate = gate
        self._pools = list(pools)
        self._hands = hands
        self._empty_claims = 0
        self._all_idle = True

    def ready(self) -> None:
        """Tasks became ready."""
        self.wake.set()

    def freed(self) -> None:
        """A slot or a hand became free: worth a claim only where somebody waits."""
        if not self._all_idle:
            self.wake.set()

    async def step(self, tools: Tools) -> bool:
        """One claim; True when another one is worth it at once."""
        if self._free() <= 0 or not await self._gate.is_open():
            return False
        since = self._leases.now()
        crash.point("worker.before_intent")
        claimed = await self._store.claim(self._pools, self._free(), self._leases.lease_s)
        crash.point("worker.after_intent")
        if claimed.tasks:
            metrics.CLAIMED.inc(len(claimed.tasks))
        for task in claimed.tasks:
            self._start(task, tools, since)
        self._all_idle = claimed.turns == 0
        self._empty_claims = 0 if claimed.tasks else self._empty_claims + 1
        return bool(claimed.tasks) or (claimed.more and self._empty_claims < MOST_EMPTY_CLAIMS)

    def _free(self) -> int:
        return self._hands - len(self._leases)

    def _start(self, task: Task, tools: Tools, since: float) -> None:
        # One that is at work at its provider is claimed for each look at it.
        (log.debug if task.resuming else log.info)("task_claimed", **facts(task))
        work = asyncio.create_task(Attempt(tools, task).run())
        self._leases.take(task, since, work)
        work.add_done_callback(lambda _: self._ended(task))

    def _ended(self, task: Task) -> None:
        self._leases.drop(task)
        self.freed()
