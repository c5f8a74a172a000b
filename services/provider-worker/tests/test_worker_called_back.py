"""Providers that call back, as the simulator does it: a job ends long before anybody would have looked at it."""

from __future__ import annotations

import asyncio
import queue
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from chassis.ids import uuid7
from chassis.outbox import NOBODY
from provider_worker.adapters import fal, replicate, sunoapi
from provider_worker.adapters.config import Price, Prices, ProviderConfig
from provider_worker.adapters.interface import ProviderAdapter
from provider_worker.callbacks import callback_address
from provider_worker.engine.callbacks import Callbacks
from provider_worker.routing import KindRoute, RetryPolicy, RouteTable, Use
from provider_worker.store.callbacks import CallbackDatabase
from schemas.callbacks import ProviderCallbackReceived
from schemas.cloudevents import CloudEvent
from schemas.events import GenerationCompleted, GenerationFailed
from schemas.parts import Kind, PreparedItem
from simulator.testing import Customer, RunningSimulator
from tests.worker_builders import Home, Worker, envelope, home_at, item, prepared, table, worker

pytestmark = pytest.mark.integration

SECRET = "a secret of at least sixteen characters"
POLL_S = 50.0
"""The next look, if nobody calls: longer than a test lasts."""


@dataclass(frozen=True)
class Case:
    name: str
    make: Callable[[ProviderConfig], ProviderAdapter]
    path: str
    model: str
    kind: Kind = Kind.IMAGE
    changes: dict[str, Any] = field(default_factory=dict)
    stages: int = 1

    def adapter(self, simulator: RunningSimulator) -> ProviderAdapter:
        return self.make(
            ProviderConfig(
                name=self.name,
                model=self.model,
                base_url=f"{simulator.url}{self.path}",
                api_key=SecretStr("sim-" + self.path[1:]),
                prices=Prices(self.name, (Price("image", 400_000), Price("generation", 60_000))),
            )
        )

    def routes(self, poll_s: float) -> RouteTable:
        route = KindRoute(self.kind, (Use(self.name, self.model),), 5, 120.0, poll_s)
        policy = RetryPolicy(waits=(0.05,) * 3)
        return replace(table(), routes={self.kind: route}, retries={self.name: policy}, unknown_grace_s=120.0)

    def item(self, tag: str) -> PreparedItem:
        return item(kind=self.kind, prompt=f"a calm thing [[sim:{tag}]]" if tag else "a calm thing", **self.changes)


CASES = [
    Case("fal", fal.make, "/fal", "fal-ai/flux/dev", changes={"width": 1280, "height": 720}),
    Case(
        "replicate",
        replicate.make,
        "/replicate",
        "black-forest-labs/flux-1.1-pro",
        changes={"width": 1280, "height": 720},
    ),
    Case(
        "suno",
        sunoapi.make,
        "/sunoapi",
        "V4_5ALL",
        Kind.MUSIC,
        {"width": 0, "height": 0, "format": "mp3", "duration_seconds": 40.0},
        stages=3,
    ),
]
FAL, SIGNED = CASES[0], CASES[:2]


@dataclass
class Line:
    """A worker over the simulator. What the simulator calls back with comes to it as from the gateway."""

    here: Worker
    engine: Callbacks
    customer: Customer
    case: Case

    async def taken(self, tag: str = "") -> UUID:
        """An item is sent; the attempt."""
        await self.here.hear(envelope(prepared([self.case.item(tag)])))
        await self.here.reserve()
        await self.here.work()
        async with self.here.engine.begin() as conn:
            attempt: UUID = (await conn.execute(text("SELECT attempt_id FROM tasks"))).scalar_one()
        return attempt

    async def passed_on(self, attempt: UUID, most: int = 1, within_s: float = 10.0) -> int:
        """What was called is heard and applied; how many there were."""
        for number in range(most):
            try:
                headers, body = await asyncio.to_thread(self.customer.got.get, timeout=within_s)
            except queue.Empty:
                return number
            data = ProviderCallbackReceived(
                provider=self.case.name, attempt_id=attempt, headers=headers, body_base64=b64encode(body).decode()
            )
            event = CloudEvent(uuid7(), "/services/api-gateway", attempt, NOBODY, datetime.now(UTC), data)
            async with self.here.engine.begin() as conn:
                await self.here.hears.provider_called_back(conn, [event])
            await self.engine.step()
        return most


@pytest.fixture
async def home(database_url: str, tmp_path: Path) -> AsyncIterator[Home]:
    async with home_at(database_url, tmp_path) as home:
        yield home


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.fixture
def poll_s() -> float:
    return POLL_S


