"""Five tenants with little to do and one that asks for a thousand pictures at once, at simulated providers."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import yaml

from provider_worker.route_file import DEFAULT_FILE
from stack.detached import start_detached
from stack.detached import stop as stop_system
from tests.faults.providers_under_fire import Simulator
from tests.running import Live, until, uuids

QUIET_TENANTS = 5
EVERY_S = 1.0
"""Between two jobs of a quiet tenant."""
PER_TENANT = 5
AT_ONCE = {"nanobanana": 8, "openai": 6}
"""Jobs that the account of these may have at once: with five for each of six tenants, not enough for all."""
RATES = {"fal": (40, 5.0)}
"""Submits that the account of this one may make in any so many seconds."""
FLOODED = ("nanobanana", "fal")
SHARED = "openai"
RUNNING_S = {"nanobanana": (1.0, 1.5), "fal": (1.0, 1.5), "openai": (0.2, 0.3)}
BULK = 100


def routes_file(folder: Path) -> Path:
    """Our own routes with short polls and the limits that the simulator holds."""
    routes = yaml.safe_load(DEFAULT_FILE.read_text(encoding="utf-8"))
    for name, most in AT_ONCE.items():
        routes["providers"][name]["limits"] = {"concurrency": most}
    for name, (requests, per_s) in RATES.items():
        routes["providers"][name]["limits"] = {"requests": requests, "per_s": per_s}
    for route in routes["routes"]:
        route |= {"poll_s": 0.2, "per_tenant": PER_TENANT}
    path = folder / "routes.yaml"
    path.write_text(yaml.safe_dump(routes), encoding="utf-8")
    return path


@contextmanager
def system(folder: Path) -> Iterator[Live]:
    """A system of its own whose providers are all simulated."""
    environment = {"PROVIDER_WORKER_ROUTES_FILE": str(routes_file(folder)), "PROVIDER_WORKER_PROVIDERS": ""}
    home = folder / "home"
    start_detached(home, port=0, env=environment, wires=(), timeout=180)
    try:
        yield Live(home)
    finally:
        stop_system(home)


@dataclass(frozen=True, slots=True)
class Tenant:
    """Somebody with a key."""

    id: uuid.UUID
    key: str

    @property
    def authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}


async def add_tenants(live: Live, count: int) -> list[Tenant]:
    """New tenants with a key each."""
    tenants = [Tenant(uuid.uuid4(), f"bk_{secrets.token_urlsafe(32)}") for _ in range(count)]
    conn = await asyncpg.connect(live.info.databases["api_gateway"])
    try:
        await conn.executemany(
            "INSERT INTO api_key (id, tenant_id, user_id, prefix, sha256, scopes) "
            "VALUES (gen_random_uuid(), $1, gen_random_uuid(), $2, $3, ARRAY['jobs:write', 'jobs:read'])",
            [(tenant.id, tenant.key[:11], hashlib.sha256(tenant.key.encode()).digest()) for tenant in tenants],
        )
    finally:
        await conn.close()
    return tenants


async def limit(simulator: Simulator) -> None:
    """The simulator's accounts refuse whatever is beyond their limits; its work takes a moment."""
    await simulator.post("settings", queued_s=[0, 0.05], pictures="stamped")
    for name, seconds in RUNNING_S.items():
        await simulator.post("settings", provider=name, running_s=seconds)
    accounts = await simulator.get("accounts")
    limits: dict[str, dict[str, Any]] = {name: {"max_unfinished": most} for name, most in AT_ONCE.items()}
    limits |= {name: {"rate": {"requests": many, "per_s": per_s}} for name, (many, per_s) in RATES.items()}
    for name, limited in limits.items():
        [account] = accounts[name]
        await simulator.post("accounts", provider=name, accounts=[{**account, **limited}])


