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
from media import Checker
from objects import FolderStore, ObjectStore, StorageError
from objects.signing import derive_key
from schemas.topics import ASSETS, STORAGE_SERVICE
from storage_service.addresses import Addresses
from storage_service.events import Ears
from storage_service.http.content import content_routes
from storage_service.http.internal import Shown, internal_routes
from storage_service.http.names import name_routes
from storage_service.http.provenance import provenance_routes
from storage_service.http.public import Door, serve_assets
from storage_service.http.uploads import PATH as UPLOADS_PATH
from storage_service.http.uploads import upload_routes
from storage_service.integrity import Inspector
from storage_service.presence import Presence
from storage_service.promotion import Pace, Promoter
from storage_service.settings import Settings
from storage_service.store.catalog import Catalog
from storage_service.store.shelf import PostgresShelf
from storage_service.store.uploads import UploadDesk
from storage_service.sweeping import Sweeper
from storage_service.uploading import Uploader

SWEEP_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class _Tools:
    """The object store and the checker as things with an end."""

    store: ObjectStore
    checker: Checker

    async def start(self) -> None:
        """They are open from the beginning."""

    async def stop(self) -> None:
        """End the children, let the threads finish."""
        await self.checker.close()
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

    checker = Checker()
    most_bytes = settings.upload_max_bytes
    uploader = Uploader(UploadDesk(engine), store, checker, arrived.set, most_bytes=most_bytes)

    shown, inspector = Shown(addresses, key, settings.url_seconds), Inspector(store)
    internal = make_app(title="storage-service, internal", public=False, larger_bodies={UPLOADS_PATH: most_bytes})
    internal.include_router(internal_routes(catalog, shown, settings.secret))
    internal.include_router(provenance_routes(catalog, settings.secret))
    internal.include_router(name_routes(Presence(catalog, inspector), settings.secret))
    internal.include_router(content_routes(catalog, inspector, settings.secret))
    internal.include_router(upload_routes(uploader, shown, settings.secret))
    public = make_app(title="Backlot assets", public=True)
    serve_assets(public, Door(catalog, inspector, key))
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
            Loop("upload-sweep", lambda: uploader.sweep(settings.sweep_grace_seconds), idle=SWEEP_EVERY_S),
        ],
        resources=[_Tools(store, checker)],
    )


def _open(settings: Settings) -> FolderStore:
    try:
        return FolderStore(settings.objects_dir)
    except StorageError as error:
        raise StartError([f"BACKLOT_OBJECTS_DIR: the object store can not be opened: {error}"]) from error
