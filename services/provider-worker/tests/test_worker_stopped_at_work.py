"""Work that is stopped after it has begun is paid for: what is settled is what the provider's own bill says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from provider_worker.adapters.interface import ErrorCode as ProviderCode
from provider_worker.adapters.interface import JobRef, ProviderError, Status
from schemas.events import GenerationCancelled, JobCancelRequested
from schemas.parts import Kind
from simulator.environment import environment
from simulator.testing import RunningSimulator
from simulator.wires import WIRES
from tests.worker_builders import PRICE, Home, Worker, envelope, home_at, item, prepared
from tests.worker_child import of_route_file
from tests.worker_studio import Studio, look, sent

pytestmark = pytest.mark.integration

KINDS: dict[str, dict[str, Any]] = {
    "image": {"kind": Kind.IMAGE, "width": 640, "height": 480, "format": "png"},
    "video": {"kind": Kind.VIDEO, "width": 1280, "height": 720, "format": "mp4", "duration_seconds": 4.0},
    "music": {"kind": Kind.MUSIC, "width": 0, "height": 0, "format": "mp3", "duration_seconds": 30.0},
}
PROVIDERS = [("fal", "image"), ("replicate", "image"), ("gemini_omni", "video"), ("lyria", "music")]
QUEUED, AT_WORK = {"queued_s": [600, 600]}, {"queued_s": [0, 0], "running_s": [600, 600]}


@pytest.fixture
async def home(database_url: str, tmp_path: Path) -> AsyncIterator[Home]:
    async with home_at(database_url, tmp_path) as home:
        yield home


async def stopped(home: Home, here: Worker, job: Any) -> GenerationCancelled:
    await here.hear(envelope(JobCancelRequested(job_id=job.job_id, reason="user")))
    await here.work()
    for _ in range(3):
        if found := await home.said(GenerationCancelled):
            [cancelled] = found
            assert isinstance(cancelled, GenerationCancelled)
            return cancelled
        await look(home, here)
    raise AssertionError("it is not stopped")


@pytest.mark.parametrize("looked_at_before", [False, True])
@pytest.mark.parametrize(("provider", "kind"), PROVIDERS, ids=str)
@pytest.mark.parametrize("begun", [False, True], ids=["queued", "at work"])
async def test_a_job_is_stopped_and_its_bill_is_the_providers(
    home: Home,
    simulator: RunningSimulator,
    monkeypatch: pytest.MonkeyPatch,
    provider: str,
    kind: str,
    begun: bool,
    looked_at_before: bool,
) -> None:
    for name, value in environment(WIRES, simulator.url).items():
        monkeypatch.setenv(name, value)
    simulator.post("settings", **(AT_WORK if begun else QUEUED))
    adapter, routes = of_route_file(provider)
    slow = {each: replace(route, poll_s=30.0) for each, route in routes.routes.items()}
    here, job = home.worker(adapter, routes=replace(routes, routes=slow)), prepared([item(**KINDS[kind])])
    await here.hear(envelope(job))
    await here.reserve()
    await here.work()
    if looked_at_before:
        await look(home, here)
    cancelled = await stopped(home, here, job)
    await adapter.close()
    charged = simulator.bill()["amount_micros"]
    assert cancelled.billing.amount_micros == charged
    assert (charged > 0) is begun


async def test_what_may_have_begun_while_nobody_could_tell_is_paid_for(home: Home) -> None:
    class Away(Studio):
        async def cancel(self, ref: JobRef) -> bool:
            self.standing[ref.external_id] = Status("cancelled", ref.external_id)
            return True

    studio = Away()
    here, job = await sent(home, studio)
    studio.standing["job-1"] = ProviderError(ProviderCode.TEMPORARY, "it is away")
    await here.hear(envelope(JobCancelRequested(job_id=job.job_id, reason="user")))
    await here.work()
    studio.standing["job-1"] = Status("cancelled", "job-1")
    await look(home, here)
    [cancelled] = await home.said(GenerationCancelled)
    assert (cancelled.billing.amount_micros, cancelled.billing.basis) == (PRICE, "estimated")