@dataclass
class Crowd:
    """Tenants at a running system. `asked` are the jobs of the quiet ones with the moment each was sent."""

    live: Live
    simulator: Simulator
    http: httpx.AsyncClient
    asked: dict[str, float] = field(default_factory=dict)

    async def quiet(self, tenants: Sequence[Tenant], seconds: float) -> list[str]:
        """Each tenant asks for a picture every second, whatever became of the ones before; the jobs."""
        jobs = await asyncio.gather(*(self._steady(tenant, n, seconds) for n, tenant in enumerate(tenants)))
        return [job for of_one in jobs for job in of_one]

    async def _steady(self, tenant: Tenant, place: int, seconds: float) -> list[str]:
        began = time.monotonic() + EVERY_S * place / QUIET_TENANTS
        sending = []
        for n in range(int(seconds / EVERY_S)):
            await asyncio.sleep(began + n * EVERY_S - time.monotonic())
            sending.append(asyncio.create_task(self._send(tenant, FLOODED[(n + place) % len(FLOODED)])))
        return await asyncio.gather(*sending)

    async def _send(self, tenant: Tenant, provider: str) -> str:
        sent = time.time()
        answer = await self.http.post("/api/v1/jobs", json=picture(tenant, provider), headers=tenant.authorization)
        assert answer.status_code == 202, answer.text
        job = str(answer.json()["id"])
        self.asked[job] = sent
        return job

    async def flood(self, tenant: Tenant, jobs: int, providers: Sequence[str] = FLOODED) -> None:
        """Asks for so many pictures as fast as they are taken."""
        bodies = [
            {"jobs": [picture(tenant, providers[n % len(providers)]) for n in range(BULK)]} for _ in range(jobs // BULK)
        ]
        answers = await asyncio.gather(
            *(self.http.post("/api/v1/jobs/bulk", json=body, headers=tenant.authorization) for body in bodies)
        )
        assert {answer.status_code for answer in answers} <= {200, 202, 207}, answers[0].text

    async def completed(self, tenant: Tenant) -> int:
        """How many of a tenant's jobs have completed."""
        statement = "SELECT count(*) FROM job WHERE tenant_id = $1 AND status = 'completed'"
        return int(await self.live.value("api-gateway", statement, tenant.id))

    async def all_wait(self, tenants: Sequence[Tenant], jobs: int, *, left: int = 0) -> bool:
        """Whether all of so many jobs of each tenant have come to the provider's line, and `left` still stand there."""
        rows = await self.live.rows(
            "provider-worker",
            "SELECT count(*) FILTER (WHERE state <> 'quoting') AS come, "
            "count(*) FILTER (WHERE state = 'ready') AS left "
            "FROM tasks WHERE tenant_id = ANY($1) GROUP BY tenant_id",
            [tenant.id for tenant in tenants],
        )
        return len(rows) == len(tenants) and all(row["come"] == jobs and row["left"] >= left for row in rows)

    async def silence(self, tenant: Tenant) -> None:
        """What a tenant still waits for gets no turn any more."""
        await self.live.rows("provider-worker", "UPDATE turns SET cap = 0 WHERE tenant_id = $1", tenant.id)

    async def waits(self, jobs: Sequence[str]) -> list[float]:
        """Seconds from sending to the completion of each of these jobs, the shortest first; they must all complete."""
        statement = "SELECT count(*) FROM job WHERE id = ANY($1) AND completed_at IS NULL"

        async def look() -> bool:
            return not await self.live.value("api-gateway", statement, uuids(jobs))

        await until(look, "quiet tenants' jobs do not end", within=30)
        rows = await self.live.rows(
            "api-gateway",
            "SELECT id::text, status, extract(epoch FROM completed_at)::float8 AS ended FROM job WHERE id = ANY($1)",
            uuids(jobs),
        )
        assert {row["status"] for row in rows} == {"completed"}
        return sorted(row["ended"] - self.asked[row["id"]] for row in rows)


def picture(tenant: Tenant, provider: str) -> dict[str, Any]:
    """A job for one picture; the simulator reads the tenant in the prompt."""
    return {
        "kind": "image",
        "prompt": f"a red fox [[sim:tenant={tenant.id}]]",
        "width": 640,
        "height": 480,
        "route": {"providers": [provider], "fallback": False},
    }


async def submits(simulator: Simulator, provider: str) -> list[dict[str, Any]]:
    """The simulator's own log of what was submitted to a provider, the oldest first."""
    calls = await simulator.get("calls", provider=provider, endpoint="submit", limit="100000")
    return list(reversed(calls))


def most_within(moments: Sequence[float], seconds: float) -> int:
    """The most of these ascending moments in any so many seconds."""
    first, most = 0, 0
    for last, moment in enumerate(moments):
        while moment - moments[first] >= seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def percentile(sorted_values: Sequence[float], part: float) -> float:
    """The smallest value that is not below `part` of all."""
    return sorted_values[min(len(sorted_values) - 1, int(part * len(sorted_values)))]
