"""The transactions of those who look at assets, and of those who change them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.database import tenant_transaction
from chassis.outbox import Draft, Outbox
from schemas.event import Event
from storage_service.addresses import Addresses
from storage_service.announcements import deleted, visibility_changed
from storage_service.assets import Asset, Named, Served
from storage_service.ownership import Viewer, changed_by, seen_by
from storage_service.store import aliases, assets, blobs
from storage_service.store.assets import Filter


class Catalog:
    """The assets of this service's database. Reads for a viewer go through row-level security."""

    def __init__(self, engine: AsyncEngine, outbox: Outbox, addresses: Addresses) -> None:
        self._engine = engine
        self._outbox = outbox
        self._addresses = addresses

    async def served(self, asset_id: UUID) -> Served | None:
        """What is needed to serve an asset's bytes. No connection is held while they are sent."""
        async with self._engine.connect() as conn:
            return await assets.served(conn, asset_id)

    async def get(self, viewer: Viewer, asset_id: UUID) -> Asset:
        """An asset that `viewer` may look at; raises `NotFound`."""
        async with tenant_transaction(self._engine, viewer.tenant_id) as conn:
            return seen_by(viewer, await assets.get(conn, viewer.tenant_id, asset_id))

    async def page(self, wanted: Filter, *, limit: int, offset: int) -> tuple[list[Asset], int]:
        """Assets newest first, and how many there are."""
        async with tenant_transaction(self._engine, wanted.tenant_id) as conn:
            return await assets.page(conn, wanted, limit=limit, offset=offset)

    async def named(self, viewer: Viewer, paths: Collection[str]) -> list[Named]:
        """The newest asset behind each of these logical names that `viewer` may see. Names of which there is none are
        left out.
        """
        async with tenant_transaction(self._engine, viewer.tenant_id) as conn:
            return await assets.named(conn, viewer, paths)

    async def show(self, viewer: Viewer, asset_id: UUID, *, is_public: bool) -> Asset:
        """Make an asset public or private with its thumbnail, and say so; what it is already is not said again."""
        async with self._engine.begin() as conn:
            asset = changed_by(viewer, await assets.get(conn, viewer.tenant_id, asset_id, lock=True))
            if asset.is_public == is_public:
                return asset
            changed, *small = [
                replace(one, is_public=is_public, revision=one.revision + 1)
                for one in (asset, *await assets.thumbnails(conn, asset_id))
            ]
            for one in (changed, *small):
                await assets.show(conn, one.id, is_public=is_public)
            events = [_draft(visibility_changed(one, self._addresses), one) for one in (changed, *small)]
            await self._outbox.add(conn, events)
            return changed

    async def delete(self, viewer: Viewer, asset_id: UUID) -> None:
        """Take an asset away from its users with its thumbnail, and say so.

        Its bytes go when no other asset has them.
        """
        async with self._engine.begin() as conn:
            asset = changed_by(viewer, await assets.get(conn, viewer.tenant_id, asset_id, lock=True))
            for one in (asset, *await assets.thumbnails(conn, asset_id)):
                await assets.delete(conn, one.id)
                await aliases.fall_back(conn, one.tenant_id, one.path, one.id)
                await blobs.let_go(conn, one.tenant_id, one.sha256)
                await self._outbox.add(conn, [_draft(deleted(replace(one, revision=one.revision + 1)), one)])


def _draft(event: Event, asset: Asset) -> Draft:
    return Draft(event, asset.made_by or asset.id, asset.tenant_id)
