"""Those who wait for a job to change: woken in this process, and now and then told what other replicas changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

from api_gateway import metrics

_LOOK_UP = 1.0


@dataclass(slots=True, eq=False)
class Waiter:
    """One request that waits. `version` is what it has seen of its job, None until it has looked."""

    version: int | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class Watch:
    """Who waits for which job. Waiting holds no connection and asks nothing by itself.

    `closing` says whether the process is about to end: nobody is kept waiting then.
    """

    closing: Callable[[], bool] = lambda: False
    _waiting: dict[UUID, set[Waiter]] = field(default_factory=dict)

    @contextmanager
    def waiter(self, job_id: UUID) -> Iterator[Waiter]:
        """Waits from now on: begun before the job is read, no change between is missed."""
        waiter = Waiter()
        self._waiting.setdefault(job_id, set()).add(waiter)
        metrics.WAITING.inc()
        try:
            yield waiter
        finally:
            metrics.WAITING.dec()
            others = self._waiting[job_id]
            others.discard(waiter)
            if not others:
                del self._waiting[job_id]

    async def wait(self, waiter: Waiter, seconds: float) -> None:
        """Returns when the job changed, after `seconds`, or when the process is about to end."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and not self.closing():
            try:
                await asyncio.wait_for(waiter.changed.wait(), min(left, _LOOK_UP))
            except TimeoutError:
                continue
            return

    def notify(self, job_ids: Iterable[UUID]) -> None:
        """These jobs changed, and the change is committed."""
        for job_id in job_ids:
            for waiter in self._waiting.get(job_id, ()):
                waiter.changed.set()

    def waited_for(self) -> list[UUID]:
        """The jobs somebody waits for."""
        return list(self._waiting)

    def compare(self, versions: Mapping[UUID, int]) -> None:
        """Wakes those whose job has another version than they have seen: somebody else changed it."""
        for job_id, version in versions.items():
            for waiter in self._waiting.get(job_id, ()):
                if waiter.version is not None and waiter.version != version:
                    waiter.changed.set()
