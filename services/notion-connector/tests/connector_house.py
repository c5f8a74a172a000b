"""A connector without its process: a real database, stubs of Notion and the gateway, and events as Kafka gives them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.consumer import BatchConsumer
from chassis.database import make_engine, migrate
from chassis.ids import uuid7
from chassis.outbox import Outbox
from chassis.testing import event_of, record_of
from notion_connector.columns import Columns, Statuses
from notion_connector.events import subscription
from notion_connector.gateway import LABEL, Gateway
from notion_connector.notion import Notion
from notion_connector.reading import Reader
from notion_connector.recognising import Recogniser
from notion_connector.store.notebook import Notebook
from notion_connector.submitting import Submitter
from notion_connector.writing import Writer
from schemas.event import Event
from schemas.parts import Kind
from schemas.results import (
    JobAccepted,
    JobCancelled,
    JobCompleted,
    JobFailed,
    JobPartial,
    ManifestResult,
    ResultError,
)
from tests.gateway_stub import API_KEY, GatewayStub, gateway_stub
from tests.notion_stub import TOKEN, NotionStub, Page, notion_stub

COLUMNS = Columns(
    status="Status",
    topic="Topic",
    story_direction="Story Direction",
    channel="Channel",
    project="Project",
    error_log="Error Log",
    job_id="Job ID",
    total_cost="Total Cost",
    generated="Assets Generated",
    skipped="Assets Skipped",
    failed="Assets Failed",
)
STATUSES = Statuses("Generate Assets", "Generating Assets", "Assets Ready", "Asset Error")
PRICE = 68_000


@dataclass
class Replica:
    """One process of the connector, its loops as steps."""

    reader: Reader
    submitter: Submitter
    recogniser: Recogniser
    writer: Writer
    consumer: BatchConsumer
    notion: Notion
    gateway: Gateway

    async def read(self) -> None:
        await self.reader.step()

    async def submit(self) -> None:
        while await self.submitter.step():
            pass

    async def write(self) -> None:
        while await self.recogniser.step():
            pass
        while await self.writer.step():
            pass

    async def look(self) -> None:
        """Reads, submits and writes until nothing is due."""
        await self.read()
        await self.submit()
        await self.write()


@dataclass
class House:
    """A database, two stubs, and as many replicas as a test wants."""

    engine: AsyncEngine
    notion: NotionStub
    gateway: GatewayStub
    replicas: list[Replica] = field(default_factory=list)

    def replica(
        self,
        *,
        timeout: float = 5,
        lease: float = 60,
        give_up: float = 3600,
        doubt: float = 60,
        per_second: float = 1000,
    ) -> Replica:
        notebook = Notebook(self.engine, lease_seconds=lease, per_second=per_second)
        notion = Notion(self.notion.url, SecretStr(TOKEN), timeout=timeout)
        gateway = Gateway(self.gateway.url, SecretStr(API_KEY), timeout=timeout)
        database, event = UUID(self.notion.database_id), asyncio.Event()
        outbox = Outbox("/platforms/notion-connector")
        made = Replica(
            Reader(notion, notebook, database, COLUMNS, STATUSES, event),
            Submitter(notion, gateway, notebook, COLUMNS, STATUSES, event),
            Recogniser(gateway, notebook, event),
            Writer(notion, notebook, COLUMNS, STATUSES, give_up, doubt),
            BatchConsumer(self.engine, outbox, subscription(event.set), service="notion-connector"),
            notion,
            gateway,
        )
        self.replicas.append(made)
        return made

    async def sql(self, statement: str, **values: Any) -> list[Any]:
        async with self.engine.begin() as conn:
            rows = await conn.execute(text(statement), values)
            return list(rows.all()) if rows.returns_rows else []

    async def make_due(self) -> None:
        """As if every pause were over; leases stay."""
        for table in ("request", "page", "job"):
            await self.sql(f"UPDATE {table} SET due_at = now()")

    def job_of(self, page: Page) -> UUID:
        """The newest job of the page that the gateway accepted."""
        return [job for body, job in self.gateway.jobs.values() if body["labels"][LABEL] == page.id][-1]


@asynccontextmanager
async def house_in(database_url: str, **about: Any) -> AsyncIterator[House]:
    """A connector over an empty database."""
    await migrate(database_url, "notion_connector")
    engine = make_engine(database_url, name="notion-connector")
    async with notion_stub(**about) as notion, gateway_stub() as gateway:
        house = House(engine, notion, gateway)
        yield house
        for replica in house.replicas:
            await replica.notion.stop()
            await replica.gateway.stop()
    await engine.dispose()


async def hear(replica: Replica, *events: Event) -> None:
    """Handles `events` as one Kafka batch."""
    await replica.consumer([record_of(event_of(event, subject=event.job_id)) for event in events])  # type: ignore[attr-defined]


def accepted(job: UUID, page: Page | str) -> JobAccepted:
    return JobAccepted(job_id=job, labels=label(page))


def completed(job: UUID, page: Page | str, **more: Any) -> JobCompleted:
    return JobCompleted(**_outcome(job, page, status="completed", generated=22, **more))


def partial(job: UUID, page: Page | str, **more: Any) -> JobPartial:
    error = ResultError(code="PROVIDER_ERROR", message="the provider is down")
    return JobPartial(**_outcome(job, page, status="partial", generated=12, failed=10, error=error, **more))


def failed(job: UUID, page: Page | str, *, message: str = "no template of that name") -> JobFailed:
    error = ResultError(code="TEMPLATE_NOT_FOUND", message=message)
    return JobFailed(**_outcome(job, page, status="failed", generated=0, failed=22, error=error))


def cancelled(job: UUID, page: Page | str) -> JobCancelled:
    return JobCancelled(**_outcome(job, page, status="cancelled", generated=0, failed=22))


def label(page: Page | str) -> dict[str, str]:
    return {LABEL: page if isinstance(page, str) else page.id}


def _outcome(
    job: UUID,
    page: Page | str,
    *,
    status: str,
    generated: int,
    skipped: int = 0,
    failed: int = 0,
    settled: bool = False,
    error: ResultError | None = None,
    place: Sequence[str] = ("films", "lighthouse"),
) -> dict[str, Any]:
    cost = generated * PRICE
    manifest = ManifestResult(
        channel=place[0],
        project=place[1],
        generated=generated,
        skipped=skipped,
        failed=failed,
        total_cost_micros=cost,
    )
    return {
        "job_id": job,
        "user_id": uuid7(),
        "kind": Kind.IMAGE,
        "status": status,
        "items": generated + skipped + failed,
        "completed": generated + skipped,
        "error": error,
        "manifest": manifest,
        "cost_micros": cost,
        "currency": "USD",
        "settled": settled,
        "labels": label(page),
        "completed_at": datetime.now(UTC),
    }
