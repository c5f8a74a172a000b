"""What the gateway logs about a job's end."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from api_gateway.events import Hearing
from api_gateway.store.remembering import Remembered
from api_gateway.store.totals import Shard
from api_gateway.watching import Watch
from chassis.outbox import Outbox
from chassis.testing import event_of
from tests.gateway_harness import Gateway, gateway_on
from tests.gateway_stories import completed_picture

pytestmark = pytest.mark.integration


@pytest.fixture
async def gateway(database_url: str) -> AsyncIterator[Gateway]:
    async with gateway_on(database_url) as running:
        yield running


async def test_the_end_of_a_job_is_one_line_with_its_tenant_trace_status_and_time(gateway: Gateway) -> None:
    job_id, trace = await gateway.make(), "0af7651916cd43dd8448eb211c80319c"
    hearing = Hearing(Outbox("/services/api-gateway"), Watch(), Remembered())
    with capture_logs() as lines:
        for event in completed_picture(job_id) * 2:
            heard = event_of(event, tenant_id=gateway.who.tenant_id, traceparent=f"00-{trace}-b7ad6b7169203331-01")
            async with gateway.engine.begin() as conn:
                await hearing.hear(conn, [heard], shard=Shard.OWN)
    [line] = [line for line in lines if line["event"] == "asset_generation_complete"]
    assert (line["job_id"], line["tenant"], line["trace_id"]) == (str(job_id), str(gateway.who.tenant_id), trace)
    assert line["status"] == "completed"
    assert line["seconds"] >= 0
