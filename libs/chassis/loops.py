"""Background loops that must not die."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from chassis.metrics import LOOP_FAILURES
from chassis.telemetry import get_logger

log = get_logger()

Step = Callable[[], Awaitable[bool]]

FIRST_BACKOFF = 0.1
LONGEST_BACKOFF = 30.0


@dataclass(frozen=True, slots=True)
class Loop:
    """A background loop of a service. `idle` is in seconds; `wake` ends an idle wait early."""

    name: str
    step: Step
    idle: float = 1.0
    wake: asyncio.Event | None = None


@dataclass(slots=True)
class Backoff:
    """Growing waits in seconds with jitter, so that replicas that failed together do not return together."""

    first: float = FIRST_BACKOFF
    longest: float = LONGEST_BACKOFF
    failures: int = field(default=0)

    def reset(self) -> None:
        """Starts over after a success."""
        self.failures = 0

    def next(self) -> float:
        """How long to wait after one more failure."""
        wait = min(self.longest, self.first * 2.0 ** min(self.failures, 20))
        self.failures += 1
        return wait * random.uniform(0.5, 1.0)  # noqa: S311 - jitter needs no secrecy


async def forever(
    name: str,
    step: Step,
    *,
    idle: float,
    wake: asyncio.Event | None = None,
    stopping: asyncio.Event,
) -> None:
    """Runs `step` until `stopping` is set.

    A step returns True when it did work and runs again at once; after False the loop waits for `wake`, for `idle`
    seconds (with jitter) or for the stop. An exception is logged, counted and backed off from 0.1 to 30 s. A step
    that has begun is finished before the loop ends.
    """
    backoff = Backoff()
    while not stopping.is_set():
        if wake is not None:
            wake.clear()
        try:
            worked = await step()
        except Exception as error:
            LOOP_FAILURES.labels(name).inc()
            wait = backoff.next()
            log.error("loop_failed", loop=name, retry_in=round(wait, 2), exc_info=error)
            await sleep_until(wait, stopping)
            continue
        backoff.reset()
        if not worked:
            await sleep_until(idle * random.uniform(0.8, 1.2), stopping, wake)  # noqa: S311 - jitter


async def sleep_until(seconds: float, *events: asyncio.Event | None) -> bool:
    """Waits at most `seconds` for any of `events`; True when one of them was set."""
    present = [event for event in events if event is not None]
    if any(event.is_set() for event in present):
        return True
    waits = [asyncio.ensure_future(event.wait()) for event in present]
    if not waits:
        await asyncio.sleep(seconds)
        return False
    try:
        done, _ = await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waits:
            task.cancel()
    return bool(done)
