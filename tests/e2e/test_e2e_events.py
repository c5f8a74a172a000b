"""The events of a running system, read and disturbed by a Kafka client that is not ours."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from base64 import b64decode
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import jsonschema
import pytest
import yaml

from tests import kafka_client
from tests.collector import Collector
from tests.kafka_client import Record
from tests.running import Live, ended, make, make_kit, small, submit, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

SCHEMAS = Path(__file__).parents[2] / "schemas" / "generated" / "jsonschema"
HEARD_BY = {
    "backlot.jobs": {"prompt-service", "provider-worker"},
    "backlot.prompts": {"provider-worker", "api-gateway"},
    "backlot.generations": {"storage-service", "cost-ledger", "api-gateway"},
    "backlot.assets": {"api-gateway"},
    "backlot.costs": {"provider-worker", "api-gateway"},
}
OF_A_JOB = {*HEARD_BY, "backlot.job-results"}
DEAD_LETTERS = "backlot.dead-letters"
SERVICES = {"api-gateway", "prompt-service", "provider-worker", "storage-service", "cost-ledger"}


async def contract(owner: httpx.AsyncClient) -> dict[str, Any]:
    """The AsyncAPI document, as the gateway hands it to strangers."""
    document: dict[str, Any] = yaml.safe_load((await owner.get("/asyncapi.yaml")).text)
    return document


async def told_of(live: Live, jobs: set[str], document: dict[str, Any]) -> list[Record]:
    """Every record on every topic of the contract that is about `jobs`."""
    await live.all_told()
    records = await asyncio.to_thread(kafka_client.read, live.info.kafka, list(document["channels"]))
    return [record for record in records if record.key is not None and record.key.decode("utf-8", "replace") in jobs]


async def test_everything_that_is_told_of_a_job_is_a_cloudevent_that_keeps_the_contract(
    live: Live, owner: httpx.AsyncClient
) -> None:
    kit = await make_kit(owner)
    bodies = [
        {"asset_type": "banner", "brand_kit_id": kit, "prompt": "a skyline", "visibility": "public"},
        small(count=2),
        small("a fox [[sim:policy]]"),
        small("a fox [[sim:corrupt]]"),
        small(max_cost="0.01"),
        {"asset_type": "banner", "prompt": "without its brand kit"},
    ]
    jobs = [await ended(owner, job["id"]) for job in await asyncio.gather(*(submit(owner, body) for body in bodies))]
    stopped = await submit(owner, small("a fox [[sim:http500x3]]"))
    await owner.post(f"/api/v1/jobs/{stopped['id']}/cancel")
    jobs.append(await ended(owner, stopped["id"]))
    document = await contract(owner)

    records = await told_of(live, {job["id"] for job in jobs}, document)
    for record in records:
        keeps_the_contract(record, document)
    ids = Counter((record.texts["ce_source"], record.texts["ce_id"]) for record in records)
    assert max(ids.values()) == 1
    assert {record.topic for record in records} == OF_A_JOB
    results = Counter((record.key or b"").decode() for record in records if record.topic == "backlot.job-results")
    assert set(results) == {job["id"] for job in jobs}


def keeps_the_contract(record: Record, document: dict[str, Any]) -> None:
    """CloudEvents 1.0 in binary mode (Kafka binding 1.0.2), announced for its topic, with data that fit its schema."""
    texts = record.texts
    assert texts["ce_specversion"] == "1.0"
    assert texts["content-type"] == "application/json"
    assert UUID(texts["ce_id"]).version == 7
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", texts["ce_time"])
    assert texts["ce_source"].removeprefix("/services/") in SERVICES
    assert (record.key or b"").decode() == texts["ce_subject"]
    assert UUID(texts["ce_tenantid"])

    messages = document["components"]["messages"]
    announced = {messages[name]["name"]: messages[name] for name in document["channels"][record.topic]["messages"]}
    message = announced[texts["ce_type"]]
    jsonschema.validate(texts, message["headers"])
    data = json.loads(record.value or b"")
    schema = json.loads((SCHEMAS / f"{texts['ce_type']}.json").read_text("utf-8"))
    jsonschema.validate(data, schema, format_checker=jsonschema.FormatChecker())


async def test_one_trace_goes_through_all_topics(live: Live, owner: httpx.AsyncClient) -> None:
    trace = secrets.token_hex(16)
    given = await submit(owner, small(), traceparent=f"00-{trace}-{secrets.token_hex(8)}-00")
    made_up = await submit(owner, small())
    for job in (given, made_up):
        await ended(owner, job["id"])

    records = await told_of(live, {given["id"], made_up["id"]}, await contract(owner))
    traces = {given["id"]: set[str](), made_up["id"]: set[str]()}
    topics = {given["id"]: set[str](), made_up["id"]: set[str]()}
    for record in records:
        subject = (record.key or b"").decode()
        traces[subject].add(record.texts["traceparent"].split("-")[1])
        topics[subject].add(record.topic)
    assert topics == {given["id"]: OF_A_JOB, made_up["id"]: OF_A_JOB}
    assert traces[given["id"]] == {trace}
    assert len(traces[made_up["id"]]) == 1


async def test_the_spans_of_all_services_hang_together(owner: httpx.AsyncClient, collector: Collector) -> None:
    trace, root = secrets.token_hex(16), secrets.token_hex(8)
    job = await submit(owner, small(), traceparent=f"00-{trace}-{root}-01")
    await ended(owner, job["id"])

    async def are_connected() -> bool:
        spans = [span for span in collector.spans if span.trace == trace]
        known = {root, *(span.id for span in spans)}
        return {span.service for span in spans} == SERVICES and all(span.parent in known for span in spans)

    await until(are_connected, "the trace does not reach all services in one piece")


def garbage(topic: str, partition: int) -> list[Record]:
    """What a stranger might put on a topic."""
    nothing: kafka_client.Headers = ()
    unknown = cloudevent("dev.example.something.happened.v1")
    return [
        Record(topic, partition, -1, b"x", b"\x00\xffnot JSON", nothing),
        Record(topic, partition, -1, None, b'{"no": "headers"}', nothing),
        Record(topic, partition, -1, b"x", b"{}", (("ce_type", None), ("ce_id", None), ("x", None))),
        Record(topic, partition, -1, b"x", b"{}", (("ce_type", b"\xff\xfe"), ("content-type", b"\xff"))),
        Record(topic, partition, -1, b"x", b"[]", unknown),
        Record(topic, partition, -1, b"x", None, unknown),
        Record(topic, partition, -1, b"x", None, nothing),
    ]


def cloudevent(ce_type: str) -> kafka_client.Headers:
    """The headers of a CloudEvent in binary mode."""
    attributes = {
        "ce_specversion": "1.0",
        "ce_id": "01890000-0000-7000-8000-000000000001",
        "ce_type": ce_type,
        "ce_source": "/elsewhere",
        "ce_subject": "01890000-0000-7000-8000-000000000002",
        "ce_tenantid": "01890000-0000-7000-8000-000000000003",
        "content-type": "application/json",
    }
    return tuple((name, text.encode()) for name, text in attributes.items())


def structured(topic: str, ce_type: str) -> Record:
    """A CloudEvent in structured mode of a type that the topic carries, with data that do not fit it."""
    attributes = {
        name.removeprefix("ce_"): (value or b"").decode()
        for name, value in cloudevent(ce_type)
        if name.startswith("ce_")
    }
    body = json.dumps({**attributes, "data": {"wrong": True}}).encode()
    return Record(topic, 0, -1, b"x", body, (("content-type", b"application/cloudevents+json"),))


async def test_what_is_not_ours_is_set_aside_whole_and_delays_nothing(live: Live, owner: httpx.AsyncClient) -> None:
    document = await contract(owner)
    partitions = await asyncio.to_thread(kafka_client.partitions, live.info.kafka)
    bad = [
        record
        for topic in document["channels"].keys() & partitions.keys()
        for partition in range(partitions[topic])
        for record in garbage(topic, partition)
    ]
    bad += [structured(topic, heard_type(topic, document)) for topic in HEARD_BY]
    placed = await asyncio.to_thread(kafka_client.put, live.info.kafka, bad)
    assert len(placed) == len(bad)

    job = await make(owner, small("right after"), within=20)
    assert job["status"] == "completed"

    wanted = {
        (service, record.topic, record.partition, record.offset): record
        for record in placed
        for service in HEARD_BY.get(record.topic, ())
    }
    letters: dict[tuple[str, str, int, int], dict[str, Any]] = {}

    async def all_set_aside() -> bool:
        letters.clear()
        for record in await asyncio.to_thread(kafka_client.read, live.info.kafka, [DEAD_LETTERS]):
            if record.texts.get("ce_type") == "dev.backlot.record.dead_lettered.v1":
                keeps_the_contract(record, document)
                letter = json.loads(record.value or b"")
                place = (letter["service"], letter["source_topic"], letter["partition"], letter["offset"])
                assert place not in letters, "the same record was set aside twice"
                letters[place] = letter
        return wanted.keys() <= letters.keys()

    await until(all_set_aside, "not everything that is not ours is set aside", every=0.5)
    for place, record in wanted.items():
        assert whole(letters[place]) == (record.key, record.value, record.headers)
        assert letters[place]["error"]


def heard_type(topic: str, document: dict[str, Any]) -> str:
    """A type that every service which hears `topic` acts on."""
    names = {
        "backlot.jobs": "JobCancelRequested",
        "backlot.prompts": "PromptsPrepared",
        "backlot.generations": "GenerationCompleted",
        "backlot.assets": "AssetStored",
        "backlot.costs": "CostReserved",
    }
    return str(document["components"]["messages"][names[topic]]["name"])


def whole(letter: dict[str, Any]) -> tuple[bytes | None, bytes | None, kafka_client.Headers]:
    """Key, value and headers of the record in a dead letter."""

    def raw(text: str | None) -> bytes | None:
        return None if text is None else b64decode(text)

    headers = tuple((header["name"], raw(header["value_base64"])) for header in letter["headers"])
    return raw(letter["key_base64"]), raw(letter["value_base64"]), headers
