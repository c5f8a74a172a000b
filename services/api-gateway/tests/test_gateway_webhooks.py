"""What is written for webhooks: with what it tells, once, to whom it is meant for, and signed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from random import Random
from typing import Any
from uuid import UUID

import pytest
from standardwebhooks.webhooks import WebhookVerificationError

from api_gateway.store.totals import Shard
from chassis.testing import event_of
from schemas.event import Event
from tests.gateway_harness import Gateway, gateway_on, someone
from tests.gateway_manifests import made, make_manifest, manifest_prepared
from tests.gateway_receiver import Receiver, receiving
from tests.gateway_stories import completed_picture
from tests.gateway_webhooks import deliveries, finish, only, send, webhook

pytestmark = pytest.mark.integration

RESULTS = "backlot.job-results"
EVENTS = ("job.completed", "job.partial", "job.failed", "job.cancelled", "job.settled")


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as listening:
        yield listening


@pytest.fixture
async def gateway(database_url: str, receiver: Receiver) -> AsyncIterator[Gateway]:
    async with gateway_on(database_url, origins=[receiver.origin]) as running:
        yield running


async def count(gateway: Gateway) -> int:
    return int((await gateway.run("SELECT count(*) FROM webhook_delivery")).scalar_one())


async def test_the_end_of_a_job_and_of_its_bill_come_signed_with_the_data_of_their_events(
    gateway: Gateway, receiver: Receiver
) -> None:
    hook = await webhook(gateway, receiver.url(), *EVENTS)
    job_id = await finish(gateway)

    await send(gateway)

    said = {event.type.split(".")[-2]: event.model_dump(mode="json") for event in await gateway.said(RESULTS)}
    told = {one.told["type"]: one.verified(hook["secret"]) for one in receiver.got}
    assert sorted(told) == ["job.completed", "job.settled"]
    assert {name: body["data"] for name, body in told.items()} == {f"job.{name}": data for name, data in said.items()}
    assert told["job.settled"]["data"]["cost_micros"] == 39_000
    assert told["job.completed"]["data"]["job_id"] == str(job_id)
    for one in receiver.got:
        assert set(one.told) == {"type", "timestamp", "data"}
        assert one.told["timestamp"].endswith("Z")
        assert (one.path, one.headers["content-type"]) == ("/hook", "application/json")
    found = await deliveries(gateway, hook)
    assert {one["id"] for one in found} == set(receiver.ids())
    assert {(one["state"], one["attempts"], one["status"], one["job_id"]) for one in found} == {
        ("delivered", 1, 204, str(job_id))
    }


async def test_a_forged_or_changed_message_is_seen_by_the_library(gateway: Gateway, receiver: Receiver) -> None:
    hook = await webhook(gateway, receiver.url())
    other = await webhook(gateway, receiver.url("/other"), "job.failed")
    await finish(gateway)
    await send(gateway)
    [got] = receiver.got

    assert got.verified(hook["secret"])
    changed = type(got)(got.path, got.headers, got.body.replace(b'"cost_micros":39000', b'"cost_micros":0'))
    renamed = type(got)(got.path, got.headers | {"webhook-id": "another"}, got.body)
    for forged, secret in ((changed, hook["secret"]), (renamed, hook["secret"]), (got, other["secret"])):
        with pytest.raises(WebhookVerificationError):
            forged.verified(secret)


async def test_a_manifest_tells_its_counts_and_what_comes_next(gateway: Gateway, receiver: Receiver) -> None:
    hook = await webhook(gateway, receiver.url())
    job_id = await make_manifest(gateway)
    await gateway.hear_all([manifest_prepared(job_id, blank=(3,)), *made(job_id, 1), *made(job_id, 2)])
    await send(gateway)

    [got] = receiver.got
    told = got.verified(hook["secret"])
    assert told["type"] == "job.partial"
    manifest = told["data"]["manifest"]
    assert (manifest["generated"], manifest["failed"], manifest["next_step"]) == (2, 1, "generate_videos")
    assert [asset["item"] for asset in told["data"]["assets"]] == [1, 2]


async def test_a_webhook_that_names_no_events_hears_each_end_and_no_bill(gateway: Gateway, receiver: Receiver) -> None:
    hook = await webhook(gateway, receiver.url())
    assert hook["events"] == ["job.completed", "job.partial", "job.failed", "job.cancelled"]
    await finish(gateway)
    assert [one["event"] for one in await deliveries(gateway, hook)] == ["job.completed"]


async def test_a_webhook_hears_the_events_it_names_alone(gateway: Gateway, receiver: Receiver) -> None:
    bills = await webhook(gateway, receiver.url("/bills"), "job.settled")
    failures = await webhook(gateway, receiver.url("/failures"), "job.failed", "job.cancelled")
    await finish(gateway)
    assert [one["event"] for one in await deliveries(gateway, bills)] == ["job.settled"]
    assert await deliveries(gateway, failures) == []


async def test_a_stopped_job_is_told_by_whoever_seals_it(database_url: str, receiver: Receiver) -> None:
    async with gateway_on(database_url, origins=[receiver.origin], cancel_patience=0.0) as gateway:
        hook = await webhook(gateway, receiver.url())
        job_id = await gateway.make()
        await gateway.client.post(f"/api/v1/jobs/{job_id}/cancel")
        await gateway.sweeper.give_up()
        assert (await only(gateway, hook))["event"] == "job.cancelled"


async def test_what_is_rolled_back_with_the_sealing_was_never_there(gateway: Gateway, receiver: Receiver) -> None:
    hook = await webhook(gateway, receiver.url(), *EVENTS)
    job_id = await gateway.make()
    events = [event_of(event, tenant_id=gateway.who.tenant_id) for event in completed_picture(job_id)]

    async with gateway.engine.connect() as conn:
        await gateway.hearing.hear(conn, events, shard=Shard.OWN)
        await conn.rollback()
    assert await count(gateway) == 0
    await send(gateway)
    assert receiver.got == []

    async with gateway.engine.begin() as conn:
        await gateway.hearing.hear(conn, events, shard=Shard.OWN)
    assert {one["event"] for one in await deliveries(gateway, hook)} == {"job.completed", "job.settled"}


@pytest.mark.parametrize("seed", range(6))
async def test_in_any_order_and_repetition_each_end_is_told_once_to_each_webhook(
    gateway: Gateway, receiver: Receiver, seed: int
) -> None:
    chance = Random(seed)
    hooks = [await webhook(gateway, receiver.url(path), *EVENTS) for path in ("/a", "/b")]
    jobs = [await gateway.make() for _ in range(3)]
    history: list[Event] = [event for job_id in jobs for event in completed_picture(job_id)]
    history += chance.choices(history, k=len(history))
    chance.shuffle(history)
    while history:
        size = chance.randint(1, 9)
        await gateway.hear_all(history[:size])
        del history[:size]
    await send(gateway)

    wanted = sorted((name, str(job_id)) for job_id in jobs for name in ("job.completed", "job.settled"))
    for hook, path in zip(hooks, ("/a", "/b"), strict=True):
        assert sorted((one["event"], one["job_id"]) for one in await deliveries(gateway, hook)) == wanted
        mine = [one.told for one in receiver.got if one.path == path]
        assert sorted((one["type"], one["data"]["job_id"]) for one in mine) == wanted
    assert len(set(receiver.ids())) == len(receiver.got)


async def test_nobody_hears_of_a_job_that_he_may_not_see(gateway: Gateway, receiver: Receiver) -> None:
    mine = gateway.who
    colleague = someone(tenant_id=mine.tenant_id)
    overseer = someone("jobs:read", "jobs:write", "tenant:read", tenant_id=mine.tenant_id)
    hooks: dict[str, dict[str, Any]] = {}
    far = someone("jobs:read", "jobs:write", "tenant:read")
    everybody = {"own": mine, "colleague": colleague, "overseer": overseer, "stranger": someone(), "far": far}
    for name, who in everybody.items():
        async with await gateway.client_of(who) as client:
            hooks[name] = await webhook(gateway, receiver.url(f"/{name}"), client=client)
    assert {name: hook["jobs"] for name, hook in hooks.items()} == {
        "own": "own",
        "colleague": "own",
        "overseer": "tenant",
        "stranger": "own",
        "far": "tenant",
    }

    await finish(gateway)
    await send(gateway)

    assert sorted(one.path for one in receiver.got) == ["/overseer", "/own"]


async def test_nothing_is_written_for_a_job_that_goes_on_or_where_nobody_listens(gateway: Gateway) -> None:
    await finish(gateway)
    assert await count(gateway) == 0


async def test_a_commit_that_left_something_wakes_the_engine(gateway: Gateway, receiver: Receiver) -> None:
    await finish(gateway)
    assert not gateway.deliverer.wake.is_set()
    await webhook(gateway, receiver.url())
    await finish(gateway)
    assert gateway.deliverer.wake.is_set()


async def test_the_database_itself_shows_a_tenant_only_its_webhooks(gateway: Gateway, receiver: Receiver) -> None:
    from sqlalchemy import text

    from chassis.database import tenant_transaction

    await webhook(gateway, receiver.url())
    await finish(gateway)
    seen = text("SELECT (SELECT count(*) FROM webhook), (SELECT count(*) FROM webhook_delivery)")
    for tenant_id, wanted in ((gateway.who.tenant_id, (1, 1)), (UUID(int=7), (0, 0))):
        async with tenant_transaction(gateway.engine, tenant_id) as conn:
            assert tuple((await conn.execute(seen)).one()) == wanted


async def test_no_secret_is_in_the_database(gateway: Gateway, receiver: Receiver) -> None:
    hook = await webhook(gateway, receiver.url())
    row = (await gateway.run("SELECT row_to_json(webhook)::text FROM webhook")).scalar_one()
    assert hook["secret"].removeprefix("whsec_") not in row
    assert json.loads(row)["url"] == receiver.url()
