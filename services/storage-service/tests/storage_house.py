"""A storage-service without its process: the real database, real files, and what a worker would hand over."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from chassis.database import make_engine, migrate
from chassis.ids import uuid7
from chassis.outbox import Outbox
from objects import FolderStore, blob_key, staged_key
from objects.signing import derive_key
from schemas.cloudevents import CloudEvent
from schemas.event import Event
from schemas.events import BY_TYPE
from schemas.generations import GenerationCompleted
from schemas.parts import AssetContext, AssetType, Billing, Fit, Kind, Lineage, Output
from stack.testing import PostgresServer
from storage_service.addresses import Addresses
from storage_service.events import Ears
from storage_service.integrity import Inspector
from storage_service.promotion import Pace, Promoter
from storage_service.store.catalog import Catalog
from storage_service.store.shelf import PostgresShelf
from storage_service.sweeping import Sweeper

TENANT, STRANGER, USER = uuid7(), uuid7(), uuid7()
SECRET = "a secret for the tests alone"
ORIGIN = "https://assets.example"
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8
TOO_WIDE = 10**12  # for the database's integers
TRACE = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"


@dataclass
class House:
    """Everything that `storage_service.app` wires, without Kafka and HTTP. `root` is the object store's folder."""

    engine: AsyncEngine
    root: Path
    store: FolderStore
    outbox: Outbox = field(default_factory=lambda: Outbox("/services/storage-service"))
    addresses: Addresses = field(default_factory=lambda: Addresses(ORIGIN))
    logs: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.shelf = PostgresShelf(self.engine, self.outbox, self.addresses)
        self.catalog = Catalog(self.engine, self.outbox, self.addresses)
        self.ears = Ears(self.outbox)
        self.key = derive_key(SECRET)
        self.inspector = Inspector(self.store)
        self.promoter = self.promoting()
        self.sweeper = Sweeper(self.shelf, self.store, 3600)

    def promoting(self, **pace: Any) -> Promoter:
        return Promoter(self.shelf, self.store, Pace(**pace))

    async def stage(self, content: bytes = PICTURE, *, tenant: UUID = TENANT, number: int = 0, **said: Any) -> Output:
        """Bytes as the worker leaves them; `said` is what it says wrongly of them."""
        key = staged_key(str(tenant), str(uuid7()), number)
        stored = await self.store.put(key, content, max_bytes=1 << 30)
        facts: dict[str, Any] = {
            "number": number,
            "staged_key": key,
            "sha256": stored.sha256,
            "content_sha256": stored.sha256,
            "size": stored.size,
            "mime": "image/png",
            "width": 1280,
            "height": 720,
        }
        return Output(**{**facts, **said})

    async def hear(self, *events: CloudEvent[GenerationCompleted]) -> None:
        async with self.engine.begin() as conn:
            await self.ears.on_completed(conn, events)

    async def store_all(self) -> None:
        """Promotes until nothing is due, whatever it was postponed to."""
        while await self.promoter.step():
            pass

    async def make_due(self) -> None:
        """As if every lease had run out and every pause were over."""
        await self.sql("UPDATE arrivals SET due_at = now() WHERE state = 'waiting'")

    async def kept(self, content: bytes = PICTURE, **about: Any) -> UUID:
        """An asset, stored the whole way; its id."""
        tenant = about.get("tenant", TENANT)
        heard = completed([await self.stage(content, tenant=tenant)], **about)
        await self.hear(heard)
        await self.store_all()
        [row] = await self.sql("SELECT id FROM assets WHERE job_id = :job", job=heard.data.job_id)
        return UUID(str(row["id"]))

    async def sql(self, statement: str, **values: Any) -> list[dict[str, Any]]:
        async with self.engine.begin() as conn:
            rows = await conn.execute(text(statement), values)
            return [dict(row) for row in rows.mappings()] if rows.returns_rows else []

    async def said(self, kind: type[Event] | None = None) -> list[Any]:
        """What was said so far, in order."""
        rows = await self.sql("SELECT headers, value FROM outbox ORDER BY n")
        events = [BY_TYPE[json.loads(row["headers"])["ce_type"]].model_validate_json(row["value"]) for row in rows]
        return [event for event in events if kind is None or isinstance(event, kind)]

    def blob(self, content: bytes = PICTURE, tenant: UUID = TENANT) -> Path:
        return self.root / blob_key(str(tenant), hashlib.sha256(content).hexdigest())

    def blobs(self) -> list[str]:
        """The hash of every file that is kept, once for each file."""
        return sorted(path.name for path in (self.root / "blobs").rglob("*") if path.is_file())


def migrated_database(server: PostgresServer) -> Iterator[str]:
    """A database with this service's tables, for all tests of a module: the tables are made once, emptied for each."""
    name = f"storage_{uuid7().hex}"
    server.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    try:
        asyncio.run(migrate(server.url(name), "storage_service"))
        yield server.url(name)
    finally:
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@asynccontextmanager
async def house_in(database: str, root: Path) -> AsyncIterator[House]:
    engine = make_engine(database, name="storage-service", pool_size=16)
    store = FolderStore(root)
    house = House(engine, root, store)
    try:
        await house.sql("TRUNCATE arrivals, blobs, assets, aliases, inbox, outbox, outbox_published")
        with capture_logs() as house.logs:
            yield house
    finally:
        await store.close()
        await engine.dispose()


def completed(
    outputs: Sequence[Output],
    *,
    tenant: UUID = TENANT,
    user: UUID = USER,
    job: UUID | None = None,
    item: int = 1,
    attempt: int = 1,
    visibility: str = "private",
    name: str = "hero.png",
    **context: Any,
) -> CloudEvent[GenerationCompleted]:
    """The worker's word that an attempt is whole."""
    job = job or uuid7()
    data = GenerationCompleted(
        job_id=job,
        item=item,
        attempt=attempt,
        outputs=list(outputs),
        fit=Fit(native_width=1280, native_height=720, method="none"),
        billing=Billing(state="final", amount_micros=40_000),
        logical_name=name,
        lineage=lineage(),
        asset_context=asset_context(user=user, visibility=visibility, **context),
    )
    return event(data, tenant=tenant)


def asset_context(*, user: UUID = USER, visibility: str = "private", **more: Any) -> AssetContext:
    facts = {"user_id": user, "kind": Kind.IMAGE, "asset_type": AssetType.THUMBNAIL, "visibility": visibility, **more}
    return AssetContext.model_validate(facts)


def lineage() -> Lineage:
    return Lineage(
        template="thumbnail",
        template_version="1.0",
        template_sha256="11" * 32,
        prompt_sha256="22" * 32,
        provider="sandbox",
        model="draw-1",
        seed=7,
        generated_at=datetime(2030, 1, 31, 12, 0, tzinfo=UTC),
    )


def event(data: Any, *, tenant: UUID = TENANT) -> CloudEvent[Any]:
    return CloudEvent(
        id=uuid7(),
        source="/services/provider-worker",
        subject=data.job_id,
        tenant_id=tenant,
        time=datetime.now(UTC),
        data=data,
        traceparent=TRACE,
    )
