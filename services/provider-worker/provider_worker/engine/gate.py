"""Nothing is claimed while its bytes could not be kept."""

from __future__ import annotations

import time
from collections.abc import Callable

from chassis.telemetry import get_logger
from objects import ObjectStore, StorageError
from provider_worker import metrics

log = get_logger()

PROBE_KEY = "staging/probe/0"


class StoreGate:
    """Open while a small object could be written within the last `trust_s` seconds."""

    def __init__(
        self, objects: ObjectStore, *, trust_s: float = 5.0, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._objects = objects
        self._trust_s = trust_s
        self._now = now
        self._proven_at: float | None = None
        self._was_open = True

    async def is_open(self) -> bool:
        """Whether bytes can be kept; says once when that changes."""
        if self._proven_at is not None and self._now() - self._proven_at < self._trust_s:
            return True
        try:
            await self._objects.put(PROBE_KEY, b"ok", max_bytes=2)
        except StorageError as error:
            self._proven_at = None
            self._turn(False, str(error))
            return False
        self._proven_at = self._now()
        self._turn(True, "")
        return True

    def _turn(self, is_open: bool, reason: str) -> None:
        metrics.STORE_AWAY.set(not is_open)
        if self._was_open and not is_open:
            log.error("object_store_away", error=reason)
        elif is_open and not self._was_open:
            log.info("object_store_back")
        self._was_open = is_open
