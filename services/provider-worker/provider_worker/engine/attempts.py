"""One attempt, from its claim to its last word."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from structlog.contextvars import bound_contextvars

from chassis import crash
from chassis.errors import Transient
from chassis.loops import Backoff
from chassis.telemetry import get_logger
from chassis.tracing import span
from provider_worker import metrics, says
from provider_worker.adapters.interface import ProviderError
from provider_worker.engine.endings import Endings
from provider_worker.engine.fetching import Delivery, StoreAway
from provider_worker.engine.health import Health
from provider_worker.engine.ports import Finisher, LeaseLost, Refused, TaskStore
from provider_worker.engine.production import Production
from provider_worker.engine.submission import AtWork
from provider_worker.provenance import statements_of
from provider_worker.routing import Failure
from provider_worker.tasks import (
    Advance,
    Await,
    CancelReason,
    Closing,
    Finish,
    Finished,
    Intend,
    Keep,
    Park,
    Reference,
    Staged,
    Step,
    Task,
    Written,
)
from schemas.parts import ErrorCode, Stage

STORE_AWAY_WAIT_S = 2.0
CHECK_WAIT_S = 1.0


def facts(task: Task) -> dict[str, Any]:
    """What every log line about an attempt carries (R170)."""
    trace = task.job.traceparent
    return {
        "job_id": str(task.job.job_id),
        "tenant": str(task.job.tenant_id),
        "trace_id": trace[3:35] if trace else None,
        "item": task.item.number,
        "attempt": task.attempt,
        "provider": task.offer.provider,
    }


@dataclass(frozen=True, slots=True)
class Tools:
    """What every attempt works with. `freed` is called when a slot became free before its task has ended."""

    store: TaskStore
    production: Production
    finisher: Finisher
    endings: Endings
    health: Health
    freed: Callable[[], None]


class Attempt:
    """A claimed task at work: it ends in a recorded state, or is left to whoever holds it next (R39)."""

    def __init__(self, tools: Tools, task: Task) -> None:
        self._tools = tools
        self._task = task
        self._started = time.monotonic()
        self._log = get_logger()

    async def run(self) -> None:
        """Never raises but for being cancelled; what could not be recorded, the lease gives to another holder."""
        with bound_contextvars(**facts(self._task)):
            await self._observed()

    async def _observed(self) -> None:
        (self._log.debug if self._task.resuming else self._log.info)("asset_generation_start")
        try:
            with span("generate", traceparent=self._task.job.traceparent, attributes=self._attributes()):
                await self._run()
        except LeaseLost:
            self._lost()
        except Exception as error:
            self._unexpected(error)
            await self._record_unexpected()

    def _attributes(self) -> dict[str, str | int]:
        task = self._task
        return {
            "backlot.job_id": str(task.job.job_id),
            "backlot.tenant_id": str(task.job.tenant_id),
            "backlot.item": task.item.number,
            "backlot.attempt": task.attempt,
            "backlot.provider": task.offer.provider,
        }

    def _lost(self) -> None:
        metrics.FENCED.inc()
        self._log.warning("task_not_found")

    async def _record_unexpected(self) -> None:
        """An error of ours says nothing about what the provider did: looked up next time, within the same limits."""
        failure = Failure(ErrorCode.PROVIDER_ERROR, "an unexpected error of the worker", unknown=True)
        try:
            await self._fail(failure)
        except LeaseLost:
            self._lost()
        except Exception as error:
            self._unexpected(error)

    def _unexpected(self, error: Exception) -> None:
        words = self._tools.production.told("".join(traceback.format_exception(error)), self._task)
        self._log.error("asset_generation_unexpected_error", code=ErrorCode.PROVIDER_ERROR, exception=words)

    async def _run(self) -> None:
        task = self._task
        delivery = Delivery(task.staged, fetched=False) if task.staged else await self._deliver()
        if isinstance(delivery, Failure):
            await self._fail(delivery)
        elif delivery is not None:
            await self._check(delivery)

    async def _deliver(self) -> Delivery | Failure | None:
        """Staged bytes, committed; None where the provider is looked at again later."""
        try:
            made = await self._tools.production.produce(self._task, self._intend)
        except StoreAway as error:
            self._log.warning("object_store_away", error=str(error))
            await self._write(Await(self._task, STORE_AWAY_WAIT_S))
            return None
        await self._note(made)
        if isinstance(made, AtWork):
            await self._look_later(made)
            return None
        if isinstance(made, Delivery):
            crash.point("worker.before_keep")
            await self._write(Keep(self._task, made.staged))
            self._tools.freed()
            crash.point("worker.after_keep")
        return made

    async def _note(self, made: Delivery | Failure | AtWork) -> None:
        """What a submit came to says how its provider is; a question about a job says nothing."""
        failure = made if isinstance(made, Failure) else None
        if not self._task.resuming and not (failure and failure.unsent):
            again = self._task.calls > 1 or bool(self._task.tried)
            await self._tools.health.note(self._task.offer.provider, failure, again=again)

    async def _look_later(self, at_work: AtWork) -> None:
        before, now = self._task.external, at_work.reference
        crash.point("worker.before_reference")
        moved = now.progress > (before.progress if before else 0)
        events = (says.progressed(self._task, now.progress),) if moved else ()
        await self._write(Await(self._task, at_work.wait, now, events=events))
        crash.point("worker.after_reference")
        if before is None or before.external_id is None:
            self._log.info("task_updated", external_id=now.external_id, phase=now.phase)

    async def _intend(self, reference: Reference) -> bool:
        """See `submission.Intend`: False where the account has no call left, and where the job was stopped."""
        crash.point("worker.before_phase")
        written = await self._written(Intend(self._task, reference))
        if written is Written.APPLIED:
            self._task = replace(self._task, external=reference, unknown_s=0.0)
        crash.point("worker.after_phase")
        return written is Written.APPLIED

    async def _check(self, delivery: Delivery, *, again: bool = True) -> None:
        staged = delivery.staged
        try:
            finished = await self._tools.finisher.finish(
                staged.pieces, self._task.item, statements_of(self._task, staged.seed)
            )
        except Transient as error:
            self._log.warning("check_postponed", error=str(error))
            await self._write(Await(self._task, CHECK_WAIT_S))
        except Refused as error:
            if again and (fresh := await self._fetched_again(delivery)) is not None:
                await self._check(fresh, again=False)
                return
            corrupt = Failure(ErrorCode.CORRUPT_OUTPUT, str(error), stage=Stage.UPLOADING, billing=staged.billing)
            await self._fail(corrupt, staged)
        else:
            await self._complete(staged, finished)

    async def _fetched_again(self, delivery: Delivery) -> Delivery | None:
        """A download may have gone wrong on its way; what came inline is what the provider made."""
        if not delivery.fetched:
            return None
        try:
            found = await self._tools.production.look_up(self._task)
        except (ProviderError, TimeoutError, StoreAway) as error:
            self._log.warning("download_not_repeated", error=str(error))
            return None
        if not isinstance(found, Delivery):
            return None
        await self._write(Keep(self._task, found.staged))
        return found

    async def _complete(self, staged: Staged, finished: Finished) -> None:
        crash.point("worker.before_finish")
        await self._write(self._tools.endings.completed(self._task, staged, finished))
        crash.point("worker.after_finish")
        self._log.info("asset_generation_asset_success")

    async def _fail(self, failure: Failure, staged: Staged | None = None) -> None:
        if self._task.cancelled is not None:
            await self._write(self._tools.endings.cancelled(self._task, self._task.cancelled, failure, staged))
            return
        time_left = max(self._task.time_left - (time.monotonic() - self._started), 0.0)
        step = self._tools.endings.failed(self._task, failure, time_left, staged)
        if isinstance(step, Park | Await):
            await self._write_or_cancel(step, failure)
            self._log.info("task_updated", code=failure.code, reason=failure.message, retry_in=round(step.wait, 2))
            return
        crash.point("worker.before_finish")
        await self._write_or_cancel(step, failure, staged)
        crash.point("worker.after_finish")
        timed_out = failure.code is ErrorCode.TIMEOUT
        self._log.warning(
            "asset_generation_timeout" if timed_out else "asset_generation_asset_failed",
            code=failure.code,
            reason=failure.message,
        )

    async def _write_or_cancel(self, step: Step, failure: Failure, staged: Staged | None = None) -> None:
        """A cancel request that came meanwhile makes the attempt the item's last."""
        reason = await self._write(step)
        if reason is None:
            self._count_retry(step, failure.code)
        else:
            await self._write(self._tools.endings.cancelled(self._task, reason, failure, staged))

    async def _write(self, step: Step) -> CancelReason | None:
        """Written down; the reason where a cancel request came first."""
        written = await self._written(step)
        if written is Written.APPLIED:
            if isinstance(step, Finish | Advance):
                self._measure(step.closing)
            return None
        return "deadline" if written is Written.CANCELLED_BY_DEADLINE else "user"

    def _count_retry(self, step: Step, code: ErrorCode) -> None:
        """A call that is made once more for its failure; not one that was never made, nor a further question."""
        match step:
            case Park(called=True):
                how = "again" if step.offer is None else "elsewhere"
            case Advance():
                how = "remake" if step.remake else "elsewhere"
            case _:
                return
        metrics.RETRIES.labels(self._task.offer.provider, self._task.item.kind, code, how).inc()

    def _measure(self, closing: Closing) -> None:
        of = (self._task.offer.provider, self._task.item.kind)
        seconds = self._task.unknown_s + time.monotonic() - self._started
        metrics.ATTEMPTS.labels(*of, closing.outcome, closing.code or "").inc()
        metrics.ATTEMPT_SECONDS.labels(*of, closing.outcome).observe(seconds)
        metrics.billed(*of, closing.billing)

    async def _written(self, step: Step) -> Written:
        """Written down, however long the database is away; raises `LeaseLost`."""
        backoff = Backoff()
        while True:
            try:
                written = await self._tools.store.write(step)
            except Transient as error:
                self._log.warning("step_not_written", error=str(error))
                await asyncio.sleep(backoff.next())
                continue
            if written is Written.LOST:
                raise LeaseLost
            return written
