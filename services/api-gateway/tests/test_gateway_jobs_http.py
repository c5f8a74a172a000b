"""Making and reading jobs over HTTP, on the real database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from api_gateway.http.describing import Job
from schemas.jobs import JobRequested
from tests.gateway_harness import IMAGE, Gateway, gateway_on

pytestmark = pytest.mark.integration


@pytest.fixture
async def gateway(database_url: str) -> AsyncIterator[Gateway]:
    async with gateway_on(database_url) as running:
        yield running


async def test_a_job_is_accepted_with_its_event_in_one_commit(gateway: Gateway) -> None:
    answer = await gateway.client.post("/api/v1/jobs", json=IMAGE | {"labels": {"scene": "12"}, "max_cost": "0.50"})

    assert answer.status_code == 202, answer.text
    job = answer.json()
    Job.model_validate(job)
    assert (job["status"], job["progress"], job["labels"]) == ("queued", 0, {"scene": "12"})
    assert answer.headers["location"] == f"/api/v1/jobs/{job['id']}"
    assert answer.headers["etag"] == '"1"'
    assert answer.headers["retry-after"] == "1"
    assert await gateway.job(UUID(job["id"])) == job
    [said] = await gateway.said("backlot.jobs")
    assert isinstance(said, JobRequested)
    assert (said.job_id, said.max_cost_micros) == (UUID(job["id"]), 500_000)
    assert said.request.prompt == IMAGE["prompt"]
