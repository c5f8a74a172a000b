"""Staged bytes become assets: a loop that claims arrivals by lease, promotes their bytes, and commits what came of it.

No transaction is open while files are at work. A crash anywhere leaves the arrivals waiting; whoever claims them next
finds the bytes already under their hash and goes on from there.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from chassis.crash import point
from chassis.telemetry import get_logger
from objects import (
    ObjectDamaged,
    ObjectMissing,
    ObjectStore,
    Promoted,
    Promotion,
    StorageError,
    StorageForbidden,
    StorageFull,
    blob_key,
)
from schemas.parts import ErrorCode
from storage_service.arrivals import Arrival, Kept, Outcome, Postponed, Refused
from storage_service.content_types import content_type
from storage_service.layouts import Placement, is_overlong, logical_path
from storage_service.metrics import BATCH, MENDED, POSTPONED, REFUSED, STORED, STORED_BYTES

log = get_logger()

RETRY_S = (1.0, 2.0, 4.0)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DAMAGED = "the bytes that were handed over are not those that were made"


class Shelf(Protocol):
    """Where arrivals wait and assets are kept."""

    async def claim(self, *, most: int, most_bytes: int, lease_s: float) -> list[Arrival]:
        """Lease waiting arrivals that are due, the oldest first."""
        ...

    async def renew(self, arrivals: Sequence[Arrival], lease_s: float) -> None:
        """Make the leases that are still ours run from now."""
        ...

    async def finish(self, outcomes: Sequence[Outcome]) -> None:
        """Write what became of leased arrivals, with their events, in one transaction; those we lost are left alone."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """How much is claimed at once and for how long. A lease is renewed while its bytes are at work."""

    most: int = 300
    most_bytes: int = 512 << 20
    lease_s: float = 10.0


class Promoter:
    """The loop's step over one store and one shelf."""

    def __init__(self, shelf: Shelf, store: ObjectStore, pace: Pace) -> None:
        self._shelf = shelf
        self._store = store
        self._pace = pace

    async def step(self) -> bool:
        """Bring one batch to its end; False when nothing was due."""
        pace = self._pace
        claimed = await self._shelf.claim(most=pace.most, most_bytes=pace.most_bytes, lease_s=pace.lease_s)
        if not claimed:
            return False
        with BATCH.time():
            _report(await self._bring_home(claimed))
        return True

    async def _bring_home(self, claimed: Sequence[Arrival]) -> list[Outcome]:
        point("storage.before_promote")
        async with self._leased(claimed):
            outcomes = await self._promote(claimed)
        point("storage.after_promote")
        await self._shelf.finish(outcomes)
        point("storage.after_commit")
        return outcomes

    async def _promote(self, arrivals: Sequence[Arrival]) -> list[Outcome]:
        faults = [fault_of(arrival) for arrival in arrivals]
        sound = [arrival for arrival, fault in zip(arrivals, faults, strict=True) if fault is None]
        results = await self._store.promote_many([_promotion(arrival) for arrival in sound], verify=True)
        _report_mended(sound, results)
        ended = iter(results)
        return [
            fault if fault is not None else outcome_of(arrival, next(ended))
            for arrival, fault in zip(arrivals, faults, strict=True)
        ]

    @asynccontextmanager
    async def _leased(self, arrivals: Sequence[Arrival]) -> AsyncIterator[None]:
        renewing = asyncio.create_task(self._renew(arrivals))
        try:
            yield
        finally:
            renewing.cancel()
            with suppress(asyncio.CancelledError):
                await renewing

    async def _renew(self, arrivals: Sequence[Arrival]) -> None:
        while True:
            await asyncio.sleep(self._pace.lease_s / 3)
            try:
                await self._shelf.renew(arrivals, self._pace.lease_s)
            except Exception as error:  # the fence decides at the end; a lost lease costs a repetition
                log.warning("lease_not_renewed", arrivals=len(arrivals), exc_info=error)


def fault_of(arrival: Arrival) -> Refused | None:
    """What is wrong with an arrival before its bytes are looked at."""
    output = arrival.handover.output
    if not output.staged_key.startswith(f"staging/{arrival.tenant_id}/"):
        return Refused(arrival, ErrorCode.STORAGE_ERROR, "the output was not handed over in its tenant's place")
    if not _SHA256.fullmatch(output.sha256):
        return Refused(arrival, ErrorCode.CORRUPT_OUTPUT, "the output came without a proper hash")
    if output.size <= 0:
        return Refused(arrival, ErrorCode.CORRUPT_OUTPUT, "the output is empty")
    return None


