"""What time alone brings: waits that end, leases that run out, quotes nobody answered, bytes nobody needs (R35)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chassis.telemetry import get_logger
from objects import ObjectStore
from provider_worker import metrics
from provider_worker.engine.ports import TaskStore

log = get_logger()

QUOTE_AGE_S = 60.0
STAGED_AGE_S = 7 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Upkeep:
    """Steps for loops; each returns True when there was something. `ready` is called when tasks became ready."""

    store: TaskStore
    objects: ObjectStore
    ready: Callable[[], None]
    quote_age_s: float = QUOTE_AGE_S
    staged_age_s: float = STAGED_AGE_S

    async def revive(self) -> bool:
        """Tasks whose wait has ended, tasks whose holder has vanished, and jobs that are to be looked at."""
        revived = await self.store.revive()
        if revived.expired:
            metrics.EXPIRED.inc(revived.expired)
            log.warning("leases_expired", tasks=revived.expired)
        if revived.woken or revived.expired or revived.due:
            self.ready()
        return bool(revived.woken or revived.expired)

    async def announce_forgotten(self) -> bool:
        """Ready tasks that no claim would look for."""
        found = await self.store.announce_forgotten()
        if found:
            log.error("turns_were_forgotten", turns=found)
            self.ready()
        return False

    async def ask_again(self) -> bool:
        """Quotes without an answer: the ledger may have lost the question, or we the answer."""
        asked = await self.store.ask_again(self.quote_age_s)
        if asked:
            metrics.ASKED_AGAIN.inc(asked)
            log.warning("quotes_asked_again", quotes=asked)
        return bool(asked)

    async def sweep(self) -> bool:
        """Staged bytes of attempts that ended long ago; storage-service has its own copy since."""
        old = await self.store.closed_long_ago(self.staged_age_s)
        if not old:
            return False
        swept = await self.objects.delete_with_made([key for keys in old.values() for key in keys])
        await self.store.mark_swept(list(old))
        metrics.SWEPT.inc(swept)
        log.info("staged_bytes_swept", attempts=len(old), objects=swept)
        return True
