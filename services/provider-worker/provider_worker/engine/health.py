"""Breakers: what every replica knows of a provider that refuses or fails.

The database holds them; here they are a second old.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from chassis.errors import Transient
from chassis.telemetry import get_logger
from provider_worker import metrics
from provider_worker.engine.ports import TaskStore
from provider_worker.routing import Failure
from provider_worker.tasks import Closed
from schemas.parts import ErrorCode

log = get_logger()

ACCOUNT_OPEN_S = 60.0
"""A key that is not valid, or an account without money: somebody has to do something about it."""
MOST_RATE_OPEN_S = 60.0

_OF_THE_ACCOUNT = {ErrorCode.AUTH_ERROR, ErrorCode.QUOTA_EXCEEDED}


@dataclass(frozen=True, slots=True)
class _Known:
    closed: Closed
    at: float


class Health:
    """Opens and closes breakers by what calls come to; `is_closed` is asked where a provider is chosen."""

    def __init__(self, store: TaskStore, *, now: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._now = now
        self._known: Mapping[str, _Known] = {}

    def is_closed(self, provider: str) -> bool:
        return self.why_closed(provider) is not None

    def why_closed(self, provider: str) -> str | None:
        """Why nothing is sent there for now."""
        known = self._known.get(provider)
        if known is None or self._now() - known.at >= known.closed.seconds:
            return None
        return known.closed.message

    async def refresh(self) -> bool:
        """Reads what all replicas found out."""
        now = self._now()
        found = {name: _Known(closed, now) for name, closed in (await self._store.troubled()).items()}
        for name in {*self._known, *found}:
            metrics.BREAKER_OPEN.labels(name).set(name in found and found[name].closed.seconds > 0)
        self._known = found
        return False

    async def note(self, provider: str, failure: Failure | None, *, again: bool) -> None:
        """What a call came to; None is an answer without fault. `again`: this request had failed before.

        What fails again, here or elsewhere, may be its own fault: it neither opens a breaker nor keeps it open.
        """
        try:
            if failure is None or not _counts(failure):
                await self._well(provider)
            elif again and _opens(failure) is None:
                await self._store.provider_unproven(provider)
            else:
                await self._failed(provider, failure, _opens(failure))
        except Transient as error:
            log.warning("breaker_not_written", provider=provider, error=str(error))

    async def _well(self, provider: str) -> None:
        if provider in self._known:
            await self._store.provider_well(provider)
            self._known = {name: known for name, known in self._known.items() if name != provider}

    async def _failed(self, provider: str, failure: Failure, open_s: float | None) -> None:
        if failure.code in _OF_THE_ACCOUNT:
            log.error("provider_refuses_the_account", provider=provider, code=failure.code, reason=failure.message)
        await self._store.provider_failed(provider, failure.code, failure.message, open_s)
        known = _Known(Closed(failure.code, failure.message, open_s or 0.0), self._now())
        self._known = {**self._known, provider: known}


def _counts(failure: Failure) -> bool:
    """A refusal of one request is an answer like another; of the account or of all it is trouble, as silence is."""
    return failure.code in {ErrorCode.TEMPORARY, ErrorCode.TIMEOUT} or _opens(failure) is not None


def _opens(failure: Failure) -> float | None:
    """How long a single failure of this kind closes the account to everybody."""
    if failure.code in _OF_THE_ACCOUNT:
        return ACCOUNT_OPEN_S
    if failure.code is ErrorCode.RATE_LIMIT and failure.scope == "account" and failure.retry_after:
        return min(failure.retry_after, MOST_RATE_OPEN_S)
    return None
