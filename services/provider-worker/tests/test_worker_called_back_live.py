"""The whole way of a callback, through the real gateway, Kafka and worker, each a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import uuid
from asyncio.subprocess import DEVNULL, create_subprocess_exec
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from schemas.events import GenerationCompleted, GenerationFailed, GenerationQuoted
from simulator.testing import RunningSimulator
from stack.ports import free_ports
from stack.testing import PostgresServer
from tests.test_worker_service import SECRET, environment_of, held, ready, say, service, told
from tests.worker_builders import envelope, item, prepared

pytestmark = pytest.mark.integration

ROUTES = """
version: 1
price_version: "2026-11-20"
currency: USD
providers:
  fal: {{adapter: fal, model: fal-ai/flux/dev, base_url: "{url}/fal", api_key_env: FAL_KEY}}
  replicate: {{adapter: replicate, model: "{version}", base_url: "{url}/replicate", api_key_env: REPLICATE_API_TOKEN}}
routes:
  - {{kind: image, use: [fal], per_tenant: 5, timeout_s: 120, poll_s: 50}}
  - {{kind: texture, use: [replicate], per_tenant: 5, timeout_s: 120, poll_s: 50}}
prices:
  - {{provider: fal, unit: image, usd: "0.4"}}
  - {{provider: replicate, unit: image, usd: "0.4"}}
"""


@pytest.fixture
def gateway_database(postgres_server: PostgresServer) -> Iterator[str]:
    name = f"gateway_{uuid.uuid4().hex[:12]}"
    postgres_server.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    yield postgres_server.url(name)
    postgres_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@asynccontextmanager
async def gateway(database: str, kafka: str) -> AsyncIterator[str]:
    """The real process, ready; yields its public address."""
    public, internal = free_ports(2)
    environment = {
        **os.environ,
        "API_GATEWAY_DATABASE_URL": database,
        "API_GATEWAY_HTTP_PORT": str(public),
        "API_GATEWAY_INTERNAL_PORT": str(internal),
        "PROMPT_SERVICE_URL": "http://127.0.0.1:9",
        "PROVIDER_WORKER_URL": "http://127.0.0.1:9",
        "STORAGE_SERVICE_URL": "http://127.0.0.1:9",
        "ASSET_PUBLIC_URL": "http://127.0.0.1:9",
        "KAFKA_BOOTSTRAP_SERVERS": kafka,
        "BACKLOT_SECRET": SECRET,
    }
    process = await create_subprocess_exec(sys.executable, "-m", "api_gateway", env=environment, stdout=DEVNULL)
    try:
        await ready(f"http://127.0.0.1:{internal}/readyz")
        yield f"http://127.0.0.1:{public}"
    finally:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 25) == 0


def environment_with_callbacks(
    database: str, folder: Path, kafka: str, simulator: RunningSimulator, public: str
) -> Mapping[str, str]:
    (folder / "routes.yaml").write_text(ROUTES.format(url=simulator.url, version="5" * 64))
    return {
        **environment_of(database, folder, kafka, free_ports(1)[0]),
        "PROVIDER_WORKER_PROVIDERS": "fal,replicate",
        "PROVIDER_WORKER_ROUTES_FILE": str(folder / "routes.yaml"),
        "PROVIDER_WORKER_CALLBACK_URL": public,
        "FAL_KEY": "sim-fal",
        "REPLICATE_API_TOKEN": "sim-replicate",
    }


def played(kafka: str, job_id: uuid.UUID, items: int) -> int:
    """Answers as the ledger does until all items are made; how many were."""
    made = 0
    for event in told(kafka, job_id):
        if isinstance(event.data, GenerationQuoted):
            held(kafka, event)
        assert not isinstance(event.data, GenerationFailed), event.data
        made += isinstance(event.data, GenerationCompleted)
        if made == items:
            break
    return made


async def test_what_providers_call_at_the_gateway_ends_jobs_long_before_they_would_be_looked_at(
    database_url: str, gateway_database: str, kafka_bootstrap: str, tmp_path: Path, simulator: RunningSimulator
) -> None:
    """A picture at fal, one whose answer was lost there, one that is called back twice, and one at Replicate."""
    for name in ("fal", "replicate"):
        simulator.post("settings", provider=name, running_s=[0.3, 0.3])
    job = prepared(
        [
            item(1, width=640, height=384),
            item(2, width=640, height=384, prompt="A fox [[sim:drop_after_accept]]"),
            item(3, width=640, height=384, prompt="A fox [[sim:dup_webhook]]"),
            item(4, width=512, height=512, kind="texture"),
        ]
    )
    async with gateway(gateway_database, kafka_bootstrap) as public:
        environment = environment_with_callbacks(database_url, tmp_path, kafka_bootstrap, simulator, public)
        async with service(environment):
            await asyncio.to_thread(say, kafka_bootstrap, envelope(job))
            async with asyncio.timeout(45):
                assert await asyncio.to_thread(played, kafka_bootstrap, job.job_id, 4) == 4
            outcomes = await applied(database_url, simulator, 5)

    assert sorted(outcomes) == ["duplicate", "hinted", "hinted", "hinted", "linked"]
    assert len(simulator.bill()["lines"]) == 4
    polls = [call for call in simulator.calls(provider="fal") if call["endpoint"] == "status"]
    assert len(polls) == 3, "each was asked for once, when it had called"
    tries = [each for call in simulator.get("callbacks") for each in call["attempts"]]
    assert {each["status"] for each in tries} == {200}, "the gateway took every call the first time"


async def applied(database: str, simulator: RunningSimulator, many: int) -> list[str]:
    """What became of the callbacks, when there are so many and all are done."""
    found: list[str | None] = []
    conn = await asyncpg.connect(database)
    try:
        async with asyncio.timeout(20):
            while len(found) != many or None in found:
                found = [row["outcome"] for row in await conn.fetch("SELECT outcome FROM callbacks")]
                await asyncio.sleep(0.05)
    except TimeoutError:
        pytest.fail(f"of {many} callbacks became {found}; the providers called: {simulator.get('callbacks')}")
    finally:
        await conn.close()
    return [outcome for outcome in found if outcome]
