"""The simulator's time: the real one until it is moved. States, link expiry, rate windows and callbacks go by it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

NEVER = 1e18
# A loop that slept longer than this in one go would miss nothing, but a wall clock set by hand would.
_LONGEST_NAP_S = 3600.0


@dataclass(frozen=True, slots=True)
class Anchor:
    """At the real moment `real` it was `simulated`; from there time runs `speed` times as fast. Seconds since 1970."""

    real: float
    simulated: float
    speed: float = 1.0


def real_time() -> Anchor:
    moment = time.time()
    return Anchor(moment, moment)


class Clock:
    """Simulated seconds since 1970. Belongs to one event loop."""

    def __init__(self, anchor: Anchor) -> None:
        self._anchor = anchor
        self._moved = asyncio.Event()

    def now(self) -> float:
        return self._anchor.simulated + (time.time() - self._anchor.real) * self._anchor.speed

    @property
    def speed(self) -> float:
        return self._anchor.speed

    def move(self, *, advance_s: float = 0.0, speed: float | None = None) -> Anchor:
        """Jump ahead and go on at `speed`; who waits is woken. The new anchor is the caller's to keep."""
        self.set(Anchor(time.time(), self.now() + advance_s, self.speed if speed is None else speed))
        return self._anchor

    def set(self, anchor: Anchor) -> None:
        self._anchor = anchor
        self._moved.set()
        self._moved = asyncio.Event()

    async def until(self, moment: float, wake: asyncio.Event | None = None) -> None:
        """Return when it is `moment`, or earlier when `wake` is set."""
        while (left := moment - self.now()) > 0 and not (wake and wake.is_set()):
            nap = min(left / self.speed, _LONGEST_NAP_S) if self.speed else _LONGEST_NAP_S
            events = [self._moved, *([wake] if wake else [])]
            waiting = [asyncio.ensure_future(event.wait()) for event in events]
            try:
                await asyncio.wait(waiting, timeout=nap, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for one in waiting:
                    one.cancel()
