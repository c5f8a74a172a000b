"""One attempt, from its claim to its last word."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from chassis import crash
from chassis.errors import Transient
from chassis.loops import Backoff
from chassis.telemetry import get_logger
from provider_worker import metrics
from provider_worker.adapters.interface import ProviderError
from provider_worker.engine.endings import Endings
from provider_worker.engine.ports import LeaseLost, Pictures, Refused, TaskStore
from provider_worker.engine.production import Delivery, Production, StoreAway
from provider_worker.routing import Failure
from provider_worker.tasks import Advance, CancelReason, Finish, Keep, Park, Staged, Step, Task, Written
from schemas.parts import ErrorCode, Stage

log = get_logger()

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
class Attempts:
    """Runs claimed tasks; each ends in a recorded state, or is left to whoever holds it next (R39).

    `freed` is called when a slot has become free before its task has ended.
    """

    store: TaskStore
    production: Production
    pictures: Pictures
    endings: Endings
    freed: Callable[[], None]

    async def run(self, task: Task) -> None:
        """Never raises but for being cancelled; what it could not record, its lease gives to another holder."""
        started = time.monotonic()
        log.debug("asset_generation_start", **facts(task))
        try:
            await self._run(task, started)
        except LeaseLost:
            metrics.FENCED.inc()
            log.warning("task_not_found", **facts(task))
        except Exception as error:
            log.error("asset_generation_unexpected_error", exc_info=error, **facts(task))
            await self._record_unexpected(task, started)
        metrics.ATTEMPT_SECONDS.labels(task.offer.provider).observe(time.monotonic() - started)

    async def _run(self, task: Task, started: float) -> None:
        delivery = Delivery(task.staged, task.external, fetched=False) if task.staged else await self._deliver(task)
        if isinstance(delivery, Failure):
            await self._fail(task, delivery, started)
        elif isinstance(delivery, Delivery):
            await self._check(task, delivery, started)

    async def _deliver(self, task: Task) -> Delivery | Failure | None:
        """Staged bytes, committed; None where they are fetched later because the object store is away."""

        async def keep(external: Mapping[str, Any]) -> None:
            await self._write(Keep(task, external))
            crash.point("worker.after_reference")

        try:
            delivery = await self.production.produce(task, keep)
        except StoreAway as error:
            log.warning("object_store_away", error=str(error), **facts(task))
            await self._write_or_cancel(Park(task, STORE_AWAY_WAIT_S, task.time_left, resuming=True), _away())
            return None
        if isinstance(delivery, Delivery):
            crash.point("worker.before_keep")
            await self._write(Keep(task, delivery.external, delivery.staged))
            self.freed()
            crash.point("worker.after_keep")
        return delivery

    async def _check(self, task: Task, delivery: Delivery, started: float, *, again: bool = True) -> None:
        staged = delivery.staged
        try:
            mime = await self.pictures.check(staged.pieces[0].key, task.item)
        except Transient as error:
            log.warning("check_postponed", error=str(error), **facts(task))
            await self._write_or_cancel(Park(task, CHECK_WAIT_S, task.time_left, resuming=True), _unchecked(staged))
            return
        except Refused as error:
            if again and (fresh := await self._fetched_again(task, delivery)) is not None:
                await self._check(task, fresh, started, again=False)
                return
            failure = Failure(ErrorCode.CORRUPT_OUTPUT, str(error), stage=Stage.UPLOADING, billing=staged.billing)
            await self._fail(task, failure, started, staged)
            return
        crash.point("worker.before_finish")
        await self._write(self.endings.completed(task, staged, mime))
        crash.point("worker.after_finish")
        metrics.ATTEMPTS.labels(task.offer.provider, "completed", "").inc()
        log.info("asset_generation_asset_success", **facts(task))

    async def _fetched_again(self, task: Task, delivery: Delivery) -> Delivery | None:
        """A download may have gone wrong on its way; what came inline is what the provider made."""
        if not delivery.fetched:
            return None
        try:
            found = await self.production.look_up(replace(task, external=delivery.external))
        except (ProviderError, TimeoutError, StoreAway) as error:
            log.warning("download_not_repeated", error=str(error), **facts(task))
            return None
        if not isinstance(found, Delivery):
            return None
        await self._write(Keep(task, found.external, found.staged))
        return found

    async def _fail(self, task: Task, failure: Failure, started: float, staged: Staged | None = None) -> None:
        time_left = max(task.time_left - (time.monotonic() - started), 0.0)
        step = self.endings.failed(task, failure, time_left, staged)
        if isinstance(step, Park):
            await self._write_or_cancel(step, failure)
            log.info("task_updated", code=failure.code, retry_in=round(step.wait, 2), **facts(task))
            return
        crash.point("worker.before_finish")
        await self._write_or_cancel(step, failure, staged)
        crash.point("worker.after_finish")
        event = "asset_generation_timeout" if failure.code is ErrorCode.TIMEOUT else "asset_generation_asset_failed"
        assert isinstance(step, Advance | Finish)
        metrics.ATTEMPTS.labels(task.offer.provider, "failed", step.closing.code or "").inc()
        log.warning(event, code=step.closing.code, reason=failure.message, **facts(task))

    async def _record_unexpected(self, task: Task, started: float) -> None:
        """An error of ours says nothing about what the provider did: looked up next time, within the same limits."""
        failure = Failure(ErrorCode.PROVIDER_ERROR, "an unexpected error of the worker", unknown=True)
        try:
            await self._fail(task, failure, started)
        except LeaseLost:
            metrics.FENCED.inc()
        except Exception as error:
            log.error("asset_generation_unexpected_error", exc_info=error, **facts(task))

    async def _write_or_cancel(self, step: Step, failure: Failure, staged: Staged | None = None) -> None:
        """A cancel request that came meanwhile makes the attempt the item's last."""
        reason = await self._write(step)
        if reason is not None:
            await self._write(self.endings.cancelled(step.task, reason, failure, staged))

    async def _write(self, step: Step) -> CancelReason | None:
        """Written down, however long the database is away; the reason where a cancel request came first."""
        backoff = Backoff()
        while True:
            try:
                written = await self.store.write(step)
            except Transient as error:
                log.warning("step_not_written", error=str(error), **facts(step.task))
                await asyncio.sleep(backoff.next())
                continue
            if written is Written.LOST:
                raise LeaseLost
            if written is Written.APPLIED:
                return None
            return "deadline" if written is Written.CANCELLED_BY_DEADLINE else "user"


def _away() -> Failure:
    return Failure(ErrorCode.STORAGE_ERROR, "the object store could not be reached", unknown=True)


def _unchecked(staged: Staged) -> Failure:
    return Failure(ErrorCode.PROVIDER_ERROR, "the result could not be checked", billing=staged.billing)
