"""A worker that dies at every step of planning what resumes: the job waits or is planned, once, and is paid once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chassis.ids import uuid7
from provider_worker.adapters.sandbox import read_bill
from schemas.events import GenerationQuoted, GenerationSkipped
from tests.worker_builders import PRICE, Home, Painter, envelope, home_at, item, prepared
from tests.worker_child import run_child
from tests.worker_names import storage_with

pytestmark = pytest.mark.integration

POINTS = ["worker.before_presence", "worker.after_presence", "worker.before_plan", "worker.after_plan"]
ITEMS = 3


@pytest.fixture
async def home(database_url: str, tmp_path: Path) -> AsyncIterator[Home]:
    async with home_at(database_url, tmp_path) as home:
        yield home


async def test_killed_at_every_step_of_planning_a_job_is_planned_and_paid_once(home: Home, tmp_path: Path) -> None:
    there, asked = {item(1).logical_name: uuid7()}, list[list[str]]()
    outside = home.worker(Painter("sandbox"))
    arguments = [home.dsn, str(tmp_path / "objects"), str(tmp_path / "sandbox")]
    jobs = []
    async with storage_with(there, asked) as url:
        environ = {"STORAGE_SERVICE_URL": url}
        for point in POINTS:
            job = prepared(ITEMS, resume=True)
            jobs.append(job.job_id)
            await outside.hear(envelope(job))
            assert await run_child(arguments, environ, point) == 137, point
            planned = point == "worker.after_plan"
            rows = await home.rows("SELECT 1 FROM plannings WHERE job_id = :job", job=job.job_id)
            tasks = await home.rows("SELECT 1 FROM tasks WHERE job_id = :job", job=job.job_id)
            assert (len(rows), len(tasks)) == ((0, ITEMS - 1) if planned else (1, 0)), point
            await home.rows("UPDATE plannings SET next_at = now()")
            assert await run_child(arguments, environ) == 0

    assert [event.job_id for event in await home.said(GenerationSkipped)] == jobs
    assert [event.job_id for event in await home.said(GenerationQuoted)] == jobs
    words = await home.last_words()
    assert words == {(job, number): "GenerationCompleted" for job in jobs for number in range(2, ITEMS + 1)}
    bill = read_bill(tmp_path / "sandbox")
    paid = (ITEMS - 1) * len(POINTS)
    assert (bill.count, bill.amount_micros, bill.duplicate_submits) == (paid, paid * PRICE, 0)
    assert len(asked) == 6, "twice where it died between question and commit"
