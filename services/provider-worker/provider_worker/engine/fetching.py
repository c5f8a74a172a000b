"""From a provider's result to staged bytes: fetched at once, again from a fresh address, never paid for anew (R79)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace

from chassis import crash
from chassis.errors import Transient
from chassis.telemetry import get_logger
from media import MAX_BYTES, MAX_PICTURE_BYTES
from objects import ObjectStore, ObjectTooLarge, StorageError, staged_key
from provider_worker.adapters.interface import Artifact, MediaKind, ProviderAdapter, ProviderError, Status
from provider_worker.engine.failures import failure_of
from provider_worker.routing import Failure
from provider_worker.tasks import Piece, Staged, Task
from schemas.parts import Billing, ErrorCode, Stage

log = get_logger()

MOST_PIECES = 16
FETCH_WAITS = (1.0, 2.0, 4.0)
INLINE_WAITS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 16.0, 16.0)
"""While the store is away: what came inline comes only once."""

_PICTURES = {MediaKind.IMAGE, MediaKind.TEXTURE}

Again = Callable[[], Awaitable[Status | None]]
"""The job's status with fresh addresses, or None where it cannot be asked for."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """Staged bytes. `fetched`: they came from an address and could come again."""

    staged: Staged
    fetched: bool


class StoreAway(Transient):
    """The object store cannot be reached: what the provider has made is fetched later."""


@dataclass(frozen=True, slots=True)
class Fetching:
    """Stages what providers made under `staging/{tenant}/{attempt}/{number}`."""

    objects: ObjectStore

    async def delivered(
        self, task: Task, adapter: ProviderAdapter, status: Status, billing: Billing, again: Again
    ) -> Delivery | Failure:
        """The primary output and what else there is of it; raises `StoreAway`."""
        artifact = primary(status)
        if artifact is None:
            return Failure(ErrorCode.PROVIDER_ERROR, f"{adapter.name} answered without a result", billing=billing)
        piece = await self._with_patience(task, adapter, artifact, billing, again)
        if isinstance(piece, Failure):
            return piece
        others = [found for found in status.artifacts if found is not artifact][: MOST_PIECES - 1]
        seed = artifact.meta.get("seed")
        staged = Staged(
            pieces=(piece, *[found async for found in self._others(task, adapter, others)]),
            billing=billing,
            external_id=status.external_id,
            seed=seed if isinstance(seed, int) else None,
        )
        return Delivery(staged, fetched=artifact.data is None)

    async def _with_patience(
        self, task: Task, adapter: ProviderAdapter, artifact: Artifact, billing: Billing, again: Again
    ) -> Piece | Failure:
        for wait in (*FETCH_WAITS, None):
            try:
                return await self._kept(task, adapter, artifact)
            except ProviderError as error:
                if wait is None or not error.retryable:
                    return replace(failure_of(error), billing=billing, unknown=False, paid_for=True)
                await asyncio.sleep(wait)
                fresh = await again()
                artifact = (primary(fresh) if fresh else None) or artifact
            except StorageError as error:
                return _not_stored(error, billing)
        raise AssertionError("the last try returns")

    async def _kept(self, task: Task, adapter: ProviderAdapter, artifact: Artifact) -> Piece:
        """Bytes that came inline are held on to while the store is away."""
        for wait in (*INLINE_WAITS, None):
            try:
                return await self._stage(task, adapter, artifact, 0)
            except StorageError as error:
                if artifact.data is None or not error.transient or wait is None:
                    raise
                log.warning("object_store_away", error=error.reason)
                await asyncio.sleep(wait)
        raise AssertionError("the last try returns or raises")

    async def _others(self, task: Task, adapter: ProviderAdapter, others: list[Artifact]) -> AsyncIterator[Piece]:
        """Extras that cannot be had are no reason to lose what was asked for."""
        for number, artifact in enumerate(others, start=1):
            try:
                yield await self._stage(task, adapter, artifact, number)
            except Exception as error:
                unforeseen = None if isinstance(error, ProviderError | StorageError) else error
                log.warning(
                    "extra_output_not_fetched",
                    role=artifact.role,
                    provider=adapter.name,
                    error=str(error),
                    exc_info=unforeseen,
                )

    async def _stage(self, task: Task, adapter: ProviderAdapter, artifact: Artifact, number: int) -> Piece:
        key = staged_key(str(task.job.tenant_id), str(task.attempt_id), number)
        chunks: bytes | AsyncIterator[bytes] = adapter.fetch(artifact) if artifact.data is None else artifact.data
        crash.point("worker.before_stage")
        stored = await self.objects.put(key, chunks, max_bytes=most_bytes(task))
        crash.point("worker.after_stage")
        return Piece(number, artifact.role, key, stored.sha256, stored.size)


def most_bytes(task: Task) -> int:
    """The largest result that is taken for an item of this kind."""
    return MAX_PICTURE_BYTES if task.item.kind.value in _PICTURES else MAX_BYTES


def primary(status: Status) -> Artifact | None:
    """The output that was asked for."""
    return next((found for found in status.artifacts if found.role == "primary"), None)


def _not_stored(error: StorageError, billing: Billing) -> Failure:
    if isinstance(error, ObjectTooLarge):
        return Failure(ErrorCode.CORRUPT_OUTPUT, f"the result is too large: {error.reason}", billing=billing)
    if error.transient:
        raise StoreAway(str(error)) from error
    message = f"the result could not be stored: {error.reason}"
    return Failure(ErrorCode.STORAGE_ERROR, message, stage=Stage.UPLOADING, billing=billing, paid_for=True)
