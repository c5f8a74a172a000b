"""Which logical names have whole bytes behind them (R88), for whoever would make them again if they had not."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from chassis.errors import StorageError
from chassis.telemetry import get_logger
from objects import InvalidKey, ObjectDamaged, ObjectMissing, blob_key
from objects import StorageError as ObjectError
from storage_service.assets import Named
from storage_service.integrity import Bytes, Inspector
from storage_service.layouts import path_of_name
from storage_service.metrics import UNREADABLE
from storage_service.ownership import Viewer

log = get_logger()

MOST_AT_ONCE = 4
"""So many files are read at once: visitors of assets want their turn too."""


class Shelf(Protocol):
    """Where named assets are kept; see `store.catalog.Catalog`."""

    async def named(self, viewer: Viewer, paths: Collection[str]) -> list[Named]: ...


@dataclass(frozen=True, slots=True)
class Present:
    """A logical name, as it was asked for, and the asset behind it, whose bytes are whole."""

    name: str
    asset: Named


class Presence:
    """Looks behind logical names: one statement for all of them, and each file."""

    def __init__(self, shelf: Shelf, inspector: Inspector) -> None:
        self._shelf = shelf
        self._inspector = inspector
        self._turn = asyncio.Semaphore(MOST_AT_ONCE)

    async def of(self, viewer: Viewer, names: Sequence[str]) -> list[Present]:
        """Those of `names` that have whole bytes, in order.

        Raises `StorageError` where that cannot be found out for now: what cannot be read may be there all the same.
        """
        paths = {name: path_of_name(viewer.tenant_id, name) for name in names}
        found = {asset.path: asset for asset in await self._shelf.named(viewer, set(paths.values()))}
        looks = await asyncio.gather(
            *(self._is_whole(viewer, asset) for asset in found.values()), return_exceptions=True
        )
        for look in looks:
            if isinstance(look, BaseException):
                raise look
        whole = {asset.path: asset for asset, look in zip(found.values(), looks, strict=True) if look}
        return [Present(name, whole[path]) for name, path in paths.items() if path in whole]

    async def _is_whole(self, viewer: Viewer, asset: Named) -> bool:
        blob = Bytes(blob_key(str(viewer.tenant_id), asset.sha256), asset.sha256, asset.size)
        try:
            async with self._turn:
                await self._inspector.inspect(blob)
        except (ObjectMissing, ObjectDamaged, InvalidKey) as error:
            UNREADABLE.labels(type(error).__name__).inc()
            log.error("asset_unreadable", asset_id=str(asset.id), tenant=str(viewer.tenant_id), reason=str(error))
            return False
        except ObjectError as error:
            raise StorageError("the object store can not be read") from error
        return True
