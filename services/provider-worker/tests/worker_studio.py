"""A provider that works on its jobs for a while, and what takes jobs to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from provider_worker.adapters.interface import Artifact, Cost, GenerationRequest, JobRef, ProviderError, Status
from tests.worker_builders import PRICE, Home, Painter, Worker, envelope, prepared, table

SLOW = replace(table(), routes={kind: replace(route, poll_s=30.0) for kind, route in table().routes.items()})


@dataclass
class Studio(Painter):
    """Takes jobs and works on them until it is told what they come to."""

    submits: list[Mapping[str, Any]] = field(default_factory=list)
    polls: list[str] = field(default_factory=list)
    standing: dict[str, Status | ProviderError] = field(default_factory=dict)
    stops: bool = False
    stopped: list[str] = field(default_factory=list)

    async def submit(self, req: GenerationRequest, plan: Mapping[str, Any]) -> JobRef | Status:
        self.calls.append(req.request_id)
        self.submits.append(plan)
        self.bill[req.request_id] += self.price
        number = f"job-{len(self.submits)}"
        self.standing.setdefault(number, Status("running", number))
        return JobRef(self.name, number, {"address": f"/jobs/{number}"})

    async def poll(self, ref: JobRef) -> Status:
        self.polls.append(ref.external_id)
        found = self.standing[ref.external_id]
        if isinstance(found, ProviderError):
            raise replace(found)
        return found

    async def cancel(self, ref: JobRef) -> bool:
        self.stopped.append(ref.external_id)
        if self.stops:
            self.standing[ref.external_id] = Status("cancelled", ref.external_id, cost=Cost(7_000, "USD", "reported"))
        return self.stops

    def done(self, number: int = 1, **changes: Any) -> None:
        given: dict[str, Any] = {
            "artifacts": [Artifact("image/png", data=b"picture")],
            "cost": Cost(PRICE, "USD", "reported"),
        }
        self.standing[f"job-{number}"] = Status("succeeded", f"job-{number}", **{**given, **changes})


async def sent(home: Home, studio: Studio, items: int = 1, **changes: Any) -> tuple[Worker, Any]:
    """A job whose items the provider has taken; it is looked at when the test says so."""
    changes.setdefault("routes", SLOW)
    here = home.worker(studio, **changes)
    job = prepared(items)
    await here.hear(envelope(job))
    await here.reserve()
    await here.work()
    return here, job


async def look(home: Home, here: Worker) -> None:
    """The next look is due."""
    await home.rows("UPDATE tasks SET next_at = now() WHERE state = 'polling'")
    await here.work()
