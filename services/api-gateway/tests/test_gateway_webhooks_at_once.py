"""Deliveries of many at once: nobody waits for another, and no two processes send the same one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from api_gateway import delivering
from api_gateway.delivering import Deliverer
from api_gateway.store.deliveries import Deliveries
from api_gateway.webhooks import MOST_ATTEMPTS, Answer, outcome_of
from chassis.testing import eventually
from tests.gateway_harness import Gateway, gateway_on, someone
from tests.gateway_receiver import Receiver, receiving
from tests.gateway_webhooks import claim, deliveries, finish, make_due, only, replica, send, webhook

pytestmark = pytest.mark.integration


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as listening:
        yield listening


@pytest.fixture
async def gateway(database_url: str, receiver: Receiver) -> AsyncIterator[Gateway]:
    async with gateway_on(database_url, origins=[receiver.origin]) as running:
        yield running


async def test_a_receiver_that_hangs_holds_up_nobody_else(gateway: Gateway, receiver: Receiver) -> None:
    slow = await webhook(gateway, receiver.url("/slow"))
    quick = await webhook(gateway, receiver.url("/quick"))
    receiver.held = {"/slow"}
    jobs = [await finish(gateway) for _ in range(delivering.OF_ONE_WEBHOOK + 3)]

    async with asyncio.timeout(10):
        while await gateway.deliverer.step():
            pass

    async def all_quick_ones() -> bool:
        await gateway.deliverer.step()
        return len(await deliveries(gateway, quick, state="delivered")) == len(jobs)

    await eventually(all_quick_ones)
    assert [one.path for one in receiver.got].count("/slow") == delivering.OF_ONE_WEBHOOK
    assert {one["state"] for one in await deliveries(gateway, slow)} == {"pending"}
    receiver.release.set()
    await gateway.deliverer.idle()
    await send(gateway)
    assert len(await deliveries(gateway, slow, state="delivered")) == len(jobs)


async def test_a_tenant_whose_receivers_hang_leaves_places_for_others(gateway: Gateway, receiver: Receiver) -> None:
    receiver.held = {"/slow"}
    for _ in range(delivering.OF_ONE_TENANT // delivering.OF_ONE_WEBHOOK + 2):
        await webhook(gateway, receiver.url("/slow"))
    for _ in range(delivering.OF_ONE_WEBHOOK):
        await finish(gateway)
    while await gateway.deliverer.step():
        pass

    async def hanging() -> bool:
        return receiver.busy == delivering.OF_ONE_TENANT

    await eventually(hanging)
    assert await gateway.deliverer.step() is False
    assert receiver.busiest == delivering.OF_ONE_TENANT < delivering.PLACES


async def test_what_a_dead_process_had_taken_is_sent_by_another_and_its_late_word_changes_nothing(
    gateway: Gateway, receiver: Receiver
) -> None:
    hook = await webhook(gateway, receiver.url())
    await finish(gateway)
    [taken] = await claim(gateway)
    await send(gateway)
    assert receiver.got == []
    assert (await only(gateway, hook))["next_attempt_at"] is None

    await make_due(gateway)
    receiver.says(500, 204)
    await send(gateway)

    store = Deliveries(gateway.engine)
    before = await only(gateway, hook)
    assert (before["state"], before["attempts"], receiver.ids()) == ("pending", 2, [str(taken.id)])
    for late in (Answer(200), Answer(500), Answer(410)):
        assert await store.end(taken, outcome_of(late, taken.attempts)) is False
    assert await only(gateway, hook) == before
    assert (await gateway.client.get(f"/api/v1/webhooks/{hook['id']}")).json()["disabled_at"] is None


async def test_what_ends_its_process_each_time_is_given_up_too(gateway: Gateway, receiver: Receiver) -> None:
    hook = await webhook(gateway, receiver.url())
    await finish(gateway)
    for _ in range(MOST_ATTEMPTS):
        assert len(await claim(gateway)) == 1
        await make_due(gateway)
    await send(gateway)
    found = await only(gateway, hook)
    assert (found["state"], receiver.got) == ("given_up", [])
    assert "cut off" in found["error"]


async def test_two_replicas_send_each_delivery_once(gateway: Gateway, receiver: Receiver) -> None:
    for path in ("/a", "/b", "/c"):
        await webhook(gateway, receiver.url(path))
    for _ in range(8):
        await finish(gateway)
    both = [replica(gateway, receiver), replica(gateway, receiver)]

    async def work(one: Deliverer) -> None:
        while await gateway_has_pending(gateway):
            await one.step()
            await one.idle()

    await asyncio.gather(*map(work, both))

    assert len(receiver.got) == len(set(receiver.ids())) == 24
    for one in both:
        await one.stop()


async def test_what_another_process_is_claiming_at_this_moment_is_left_to_it(
    gateway: Gateway, receiver: Receiver
) -> None:
    await webhook(gateway, receiver.url())
    for _ in range(3):
        await finish(gateway)
    async with gateway.engine.begin() as other:
        await other.execute(text("SELECT id FROM webhook_delivery ORDER BY n LIMIT 2 FOR UPDATE"))
        async with asyncio.timeout(5):
            assert len(await claim(gateway)) == 1
    assert len(await claim(gateway)) == 2
    assert await claim(gateway) == []


async def gateway_has_pending(gateway: Gateway) -> bool:
    return bool((await gateway.run("SELECT count(*) FROM webhook_delivery WHERE state = 'pending'")).scalar_one())


async def test_a_process_that_ends_waits_for_its_answers_and_begins_nothing_new(
    gateway: Gateway, receiver: Receiver
) -> None:
    hook = await webhook(gateway, receiver.url("/slow"))
    receiver.held = {"/slow"}
    await finish(gateway)
    ending = replica(gateway, receiver)
    await ending.step()
    await receiver.arrived.wait()
    stopping = asyncio.create_task(ending.stop())
    await asyncio.sleep(0)
    await finish(gateway)
    assert await ending.step() is False
    receiver.release.set()
    await stopping
    assert [one["state"] for one in await deliveries(gateway, hook)] == ["pending", "delivered"]


async def test_a_backlog_of_one_tenant_does_not_come_before_anothers_first(
    gateway: Gateway, receiver: Receiver
) -> None:
    await webhook(gateway, receiver.url("/many"))
    for _ in range(6):
        await finish(gateway)
    other = someone()
    async with await gateway.client_of(other) as client:
        hook: dict[str, Any] = await webhook(gateway, receiver.url("/one"), client=client)
    await gateway.run(
        "INSERT INTO webhook_delivery (webhook_id, tenant_id, job_id, event, body) "
        "VALUES (:id, :tenant_id, :job_id, 'job.completed', '{}')",
        id=UUID(hook["id"]),
        tenant_id=other.tenant_id,
        job_id=UUID(int=1),
    )
    first = await Deliveries(gateway.engine).claim(places=2, each=4, of_tenant=8, lease=60, webhooks={}, tenants={})
    assert {one.tenant_id for one in first} == {gateway.who.tenant_id, other.tenant_id}
