"""kill -9 of every part in turn, with 300 jobs in flight: nothing is lost, nothing is made or paid twice."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests import kafka_client
from tests.running import SERVICES, Live, until, uuids

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

JOBS = 300
AT_ONCE = 12
KILL_AT = (40, 180)


class Load:
    """Submits jobs, each again and again under its own idempotency key until it is accepted."""

    def __init__(self, live: Live) -> None:
        self.live = live
        self.run = uuid.uuid4().hex
        self.accepted: list[str] = []
        self.seeds = random.Random(7)

    async def submit_all(self, client: httpx.AsyncClient) -> None:
        numbers = iter(range(JOBS))
        await asyncio.gather(*(self._submit_some(client, numbers) for _ in range(AT_ONCE)))

    async def _submit_some(self, client: httpx.AsyncClient, numbers: Iterator[int]) -> None:
        for number in numbers:
            body = {"kind": "image", "prompt": f"fox {number}", "width": 64, "height": 64, "labels": {"run": self.run}}
            self.accepted.append(await self._accepted(client, body, f"{self.run}-{number}"))

    async def _accepted(self, client: httpx.AsyncClient, body: dict[str, Any], key: str) -> str:
        while True:
            try:
                answer = await client.post("/api/v1/jobs", json=body, headers={"Idempotency-Key": key})
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.status_code == 202:
                return str(answer.json()["id"])
            assert answer is None or answer.status_code >= 500, answer.text
            await asyncio.sleep(0.05 + 0.1 * self.seeds.random())

    async def reached(self, jobs: int) -> None:
        async def look() -> bool:
            return len(self.accepted) >= jobs

        await until(look, f"{jobs} jobs were not accepted", within=60, every=0.02)


@pytest.fixture
def load(live: Live) -> Load:
    return Load(live)


async def kill_twice_during(load: Load, kill: Any) -> None:
    """Submits everything, and calls `kill` at two moments of it."""
    async with load.live.client() as client:
        submitting = asyncio.create_task(load.submit_all(client))
        for moment in KILL_AT:
            await load.reached(moment)
            await kill()
        await submitting


@pytest.mark.parametrize("name", [*SERVICES, "kafka", "postgres"])
async def test_a_killed_process_loses_nothing_and_repeats_nothing(load: Load, name: str) -> None:
    async def kill() -> None:
        killed = load.live.kill(name)
        await load.live.restarted(name, killed)

    await kill_twice_during(load, kill)
    await everything_happened_once(load)


async def test_a_cut_connection_of_each_relay_loses_nothing_and_repeats_nothing(load: Load) -> None:
    async def cut() -> None:
        for service in SERVICES:
            statement = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = $1"
            assert await load.live.value(service, statement, f"{service}-relay") == 1

    await kill_twice_during(load, cut)
    await everything_happened_once(load)


async def everything_happened_once(load: Load) -> None:
    try:
        await all_jobs_end(load)
        await one_asset_per_item(load)
        await one_paid_generation_per_item(load)
        await load.live.books_agree()
        await load.live.all_told()
        await every_job_is_told_once(load)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{load.live.complaints()}") from error


async def all_jobs_end(load: Load) -> None:
    assert len(set(load.accepted)) == JOBS
    statement = "SELECT status, settled, count(*) FROM job WHERE id = ANY($1) GROUP BY 1, 2"

    async def look() -> bool:
        rows = await load.live.rows("api-gateway", statement, uuids(load.accepted))
        return [tuple(row) for row in rows] == [("completed", True, JOBS)]

    await until(look, "not every job is completed and settled", within=90, every=0.5)
    total = await load.live.value(
        "api-gateway", "SELECT count(*) FROM job WHERE labels @> $1::jsonb", json.dumps({"run": load.run})
    )
    assert total == JOBS, "a repeated request made a second job"


async def one_asset_per_item(load: Load) -> None:
    statement = "SELECT id, job_id, sha256 FROM assets WHERE job_id = ANY($1)"
    assets = await load.live.rows("storage-service", statement, uuids(load.accepted))
    assert Counter(str(asset["job_id"]) for asset in assets) == dict.fromkeys(load.accepted, 1)
    async with load.live.client(follow_redirects=True) as client:
        for job_id in load.accepted[::50]:
            job = (await client.get(f"/api/v1/jobs/{job_id}")).json()
            [output] = job["items"][0]["outputs"]
            content = (await client.get(output["url"])).content
            assert hashlib.sha256(content).hexdigest() == output["sha256"]


async def one_paid_generation_per_item(load: Load) -> None:
    statement = "SELECT attempt_id FROM attempts WHERE job_id = ANY($1)"
    attempts = await load.live.rows("provider-worker", statement, uuids(load.accepted))
    paid = Counter(load.live.paid_references())
    assert len(attempts) == JOBS
    assert [paid[str(attempt["attempt_id"])] for attempt in attempts] == [1] * JOBS


async def every_job_is_told_once(load: Load) -> None:
    told = await asyncio.to_thread(results_of, load.live.info.kafka, set(load.accepted))
    assert told == dict.fromkeys(load.accepted, 1)


def results_of(bootstrap: str, jobs: set[str]) -> dict[str, int]:
    """How many different JobCompleted events each job has on the public topic, read by a client that is not ours."""
    ids: dict[str, set[str]] = {}
    for record in kafka_client.read(bootstrap, ["backlot.job-results"]):
        texts = record.texts
        if texts.get("ce_type") == "dev.backlot.job.completed.v1" and texts["ce_subject"] in jobs:
            ids.setdefault(texts["ce_subject"], set()).add(texts["ce_id"])
    return {job: len(found) for job, found in ids.items()}
