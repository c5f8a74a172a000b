"""What provider-worker hears, and what each of it changes.

| Hears | From | Changes | Says |
|---|---|---|---|
| PromptsPrepared | prompt-service | one task per item; or it waits | GenerationQuoted; GenerationFailed, -Cancelled |
| JobCancelRequested | api-gateway | ends what has not started, flags what has | GenerationCancelled |
| CostReserved | cost-ledger | tasks become ready | |
| BudgetRefused | cost-ledger | tasks end | GenerationFailed |
| JobRedownloadRequested | api-gateway | is kept; the engine fetches what was paid for | |
| ProviderCallbackReceived | api-gateway | is kept; the engine checks and applies it | |

What is failed or cancelled here has attempt 0. A job that resumes waits until the engine knows what of it is there:
then that says all this, and GenerationSkipped.

The engine says GenerationStarted, GenerationCompleted, GenerationFailed, GenerationQuoted of further attempts,
GenerationCancelled and GenerationSettled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.consumer import Subscription
from chassis.database import after_commit
from chassis.outbox import Draft, Outbox
from chassis.telemetry import bind_event
from provider_worker import says
from provider_worker.money import spelled
from provider_worker.planning import Plan, Planner, names_of
from provider_worker.store import callbacks, intake, plannings, redownloads
from provider_worker.tasks import CancelReason
from schemas.cloudevents import CloudEvent
from schemas.event import Event
from schemas.events import (
    BudgetRefused,
    CostReserved,
    JobCancelRequested,
    JobRedownloadRequested,
    PromptsPrepared,
    ProviderCallbackReceived,
)
from schemas.parts import ErrorCode
from schemas.topics import COSTS, JOBS, PROMPTS, PROVIDER_CALLBACKS


@dataclass(frozen=True, slots=True)
class Hears:
    """Handlers of one process; each runs in the transaction of its batch. `resumed`: jobs wait to be planned."""

    outbox: Outbox
    planner: Planner
    resumed: Callable[[], None]

    async def prompts_prepared(self, conn: AsyncConnection, events: Sequence[CloudEvent[PromptsPrepared]]) -> None:
        await self._open(conn, events, self._plan)

    async def job_cancel_requested(
        self, conn: AsyncConnection, events: Sequence[CloudEvent[JobCancelRequested]]
    ) -> None:
        traces = {event.data.job_id: event.traceparent for event in events}
        stops = [(event.data.job_id, event.tenant_id, event.data.reason) for event in events]
        await self.outbox.add(
            conn,
            [
                Draft(
                    says.cancelled(item.job_id, item.item, item.attempt, item.reason),
                    item.job_id,
                    item.tenant_id,
                    traces[item.job_id],
                )
                for item in await intake.stop_jobs(conn, stops)
            ],
        )

    async def cost_reserved(self, conn: AsyncConnection, events: Sequence[CloudEvent[CostReserved]]) -> None:
        await intake.make_ready(conn, _tasks_of(events))

    async def budget_refused(self, conn: AsyncConnection, events: Sequence[CloudEvent[BudgetRefused]]) -> None:
        causes = {(event.data.job_id, event.data.attempt): event for event in events}
        drafts = []
        for item in await intake.refuse(conn, _tasks_of(events)):
            cause = causes[item.job_id, item.attempt]
            code = ErrorCode(item.last_code) if item.last_code else ErrorCode.BUDGET_EXCEEDED
            message = item.last_message or _refusal(cause.data)
            event = says.never_started(item.job_id, item.item, item.attempt, code, message)
            drafts.append(Draft(event, item.job_id, item.tenant_id, cause.traceparent))
        await self.outbox.add(conn, drafts)

    async def redownload_requested(
        self, conn: AsyncConnection, events: Sequence[CloudEvent[JobRedownloadRequested]]
    ) -> None:
        await redownloads.keep(conn, events)

    async def redownload_poisoned(self, conn: AsyncConnection, event: CloudEvent[Event], error: Exception) -> None:
        """Whoever asked may ask again."""
        if not isinstance(event.data, JobRedownloadRequested):
            return
        bind_event(event).error("redownload_not_handled", error=str(error))
        asked = event.data
        answer = says.nothing_to_fetch(asked.job_id, asked.item, asked.request, "the request could not be handled")
        await self.outbox.add(conn, [Draft(answer, asked.job_id, event.tenant_id, event.traceparent)])

    async def provider_called_back(
        self, conn: AsyncConnection, events: Sequence[CloudEvent[ProviderCallbackReceived]]
    ) -> None:
        await callbacks.keep(conn, events)

    async def prompts_poisoned(self, conn: AsyncConnection, event: CloudEvent[Event], error: Exception) -> None:
        """A job whose prompts cannot be handled fails, so that nobody waits for it."""
        if not isinstance(event.data, PromptsPrepared):
            return
        bind_event(event).error("prompts_not_handled", error=str(error))
        message = "the job's prompts could not be handled"
        poisoned = cast("CloudEvent[PromptsPrepared]", event)
        await self._open(conn, [poisoned], lambda job, _: self.planner.refuse(job.data, job.tenant_id, message))

    def _plan(self, event: CloudEvent[PromptsPrepared], reason: CancelReason | None) -> Plan | None:
        """None: it has to be asked first what is there."""
        if event.data.resume and reason is None and names_of(event.data):
            return None
        return self.planner.plan(event.data, event.tenant_id, reason)

    async def _open(
        self,
        conn: AsyncConnection,
        events: Sequence[CloudEvent[PromptsPrepared]],
        plan: Callable[[CloudEvent[PromptsPrepared], CancelReason | None], Plan | None],
    ) -> None:
        """Takes in new jobs and says what is planned; a job that is known already changes nothing."""
        new = await intake.open_jobs(conn, events)
        first = {event.data.job_id: event for event in reversed(events)}
        opened = [(event, plan(event, new[job])) for job, event in first.items() if job in new]
        plans = [(event, made) for event, made in opened if made is not None]
        await self._wait(conn, [event for event, made in opened if made is None])
        await intake.add_tasks(
            conn, [task for _, made in plans for task in made.tasks], self.planner.table.price_version
        )
        await self.outbox.add(
            conn,
            [
                Draft(said, event.data.job_id, event.tenant_id, event.traceparent)
                for event, made in plans
                for said in made.events
            ],
        )

    async def _wait(self, conn: AsyncConnection, events: Sequence[CloudEvent[PromptsPrepared]]) -> None:
        if events:
            await plannings.keep(conn, events)
            after_commit(conn, self.resumed)


def _tasks_of(events: Sequence[CloudEvent[CostReserved | BudgetRefused]]) -> list[tuple[UUID, int, int]]:
    """(job, item, attempt) of every item the events name."""
    return [(event.data.job_id, item, event.data.attempt) for event in events for item in event.data.items]


def _refusal(refused: BudgetRefused) -> str:
    cap = "the job's max_cost" if refused.cap == "max_cost" else "the budget"
    amounts = (refused.left_micros, refused.limit_micros, refused.amount_micros)
    left, limit, asked = (spelled(micros, refused.currency) for micros in amounts)
    return f"{cap} leaves {left} of {limit}; {asked} were asked for"


def subscriptions(
    hears: Hears, ready: Callable[[], None], called_back: Callable[[], None], asked_again: Callable[[], None]
) -> list[Subscription]:
    """What the worker hears; `ready` is called after commits that may have made tasks ready."""
    return [
        Subscription(PROMPTS, {PromptsPrepared: hears.prompts_prepared}, on_poison=hears.prompts_poisoned),
        Subscription(
            JOBS,
            {
                JobCancelRequested: hears.job_cancel_requested,
                JobRedownloadRequested: hears.redownload_requested,
            },
            on_poison=hears.redownload_poisoned,
            after_commit=asked_again,
        ),
        Subscription(
            COSTS,
            {CostReserved: hears.cost_reserved, BudgetRefused: hears.budget_refused},
            after_commit=ready,
        ),
        Subscription(
            PROVIDER_CALLBACKS, {ProviderCallbackReceived: hears.provider_called_back}, after_commit=called_back
        ),
    ]
