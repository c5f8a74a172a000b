"""An item's way through the worker, on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.database import make_engine, migrate
from objects import FolderStore
from schemas.events import GenerationCompleted, GenerationQuoted, GenerationStarted
from tests.worker_builders import PRICE, Painter, envelope, prepared, rows, said_of, worker

pytestmark = pytest.mark.integration


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    await migrate(database_url, "provider_worker")
    engine = make_engine(database_url, name="provider-worker")
    yield engine
    await engine.dispose()


@pytest.fixture
async def objects(tmp_path: Path) -> AsyncIterator[FolderStore]:
    store = FolderStore(tmp_path / "objects")
    yield store
    await store.close()


async def test_a_job_is_quoted_held_made_and_handed_over(engine: AsyncEngine, objects: FolderStore) -> None:
    painter = Painter()
    here = worker(engine, objects, painter)
    job = prepared(3)

    await here.hear(envelope(job))
    await here.finish()

    [quote] = await said_of(engine, GenerationQuoted)
    assert [(each.number, each.amount_micros) for each in quote.items] == [(1, PRICE), (2, PRICE), (3, PRICE)]
    assert len(await said_of(engine, GenerationStarted)) == 3
    completed = await said_of(engine, GenerationCompleted)
    assert sorted(event.item for event in completed) == [1, 2, 3]
    assert {event.billing.amount_micros for event in completed} == {PRICE}
    assert sum(painter.bill.values()) == 3 * PRICE
    for event in completed:
        stored = b"".join([chunk async for chunk in objects.open(event.outputs[0].staged_key)])
        assert stored == b"picture"
    assert len(await rows(engine, "SELECT 1 FROM attempts WHERE outcome = 'completed' AND billing = 'final'")) == 3
