"""The wiring: everything this process is made of."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from chassis.database import make_engine
from chassis.errors import StartError
from chassis.http import make_app
from chassis.loops import Loop
from chassis.outbox import Outbox
from chassis.service import Service
from objects import FolderStore, ObjectStore, StorageError
from objects.signing import derive_key
from schemas.topics import ASSETS, STORAGE_SERVICE
from storage_service.addresses import Addresses
from storage_service.events import Ears
from storage_service.http.internal import Shown, internal_routes
from storage_service.http.public import Door, serve_assets
from storage_service.integrity import Inspector
from storage_service.promotion import Pace, Promoter
from storage_service.settings import Settings
from storage_service.store.catalog import Catalog
from storage_service.store.shelf import PostgresShelf
from storage_service.sweeping import Sweeper

SWEEP_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class _OpenStore:
    """The object store as a thing with an end."""

    store: ObjectStore

    async def start(self) -> None:
        """It is open from the beginning."""

    async def stop(self) -> None:
        """Let its threads finish."""
        await self.store.close()


def build(settings: Settings) -> Service:
    """The service for `settings`; touches no database and no broker yet."""
    store = _open(settings)
    engine = make_engine(settings.database_url, name=STORAGE_SERVICE, pool_size=settings.database_pool)
    outbox = Outbox(f"/services/{STORAGE_SERVICE}")
    addresses = Addresses(str(settings.asset_public_url))
    key = derive_key(settings.secret.get_secret_value())
    catalog = Catalog(engine, outbox, addresses)
    shelf = PostgresShelf(engine, outbox, addresses)
    promoter = Promoter(shelf, store, Pace(most=settings.promotion_batch, lease_s=settings.lease_seconds))
    sweeper = Sweeper(shelf, store, settings.sweep_grace_seconds)
    arrived = asyncio.Event()

    internal = make_app(title="storage-service, internal", public=False)
    internal.include_router(
        internal_routes(catalog, Shown(addresses, key, settings.url_seconds), settings.secret),
    )
    public = make_app(title="Backlot assets", public=True)
    serve_assets(public, Door(catalog, Inspector(store), key))
    return Service(
        name=STORAGE_SERVICE,
        package="storage_service",
        settings=settings,
        engine=engine,
        outbox=outbox,
        internal=internal,
        public=public,
        subscriptions=[Ears(outbox).subscription(arrived.set)],
        topics=[ASSETS],
        loops=[
            Loop("promotion", promoter.step, idle=1.0, wake=arrived),
            Loop("blob-sweep", sweeper.sweep_blobs, idle=SWEEP_EVERY_S),
            Loop("temporary-sweep", sweeper.sweep_temporary, idle=settings.sweep_grace_seconds),
        ],
        resources=[_OpenStore(store)],
    )


def _open(settings: Settings) -> FolderStore:
    try:
        return FolderStore(settings.objects_dir)
    except StorageError as error:
        raise StartError([f"BACKLOT_OBJECTS_DIR: the object store can not be opened: {error}"]) from error
