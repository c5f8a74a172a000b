"""The measures: acceptance, overhead, end to end, memory. Each answers plain figures in the unit its name says."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import asyncpg

from bench.load import Connection, closed_loop, percentile
from bench.processes import cpu_ms, usage
from stack.state import StackInfo

PICTURE = {"kind": "image", "prompt": "a fox in the snow", "width": 64, "height": 64}
BULK = 100
FOLLOWERS = ("prompt-service", "provider-worker", "storage-service", "cost-ledger", "kafka")
MB = 1_000_000
_SETTLED = "SELECT count(*) FROM job WHERE status = 'completed' AND settled"


async def end_to_end(info: StackInfo, *, jobs: int, count: int) -> dict[str, Any]:
    """`jobs` jobs of `count` pictures each, from the first request until all are completed, stored and billed."""
    database = await asyncpg.connect(info.databases["api_gateway"])
    done_before = await database.fetchval(_SETTLED)
    before, began = usage(info.processes), time.perf_counter()
    ids = await _submit(info, jobs, count)
    accepted = time.perf_counter() - began
    while await database.fetchval(_SETTLED) - done_before < jobs:
        if time.perf_counter() - began > 60 + jobs * count / 20:
            raise RuntimeError(f"{jobs} jobs did not end; see the logs in {info.home}/logs")
        await asyncio.sleep(0.25)
    seconds = time.perf_counter() - began
    after = usage(info.processes)
    await database.close()
    return {
        "jobs": jobs,
        "items_per_job": count,
        "seconds": round(seconds, 2),
        "seconds_to_accept": round(accepted, 2),
        "jobs_per_s": round(jobs / seconds, 1),
        "items_per_s": round(jobs * count / seconds, 1),
        "cpu_ms_per_job": cpu_ms(before, after, jobs),
        "cores_busy": round(sum(after[name].cpu - before[name].cpu for name in before) / seconds, 2),
        "median_ms_between_steps": await steps(info, ids[-min(len(ids), 200) :]),
    }


async def _submit(info: StackInfo, jobs: int, count: int) -> list[str]:
    connections = [Connection(info.gateway, info.api_key) for _ in range(4)]
    sizes = iter([min(BULK, jobs - start) for start in range(0, jobs, BULK)])
    ids: list[str] = []

    async def submit(connection: Connection) -> None:
        for size in sizes:
            body = {"jobs": [{**PICTURE, "count": count}] * size}
            status, content = await connection.post("/api/v1/jobs/bulk", body)
            if status not in {200, 202, 207}:
                raise RuntimeError(f"not accepted: {status} {content[:300]!r}")
            ids.extend(entry["job"]["id"] for entry in json.loads(content)["items"])
        connection.close()

    await asyncio.gather(*(submit(connection) for connection in connections))
    return ids


async def steps(info: StackInfo, jobs: list[str]) -> dict[str, float]:
    """Median milliseconds from the job's request to each event about it, by the outboxes' own clock."""
    moments: dict[str, dict[str, float]] = {}
    for dsn in info.databases.values():
        conn = await asyncpg.connect(dsn)
        rows = await conn.fetch(
            "SELECT convert_from(key, 'UTF8') AS job, headers FROM outbox_published "
            "WHERE convert_from(key, 'UTF8') = ANY($1)",
            jobs,
        )
        await conn.close()
        for row in rows:
            headers = dict(json.loads(row["headers"]))
            name = headers["ce_type"].removeprefix("dev.backlot.").removesuffix(".v1")
            moments.setdefault(row["job"], {})[name] = _seconds(headers["ce_time"])
    waits: dict[str, list[float]] = {}
    for seen in moments.values():
        if "job.requested" in seen:
            for name, moment in seen.items():
                waits.setdefault(name, []).append((moment - seen["job.requested"]) * 1000)
    medians = {name: round(statistics.median(found), 1) for name, found in waits.items() if name != "job.requested"}
    return dict(sorted(medians.items(), key=lambda pair: pair[1]))


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


async def acceptance(info: StackInfo, *, requests: int) -> dict[str, Any]:
    """The gateway alone: what follows it stands still meanwhile."""
    with _paused([info.processes[name] for name in FOLLOWERS]):
        await closed_loop(info.gateway, info.api_key, PICTURE, clients=8, requests=200)
        _, alone = await closed_loop(info.gateway, info.api_key, PICTURE, clients=1, requests=max(200, requests // 10))
        seconds, waits = await closed_loop(info.gateway, info.api_key, PICTURE, clients=64, requests=requests)
    return {
        "one_client_p50_ms": round(percentile(alone, 0.5) * 1000, 2),
        "one_client_p99_ms": round(percentile(alone, 0.99) * 1000, 2),
        "accepted_per_s_64_clients": round(requests / seconds),
        "p50_ms_64_clients": round(percentile(waits, 0.5) * 1000, 2),
        "p99_ms_64_clients": round(percentile(waits, 0.99) * 1000, 2),
    }


@contextmanager
def _paused(pids: list[int]) -> Iterator[None]:
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def overhead(info: StackInfo, *, jobs: int) -> dict[str, float]:
    """From a job's acceptance to the intent to submit it, idle, one job after another; both by PostgreSQL's clock."""
    connection = Connection(info.gateway, info.api_key)
    gateway, worker = [await asyncpg.connect(info.databases[name]) for name in ("api_gateway", "provider_worker")]
    waits, ends = [], []
    for _ in range(jobs):
        began = time.perf_counter()
        _, content = await connection.post("/api/v1/jobs", PICTURE)
        job_id = json.loads(content)["id"]
        await _settled(gateway, job_id)
        ends.append(time.perf_counter() - began)
        accepted = await gateway.fetchval("SELECT requested_at FROM job WHERE id = $1", job_id)
        intent = await worker.fetchval("SELECT intent_at FROM attempts WHERE job_id = $1", job_id)
        waits.append((intent - accepted).total_seconds())
    connection.close()
    await asyncio.gather(gateway.close(), worker.close())
    return {
        "accept_to_provider_p50_ms": round(percentile(waits, 0.5) * 1000, 1),
        "accept_to_provider_p95_ms": round(percentile(waits, 0.95) * 1000, 1),
        "accept_to_settled_p50_ms": round(percentile(ends, 0.5) * 1000, 1),
        "accept_to_settled_p95_ms": round(percentile(ends, 0.95) * 1000, 1),
    }


async def _settled(gateway: Any, job_id: str) -> None:
    statement = "SELECT settled FROM job WHERE id = $1 AND status = 'completed'"
    while not await gateway.fetchval(statement, job_id):  # noqa: ASYNC110 - it happens in another process
        await asyncio.sleep(0.005)


_COPIES = """
    WITH pattern AS (SELECT * FROM job WHERE settled ORDER BY id DESC LIMIT 1000),
    copies AS (INSERT INTO job ({columns}) SELECT {values} FROM pattern p, generate_series(1, $1) WITH ORDINALITY n
        RETURNING tenant_id, user_id, kind, asset_type, status)
    INSERT INTO job_total (tenant_id, user_id, kind, asset_type, status, shard, jobs)
    SELECT tenant_id, user_id, kind, coalesce(asset_type, ''), status, -1, count(*) FROM copies GROUP BY 1, 2, 3, 4, 5
