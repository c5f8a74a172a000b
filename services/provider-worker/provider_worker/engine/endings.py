"""Which step follows what became of an attempt. Pure: values in, one step out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from uuid import UUID

from provider_worker import says
from provider_worker.routing import (
    End,
    Failure,
    Hold,
    IsClosed,
    LookAgain,
    Offer,
    Price,
    Requote,
    Retry,
    RouteTable,
    Standing,
    Switch,
    after,
    offers_for,
)
from provider_worker.tasks import (
    Advance,
    Await,
    CancelReason,
    Closing,
    Ended,
    Finish,
    Finished,
    Park,
    Staged,
    Step,
    Task,
    cancel_code,
)
from schemas.parts import Billing, ErrorCode, Output

FIRST_LOOKUP_S = 5.0
PENDING = Billing(state="pending")


@dataclass(frozen=True, slots=True)
class Endings:
    """Decides by a route table; `price` asks an adapter, `resendable` whether it knows our reference again."""

    table: RouteTable
    price: Price
    resendable: Callable[[str], bool]
    new_id: Callable[[], UUID]
    random: Random
    is_closed: IsClosed = lambda provider: False

    def completed(self, task: Task, staged: Staged, finished: Finished) -> Finish:
        """The item is made: exactly the asked size, checked."""
        event = says.completed(
            task,
            outputs=outputs(finished),
            fit=finished.fit,
            flags=list(finished.flags),
            billing=staged.billing,
            seed=staged.seed,
        )
        return Finish(task, Closing("completed", None, staged.billing, staged), (event,))

    def failed(self, task: Task, failure: Failure, time_left: float, staged: Staged | None = None) -> Step:
        """Another call, another provider, another quote, or the end; `time_left` of the attempt in seconds."""
        match after(failure, self._standing(task, time_left), self.table, self.random):
            case Retry(wait):
                return Park(task, wait, time_left - wait)
            case Hold(wait):
                return Park(task, wait, None, called=False)
            case LookAgain(wait):
                return Await(task, wait, counts=True)
            case Switch(offer):
                return Park(task, 0.0, time_left + self._longer(task, offer), offer=offer)
            case Requote(offer, remake):
                return self._advance(task, failure, offer, staged, remake=remake)
            case End():
                return self._end(task, failure, staged)

    def cancelled(self, task: Task, reason: CancelReason, failure: Failure, staged: Staged | None = None) -> Finish:
        """A cancel request came while the attempt ran, and the attempt did not make the item."""
        billing = PENDING if failure.unknown else failure.billing
        event = says.cancelled(task.job.job_id, task.item.number, task.attempt, reason, billing)
        return Finish(task, _closing("cancelled", cancel_code(reason), billing, staged), (event,))

    def _standing(self, task: Task, time_left: float) -> Standing:
        offers, _ = offers_for(self.table, task.item, task.job.route, self.price, self.is_closed)
        return Standing(
            offer=task.offer,
            offers=offers,
            held_micros=task.held_micros,
            calls=task.calls,
            remakes=task.remakes,
            tried=task.tried,
            time_left=time_left,
            resendable=self.resendable(task.offer.provider),
            unknown_s=task.unknown_s,
        )

    def _longer(self, task: Task, offer: Offer) -> float:
        """How much more time an attempt has that goes on at a slower provider."""
        route = self.table.route(task.item.kind)
        return max(0.0, route.timeout_of(offer.provider) - route.timeout_of(task.offer.provider))

    def _advance(self, task: Task, failure: Failure, offer: Offer, staged: Staged | None, *, remake: bool) -> Advance:
        quote = says.quoted(
            task.job.job_id,
            task.job.context.user_id,
            task.attempt + 1,
            [(task.item.number, offer)],
            currency=self.table.currency,
            price_version=self.table.price_version,
            max_cost_micros=task.job.max_cost_micros,
        )
        return Advance(
            task=task,
            offer=offer,
            attempt_id=self.new_id(),
            remake=remake,
            closing=_closing("failed", failure.code, failure.billing, staged),
            message=failure.message,
            events=(says.failed(task, failure, final=False), quote),
        )

    def _end(self, task: Task, failure: Failure, staged: Staged | None) -> Finish:
        if failure.unknown:
            message = f"{task.offer.provider} may have taken the job: {failure.message}"
            failure = replace(failure, code=ErrorCode.SUBMIT_UNKNOWN, message=message, billing=PENDING)
        event = says.failed(task, failure, final=True)
        return Finish(task, _closing("failed", failure.code, failure.billing, staged), (event,))


def outputs(finished: Finished) -> list[Output]:
    """What was finished, as it is handed over."""
    return [
        Output(
            number=made.piece.number,
            role=made.piece.role,
            staged_key=made.piece.key,
            sha256=made.piece.sha256,
            content_sha256=made.content_sha256,
            size=made.piece.size,
            mime=made.mime,
            width=made.width,
            height=made.height,
            duration_seconds=made.duration_s,
            marking=made.marking,
        )
        for made in finished.outputs
    ]


def _closing(outcome: Ended, code: ErrorCode, billing: Billing, staged: Staged | None) -> Closing:
    return Closing(outcome, code, billing, staged, lookup_in=FIRST_LOOKUP_S if billing.state == "pending" else None)
