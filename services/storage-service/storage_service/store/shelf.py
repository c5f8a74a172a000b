"""The transactions of promotion and sweeping."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chassis.crash import point
from chassis.database import is_transient
from chassis.outbox import Draft, Outbox
from chassis.telemetry import get_logger
from schemas.event import Event
from schemas.parts import ErrorCode
from storage_service.addresses import Addresses
from storage_service.announcements import store_failed, stored
from storage_service.arrivals import Arrival, Kept, Outcome, Refused
from storage_service.store import aliases, arrivals, assets, blobs
from storage_service.sweeping import Blob

log = get_logger()


class PostgresShelf:
    """Arrivals, blobs, assets and aliases in this service's database; what happens to them is said by `outbox`."""

    def __init__(self, engine: AsyncEngine, outbox: Outbox, addresses: Addresses) -> None:
        self._engine = engine
        self._outbox = outbox
        self._addresses = addresses

    async def claim(self, *, most: int, most_bytes: int, lease_s: float) -> list[Arrival]:
        """See `promotion.Shelf`."""
        async with self._engine.begin() as conn:
            return await arrivals.claim(conn, most=most, most_bytes=most_bytes, lease_s=lease_s)

    async def renew(self, claimed: Sequence[Arrival], lease_s: float) -> None:
        """See `promotion.Shelf`."""
        async with self._engine.begin() as conn:
            await arrivals.renew(conn, claimed, lease_s)

    async def finish(self, outcomes: Sequence[Outcome]) -> None:
        """See `promotion.Shelf`. One arrival that the database does not take must not hold up its batch for ever."""
        try:
            await self._finish(outcomes)
        except Exception as error:
            if is_transient(error):
                raise
            log.error("batch_refused_by_database", arrivals=len(outcomes), exc_info=error)
            for outcome in outcomes:
                await self._finish_alone(outcome)

    async def _finish_alone(self, outcome: Outcome) -> None:
        words = "the asset could not be recorded"
        refused = Refused(outcome.arrival, ErrorCode.STORAGE_ERROR, words, promoted=isinstance(outcome, Kept))
        for attempt in (outcome, refused):
            try:
                await self._finish([attempt])
            except Exception as error:
                if is_transient(error):
                    raise
                log.error("arrival_refused_by_database", job_id=str(outcome.arrival.key.job_id), exc_info=error)
            else:
                return

    async def _finish(self, outcomes: Sequence[Outcome]) -> None:
        async with self._engine.begin() as conn:
            ours = await arrivals.close(conn, outcomes)
            await self._write(conn, [outcome for outcome in outcomes if outcome.arrival.key in ours])
            point("storage.before_commit")

    async def _write(self, conn: AsyncConnection, outcomes: Sequence[Outcome]) -> None:
        kept = [outcome for outcome in outcomes if isinstance(outcome, Kept)]
        refused = [outcome for outcome in outcomes if isinstance(outcome, Refused)]
        await blobs.keep(conn, [one.arrival for one in kept], [one.arrival for one in refused if one.promoted])
        placed = await aliases.take(conn, kept)
        await assets.insert(conn, placed)
        # Nobody but who uploads waits for an upload, and he looks here himself.
        drafts = [_draft(stored(one, self._addresses), one.arrival) for one in placed if not one.arrival.key.of_upload]
        drafts += [_draft(store_failed(one), one.arrival) for one in refused if not one.arrival.key.of_upload]
        await self._outbox.add(conn, drafts)

    async def doom(self, *, grace_s: float, mark_s: float, most: int) -> list[Blob]:
        """See `sweeping.Unused`. Two transactions: whoever comes after the second sees the mark."""
        async with self._engine.begin() as conn:
            doomed = await blobs.doom(conn, grace_s=grace_s, mark_s=mark_s, most=most)
        if not doomed:
            return []
        async with self._engine.begin() as conn:
            spared = await blobs.spare(conn, doomed)
        return [blob for blob in doomed if (blob.tenant_id, blob.sha256) not in spared]

    async def forget(self, gone: Sequence[Blob]) -> None:
        """See `sweeping.Unused`."""
        async with self._engine.begin() as conn:
            await blobs.forget(conn, gone)


def _draft(event: Event, arrival: Arrival) -> Draft:
    return Draft(event, arrival.key.job_id, arrival.tenant_id, arrival.traceparent)
