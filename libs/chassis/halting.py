"""When a consumer must stop setting records aside: bad code must not drain a topic into the dead letters.

Only records of our own known types count. What is foreign - not JSON, null headers, unknown types, anything an outsider
put on a public topic - is set aside without limit: otherwise whoever may write to a topic could stop its consumer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HaltLimits:
    """More than `run` failures in a row, or more than `ratio` of the last `window` records once that many were seen."""

    run: int = 20
    ratio: float = 0.01
    window: int = 1000
    enabled: bool = True


class LimitReachedError(Exception):
    """The limit is reached; nothing more is set aside until somebody has looked."""


class HaltRule:
    """Counts the outcomes of our own records in the order they were read."""

    def __init__(self, limits: HaltLimits) -> None:
        self._limits = limits
        self._recent: deque[bool] = deque(maxlen=limits.window)
        self._failed = 0
        self._run = 0

    def check(self, outcomes: Sequence[bool]) -> None:
        """Raises `LimitReachedError` if `outcomes` (True: failed) would pass a limit; counts nothing."""
        if not self._limits.enabled or not any(outcomes):
            return
        trial = HaltRule(self._limits)
        trial._recent, trial._failed, trial._run = self._recent.copy(), self._failed, self._run
        for failed in outcomes:
            trial._count(failed)
            if failed:
                trial._judge()

    def count(self, outcomes: Sequence[bool]) -> None:
        """Takes `outcomes` into account, after their transaction was committed."""
        for failed in outcomes:
            self._count(failed)

    def _count(self, failed: bool) -> None:
        if len(self._recent) == self._limits.window:
            self._failed -= self._recent[0]
        self._recent.append(failed)
        self._failed += failed
        self._run = self._run + 1 if failed else 0

    def _judge(self) -> None:
        if self._run > self._limits.run:
            raise LimitReachedError(f"{self._run} records in a row failed, {self._limits.run} are allowed")
        allowed = self._limits.ratio * self._limits.window
        if len(self._recent) == self._limits.window and self._failed > allowed:
            raise LimitReachedError(
                f"{self._failed} of the last {self._limits.window} records failed, {allowed:g} are allowed"
            )
