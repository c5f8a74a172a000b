"""Many jobs of every kind at simulated providers that go wrong, in a system whose processes are killed all the time."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import random
import secrets
import sys
import uuid
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import yaml

from provider_worker.route_file import DEFAULT_FILE
from stack.detached import start_detached
from stack.detached import stop as stop_system
from tests.running import SERVICES, Live, until

TENANTS = 3
AT_ONCE = 24
LONGEST_FIRE_S = 300
LIMITS = {"openai": 6, "elevenlabs": 4, "meshy": 5, "replicate": 8}
"""Jobs at once that an account of these may have; the simulator refuses more, and counts."""
RATES = {"suno": (20, 10.0), "fal": (40, 5.0)}
WIRES = {"suno": "sunoapi", "gemini_omni": "gemini_interactions", "lyria": "gemini_interactions"}
"""Providers whose wire has another name."""
PICTURES = ("nanobanana", "gemini", "openai", "fal", "replicate")
FAULTS_PER_SUBMIT = {
    "http503": 0.06,
    "429:retry_after=0.3": 0.05,
    "http502:foreign": 0.04,
    "drop": 0.03,
    "drop_after_accept": 0.05,
    "hang": 0.01,
}
FAULTS_PER_QUESTION = {"http503@status": 0.15, "status:unknown@status": 0.05, "status:extra@status": 0.05}
TAGS = {"corrupt:truncatedx1": 0.05, "filex1:short": 0.04, "fail": 0.04, "policy:input": 0.02, "expired_urlx1": 0.03}
"""What goes wrong with the work or its bytes."""


def routes_file(folder: Path) -> Path:
    """Our own routes, with times that a test can wait for and the limits that the simulator holds."""
    routes = yaml.safe_load(DEFAULT_FILE.read_text(encoding="utf-8"))
    routes["unknown_submit"] = {"grace_s": 4}
    routes["retries"] = {"waits": [0.2, 0.4, 0.8], "jitter": 0.2}
    for name, provider in routes["providers"].items():
        provider.pop("retries", None)
        if name in LIMITS:
            provider["limits"] = {"concurrency": LIMITS[name]}
        if name in RATES:
            provider["limits"] = {"requests": RATES[name][0], "per_s": RATES[name][1]}
    for route in routes["routes"]:
        route |= {"poll_s": 0.3, "timeout_s": 15}
    path = folder / "routes.yaml"
    path.write_text(yaml.safe_dump(routes), encoding="utf-8")
    return path


@asynccontextmanager
async def system(folder: Path) -> AsyncIterator[Live]:
    """A system of its own whose providers are all simulated."""
    environment = {
        "PROVIDER_WORKER_ROUTES_FILE": str(routes_file(folder)),
        "PROVIDER_WORKER_PROVIDERS": "",
        "PROVIDER_WORKER_LEASE_SECONDS": "4",
    }
    home = folder / "home"
    await asyncio.to_thread(start_detached, home, port=0, env=environment, wires=(), timeout=180)
    try:
        yield Live(home)
    finally:
        await asyncio.to_thread(stop_system, home)


@dataclass
class Simulator:
    """The admin API of the running simulator."""

    origin: str
    http: httpx.AsyncClient = field(default_factory=lambda: httpx.AsyncClient(timeout=60, trust_env=False))

    async def get(self, what: str, **query: str) -> Any:
        return (await self.http.get(f"{self.origin}/admin/{what}", params=query)).raise_for_status().json()

    async def post(self, what: str, **body: Any) -> Any:
        return (await self.http.post(f"{self.origin}/admin/{what}", json=body)).raise_for_status().json()

    async def prepare(self) -> None:
        """Work that takes a moment, accounts with limits."""
        await self.post("settings", queued_s=[0, 0.1], running_s=[0.1, 0.5], answer_within_s=0.2)
        await self.post("settings", pictures="stamped")
        for name, most in LIMITS.items():
            await self._account(name, max_running=most, max_unfinished=most)
        for name, (requests, per_s) in RATES.items():
            await self._account(name, rate={"requests": requests, "per_s": per_s})

    async def _account(self, provider: str, **limits: Any) -> None:
        wire = WIRES.get(provider, provider)
        [account] = (await self.get("accounts"))[wire]
        await self.post("accounts", provider=wire, accounts=[{**account, **limits}])

    async def go_wrong(self, seed: int) -> None:
        rules = {**FAULTS_PER_SUBMIT, **FAULTS_PER_QUESTION}
        for fault, probability in rules.items():
            await self.post("faults", provider="*", fault=fault, probability=probability, seed=seed)

    async def go_right(self) -> None:
        (await self.http.delete(f"{self.origin}/admin/faults")).raise_for_status()


@dataclass
class Fire:
    """Submits jobs, kills processes, and says in the end what became of everything."""

    live: Live
    simulator: Simulator
    jobs: int
    kill_every_s: float
    seeds: random.Random = field(default_factory=lambda: random.Random(11))
    keys: list[str] = field(default_factory=list)
    accepted: dict[str, str] = field(default_factory=dict)
    kills: Counter[str] = field(default_factory=Counter)

    async def add_tenants(self) -> None:
        conn = await asyncpg.connect(self.live.info.databases["api_gateway"])
        try:
            for _ in range(TENANTS):
                key = f"bk_{secrets.token_urlsafe(32)}"
                await conn.execute(
                    "INSERT INTO api_key (id, tenant_id, user_id, prefix, sha256, scopes) "
                    "VALUES ($1, $2, $3, $4, $5, ARRAY['jobs:write', 'jobs:read', 'tenant:read'])",
                    uuid.uuid4(),
                    uuid.uuid4(),
                    uuid.uuid4(),
                    key[:11],
                    hashlib.sha256(key.encode()).digest(),
                )
                self.keys.append(key)
        finally:
            await conn.close()

    async def submit_all(self) -> None:
        numbers = iter(range(self.jobs))
        async with httpx.AsyncClient(base_url=self.live.info.gateway, timeout=30, trust_env=False) as client:
            await asyncio.gather(*(self._submit_some(client, numbers) for _ in range(AT_ONCE)))

    async def _submit_some(self, client: httpx.AsyncClient, numbers: Iterator[int]) -> None:
        for number in numbers:
            tenant = number % TENANTS
            mark = f"{number}"
            tags = [f"reference=job-{mark}", f"tenant={tenant}", *self._tags()]
            body = {**self._body(number), "labels": {"mark": mark}}
            body["prompt"] = f"a red fox, take {number} " + " ".join(f"[[sim:{tag}]]" for tag in tags)
            headers = {"Authorization": f"Bearer {self.keys[tenant]}", "Idempotency-Key": f"fire-{mark}"}
            self.accepted[mark] = await self._accepted(client, body, headers)

    def _tags(self) -> list[str]:
        chance = self.seeds.random()
        for tag, probability in TAGS.items():
            chance -= probability
            if chance < 0:
                return [tag]
        return []

    def _body(self, number: int) -> dict[str, Any]:
        kinds: list[dict[str, Any]] = [
            *({"kind": "image", "width": 640, "height": 480, "route": _only(name)} for name in PICTURES),
            *({"kind": "image", "width": 640, "height": 480} for _ in range(6)),
            {"kind": "texture", "width": 512, "height": 512},
            {"kind": "sfx", "duration_seconds": 1.0},
            {"kind": "sfx", "duration_seconds": 0.5},
            {"kind": "music", "duration_seconds": 30, "route": _only("suno")},
            {"kind": "model_3d"},
            {"kind": "video", "duration_seconds": 4, "route": _only("gemini_omni")},
        ]
        return kinds[number % len(kinds)]

    async def _accepted(self, client: httpx.AsyncClient, body: dict[str, Any], headers: Mapping[str, str]) -> str:
        while True:
            try:
                answer = await client.post("/api/v1/jobs", json=body, headers=headers)
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.status_code == 202:
                return str(answer.json()["id"])
            assert answer is None or answer.status_code >= 500, answer.text
            await asyncio.sleep(0.1 + 0.2 * self.seeds.random())

    async def kill_again_and_again(self) -> None:
        while True:
            await asyncio.sleep(self.kill_every_s)
            name = self.seeds.choice(SERVICES)
            try:
                self.live.kill(name)
            except (ProcessLookupError, KeyError):
                continue
            self.kills[name] += 1

    async def burn(self) -> None:
        """All jobs under faults and kills; both stop when most of them has ended, or after a while."""
        await self.simulator.go_wrong(seed=5)
        killing = asyncio.create_task(self.kill_again_and_again())
        try:
            await self.submit_all()
            with contextlib.suppress(AssertionError):
                await until(self._most_ended, "jobs go on", within=LONGEST_FIRE_S, every=2.0)
        finally:
            killing.cancel()
            await self.simulator.go_right()

    async def _most_ended(self) -> bool:
        try:
            return await self.unfinished() <= self.jobs // 3
        except (OSError, asyncpg.PostgresError):
            return False

    async def unfinished(self) -> int:
        statement = "SELECT count(*) FROM job WHERE status IN ('queued', 'processing')"
        return int(await self.live.value("api-gateway", statement))

    async def all_end(self) -> None:
        async def look() -> bool:
            return await self.unfinished() == 0

        try:
            await until(look, "not every job ends", within=240 + self.jobs / 4, every=1.0)
        except AssertionError as error:
            statement = "SELECT state, provider, count(*) FROM tasks GROUP BY 1, 2 ORDER BY 1, 2"
            left = [tuple(row) for row in await self.live.rows("provider-worker", statement)]
            raise AssertionError(f"{error}\n{left}\n{self.live.complaints()}") from error

    async def operate(self) -> list[dict[str, Any]]:
        """Plays the operator: every bill that is flagged is settled by what the provider's own bill says."""
        # A bill that was looked up in vain a few times is looked up again after up to ten minutes.
        within = 240 + self.jobs / 4
        await until(self._only_flagged, "bills stay open that nobody has to settle", within=within, every=2.0)
        flagged: list[dict[str, Any]] = json.loads(await self._bills("--json"))
        bill = await self.simulator.get("bill")
        marks = {job: mark for mark, job in self.accepted.items()}
        attempts = await self.live.rows("provider-worker", "SELECT attempt_id::text AS id, external_id FROM attempts")
        # A callback may tell the name of a job whose bill was flagged a moment ago.
        known = {row["external_id"]: row["id"] for row in attempts if row["external_id"] is not None}
        table = ["attempt_id,paid_usd,evidence"]
        for open_bill in flagged:
            mark, attempt = marks[open_bill["job_id"]], open_bill["attempt_id"]
            charged = sum(
                line["amount_micros"]
                for line in bill["lines"]
                if line["reference"] in {attempt, f"job-{mark}"}
                and line["provider"] == WIRES.get(open_bill["provider"], open_bill["provider"])
                and known.get(line["external_id"], attempt) == attempt
            )
            table.append(f"{attempt},{charged / 1_000_000:.6f},the provider's own bill")
        await self._bills("settle-table", "-", stdin="\n".join(table))
        return flagged

    async def _only_flagged(self) -> bool:
        return all(bill["needs_operator"] for bill in json.loads(await self._bills("--json")))

    async def _bills(self, *arguments: str, stdin: str = "") -> str:
        """The operator's command."""
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "provider_worker",
            "bills",
            *arguments,
            env={**os.environ, "PROVIDER_WORKER_DATABASE_URL": self.live.info.databases["provider_worker"]},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        told, wrong = await child.communicate(stdin.encode())
        assert child.returncode == 0, wrong.decode()
        return told.decode()

    async def told_and_settled(self) -> None:
        async def look() -> bool:
            held = await self.live.value("cost-ledger", "SELECT coalesce(sum(reserved_micros), 0)::bigint FROM budget")
            return bool(held == 0)

        await until(look, "holds stay open", within=60)

    async def words(self) -> Counter[tuple[str, str]]:
        """How jobs ended, and why."""
        rows = await self.live.rows(
            "provider-worker",
            "SELECT t.state, coalesce(a.code, '') AS code FROM tasks t LEFT JOIN attempts a USING (attempt_id)",
        )
        return Counter((row["state"], row["code"]) for row in rows)

    async def charges(self) -> Mapping[str, list[Any]]:
        """Lines of the provider's bills by generation."""
        charged = defaultdict(list)
        for line in (await self.simulator.get("bill"))["lines"]:
            charged[line["external_id"]].append(line)
        return charged


def _only(provider: str) -> dict[str, Any]:
    return {"providers": [provider], "fallback": False}
