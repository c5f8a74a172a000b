"""The whole gateway, started as it starts in production, on the real Kafka and the real database."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import httpx
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

from api_gateway.app import build
from api_gateway.settings import Settings
from chassis.ids import uuid7
from chassis.service import running
from chassis.settings import describe, read
from chassis.testing import event_of, eventually
from schemas.cloudevents import decode, encode
from schemas.event import Event
from schemas.events import BY_TYPE, JobCompleted, JobRequested, JobSettled
from stack.ports import free_ports
from tests.gateway_harness import IMAGE
from tests.gateway_stories import completed_picture, prepared

pytestmark = pytest.mark.integration

KEY = "bk_0123456789abcdefghijklmnopqrstuvwxyz"
TENANT = UUID("00000000-0000-7000-8000-000000000001")


@pytest.fixture
def environ(database_url: str, kafka_bootstrap: str) -> dict[str, str]:
    http_port, internal_port = free_ports(2)
    return {
        "API_GATEWAY_DATABASE_URL": database_url,
        "API_GATEWAY_HTTP_PORT": str(http_port),
        "API_GATEWAY_INTERNAL_PORT": str(internal_port),
        "API_GATEWAY_BOOTSTRAP_KEY": KEY,
        "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap,
        "BACKLOT_SECRET": "a secret of the tests, long enough",
        "PROMPT_SERVICE_URL": "http://127.0.0.1:9",
        "PROVIDER_WORKER_URL": "http://127.0.0.1:9",
        "STORAGE_SERVICE_URL": "http://127.0.0.1:9",
        "ASSET_PUBLIC_URL": "https://assets.test",
    }


def client_of(transport: httpx.AsyncBaseTransport | None, base_url: str = "http://gateway") -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {KEY}"}
    return httpx.AsyncClient(transport=transport, base_url=base_url, headers=headers, timeout=30)


class OtherServices:
    """What the other services say, and what they can hear."""

    def __init__(self, bootstrap: str) -> None:
        self._producer = Producer({"bootstrap.servers": bootstrap})
        self._bootstrap = bootstrap

    def say(self, *events: Event, tenant_id: UUID = TENANT) -> None:
        for event in events:
            subject = getattr(event, "job_id", None) or uuid7()
            key, value, headers = encode(event_of(event, subject=subject, tenant_id=tenant_id))
            carried: list[tuple[str, str | bytes | None]] = [*headers]
            self._producer.produce(event.topic, value, key, headers=carried)
        assert self._producer.flush(20) == 0

    def say_nonsense(self, topic: str) -> None:
        self._producer.produce(topic, b"\xff not JSON", b"key", headers=[("ce_id", None)])
        assert self._producer.flush(20) == 0

    @contextmanager
    def hearing(self, *topics: str) -> Iterator[Consumer]:
        consumer = Consumer(
            {"bootstrap.servers": self._bootstrap, "group.id": str(uuid7()), "auto.offset.reset": "earliest"}
        )
        consumer.subscribe(list(topics))
        try:
            yield consumer
        finally:
            consumer.close()


async def heard_of(consumer: Consumer, job_id: UUID, count: int) -> list[Event]:
    """The first `count` events about a job."""
    found: list[Event] = []

    def poll() -> list[Event]:
        record = consumer.poll(0.2)
        if record is not None and record.error() is None and record.key() == str(job_id).encode():
            headers: Any = record.headers()
            found.append(decode(headers or [], record.value(), BY_TYPE).data)
        return found

    async def enough() -> bool:
        return len(await asyncio.to_thread(poll)) >= count

    await eventually(enough, within=60)
    return found


async def test_a_job_goes_round_over_kafka(environ: dict[str, str], kafka_bootstrap: str) -> None:
    service = build(read(Settings, environ))
    services = OtherServices(kafka_bootstrap)
    async with running(service):
        assert service.public is not None
        client = client_of(httpx.ASGITransport(service.public))
        await eventually(lambda: _topics_are_there(kafka_bootstrap), within=60)
        job_id = UUID((await client.post("/api/v1/jobs", json=IMAGE)).json()["id"])
        with services.hearing("backlot.jobs") as consumer:
            [asked] = await heard_of(consumer, job_id, 1)
        assert isinstance(asked, JobRequested)

        for topic in ("backlot.prompts", "backlot.generations", "backlot.assets", "backlot.costs"):
            services.say_nonsense(topic)
        services.say(prepared(uuid7()))
        services.say(*completed_picture(job_id))

        async def ended() -> bool:
            job = (await client.get(f"/api/v1/jobs/{job_id}", params={"wait": 5})).json()
            return bool(job["status"] == "completed" and job["cost"]["settled"])

        await eventually(ended, within=60)
        with services.hearing("backlot.job-results") as consumer:
            told = await heard_of(consumer, job_id, 2)
        assert [type(event) for event in told] == [JobCompleted, JobSettled]


async def _topics_are_there(bootstrap: str) -> bool:

    known = await asyncio.to_thread(
        lambda: AdminClient({"bootstrap.servers": bootstrap}).list_topics(timeout=10).topics
    )
    return {"backlot.prompts", "backlot.generations", "backlot.assets", "backlot.costs"} <= known.keys()


async def test_the_process_accepts_without_kafka_and_ends_in_order(environ: dict[str, str]) -> None:
    environ = environ | {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9", "API_GATEWAY_DRAIN_SECONDS": "8"}
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "api_gateway", env=environ)
    try:
        internal = f"http://127.0.0.1:{environ['API_GATEWAY_INTERNAL_PORT']}"
        client = client_of(None, f"http://127.0.0.1:{environ['API_GATEWAY_HTTP_PORT']}")

        async def ready() -> bool:
            try:
                return (await client.get(f"{internal}/readyz")).status_code == 200
            except httpx.TransportError:
                return False

        await eventually(ready, within=60)
        made = await client.post("/api/v1/jobs", json=IMAGE)
        assert made.status_code == 202
        assert "backlot_gateway_jobs_accepted_total 1.0" in (await client.get(f"{internal}/metrics")).text
        waiting = asyncio.create_task(client.get(f"/api/v1/jobs/{made.json()['id']}", params={"wait": 60}))

        async def waited_for() -> bool:
            return "backlot_gateway_requests_waiting 1.0" in (await client.get(f"{internal}/metrics")).text

        await eventually(waited_for, within=20)
        process.send_signal(signal.SIGTERM)

        assert (await asyncio.wait_for(waiting, 20)).json()["status"] == "queued"
        assert await asyncio.wait_for(process.wait(), 20) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def test_settings_are_shown_without_their_secrets(environ: dict[str, str]) -> None:
    shown = describe(read(Settings, environ))
    assert KEY not in shown
    assert environ["BACKLOT_SECRET"] not in shown
    assert json.dumps("https://assets.test/").strip('"') in shown