@pytest.fixture
async def line(
    home: Home, case: Case, poll_s: float, simulator: RunningSimulator, customer: Customer
) -> AsyncIterator[Line]:
    simulator.post("settings", provider=case.path[1:], queued_s=[0.1, 0.1], running_s=[0.4, 0.4])
    adapter = case.adapter(simulator)
    base = customer.url("x").partition("/hooks")[0]
    here = worker(
        home.engine,
        home.objects,
        adapter,
        routes=case.routes(poll_s),
        callback_url=lambda task: callback_address(base, SECRET, task.offer.provider, task.attempt_id),
    )
    engine = Callbacks(CallbackDatabase(home.engine), {case.name: adapter}, here.claimer.ready, asyncio.Event())
    yield Line(here, engine, customer, case)
    await adapter.close()


async def standing(home: Home) -> list[tuple[Any, ...]]:
    """Of each task its state, the provider's name for its job, and whether it is looked at soon."""
    rows = await home.rows("SELECT state, external ->> 'id', next_at <= now() FROM tasks")
    return [tuple(row) for row in rows]


async def test_a_callback_ends_a_job_long_before_it_would_be_looked_at(
    home: Home, line: Line, simulator: RunningSimulator
) -> None:
    attempt = await line.taken()
    [[state, external, due]] = await standing(home)
    assert (state, bool(external), due) == ("polling", True, False)

    assert await line.passed_on(attempt, line.case.stages) == line.case.stages
    await line.here.work()

    [made] = await home.said(GenerationCompleted)
    [charge] = simulator.bill()["lines"]
    assert (made.lineage.provider, charge["reference"]) == (line.case.name, str(attempt))
    assert {row.outcome for row in await home.rows("SELECT outcome FROM callbacks")} == {"hinted"}


async def test_callbacks_that_come_twice_change_nothing_more(
    home: Home, line: Line, simulator: RunningSimulator
) -> None:
    attempt = await line.taken("dup_webhook")
    assert await line.passed_on(attempt, line.case.stages * 2) == line.case.stages * 2
    await line.here.work()
    assert len(await home.said(GenerationCompleted)) == 1
    assert len(simulator.bill()["lines"]) == 1
    outcomes = [row.outcome for row in await home.rows("SELECT outcome FROM callbacks")]
    assert sorted(outcomes) == ["duplicate"] * line.case.stages + ["hinted"] * line.case.stages


@pytest.mark.parametrize("fault", ["bad_signature", "bad_signature:old"])
@pytest.mark.parametrize("case", SIGNED, ids=lambda case: case.name, indirect=True)
@pytest.mark.parametrize("poll_s", [2.0])
async def test_a_badly_signed_callback_changes_nothing_and_the_look_that_was_due_ends_the_job(
    home: Home, line: Line, fault: str, poll_s: float
) -> None:
    attempt = await line.taken(fault)
    before = await standing(home)
    assert await line.passed_on(attempt) == 1
    assert await standing(home) == before
    await line.here.work()
    assert not await home.said(GenerationCompleted)
    assert [row.outcome for row in await home.rows("SELECT outcome FROM callbacks")] == ["refused"]

    await home.rows("UPDATE tasks SET next_at = now()")
    await line.here.work()
    assert len(await home.said(GenerationCompleted)) == 1


@pytest.mark.parametrize("case", [FAL], ids=lambda case: case.name, indirect=True)
async def test_a_lost_answer_at_fal_is_brought_back_by_its_callback(
    home: Home, line: Line, simulator: RunningSimulator
) -> None:
    """fal has no reference of ours and is asked for no list: nothing else could bring it back."""
    attempt = await line.taken("drop_after_accept")
    [[state, external, _]] = await standing(home)
    assert (state, external) == ("polling", None)

    assert await line.passed_on(attempt) == 1
    await line.here.work()

    [made] = await home.said(GenerationCompleted)
    assert (made.attempt, len(await home.said(GenerationFailed))) == (1, 0)
    [charge] = simulator.bill()["lines"]
    assert charge["reference"] == str(attempt)
    assert [row.outcome for row in await home.rows("SELECT outcome FROM callbacks")] == ["linked"]


async def test_a_callback_that_is_not_sent_is_not_needed(home: Home, line: Line) -> None:
    attempt = await line.taken("no_webhook")
    assert await line.passed_on(attempt, within_s=1.0) == 0
    await home.rows("UPDATE tasks SET next_at = now()")
    await line.here.work()
    assert len(await home.said(GenerationCompleted)) == 1
