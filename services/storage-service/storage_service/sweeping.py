"""Bytes that nothing points at are deleted after a grace; nothing else is ever cleaned up (R126)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from chassis.telemetry import get_logger
from objects import ObjectStore, blob_key
from storage_service.metrics import SWEPT

log = get_logger()

MARK_S = 300.0
_STALE_MARK_S = 60.0
_MOST = 200


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes of a tenant under their hash; `size` in bytes."""

    tenant_id: UUID
    sha256: str
    size: int


class Unused(Protocol):
    """What the sweeper has to know about bytes."""

    async def doom(self, *, grace_s: float, mark_s: float, most: int) -> list[Blob]:
        """Mark bytes that nothing points at, so that nothing is promoted onto them for `mark_s` seconds, and return
        those that nobody asked for in between.
        """
        ...

    async def forget(self, blobs: Sequence[Blob]) -> None:
        """The bytes are gone."""
        ...


class Sweeper:
    """Two loop steps: unused bytes, and temporary files that a crash left behind."""

    def __init__(self, unused: Unused, store: ObjectStore, grace_s: float) -> None:
        self._unused = unused
        self._store = store
        self._grace_s = grace_s

    async def sweep_blobs(self) -> bool:
        """Delete one batch of unused bytes; False when there were none.

        Marked first, deleted second, forgotten last: a crash in between leaves a mark that runs out, and whoever takes
        it over deletes again. Who was held up so long that his mark may have been taken over deletes nothing.
        """
        began = time.monotonic()
        doomed = await self._unused.doom(grace_s=self._grace_s, mark_s=MARK_S, most=_MOST)
        if not doomed:
            return False
        if time.monotonic() - began > _STALE_MARK_S:
            log.warning("sweep_given_up", blobs=len(doomed))
            return True
        await self._store.delete_many([blob_key(str(blob.tenant_id), blob.sha256) for blob in doomed])
        await self._unused.forget(doomed)
        SWEPT.inc(len(doomed))
        log.info("blobs_swept", blobs=len(doomed), bytes=sum(blob.size for blob in doomed))
        return True

    async def sweep_temporary(self) -> bool:
        """Remove what interrupted writes left more than the grace ago; always False, so that the loop rests."""
        swept = await self._store.sweep(older_than_s=self._grace_s)
        if swept.files:
            log.info("temporary_files_swept", files=swept.files, bytes=swept.size)
        return False
