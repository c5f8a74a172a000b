"""A provider that works until it is told, and the line on which it calls back."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from chassis.ids import uuid7
from chassis.outbox import NOBODY
from provider_worker.adapters.interface import (
    Artifact,
    Cost,
    GenerationRequest,
    JobRef,
    Outcome,
    ProviderError,
    Status,
    WebhookEvent,
)
from provider_worker.adapters.interface import ErrorCode as ProviderCode
from provider_worker.engine.callbacks import Callbacks
from provider_worker.store.callbacks import CallbackDatabase
from schemas.callbacks import ProviderCallbackReceived
from schemas.cloudevents import CloudEvent
from tests.worker_builders import PRICE, Home, Painter, Worker, envelope, prepared, table

LOST = ProviderError(ProviderCode.TIMEOUT, "no answer", outcome=Outcome.UNKNOWN)


def seldom(routes: Any) -> Any:
    """Polls that come after the test has long ended."""
    return replace(
        routes,
        routes={kind: replace(route, poll_s=300.0) for kind, route in routes.routes.items()},
        unknown_grace_s=300.0,
    )


@dataclass
class Studio(Painter):
    """Works on jobs until it is told that they are done, and calls: `{"delivery", "id", "reference"}`."""

    idempotency: Any = "none"
    polls: list[JobRef] = field(default_factory=list)
    done: set[str] = field(default_factory=set)
    loses_answers: bool = False
    refuses: Exception | None = None
    seen: list[datetime] = field(default_factory=list)

    async def submit(self, req: GenerationRequest, plan: Mapping[str, Any]) -> JobRef | Status:
        self.calls.append(req.request_id)
        self.bill[req.request_id] += self.price
        if self.loses_answers:
            raise replace(LOST)
        return JobRef(self.name, f"job-{len(self.calls)}", {"address": "kept"})

    async def poll(self, ref: JobRef) -> Status:
        self.polls.append(ref)
        if ref.external_id not in self.done:
            return Status("running", ref.external_id)
        picture = Artifact("image/png", data=b"picture")
        return Status("succeeded", ref.external_id, artifacts=[picture], cost=Cost(PRICE, "USD", "reported"))

    async def find(self, req: GenerationRequest, plan: Mapping[str, Any], since: datetime) -> JobRef | None:
        return None

    async def parse_webhook(self, headers: Mapping[str, str], body: bytes, received_at: datetime) -> WebhookEvent:
        self.seen.append(received_at)
        if self.refuses is not None:
            raise self.refuses
        said = json.loads(body)
        ref = JobRef(self.name, said["id"], {"address": "called"}) if said.get("id") else None
        return WebhookEvent(said["delivery"], ref, said.get("reference"), verified=True)


@dataclass
class Line:
    """Where callbacks come in, and the engine that listens. `rings` counts how often there was something to ask."""

    here: Worker
    engine: Callbacks
    rings: list[None] = field(default_factory=list)

    async def comes(
        self, provider: str = "painter", attempt: UUID | None = None, *, headers: Any = None, **said: Any
    ) -> CloudEvent[Any]:
        """A callback is kept, not yet looked at."""
        data = ProviderCallbackReceived(
            provider=provider,
            attempt_id=attempt,
            headers=headers or {},
            body_base64=b64encode(json.dumps({"delivery": "d-1", **said}).encode()).decode(),
        )
        event = CloudEvent(uuid7(), "/services/api-gateway", attempt or uuid7(), NOBODY, datetime.now(UTC), data)
        await self.hears(event)
        return event

    async def hears(self, *events: CloudEvent[Any]) -> None:
        async with self.here.engine.begin() as conn:
            await self.here.hears.provider_called_back(conn, events)

    async def called(self, provider: str = "painter", attempt: UUID | None = None, **said: Any) -> None:
        await self.comes(provider, attempt, **said)
        await self.engine.step()


def line_of(home: Home, *studios: Studio, routes: Any = None) -> Line:
    here = home.worker(*studios, routes=seldom(routes or table()))
    line = Line(here, Callbacks(CallbackDatabase(home.engine), {}, lambda: None, asyncio.Event()))
    adapters = {studio.name: studio for studio in studios}
    line.engine = replace(line.engine, providers=adapters, ready=lambda: line.rings.append(None))
    return line


async def at_work(home: Home, line: Line) -> UUID:
    """An item is made at a provider, and will not be looked at again for minutes; the attempt."""
    await line.here.hear(envelope(prepared()))
    await line.here.reserve()
    await line.here.work()
    [task] = await home.rows("SELECT attempt_id, state, next_at > now() + interval '10 s' AS later FROM tasks")
    assert (task.state, task.later) == ("polling", True)
    attempt: UUID = task.attempt_id
    return attempt
