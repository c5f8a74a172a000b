"""A worker that dies at every step: nothing is lost, nothing is paid twice, every item ends once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from provider_worker.adapters.sandbox import read_lines
from schemas.events import GenerationCompleted, GenerationStarted
from tests.worker_builders import PRICE, Home, Painter, envelope, home_at, prepared
from tests.worker_child import run_child

pytestmark = pytest.mark.integration

POINTS = [
    "worker.before_intent",
    "worker.after_intent",
    "worker.before_submit",
    "worker.after_submit",
    "worker.before_stage",
    "worker.after_stage",
    "worker.before_keep",
    "worker.after_keep",
    "worker.before_finish",
    "worker.after_finish",
]
ITEMS = 3


@pytest.fixture
async def home(database_url: str, tmp_path: Path) -> AsyncIterator[Home]:
    async with home_at(database_url, tmp_path) as home:
        yield home


async def test_killed_at_every_step_in_turn_it_loses_nothing_and_pays_once(home: Home, tmp_path: Path) -> None:
    """Each process dies at another step, also of what the one before it left; the last one ends everything."""
    outside = home.worker(Painter("sandbox"))
    arguments = [home.dsn, str(tmp_path / "objects"), str(tmp_path / "sandbox")]
    for point in POINTS:
        await outside.hear(envelope(prepared(ITEMS)))
        assert await run_child(arguments, crash_at=point) == 137, point
    assert await run_child(arguments) == 0

    items = ITEMS * len(POINTS)
    words = await home.last_words()
    assert list(words.values()) == ["GenerationCompleted"] * items
    started = [(event.job_id, event.item, event.attempt) for event in await home.said(GenerationStarted)]
    assert len(started) == len(set(started)) == items
    paid = {line.reference: line.amount_micros for line in read_lines(tmp_path / "sandbox")}
    attempts = await home.rows("SELECT attempt_id, amount_micros FROM attempts WHERE outcome = 'completed'")
    assert {str(row.attempt_id): row.amount_micros for row in attempts} == paid
    made = await home.said(GenerationCompleted)
    assert sum(event.billing.amount_micros for event in made) == sum(paid.values()) == items * PRICE
    for event in made:
        assert (await home.objects.stat(event.outputs[0].staged_key)).size == event.outputs[0].size
