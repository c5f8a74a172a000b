"""The real process over the real Kafka resumes a job: it asks once, at once, and makes what is missing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from chassis.ids import uuid7
from provider_worker.adapters.sandbox import read_bill
from schemas.events import GenerationCompleted, GenerationQuoted, GenerationSkipped
from stack.ports import free_ports
from tests.test_worker_service import environment_of, played, say, service
from tests.worker_builders import PRICE, envelope, item, prepared
from tests.worker_names import storage_with

pytestmark = pytest.mark.integration


async def test_a_process_asks_what_is_there_and_makes_the_rest(
    database_url: str, kafka_bootstrap: str, tmp_path: Path
) -> None:
    there, asked = {item(1).logical_name: uuid7()}, list[list[str]]()
    job = prepared([item(1), item(2, width=64, height=64)], resume=True)
    async with storage_with(there, asked) as url:
        environment = environment_of(database_url, tmp_path, kafka_bootstrap, free_ports(1)[0])
        async with service({**environment, "STORAGE_SERVICE_URL": url}):
            await asyncio.to_thread(say, kafka_bootstrap, envelope(job))
            events = await asyncio.to_thread(played, kafka_bootstrap, job.job_id, 1)

    told = [event.data for event in events]
    assert asked == [[item(1).logical_name, item(2).logical_name]]
    [skipped] = [event for event in told if isinstance(event, GenerationSkipped)]
    assert (skipped.item, skipped.asset_id) == (1, there[item(1).logical_name])
    assert [[each.number for each in event.items] for event in told if isinstance(event, GenerationQuoted)] == [[2]]
    assert [event.item for event in told if isinstance(event, GenerationCompleted)] == [2]
    bill = read_bill(tmp_path / "sandbox")
    assert (bill.count, bill.amount_micros) == (1, PRICE)