def outcome_of(arrival: Arrival, result: Promoted | StorageError) -> Outcome:
    """What becomes of an arrival whose promotion came to `result`.

    Damaged bytes, a full disk and a missing permission end it at once (R75). Anything else is tried again three times
    (R74): bytes that are not there yet may be on their way through a shared folder. The staged bytes stay where they
    are in every case, so that nothing that was paid for is lost.
    """
    if isinstance(result, Promoted):
        return _kept(arrival, result)
    if isinstance(result, ObjectDamaged):
        return Refused(arrival, ErrorCode.CORRUPT_OUTPUT, _DAMAGED)
    if isinstance(result, StorageFull):
        return Refused(arrival, ErrorCode.STORAGE_ERROR, "the object store is full")
    if isinstance(result, StorageForbidden):
        return Refused(arrival, ErrorCode.STORAGE_ERROR, "the object store may not be written to")
    if arrival.tries < len(RETRY_S) and (result.transient or isinstance(result, ObjectMissing)):
        return Postponed(arrival, RETRY_S[arrival.tries], str(result))
    missing = isinstance(result, ObjectMissing)
    words = "the staged bytes are not there" if missing else "the object store could not be read or written"
    return Refused(arrival, ErrorCode.STORAGE_ERROR, words)


def _kept(arrival: Arrival, promoted: Promoted) -> Outcome:
    output = arrival.handover.output
    if promoted.size != output.size:
        return Refused(arrival, ErrorCode.CORRUPT_OUTPUT, _DAMAGED, promoted=True)
    return Kept(arrival, logical_path(placement_of(arrival)), content_type(output.mime).mime)


def placement_of(arrival: Arrival) -> Placement:
    """What decides where an arrival is put."""
    handover, context = arrival.handover, arrival.handover.context
    return Placement(
        tenant_id=arrival.tenant_id,
        job_id=arrival.key.job_id,
        run=context.run,
        artifact_type=(context.asset_type or context.kind).value,
        name=handover.logical_name,
        mime=handover.output.mime,
        role=handover.output.role,
        output=arrival.key.output,
        late_attempt=arrival.key.attempt if handover.late else None,
        chosen=context.path is not None,
    )


def _promotion(arrival: Arrival) -> Promotion:
    output = arrival.handover.output
    return Promotion(output.staged_key, blob_key(str(arrival.tenant_id), output.sha256), output.sha256)


def _report_mended(arrivals: Sequence[Arrival], results: Sequence[Promoted | StorageError]) -> None:
    for arrival, result in zip(arrivals, results, strict=True):
        if isinstance(result, Promoted) and result.mended:
            MENDED.inc()
            log.warning("blob_mended", sha256=arrival.handover.output.sha256, **_facts(arrival))


def _report(outcomes: Sequence[Outcome]) -> None:
    kept = [outcome.arrival.handover for outcome in outcomes if isinstance(outcome, Kept)]
    STORED.inc(len(kept))
    STORED_BYTES.inc(sum(handover.output.size for handover in kept))
    for outcome in outcomes:
        match outcome:
            case Kept(arrival, path):
                log.debug("asset_stored", path=path, **_facts(arrival))
                if is_overlong(arrival.handover.logical_name):
                    log.warning("name_cut", path=path, **_facts(arrival))
            case Refused(arrival, code, message):
                REFUSED.labels(code.value).inc()
                log.error("asset_store_failed", code=code.value, reason=message, **_facts(arrival))
            case Postponed(arrival, seconds, reason):
                POSTPONED.inc()
                log.warning("asset_store_postponed", reason=reason, retry_in=seconds, **_facts(arrival))
    log.info("assets_stored", stored=len(kept), claimed=len(outcomes))


def _facts(arrival: Arrival) -> dict[str, str | int]:
    facts: dict[str, str | int] = {
        "job_id": str(arrival.key.job_id),
        "item": arrival.key.item,
        "attempt": arrival.key.attempt,
        "output": arrival.key.output,
        "tenant": str(arrival.tenant_id),
        "asset_id": str(arrival.asset_id),
    }
    if arrival.traceparent:
        facts["trace_id"] = arrival.traceparent[3:35]
    return facts
