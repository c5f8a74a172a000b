"""The whole system, started once for all tests that ask for it, and what can be read of it from outside."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import httpx

from provider_worker.adapters.sandbox.store import read_bill, read_lines
from stack.detached import start_detached
from stack.detached import stop as stop_system
from stack.state import StackInfo, running

R = TypeVar("R")

SERVICES = ("api-gateway", "prompt-service", "provider-worker", "storage-service", "cost-ledger")
TERMINAL = {"completed", "partial", "failed", "cancelled"}
SETTINGS = {
    "PROVIDER_WORKER_SANDBOX_LATENCY_SECONDS": "0.2",
    "PROVIDER_WORKER_IMAGES_PER_TENANT": "16",
    "PROVIDER_WORKER_LEASE_SECONDS": "5",
    "API_GATEWAY_CANCEL_PATIENCE_SECONDS": "5",
    # Only what a test asks for is traced.
    "OTEL_TRACES_SAMPLER": "parentbased_always_off",
    "OTEL_BSP_SCHEDULE_DELAY": "200",
}


@dataclass(frozen=True, slots=True)
class Live:
    """A running system over `home`. Its processes change as they are killed and restarted."""

    home: Path

    @property
    def info(self) -> StackInfo:
        found = running(self.home)
        assert found is not None, f"the system over {self.home} is gone:\n{self.complaints()}"
        return found

    def client(self, **options: Any) -> httpx.AsyncClient:
        """Plain HTTP with the key of the system."""
        headers = {"Authorization": f"Bearer {self.info.api_key}"}
        return httpx.AsyncClient(base_url=self.info.gateway, headers=headers, timeout=30, trust_env=False, **options)

    def kill(self, name: str) -> int:
        """Kills a process with -9; answers its pid."""
        pid = self.info.processes[name]
        os.kill(pid, signal.SIGKILL)
        return pid

    async def restarted(self, name: str, killed: int) -> None:
        """Returns when another process has taken the place of the killed one."""
        await until(lambda: self._pid_differs(name, killed), f"{name} was not restarted", within=60)

    async def _pid_differs(self, name: str, killed: int) -> bool:
        return self.info.processes.get(name, killed) != killed

    async def rows(self, service: str, statement: str, *arguments: Any) -> list[Any]:
        """What a query of a service's database answers."""
        conn = await asyncpg.connect(self.info.databases[service.replace("-", "_")])
        try:
            found: list[Any] = await conn.fetch(statement, *arguments)
            return found
        finally:
            await conn.close()

    async def value(self, service: str, statement: str, *arguments: Any) -> Any:
        """The first column of the first row."""
        return (await self.rows(service, statement, *arguments))[0][0]

    def bill(self) -> Any:
        """What the sandbox says it was paid, read from its own file."""
        return read_bill(self.home / "sandbox")

    def paid_references(self) -> list[str]:
        """Our reference of every paid generation."""
        return [line.reference for line in read_lines(self.home / "sandbox")]

    async def paid(self, *jobs: str) -> int:
        """What the sandbox was paid for these jobs, in micro-units."""
        attempts = await self.rows(
            "provider-worker", "SELECT attempt_id FROM attempts WHERE job_id = ANY($1)", uuids(jobs)
        )
        ours = {str(attempt["attempt_id"]) for attempt in attempts}
        return sum(line.amount_micros for line in read_lines(self.home / "sandbox") if line.reference in ours)

    async def captured(self, *jobs: str) -> int:
        """What the ledger has captured for these jobs, in micro-units, read from its transfers."""
        statement = (
            "SELECT coalesce(sum(amount_micros), 0)::bigint FROM transfer WHERE kind = 'capture' AND job_id = ANY($1)"
        )
        return int(await self.value("cost-ledger", statement, uuids(jobs)))

    async def books_agree(self) -> None:
        """The ledger says what the sandbox's own bill says, nothing is held any more, and debit is credit."""
        assert await self.value("cost-ledger", "SELECT coalesce(sum(reserved_micros), 0)::bigint FROM budget") == 0
        captured = await self.value("cost-ledger", "SELECT coalesce(sum(captured_micros), 0)::bigint FROM budget")
        assert captured == self.bill().amount_micros
        sums = await self.rows(
            "cost-ledger",
            "SELECT coalesce(sum(debit_micros), 0)::bigint, coalesce(sum(credit_micros), 0)::bigint FROM account",
        )
        [[debit, credit]] = sums
        assert debit == credit >= captured

    async def all_told(self) -> None:
        """Returns when Kafka has everything that was written into an outbox."""

        async def look() -> bool:
            left = [await self.value(service, "SELECT count(*) FROM outbox") for service in SERVICES]
            return not any(left)

        await until(look, "the outboxes do not drain", within=20)

    def complaints(self, lines: int = 15) -> str:
        """The last errors in each service's log, for whoever reads a failed test."""
        told = [f"logs: {self.home / 'logs'}"]
        for path in sorted((self.home / "logs").glob("*.log")):
            found = [line for line in path.read_text("utf-8", "replace").splitlines() if _is_complaint(line)]
            told += [f"{path.stem}: {line[:400]}" for line in found[-lines:]]
        return "\n".join(told)


