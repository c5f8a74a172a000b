"""Histories that a process remembers are never taken for more than what is written down."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from api_gateway.events import Hearing
from api_gateway.facts import Fact, FactKind
from api_gateway.history import read
from api_gateway.store.remembering import Remembered
from api_gateway.store.totals import Shard
from api_gateway.watching import Watch
from chassis.database import on_new_connection
from chassis.ids import uuid7
from chassis.outbox import Outbox
from chassis.testing import event_of
from schemas.event import Event
from schemas.events import PromptsRejected
from schemas.parts import ErrorCode
from tests.gateway_harness import Gateway, gateway_on
from tests.gateway_stories import completed_picture, prepared, quoted, reserved


@pytest.fixture
async def gateway(database_url: str) -> AsyncIterator[Gateway]:
    async with gateway_on(database_url) as running:
        yield running


def replica(remembered: Remembered | None = None) -> Hearing:
    """Another process of the gateway."""
    return Hearing(Outbox("/services/api-gateway"), Watch(), Remembered() if remembered is None else remembered)


async def heard(gateway: Gateway, by: Hearing, *events: Event) -> None:
    async with gateway.engine.begin() as conn:
        await told(conn, gateway, by, events)


async def told(conn: AsyncConnection, gateway: Gateway, by: Hearing, events: Sequence[Event]) -> None:
    enveloped = [event_of(event, tenant_id=gateway.who.tenant_id) for event in events]
    await by.hear(conn, enveloped, shard=Shard.OWN)


@pytest.mark.integration
async def test_replicas_that_hear_a_job_in_turn_make_the_same_of_it(gateway: Gateway) -> None:
    alone, shared = await gateway.make(), await gateway.make()
    replicas = [replica(), replica(), replica()]
    for event in completed_picture(alone):
        await heard(gateway, replicas[0], event)

    for number, event in enumerate(completed_picture(shared)):
        await heard(gateway, replicas[number % 2], event)
        await heard(gateway, replicas[(number + 1) % 2], event)

    first, second = await gateway.job(alone), await gateway.job(shared)
    assert (second["status"], second["cost"], second["version"]) == (first["status"], first["cost"], first["version"])
    assert second["cost"]["settled"]


@pytest.mark.integration
async def test_a_batch_that_was_rolled_back_is_not_remembered(gateway: Gateway) -> None:
    job_id = await gateway.make()
    process = replica()
    await heard(gateway, process, prepared(job_id))
    async with gateway.engine.connect() as conn:
        await told(conn, gateway, process, [quoted(job_id)])
        await conn.rollback()

    await heard(gateway, process, reserved(job_id))
    without = await gateway.job(job_id)
    await heard(gateway, process, quoted(job_id))

    assert (without["cost"]["estimated"], without["cost"]["reserved"]) == (None, "0.04")
    assert (await gateway.job(job_id))["cost"]["estimated"] == "0.04"
    assert await kinds(gateway, job_id) == [FactKind.PREPARED, FactKind.QUOTED, FactKind.RESERVED]


@pytest.mark.integration
async def test_a_contradiction_heard_by_another_replica_is_known_here(gateway: Gateway) -> None:
    job_id = await gateway.make()
    here, there = replica(), replica()
    story = completed_picture(job_id)
    refused = PromptsRejected(job_id=job_id, code=ErrorCode.INVALID_REQUEST, message="too late")
    await heard(gateway, here, *story[:-1])

    await heard(gateway, there, refused)
    await heard(gateway, here, refused)

    assert (await kinds(gateway, job_id)).count(FactKind.REJECTED) == 1
    assert (await gateway.job(job_id))["status"] == "completed"


@pytest.mark.integration
async def test_what_is_remembered_is_not_read_again(gateway: Gateway) -> None:
    job_id = await gateway.make()
    process = replica()
    await heard(gateway, process, prepared(job_id), quoted(job_id))
    await gateway.run("DELETE FROM fact")

    await heard(gateway, process, reserved(job_id))

    assert (await gateway.job(job_id))["cost"]["estimated"] == "0.04"


async def kinds(gateway: Gateway, job_id: UUID) -> list[int]:
    rows = await gateway.run("SELECT kind FROM fact WHERE job_id = :job ORDER BY kind", job=job_id)
    return list(rows.scalars())


def test_the_longest_unused_histories_are_forgotten_first() -> None:
    jobs = [uuid7() for _ in range(3)]
    facts = [Fact(1, attempt, FactKind.PROGRESSED, 10, {}) for attempt in range(4)]
    remembered = Remembered(most=8)
    for job_id in jobs:
        remembered.keep(job_id, 7, read(facts))

    kept = [remembered.take(job_id, 7) for job_id in jobs]

    assert [history is not None for history in kept] == [False, True, True]


def test_a_history_is_taken_once_and_only_for_what_its_own_transaction_wrote() -> None:
    job_id = uuid7()
    remembered = Remembered()
    remembered.keep(job_id, 7, read([]))
    assert remembered.take(job_id, 8) is None
    assert remembered.take(job_id, 7) is None

    remembered.keep(job_id, 7, read([]))
    assert remembered.take(job_id, 7) is not None
    assert remembered.take(job_id, 7) is None


@pytest.mark.integration
async def test_nothing_is_remembered_across_a_new_connection(gateway: Gateway) -> None:
    remembered = Remembered()
    on_new_connection(gateway.engine, remembered.forget)
    await heard(gateway, replica(remembered), quoted(await gateway.make()))
    kept = len(remembered)
    await gateway.engine.dispose()
    async with gateway.engine.begin():
        assert (kept, len(remembered)) == (1, 0)
