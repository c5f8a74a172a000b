"""One look at one attempt's provider: what was not sent is sent, once; what was sent is asked for."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID

from chassis import crash
from chassis.telemetry import get_logger
from provider_worker.adapters.interface import ErrorCode as ProviderCode
from provider_worker.adapters.interface import (
    GenerationRequest,
    InputMedia,
    JobRef,
    Outcome,
    ProviderAdapter,
    ProviderError,
    Status,
)
from provider_worker.engine.failures import PENDING, billing_of, failure_of, spent
from provider_worker.engine.inputs import Held, InputsAway
from provider_worker.engine.ports import LeaseLost
from provider_worker.routing import QUEUE_WAIT_S, RETRYABLE, Failure, KindRoute, RetryPolicy
from provider_worker.tasks import Reference, Task, cancel_code
from schemas.parts import ErrorCode

log = get_logger()

CLOCK_SKEW = timedelta(minutes=1)
MOST_UNTOLD = 5
"""Questions in a row whose answer is an error that does not pass by itself, before the job is given up."""
STOP_S = 10.0

Intend = Callable[[Reference], Awaitable[bool]]
"""Writes down that another phase is about to be submitted, or the first with what it builds on; False where it may not
be sent now."""


IsTaken = Callable[[str, str, UUID], Awaitable[bool]]
"""Whether a provider's job of this name is another attempt's than this one."""


@dataclass(frozen=True, slots=True)
class AtWork:
    """The provider has the job: it is looked at again after `wait` seconds."""

    reference: Reference
    wait: float


@dataclass(slots=True)
class Submission:
    """A claimed task at its provider. `reference` is what is known of the job, and changes as more is.

    `inputs` reads what it builds on. `sent`: it was submitted just now.
    """

    task: Task
    adapter: ProviderAdapter
    request: GenerationRequest
    route: KindRoute
    policy: RetryPolicy
    currency: str
    resendable: bool
    still_ours: Callable[[Task], bool]
    intend: Intend
    random: Random
    is_taken: IsTaken
    calling: set[int]
    reference: Reference
    inputs: Held
    sent: bool = False

    async def look(self) -> Status | AtWork | Failure:
        """A final status, or where the job stands. Raises `ProviderError`, `LeaseLost`, and as `Held` does.

        `still_ours` is asked right before anything is sent: a process that slept past its lease must not call.
        """
        if not self.task.resuming:
            return await self._submit()
        ref = await self.find()
        if ref is None:
            if not self.resendable:
                raise ProviderError(ProviderCode.TEMPORARY, "the answer was lost", outcome=Outcome.UNKNOWN)
            return await self._submit()
        self.reference = replace(self.reference, external_id=ref.external_id, data=ref.data)
        if self.task.cancelled is not None:
            await self.stop()
        return await self._asked(ref)

    async def find(self) -> JobRef | None:
        """The provider's job, as it was kept or as it is found under our reference."""
        kept = self.reference
        if kept.external_id is not None:
            return JobRef(self.adapter.name, kept.external_id, kept.data)
        try:
            since = self.task.intent_at - CLOCK_SKEW
            found = await self.adapter.find(self.request, kept.plan or self.adapter.plan(self.request), since)
        except ProviderError as error:
            raise replace(error, outcome=Outcome.UNKNOWN) from error
        if found and await self.is_taken(self.adapter.name, found.external_id, self.task.attempt_id):
            # An equal request of another attempt; ours may be there as well, and cannot be told from it.
            message = f"{self.adapter.name} has a job like this one, which is another attempt's"
            raise ProviderError(ProviderCode.PROVIDER_ERROR, message, outcome=Outcome.UNKNOWN)
        return found

    async def stop(self) -> bool:
        """Asks the provider once to stop; what became of that, its next status says. True where it was asked."""
        known = self.reference
        if known.stopping or known.external_id is None:
            return False
        ref = JobRef(self.adapter.name, known.external_id, known.data)
        # Whether it is paid for goes by this, and few providers say it of what was stopped: unless it was seen to wait.
        self.reference = replace(known, stopping=True, begun=True)
        try:
            async with asyncio.timeout(STOP_S):
                waits = not known.begun and (await self.adapter.poll(ref)).state == "queued"
                self.reference = replace(self.reference, begun=not waits)
                stopped = await self.adapter.cancel(ref)
        except (ProviderError, TimeoutError) as error:
            # Its words may repeat the prompt.
            code = error.code if isinstance(error, ProviderError) else ProviderCode.TIMEOUT
            log.warning("provider_not_stopped", provider=self.adapter.name, code=code)
            return True
        log.info("provider_asked_to_stop", provider=self.adapter.name, stopped=stopped)
        return True

    async def _submit(self) -> Status | AtWork | Failure:
        if self.task.cancelled is not None:
            billing = spent(self.reference.spent_micros)
            return Failure(cancel_code(self.task.cancelled), "nothing had been sent", billing=billing)
        if self.reference.plan is None and self.task.item.inputs:
            async with self.inputs(self.task) as media:
                return await self._submit_with(media)
        return await self._send(self.request, self.reference.plan or self.adapter.plan(self.request))

    async def _submit_with(self, media: Sequence[InputMedia]) -> Status | AtWork:
        """Reading them took its time: what was claimed for it says nothing yet, and is said by another intent."""
        request = replace(self.request, inputs=media)
        plan = self.adapter.plan(request)
        if self.task.external is None and not await self.intend(Reference(None)):
            raise InputsAway("the job was stopped before anything was sent")
        return await self._send(request, plan)

    async def _send(self, request: GenerationRequest, plan: Mapping[str, Any]) -> Status | AtWork:
        if not self.still_ours(self.task):
            raise LeaseLost
        self.sent = True
        crash.point("worker.before_submit")
        answer = await self._called(request, plan)
        crash.point("worker.after_submit")
        if isinstance(answer, Status):
            return answer
        self.reference = replace(self.reference, external_id=answer.external_id, data=answer.data)
        return AtWork(self.reference, self._pause())

    async def _called(self, request: GenerationRequest, plan: Mapping[str, Any]) -> JobRef | Status:
        """`calling` has the ids of tasks whose answer comes once: nobody could take such a call up."""
        if any(found.idempotency != "none" for found in self.adapter.capabilities()):
            return await self.adapter.submit(request, plan)
        self.calling.add(self.task.id)
        try:
            return await self.adapter.submit(request, plan)
        finally:
            self.calling.discard(self.task.id)

    async def _asked(self, ref: JobRef) -> Status | AtWork | Failure:
        """The provider has the job: an error of a question is no refusal, and the job is not sent again for it."""
        crash.point("worker.before_poll")
        try:
            status = await self.adapter.poll(ref)
            progress = max(self.reference.progress, (status.progress or 0) // 10 * 10)
        except ProviderError as error:
            return self._untold(error)
        except Exception as error:
            # Its job is known, and may be paid for: what the adapter cannot read is asked for again like any error.
            frame = traceback.extract_tb(error.__traceback__)[-1]
            name, where = type(error).__name__, f"{frame.filename}:{frame.lineno}"
            log.error("provider_not_understood", provider=self.adapter.name, error=name, where=where)
            message = f"{self.adapter.name} answered what its adapter cannot read ({name})"
            return self._untold(ProviderError(ProviderCode.PROVIDER_ERROR, message))
        crash.point("worker.after_poll")
        if status.state in {"queued", "running"}:
            begun = self.reference.begun or status.state == "running"
            self.reference = replace(self.reference, untold=0, progress=progress, begun=begun)
            return AtWork(self.reference, status.poll_after_s or self._pause())
        if status.state == "succeeded" and status.next_phase is not None:
            return await self._next_phase(status)
        return status

    def _untold(self, error: ProviderError) -> AtWork | Failure:
        passes = error.retryable or error.outcome is Outcome.UNKNOWN
        untold = self.reference.untold + (0 if passes else 1)
        if untold >= MOST_UNTOLD:
            # The request was taken; that the provider does not know its job any more is no fault of it.
            code = ProviderCode.PROVIDER_ERROR if error.code is ProviderCode.INVALID_REQUEST else error.code
            return replace(failure_of(replace(error, code=code), PENDING), unknown=False)
        self.reference = replace(self.reference, untold=untold)
        return AtWork(self.reference, max(self._pause(), error.retry_after or 0))

    async def _next_phase(self, status: Status) -> Status | AtWork | Failure:
        """What is paid for stays paid for: a refused phase is tried again from where the one before it ended."""
        done = self.reference
        billing = billing_of(status, self.currency, 0, done.spent_micros)
        if self.task.cancelled is not None:
            return Failure(cancel_code(self.task.cancelled), "it was stopped between two phases", billing=billing)
        following = Reference(None, phase=done.phase + 1, plan=status.next_phase, spent_micros=billing.amount_micros)
        if not await self.intend(following):
            return AtWork(done, self._pause())
        self.reference = following
        try:
            return await self._submit()
        except ProviderError as error:
            if error.outcome is Outcome.UNKNOWN:
                raise
            failure = failure_of(error, billing)
            if failure.scope == "queue":
                self.reference = done
                return AtWork(done, self._spread(error.retry_after or QUEUE_WAIT_S))
            if failure.code not in RETRYABLE or done.untold >= self.policy.max_retries:
                return failure
            self.reference = replace(done, untold=done.untold + 1)
            wait = self.policy.waits[done.untold] if error.retry_after is None else error.retry_after
            return AtWork(self.reference, self._spread(wait))

    def _pause(self) -> float:
        return self._spread(self.route.poll_s)

    def _spread(self, seconds: float) -> float:
        """Never sooner than asked, and not all at once."""
        return seconds * self.random.uniform(1.0, 1.0 + self.policy.jitter)


def late(task: Task, provider: str, timeout_s: float) -> Failure:
    """The deadline passed and nobody knows what will come of the job."""
    return Failure(ErrorCode.TIMEOUT, f"{provider} did not answer within {timeout_s:g} s", billing=PENDING)
