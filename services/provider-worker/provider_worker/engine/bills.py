"""Open bills: attempts that ended while nobody knew what they cost are looked up until the provider says it."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from chassis.errors import Transient
from chassis.telemetry import get_logger
from provider_worker import metrics, says
from provider_worker.adapters.interface import ProviderError
from provider_worker.engine.attempts import facts
from provider_worker.engine.endings import outputs
from provider_worker.engine.failures import spent
from provider_worker.engine.fetching import Delivery
from provider_worker.engine.ports import Finisher, Refused, TaskStore
from provider_worker.engine.production import Production, Undelivered
from provider_worker.engine.side_by_side import side_by_side
from provider_worker.engine.submission import MOST_UNTOLD
from provider_worker.provenance import statements_of
from provider_worker.routing import RETRYABLE, Failure
from provider_worker.tasks import OpenBill, Staged
from schemas.parts import Billing, Output

log = get_logger()

MOST = 20
AGAIN_S, LONGEST_S = 60.0, 540.0
"""A lookup whose process died is made again after the first of these; a living one puts that off until it is broken off
after the second: each new one fences the one before, and both would stage under one key."""
LONGEST_WAIT_S = 600.0
HOPELESS_AFTER_S = 24 * 3600.0
"""No provider keeps a job at work so long: an operator has to ask it in another way."""


@dataclass(frozen=True, slots=True)
class _Answer:
    billing: Billing
    evidence: str
    staged: Staged | None = None
    late: tuple[Output, ...] = ()


@dataclass(frozen=True, slots=True)
class Bills:
    """Settles open bills; a result that came too late is kept as a late output. `grace_s`: a job may still appear."""

    store: TaskStore
    production: Production
    finisher: Finisher
    grace_s: float

    async def step(self) -> bool:
        """Looks up what is due; True when there was something."""
        bills = await self.store.open_bills(MOST, AGAIN_S)
        await side_by_side(self._look_at(bill) for bill in bills)
        return bool(bills)

    async def count(self) -> bool:
        """Says how many bills are open, and why."""
        counted = await self.store.count_bills()
        metrics.OPEN_BILLS.clear()
        for group in counted:
            metrics.OPEN_BILLS.labels(group.provider, group.code, str(group.needs_operator).lower()).set(group.bills)
        metrics.OLDEST_BILL.set(max((group.oldest_s for group in counted), default=0.0))
        return False

    async def _look_at(self, bill: OpenBill) -> None:
        try:
            await self._settle(bill)
        except Exception as error:
            metrics.UNFORESEEN.labels("bill").inc()
            words = self.production.told("".join(traceback.format_exception(error)), bill.task)
            log.error("bill_unexpected_error", exception=words, lookups=bill.lookups, **facts(bill.task))
            await self._later(bill, hopeless=bill.age_s >= HOPELESS_AFTER_S)

    async def _settle(self, bill: OpenBill) -> None:
        answer = await self._answer(bill)
        if answer is None or isinstance(answer, Undelivered):
            await self._later(bill, hopeless=answer is not None or bill.age_s >= HOPELESS_AFTER_S)
            return
        event = says.settled(
            bill.task,
            billing=answer.billing,
            evidence=answer.evidence,
            late_outputs=list(answer.late),
            seed=answer.staged.seed if answer.staged else None,
        )
        if await self.store.settle(bill, event, answer.staged):
            metrics.SETTLED.labels(answer.billing.state).inc()
            metrics.billed(bill.task.offer.provider, bill.task.item.kind, answer.billing)
            log.info("bill_settled", state=answer.billing.state, evidence=answer.evidence, **facts(bill.task))

    async def _later(self, bill: OpenBill, *, hopeless: bool) -> None:
        if hopeless:
            log.error("bill_needs_an_operator", lookups=bill.lookups, **facts(bill.task))
        await self.store.postpone(bill, min(LONGEST_WAIT_S, 5.0 * 2 ** min(bill.lookups, 10)), flagged=hopeless)

    async def _answer(self, bill: OpenBill) -> _Answer | Undelivered | None:
        """What the provider says now; None while it says nothing final, UNTOLD where it can say nothing."""
        try:
            async with asyncio.timeout(LONGEST_S), self._kept(bill):
                return await self._found(bill)
        except (ProviderError, TimeoutError, Transient) as error:
            why = str(error) or "it took too long"
            log.warning("bill_not_found", error=why, lookups=bill.lookups, **facts(bill.task))
            passes = not isinstance(error, ProviderError) or error.code.value in RETRYABLE
            return None if passes or bill.lookups < MOST_UNTOLD else Undelivered.UNTOLD

    @asynccontextmanager
    async def _kept(self, bill: OpenBill) -> AsyncIterator[None]:
        keeping = asyncio.create_task(self._keep(bill))
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.wait([keeping])

    async def _keep(self, bill: OpenBill) -> None:
        while True:
            await asyncio.sleep(AGAIN_S / 3)
            try:
                await self.store.postpone(bill, AGAIN_S, flagged=False)
            except Transient as error:
                log.warning("bill_not_kept", error=str(error), **facts(bill.task))

    async def _found(self, bill: OpenBill) -> _Answer | Undelivered | None:
        found = await self.production.look_up(bill.task)
        if found is Undelivered.UNKNOWN_THERE and bill.age_s >= self.grace_s:
            return _Answer(spent(bill.task.external.spent_micros if bill.task.external else 0), found.value)
        if isinstance(found, Undelivered):
            return found if found is Undelivered.UNTOLD else None
        if isinstance(found, Failure):
            return None if found.is_open else _Answer(found.billing, found.message)
        return await self._late(bill, found)

    async def _late(self, bill: OpenBill, delivery: Delivery) -> _Answer:
        staged = delivery.staged
        try:
            finished = await self.finisher.finish(staged.pieces, bill.task.item, statements_of(bill.task, staged.seed))
        except Refused as error:
            return _Answer(staged.billing, f"the late result is not usable: {error}", staged)
        return _Answer(staged.billing, "the provider finished late", staged, tuple(outputs(finished)))
