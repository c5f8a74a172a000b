"""One manifest of a project runs at a time, also in a race and within one group commit."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from sqlalchemy.exc import IntegrityError

from chassis.ids import uuid7
from schemas.events import JobAccepted, JobRequested, PromptsRejected
from schemas.parts import ErrorCode
from tests.gateway_harness import IMAGE, Gateway, gateway_on, someone
from tests.gateway_manifests import MANIFEST, make_manifest

pytestmark = pytest.mark.integration

PATH = "/api/v1/manifests"


@pytest.fixture
async def gateway(database_url: str) -> AsyncIterator[Gateway]:
    async with gateway_on(database_url) as running:
        yield running


async def test_a_second_manifest_of_a_project_is_refused_with_the_job_that_runs(gateway: Gateway) -> None:
    running = await make_manifest(gateway)

    answer = await gateway.client.post(PATH, json=MANIFEST | {"topic": "another"})

    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (409, "CONFLICT")
    assert str(running) in problem["detail"]
    assert problem["errors"] == [{"pointer": "/project", "detail": f"is being made by job {running}"}]
    for free in ({"channel": "other"}, {"project": "other"}):
        await make_manifest(gateway, **free)
    stranger = await gateway.client_of(someone())
    assert (await stranger.post(PATH, json=MANIFEST)).status_code == 202
    colleague = await gateway.client_of(someone(tenant_id=gateway.who.tenant_id))
    assert (await colleague.post(PATH, json=MANIFEST)).status_code == 409


async def test_the_project_is_free_again_when_its_manifest_has_ended(gateway: Gateway) -> None:
    first = await make_manifest(gateway)
    await gateway.hear(PromptsRejected(job_id=first, code=ErrorCode.INVALID_REQUEST, message="no"))

    second = await make_manifest(gateway)

    assert second != first
    assert (await gateway.client.post(PATH, json=MANIFEST)).status_code == 409


async def test_the_same_key_gets_the_same_manifest_while_it_runs_and_after(gateway: Gateway) -> None:
    key = {"Idempotency-Key": "episode 7"}
    first = await gateway.client.post(PATH, json=MANIFEST, headers=key)
    job_id = UUID(first.json()["id"])

    running = await gateway.client.post(PATH, json=MANIFEST, headers=key)
    other = await gateway.client.post(PATH, json=MANIFEST | {"seed": 7}, headers=key)
    await gateway.hear(PromptsRejected(job_id=job_id, code=ErrorCode.INVALID_REQUEST, message="no"))
    ended = await gateway.client.post(PATH, json=MANIFEST, headers=key)

    assert [answer.status_code for answer in (first, running, other, ended)] == [202, 202, 409, 202]
    assert {answer.json()["id"] for answer in (first, running, ended)} == {str(job_id)}
    assert running.headers["location"] == f"{PATH}/{job_id}"
    assert running.headers["idempotency-replayed"] == "true"
    assert other.json()["code"] == "IDEMPOTENCY_MISMATCH"


async def test_a_manifest_that_found_its_project_taken_does_not_use_up_its_key(gateway: Gateway) -> None:
    key = {"Idempotency-Key": "episode 8"}
    first = await make_manifest(gateway)
    refused = await gateway.client.post(PATH, json=MANIFEST, headers=key)
    await gateway.hear(PromptsRejected(job_id=first, code=ErrorCode.INVALID_REQUEST, message="no"))

    answer = await gateway.client.post(PATH, json=MANIFEST, headers=key)

    assert (refused.status_code, answer.status_code) == (409, 202)
    assert answer.json()["id"] != str(first)


async def test_of_twenty_at_once_one_is_made(gateway: Gateway) -> None:
    """They share a group commit, that of the job being written meanwhile; some have keys, two of them the same."""
    keys = [{"Idempotency-Key": f"key {number // 2}"} if number % 4 < 2 else {} for number in range(20)]

    _, *answers = await asyncio.gather(
        gateway.client.post("/api/v1/jobs", json=IMAGE),
        *(gateway.client.post(PATH, json=MANIFEST, headers=key) for key in keys),
    )

    [job_id] = (await gateway.run("SELECT id FROM job WHERE channel IS NOT NULL")).scalars().all()
    statuses = Counter(answer.status_code for answer in answers)
    assert statuses.keys() == {202, 409}
    assert statuses[202] in {1, 2}
    assert {answer.json()["id"] for answer in answers if answer.status_code == 202} == {str(job_id)}
    assert all(f"job {job_id}" in answer.json()["detail"] for answer in answers if answer.status_code == 409)
    assert Counter(type(said) for said in await gateway.said()) == {JobRequested: 2, JobAccepted: 1}
    kept = (await gateway.run("SELECT job_id FROM idempotency")).scalars().all()
    assert set(kept) <= {job_id}


async def test_of_gateways_racing_for_a_project_one_makes_it(gateway: Gateway, database_url: str) -> None:
    async with gateway_on(database_url) as replica:
        clients = [gateway.client, await replica.client_of(gateway.who)] * 10
        projects = ["one", "two", "three", "four", "five"] * 4
        pairs = list(zip(clients, projects, strict=True))
        answers = await asyncio.gather(
            *(client.post(PATH, json=MANIFEST | {"project": project}) for client, project in pairs)
        )

    assert Counter(answer.status_code for answer in answers) == {202: 5, 409: 15}
    rows = (await gateway.run("SELECT project, id::text AS id FROM job")).all()
    running = {row.project: row.id for row in rows}
    assert len(rows) == len(running) == 5
    for (_, project), answer in zip(pairs, answers, strict=True):
        told = answer.json()
        assert running[project] in (told["id"] if answer.status_code == 202 else told["detail"])


async def test_the_database_itself_refuses_a_second_running_manifest(gateway: Gateway) -> None:
    await make_manifest(gateway)
    again = (
        "INSERT INTO job (id, tenant_id, user_id, kind, request, channel, project, resume) "
        "SELECT :id, tenant_id, user_id, kind, request, channel, project, resume FROM job"
    )

    with pytest.raises(IntegrityError, match="job_manifest_running"):
        await gateway.run(again, id=uuid7())


async def test_neighbours_of_a_refused_manifest_are_made(gateway: Gateway) -> None:
    taken = await make_manifest(gateway)

    answers = await asyncio.gather(
        gateway.client.post("/api/v1/jobs", json=IMAGE),
        gateway.client.post(PATH, json=MANIFEST),
        gateway.client.post("/api/v1/jobs", json=IMAGE | {"labels": {"scene": "1"}}),
        *(gateway.client.post(PATH, json=MANIFEST | {"project": f"p{number}"}) for number in range(20)),
    )

    assert [answer.status_code for answer in answers] == [202, 409, 202, *[202] * 20]
    assert str(taken) in answers[1].json()["detail"]
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 202}) == 22