"""


async def fill(info: StackInfo, *, jobs: int) -> dict[str, int]:
    """Makes the gateway's table `jobs` long, or a little more, with copies of jobs that have ended, older than all."""
    database = await asyncpg.connect(info.databases["api_gateway"])
    columns = [
        row[0]
        for row in await database.fetch(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'job'::regclass AND attnum > 0 AND NOT attisdropped"
        )
    ]
    values = ["uuidv7(make_interval(hours => -n.ordinality::int))" if name == "id" else f"p.{name}" for name in columns]
    there = await database.fetchval("SELECT count(*) FROM job")
    pattern = min(1000, await database.fetchval("SELECT count(*) FROM job WHERE settled"))
    rounds = max(0, -(-(jobs - there) // pattern))
    if rounds:
        await database.execute(
            _COPIES.format(columns=", ".join(columns), values=", ".join(values)), rounds, timeout=300
        )
    await database.execute("VACUUM (ANALYZE) job", timeout=300)
    await database.close()
    return {"jobs_copied": rounds * pattern}


async def reading(info: StackInfo, *, requests: int) -> dict[str, float]:
    """A job and a list of 20 at 200 requests a second, among all the jobs that `fill` has made."""
    connection = Connection(info.gateway, info.api_key)
    _, content = await connection.request("GET", "/api/v1/jobs?limit=20")
    page = json.loads(content)
    paths = [f"/api/v1/jobs/{page['items'][number % 20]['id']}" for number in range(requests)]
    status = await _paced(connection, paths)
    listed = await _paced(connection, ["/api/v1/jobs?limit=20"] * requests)
    connection.close()
    return {
        "jobs_in_table": page["total"],
        "status_p50_ms": round(percentile(status, 0.5) * 1000, 2),
        "status_p99_ms": round(percentile(status, 0.99) * 1000, 2),
        "list_of_20_p50_ms": round(percentile(listed, 0.5) * 1000, 2),
        "list_of_20_p99_ms": round(percentile(listed, 0.99) * 1000, 2),
    }


async def _paced(connection: Connection, paths: list[str], per_second: int = 200) -> list[float]:
    waits, due = [], time.perf_counter()
    for path in paths:
        due += 1 / per_second
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        began = time.perf_counter()
        answer, content = await connection.request("GET", path)
        waits.append(time.perf_counter() - began)
        if answer != 200:
            raise RuntimeError(f"{path}: {answer} {content[:200]!r}")
    return waits


def memory(info: StackInfo) -> dict[str, Any]:
    """Resident megabytes by process; `pss` counts what processes share once."""
    used = usage(info.processes)
    return {
        "rss_mb": {name: round(one.rss / MB) for name, one in used.items()},
        "pss_mb": {name: round(one.pss / MB) for name, one in used.items()},
        "rss_mb_all": round(sum(one.rss for one in used.values()) / MB),
        "pss_mb_all": round(sum(one.pss for one in used.values()) / MB),
    }
