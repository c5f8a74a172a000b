"""The real process over the real Kafka: prompts go in, a picture comes out, and it ends when it is asked to."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, create_subprocess_exec
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from confluent_kafka import Consumer, Producer

from chassis.http import Context, context_headers
from media import check_media
from provider_worker.adapters.sandbox import read_bill
from schemas.cloudevents import CloudEvent, decode, encode
from schemas.events import BY_TYPE, CostReserved, GenerationCompleted, GenerationQuoted, GenerationStarted
from schemas.parts import Kind
from schemas.topics import GENERATIONS
from stack.ports import free_ports
from tests.worker_builders import PRICE, TENANT, TRACE, USER, envelope, item, prepared

pytestmark = pytest.mark.integration

SECRET = "a secret of at least sixteen characters"


def environment_of(database_url: str, folder: Path, kafka: str, port: int) -> dict[str, str]:
    return {
        **os.environ,
        "PROVIDER_WORKER_DATABASE_URL": database_url,
        "PROVIDER_WORKER_INTERNAL_PORT": str(port),
        "PROVIDER_WORKER_SANDBOX_DIR": str(folder / "sandbox"),
        "STORAGE_SERVICE_URL": "http://127.0.0.1:9",
        "KAFKA_BOOTSTRAP_SERVERS": kafka,
        "BACKLOT_SECRET": SECRET,
        "BACKLOT_OBJECTS_DIR": str(folder / "objects"),
    }


@asynccontextmanager
async def service(environment: Mapping[str, str]) -> AsyncIterator[str]:
    """The real process, ready; yields its internal address and sees it end well."""
    process = await create_subprocess_exec(sys.executable, "-m", "provider_worker", env=environment, stdout=DEVNULL)
    address = f"http://127.0.0.1:{environment['PROVIDER_WORKER_INTERNAL_PORT']}"
    try:
        await ready(f"{address}/readyz")
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 25) == 0


async def ready(url: str) -> None:
    async with httpx.AsyncClient(timeout=None) as client, asyncio.timeout(120):
        while True:
            try:
                if (await client.get(url)).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)


def say(kafka: str, event: CloudEvent[Any]) -> None:
    producer = Producer({"bootstrap.servers": kafka})
    key, value, headers = encode(event)
    producer.produce(event.data.topic, value, key, headers=list(headers))
    assert producer.flush(30) == 0


def told(kafka: str, job_id: UUID) -> Iterator[CloudEvent[Any]]:
    """What the worker says of a job, as it comes; ends after a minute of silence."""
    consumer = Consumer(
        {"bootstrap.servers": kafka, "group.id": f"test-{time.time_ns()}", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([GENERATIONS.name])
    deadline = time.monotonic() + 60
    try:
        while time.monotonic() < deadline:
            message = consumer.poll(0.5)
            if message is None or message.error() or message.key() != str(job_id).encode():
                continue
            yield decode(message.headers() or [], message.value(), BY_TYPE)  # type: ignore[arg-type]
    finally:
        consumer.close()


def held(kafka: str, quote: CloudEvent[GenerationQuoted]) -> None:
    """Answers as the ledger does."""
    items = [each.number for each in quote.data.items]
    reserved = CostReserved(
        job_id=quote.data.job_id,
        attempt=quote.data.attempt,
        items=items,
        amount_micros=PRICE * len(items),
        currency="USD",
    )
    say(kafka, envelope(reserved))


def played(kafka: str, job_id: UUID, items: int) -> list[CloudEvent[Any]]:
    """Everything said of a job until all its items are made."""
    events = []
    for event in told(kafka, job_id):
        events.append(event)
        if isinstance(event.data, GenerationQuoted):
            held(kafka, event)
        if sum(isinstance(each.data, GenerationCompleted) for each in events) == items:
            return events
    raise AssertionError(f"only {events} came")


async def test_prompts_become_pictures_on_the_real_kafka(
    database_url: str, kafka_bootstrap: str, tmp_path: Path
) -> None:
    environment = environment_of(database_url, tmp_path, kafka_bootstrap, free_ports(1)[0])
    job = prepared([item(1, width=320, height=180), item(2, width=200, height=100, palette=["#1f6feb"])])
    async with service(environment) as address:
        await asyncio.to_thread(say, kafka_bootstrap, envelope(job))
        events = await asyncio.to_thread(played, kafka_bootstrap, job.job_id, 2)
        async with httpx.AsyncClient(headers=context_headers(SECRET, Context(TENANT, USER)), timeout=30) as client:
            providers = (await client.get(f"{address}/v1/providers")).json()
            refused = await client.get(f"{address}/v1/providers", headers={"X-Backlot-Context": "forged"})

    kinds = [type(event.data) for event in events]
    assert kinds[0] is GenerationQuoted
    assert kinds.count(GenerationStarted) == kinds.count(GenerationCompleted) == 2
    assert {(event.source, event.traceparent, event.tenant_id) for event in events} == {
        ("/services/provider-worker", TRACE, TENANT)
    }
    sizes = {}
    for event in events:
        if isinstance(event.data, GenerationCompleted):
            [output] = event.data.outputs
            data = (tmp_path / "objects" / output.staged_key).read_bytes()
            found = check_media(data)
            assert (found.mime, found.width, found.height) == ("image/png", output.width, output.height)
            sizes[event.data.item] = (output.width, output.height)
    assert sizes == {1: (320, 180), 2: (200, 100)}
    bill = read_bill(tmp_path / "sandbox")
    assert (bill.count, bill.amount_micros, bill.duplicate_submits) == (2, 2 * PRICE, 0)
    known = {each["name"]: each for each in providers["items"]}
    assert (known["sandbox"]["kinds"], known["sandbox"]["enabled"], known["sandbox"]["health"]) == (
        [kind.value for kind in Kind],
        True,
        "ok",
    )
    assert {"unit": "image", "usd": "0.04", "facts": {}} in known["sandbox"]["prices"]
    assert not known["openai"]["enabled"]
    assert known["openai"]["why_not"] == "PROVIDER_WORKER_PROVIDERS leaves it out"
    assert refused.status_code == 401


async def test_settings_and_routes_that_cannot_be_read_stop_the_start_in_words(
    database_url: str, kafka_bootstrap: str, tmp_path: Path
) -> None:
    (tmp_path / "routes.yaml").write_text("version: 1\nroutes: []\n")
    environment = environment_of(database_url, tmp_path, kafka_bootstrap, free_ports(1)[0])
    environment["PROVIDER_WORKER_ROUTES_FILE"] = str(tmp_path / "routes.yaml")
    process = await create_subprocess_exec(
        sys.executable, "-m", "provider_worker", env=environment, stdout=PIPE, stderr=PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode not in {0, None}
    said = (out + err).decode()
    for field in ("price_version", "currency", "providers", "prices"):
        assert field in said