def _is_complaint(line: str) -> bool:
    try:
        return json.loads(line).get("level") in {"error", "critical"}
    except (ValueError, AttributeError):
        return "ERROR" in line or "Traceback" in line


def start(home: Path, collector: str) -> Live:
    """Starts the whole system on free ports; its spans go to the OTLP endpoint `collector`."""
    start_detached(home, port=0, env={**SETTINGS, "OTEL_EXPORTER_OTLP_ENDPOINT": collector}, timeout=180)
    return Live(home)


def stop(live: Live) -> None:
    """Ends it."""
    stop_system(live.home)


async def until(look: Callable[[], Awaitable[R]], what: str, *, within: float = 30.0, every: float = 0.1) -> R:
    """The first true answer of `look`. Raises AssertionError saying `what` after `within` seconds."""
    deadline = time.monotonic() + within
    answer = await look()
    while not answer:
        assert time.monotonic() < deadline, f"{what} within {within:g} s; the last answer was {answer!r}"
        await asyncio.sleep(every)
        answer = await look()
    return answer


async def ended(client: httpx.AsyncClient, job_id: str, *, within: float = 60.0) -> dict[str, Any]:
    """The job when it has ended and its bill is settled."""

    async def look() -> dict[str, Any] | None:
        job: dict[str, Any] = (await client.get(f"/api/v1/jobs/{job_id}")).json()
        return job if job["status"] in TERMINAL and job["cost"]["settled"] else None

    found = await until(look, f"job {job_id} did not end and settle", within=within)
    assert found is not None
    return found


async def submit(client: httpx.AsyncClient, body: dict[str, Any], **headers: str) -> dict[str, Any]:
    """A job that was accepted, as the answer shows it."""
    answer = await client.post("/api/v1/jobs", json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    return job


async def make(client: httpx.AsyncClient, body: dict[str, Any], *, within: float = 60.0) -> dict[str, Any]:
    """A job of `body` when it has ended and its bill is settled."""
    return await ended(client, (await submit(client, body))["id"], within=within)


async def make_kit(client: httpx.AsyncClient) -> str:
    """A brand kit; its id."""
    kit = {"name": "Neon Drift", "primary_colors": ["#7C3AED"], "tone": "bold"}
    answer = await client.post("/api/v1/brand-kits", json=kit)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def small(prompt: str = "a fox", **more: Any) -> dict[str, Any]:
    """The body of a job for one small picture."""
    return {"kind": "image", "prompt": prompt, "width": 64, "height": 64, **more}


def uuids(jobs: Sequence[str]) -> list[UUID]:
    """Job ids as the database has them."""
    return [UUID(job) for job in jobs]
