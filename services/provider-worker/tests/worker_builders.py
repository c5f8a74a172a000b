"""Small builders for the worker's tests."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.database import make_engine, migrate
from chassis.ids import uuid7
from chassis.outbox import Outbox
from objects import FolderStore, ObjectStore
from provider_worker.adapters.interface import (
    Artifact,
    Capability,
    Cost,
    GenerationRequest,
    JobRef,
    MediaKind,
    Op,
    ProviderAdapter,
    ProviderError,
    Status,
    WebhookEvent,
)
from provider_worker.adapters.signatures import unsigned
from provider_worker.app import pools_of
from provider_worker.engine.attempts import Tools
from provider_worker.engine.bills import Bills
from provider_worker.engine.claiming import Claimer
from provider_worker.engine.endings import Endings
from provider_worker.engine.fetching import Fetching
from provider_worker.engine.gate import StoreGate
from provider_worker.engine.health import Health
from provider_worker.engine.inputs import Held, nothing_held
from provider_worker.engine.leases import Leases
from provider_worker.engine.plannings import Plannings
from provider_worker.engine.presence import Present
from provider_worker.engine.production import CallbackUrl, Production
from provider_worker.engine.upkeep import Upkeep
from provider_worker.events import Hears
from provider_worker.planning import Planner
from provider_worker.routing import KindRoute, RetryPolicy, RouteTable, Use
from provider_worker.store.database import TaskDatabase
from schemas.cloudevents import CloudEvent, decode
from schemas.event import Event
from schemas.events import (
    BY_TYPE,
    CostReserved,
    GenerationCancelled,
    GenerationCompleted,
    GenerationFailed,
    GenerationQuoted,
    PromptsPrepared,
)
from schemas.parts import AssetContext, ErrorCode, Kind, PreparedItem, Route
from tests.worker_believing import Believing
from tests.worker_names import plannings_of

TENANT, USER = uuid7(), uuid7()
PRICE = 40_000
FALLBACK = frozenset({ErrorCode.AUTH_ERROR, ErrorCode.TEMPORARY, ErrorCode.PROVIDER_ERROR, ErrorCode.CORRUPT_OUTPUT})
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def item(number: int = 1, **changes: Any) -> PreparedItem:
    given: dict[str, Any] = {
        "number": number,
        "logical_name": f"thumbnail-{number}",
        "prompt": "a red fox on a skateboard",
        "kind": Kind.IMAGE,
        "width": 64,
        "height": 32,
        "format": "png",
        "template": "thumbnail",
        "template_version": "v1.0",
        "template_sha256": "t" * 64,
        "prompt_sha256": "p" * 64,
    }
    return PreparedItem(**{**given, **changes})


def prepared(items: int | Sequence[PreparedItem] = 1, *, job_id: UUID | None = None, **changes: Any) -> PromptsPrepared:
    given = [item(number) for number in range(1, items + 1)] if isinstance(items, int) else list(items)
    context = AssetContext(user_id=USER, kind=Kind.IMAGE)
    return PromptsPrepared(
        job_id=job_id or uuid7(), items=given, route=changes.pop("route", Route()), asset_context=context, **changes
    )


def envelope(data: Event, *, tenant_id: UUID = TENANT, traceparent: str | None = TRACE) -> CloudEvent[Any]:
    return CloudEvent(
        id=uuid7(),
        source="/tests",
        subject=data.job_id,  # type: ignore[attr-defined]
        tenant_id=tenant_id,
        time=datetime.fromisoformat("2026-11-20T12:00:00Z"),
        data=data,
        traceparent=traceparent,
    )


def table(
    *uses: Use, per_tenant: int = 5, timeout_s: float = 60.0, waits: tuple[float, ...] = (0.01,) * 3
) -> RouteTable:
    uses = uses or (Use("painter", "paint-1"),)
    return RouteTable(
        currency="USD",
        price_version="2026-11-20",
        routes={Kind.IMAGE: KindRoute(Kind.IMAGE, uses, per_tenant, timeout_s, 0.01)},
        retries={use.provider: RetryPolicy(waits=waits) for use in uses},
        fallback_on=FALLBACK,
        unknown_grace_s=0.5,
    )


Answer = Callable[[GenerationRequest], Awaitable[JobRef | Status]]


@dataclass
class Painter:
    """A provider in memory with a bill of its own: one paid job per reference, however often it is sent."""

    name: str = "painter"
    price: int = PRICE
    idempotency: Literal["none", "list_lookup", "client_ref"] = "client_ref"
    answer: Answer | None = None
    jobs: dict[str, Status] = field(default_factory=dict)
    bill: Counter[str] = field(default_factory=Counter)
    calls: list[str] = field(default_factory=list)

    def capabilities(self) -> Sequence[Capability]:
        return [
            Capability(MediaKind.IMAGE, Op.TEXT_TO_IMAGE, "sync", None, formats=("png",), idempotency=self.idempotency)
        ]

    def estimate(self, req: GenerationRequest) -> Cost:
        return Cost(self.price, "USD", "estimated")

    def plan(self, req: GenerationRequest) -> Mapping[str, Any]:
        return {"prompt": req.prompt}

    async def submit(self, req: GenerationRequest, plan: Mapping[str, Any]) -> JobRef | Status:
        self.calls.append(req.request_id)
        if self.answer is not None:
            return await self.answer(req)
        return self.make(req)

    def make(self, req: GenerationRequest, data: bytes = b"picture") -> Status:
        """The provider takes the job and is paid for it; a known reference gets its job again."""
        if req.request_id in self.jobs and self.idempotency == "client_ref":
            return self.jobs[req.request_id]
        self.bill[req.request_id] += self.price
        status = Status(
            "succeeded",
            f"job-{req.request_id}",
            artifacts=[Artifact("image/png", data=data)],
            cost=Cost(self.price, "USD", "reported"),
        )
        self.jobs[req.request_id] = status
        return status

    async def poll(self, ref: JobRef) -> Status:
        return self.jobs[ref.external_id.removeprefix("job-")]

    async def find(self, req: GenerationRequest, plan: Mapping[str, Any], since: datetime) -> JobRef | None:
        found = self.jobs.get(req.request_id)
        return JobRef(self.name, found.external_id) if found else None

    async def cancel(self, ref: JobRef) -> bool:
        return False

    async def fetch(self, art: Artifact) -> AsyncIterator[bytes]:
        yield art.data or b""

    async def parse_webhook(self, headers: Mapping[str, str], body: bytes, received_at: datetime) -> WebhookEvent:
        return unsigned(body)

    async def health(self) -> bool:
        return True

    async def close(self) -> None:
        pass


def refusing(error: ProviderError, times: int, then: Painter) -> Answer:
    """Refuses `times` calls, then makes the picture."""
    left = [times]

    async def answer(req: GenerationRequest) -> JobRef | Status:
        if left[0]:
            left[0] -= 1
            raise replace(error)
        return then.make(req)

    return answer


@dataclass
class Worker:
    """A worker without Kafka: its handlers, its engine, its database."""

    engine: AsyncEngine
    hears: Hears
    store: TaskDatabase
    claimer: Claimer
    tools: Tools
    leases: Leases
    upkeep: Upkeep
    bills: Bills
    health: Health
    finisher: Believing
    plannings: Plannings

    async def hear(self, *events: CloudEvent[Any]) -> None:
        """Handles events as a batch of one type, in one transaction."""
        handler = {
            "PromptsPrepared": self.hears.prompts_prepared,
            "JobCancelRequested": self.hears.job_cancel_requested,
            "CostReserved": self.hears.cost_reserved,
            "BudgetRefused": self.hears.budget_refused,
        }[type(events[0].data).__name__]
        async with self.engine.begin() as conn:
            await handler(conn, events)  # type: ignore[operator]
        self.claimer.ready()

    async def reserve(self) -> int:
        """Answers every quote said so far, as the ledger would."""
        quotes = [event for event in await said(self.engine) if isinstance(event.data, GenerationQuoted)]
        answers = [
            envelope(
                CostReserved(
                    job_id=quote.data.job_id,
                    attempt=quote.data.attempt,
                    items=[each.number for each in quote.data.items],
                    amount_micros=sum(each.amount_micros for each in quote.data.items),
                    currency="USD",
                ),
                tenant_id=quote.tenant_id,
            )
            for quote in quotes
        ]
        if answers:
            await self.hear(*answers)
        return len(answers)

    async def plan(self) -> None:
        """Plans every job that is due to be planned."""
        while await self.plannings.step():
            pass

    async def work(self) -> None:
        """Claims and works until nothing is ready or under way."""
        while True:
            claimed = await self.claimer.step(self.tools)
            if len(self.leases):
                await asyncio.wait([held.work for held in self.leases._held.values()])
                await asyncio.sleep(0)
            elif not claimed:
                return

    async def finish(self, rounds: int = 20) -> None:
        """Plays the ledger and the clock until every item has its last word."""
        for _ in range(rounds):
            await self.reserve()
            await self.work()
            if not await unfinished(self.engine):
                return
            await self.upkeep.revive()
            await asyncio.sleep(0.02)
        raise AssertionError("items are left unfinished")


def worker(
    engine: AsyncEngine,
    objects: ObjectStore,
    *painters: ProviderAdapter,
    routes: RouteTable | None = None,
    hands: int = 64,
    lease_s: float = 30.0,
    callback_url: CallbackUrl = lambda task: None,
    keys: Sequence[str] = (),
    inputs: Held = nothing_held,
    present: Present | None = None,
) -> Worker:
    by_name: dict[str, ProviderAdapter] = {painter.name: painter for painter in painters or (Painter(),)}
    routes = routes or table(*(Use(name, "paint-1") for name in by_name))
    outbox = Outbox("/services/provider-worker")
    store = TaskDatabase(
        engine,
        outbox,
        currency=routes.currency,
        price_version=routes.price_version,
        accounts=routes.accounts,
        asks=by_name,
    )
    leases = Leases(store, lease_s=lease_s)
    claimer = Claimer(store, leases, StoreGate(objects), pools_of(routes), hands=hands)
    health = Health(store)
    production = Production(
        by_name,
        Fetching(objects),
        routes,
        still_ours=leases.is_ours,
        random=Random(7),
        is_taken=store.is_taken,
        callback_url=callback_url,
        keys=keys,
        inputs=inputs,
    )
    finisher = Believing()
    finisher.objects = objects
    endings = Endings(routes, production.price, production.resendable, uuid7, Random(7), health.is_closed)
    planner = Planner(routes, production.price, uuid7, health.is_closed)
    plannings = plannings_of(engine, outbox, planner, present)
    return Worker(
        engine=engine,
        hears=Hears(outbox, planner, plannings.wake.set),
        store=store,
        claimer=claimer,
        tools=Tools(store, production, finisher, endings, health, claimer.freed),
        leases=leases,
        upkeep=Upkeep(store, objects, claimer.ready),
        bills=Bills(store, production, finisher, grace_s=0.0),
        health=health,
        finisher=finisher,
        plannings=plannings,
    )


@dataclass
class Home:
    """A database and an object store of one test, and workers over them."""

    engine: AsyncEngine
    objects: FolderStore
    dsn: str

    def worker(self, *painters: ProviderAdapter, **changes: Any) -> Worker:
        return worker(self.engine, self.objects, *painters, **changes)

    async def said(self, *kinds: type[Event]) -> list[Any]:
        """The data of what was said so far, in order; only these kinds where some are named."""
        return [event.data for event in await said(self.engine) if not kinds or isinstance(event.data, kinds)]

    async def rows(self, statement: str, **values: Any) -> list[Any]:
        async with self.engine.begin() as conn:
            found = await conn.execute(text(statement), values)
            return list(found.all()) if found.returns_rows else []

    async def last_words(self) -> dict[tuple[UUID, int], str]:
        """Each item's last word; fails where an item has two."""
        words: dict[tuple[UUID, int], str] = {}
        for event in await self.said(GenerationCompleted, GenerationFailed, GenerationCancelled):
            if event.final:
                assert (event.job_id, event.item) not in words, "an item ended twice"
                words[event.job_id, event.item] = type(event).__name__
        return words


@asynccontextmanager
async def home_at(dsn: str, folder: Path) -> AsyncIterator[Home]:
    await migrate(dsn, "provider_worker")
    engine = make_engine(dsn, name="provider-worker", pool_size=20)
    objects = FolderStore(folder / "objects")
    try:
        yield Home(engine, objects, dsn)
    finally:
        await objects.close()
        await engine.dispose()


async def said(engine: AsyncEngine) -> list[CloudEvent[Any]]:
    """Everything in the outbox, in order."""
    async with engine.begin() as conn:
        rows = await conn.execute(text("SELECT headers, value FROM outbox ORDER BY n"))
        return [
            decode([(name, value.encode()) for name, value in json.loads(row.headers).items()], row.value, BY_TYPE)
            for row in rows
        ]


async def unfinished(engine: AsyncEngine) -> int:
    async with engine.begin() as conn:
        found = await conn.execute(
            text("SELECT count(*) FROM tasks WHERE state NOT IN ('completed', 'failed', 'cancelled')")
        )
        return int(found.scalar_one())
