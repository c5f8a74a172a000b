"""What prompt-service hears and says.

| hears (`backlot.jobs`) | does | says (`backlot.prompts`) |
|---|---|---|
| JobRequested | finds template, pinned kit and capsule, renders every item | PromptsPrepared or PromptsRejected |
| JobRequested, its kit or capsule not here yet | parks the job, looks again each second | later, one of the two |
| JobRequested with a story, where a language model composes | parks the job, asks in a loop | later, one of the two |
| JobCancelRequested before prompts were said | remembers it | PromptsRejected (CANCELLED or TIMEOUT) |

A job is answered once, whatever comes how often: the row of the job is the natural key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chassis import crash
from chassis.consumer import Subscription
from chassis.database import after_commit
from chassis.outbox import Draft, Outbox
from chassis.telemetry import get_logger
from prompt_service.manifests import told_by
from prompt_service.preparing import not_prepared, prepare, rejected
from prompt_service.store import jobs as job_store
from prompt_service.store.jobs import JobRow, State, Waiting, state_of
from prompt_service.store.pinned import Pinned, read_pinned
from prompt_service.store.telling import tell
from prompt_service.store.templates import NamedTemplates, read_named
from prompt_service.templates import Templates
from schemas.cloudevents import CloudEvent
from schemas.event import Event
from schemas.events import JobCancelRequested, JobRequested, PromptsPrepared, PromptsRejected
from schemas.parts import ErrorCode
from schemas.topics import JOBS

log = get_logger()

_WAITING_AT_ONCE = 200

Judged = tuple[JobRow, PromptsPrepared | PromptsRejected | None]
"""What is written of a job, and what is said of it; None: nothing yet."""


@dataclass(frozen=True, slots=True)
class Prompts:
    """The handlers of `backlot.jobs`, and the loop that looks after jobs whose kit or capsule is not here yet.

    `has_composer`: a language model is asked for the items of manifests; else rules make them at once.
    """

    engine: AsyncEngine
    outbox: Outbox
    templates: Templates
    kit_wait_seconds: float
    has_composer: bool = False

    def subscription(self) -> Subscription:
        """Hears `backlot.jobs`. Cancels run after requests: of a batch with both, the request is answered first."""
        return Subscription(
            topic=JOBS,
            handlers={JobRequested: self.on_requested, JobCancelRequested: self.on_cancel},
            on_poison=self.on_poison,
        )

    async def on_requested(self, conn: AsyncConnection, events: Sequence[CloudEvent[JobRequested]]) -> None:
        """Answers every job that was not answered before."""
        known = await job_store.read_states(conn, [event.data.job_id for event in events])
        fresh = {event.data.job_id: event for event in events if event.data.job_id not in known}
        jobs = [(event.tenant_id, event.data) for event in fresh.values()]
        pinned = await read_pinned(conn, jobs)
        named = await read_named(conn, self.templates, jobs)
        rows, drafts = [], []
        for event in fresh.values():
            row, answer = self._answer(event, pinned, named)
            rows.append(row)
            if answer is not None:
                drafts.append(Draft(answer, event.data.job_id, event.tenant_id, event.traceparent))
        written = await job_store.add_jobs(conn, rows)
        self._name_crash_points(conn)
        await tell(conn, self.outbox, [draft for draft in drafts if draft.subject in written], named)

    async def on_cancel(self, conn: AsyncConnection, events: Sequence[CloudEvent[JobCancelRequested]]) -> None:
        """Rejects jobs whose prompts were not said yet; what was said stays said."""
        cancels = {event.data.job_id: event for event in events}
        met_first = await job_store.add_jobs(conn, [_tombstone(event) for event in cancels.values()])
        waited = await job_store.stop_waiting(conn, [job_id for job_id in cancels if job_id not in met_first])
        stopped = [cancels[job_id] for job_id in cancels if job_id in met_first or job_id in waited]
        await self.outbox.add(
            conn,
            [Draft(_stopped(event.data), event.data.job_id, event.tenant_id, event.traceparent) for event in stopped],
        )

    async def on_poison(self, conn: AsyncConnection, event: CloudEvent[Event], error: Exception) -> None:
        """Nobody waits for a job whose request cannot be handled."""
        data = event.data
        if not isinstance(data, JobRequested):
            return
        answer = not_prepared(data.job_id)
        row = JobRow(data.job_id, event.tenant_id, "rejected", told=answer.model_dump_json())
        if await job_store.add_jobs(conn, [row]):
            await self.outbox.add(conn, [Draft(answer, data.job_id, event.tenant_id, event.traceparent)])

    async def try_waiting(self) -> bool:
        """Answers jobs whose kit and capsule have come, and those that waited too long. True when there may be more."""
        async with self.engine.begin() as conn:
            waiting = await job_store.lock_waiting(conn, patience=self.kit_wait_seconds, limit=_WAITING_AT_ONCE)
            requests = {one.id: JobRequested.model_validate_json(one.requested) for one in waiting}
            jobs = [(one.tenant_id, requests[one.id]) for one in waiting]
            pinned = await read_pinned(conn, jobs)
            named = await read_named(conn, self.templates, jobs)
            rows, drafts = [], []
            for one in waiting:
                request = requests[one.id]
                missing = pinned.missing(one.tenant_id, request)
                if missing and not one.too_long:
                    continue
                row, answer = (
                    _rejected(one, _unknown(request, missing))
                    if missing
                    else self._judged(one.tenant_id, request, one.traceparent, pinned, named)
                )
                rows.append(row)
                if answer is not None:
                    drafts.append(Draft(answer, one.id, one.tenant_id, one.traceparent))
            await job_store.finish_jobs(conn, rows)
            await tell(conn, self.outbox, drafts, named)
        return len(rows) == _WAITING_AT_ONCE

    def _answer(self, event: CloudEvent[JobRequested], pinned: Pinned, named: NamedTemplates) -> Judged:
        request = event.data
        missing = pinned.missing(event.tenant_id, request)
        if missing:
            log.info("job_waits", job_id=request.job_id, missing=missing)
            requested = request.model_dump_json()
            return JobRow(request.job_id, event.tenant_id, "waiting", None, requested, event.traceparent), None
        return self._judged(event.tenant_id, request, event.traceparent, pinned, named)

    def _judged(
        self, tenant_id: UUID, request: JobRequested, traceparent: str | None, pinned: Pinned, named: NamedTemplates
    ) -> Judged:
        """What is said of a job of which nothing is missing; nothing yet where a language model is to be asked.

        It is not asked for a job that would be rejected whatever it answers.
        """
        answer = prepare(request, pinned.looks(tenant_id, request), named.of(tenant_id))
        if isinstance(answer, PromptsPrepared) and (blank := sum(item.blank for item in answer.items)):
            log.warning("items_blank", job_id=request.job_id, items=blank)
        manifest = request.request.manifest
        if self.has_composer and isinstance(answer, PromptsPrepared) and manifest and told_by(manifest):
            return JobRow(request.job_id, tenant_id, "composing", None, request.model_dump_json(), traceparent), None
        return JobRow(request.job_id, tenant_id, state_of(answer), told=answer.model_dump_json()), answer

    @staticmethod
    def _name_crash_points(conn: AsyncConnection) -> None:
        crash.point("prompts.before_prepare")
        after_commit(conn, partial(crash.point, "prompts.after_prepare"))


def _rejected(one: Waiting, answer: PromptsRejected) -> Judged:
    return JobRow(one.id, one.tenant_id, "rejected", told=answer.model_dump_json()), answer


def _unknown(request: JobRequested, missing: str) -> PromptsRejected:
    return rejected(request.job_id, ErrorCode.INVALID_REQUEST, f"{missing} is not known")


def _tombstone(event: CloudEvent[JobCancelRequested]) -> JobRow:
    state: State = "timed_out" if event.data.reason == "deadline" else "cancelled"
    return JobRow(event.data.job_id, event.tenant_id, state)


def _stopped(cancel: JobCancelRequested) -> PromptsRejected:
    if cancel.reason == "deadline":
        return rejected(cancel.job_id, ErrorCode.TIMEOUT, "the job's deadline passed before its prompts were made")
    return rejected(cancel.job_id, ErrorCode.CANCELLED, "the job was cancelled before its prompts were made")
