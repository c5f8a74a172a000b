"""What cost-ledger hears and says.

| hears (`backlot.generations`) | does | says (`backlot.costs`) |
|---|---|---|
| GenerationQuoted | holds the whole quote, or none of it | CostReserved or BudgetRefused |
| GenerationCompleted, -Failed, -Cancelled | closes the hold by `billing`; a pending one keeps it | CostRecorded |
| GenerationSettled | closes the hold that a pending billing kept | CostRecorded |
| any of them that adds to what is spent | | BudgetThresholdCrossed |

Any order and any repetition comes to the same; an outcome that comes before its quote is remembered.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from sqlalchemy.ext.asyncio import AsyncConnection

from chassis import crash
from chassis.consumer import Subscription
from chassis.database import after_commit
from chassis.errors import Invalid
from chassis.outbox import Draft, Outbox
from chassis.telemetry import get_logger
from cost_ledger import metrics, store
from cost_ledger.accounts import Key
from cost_ledger.attempts import CURRENCY, Bill
from cost_ledger.ledger import (
    Answer,
    Command,
    Contradicted,
    Crossed,
    ForeignJob,
    Outcome,
    Price,
    Quote,
    Recorded,
    Refused,
    Reserved,
    Unheld,
    post,
)
from schemas.cloudevents import CloudEvent
from schemas.event import Event
from schemas.events import (
    BudgetRefused,
    BudgetThresholdCrossed,
    CostRecorded,
    CostReserved,
    GenerationCancelled,
    GenerationCompleted,
    GenerationFailed,
    GenerationQuoted,
    GenerationSettled,
)
from schemas.topics import GENERATIONS

log = get_logger()

HEARD: tuple[type[Event], ...] = (
    GenerationCompleted,
    GenerationFailed,
    GenerationCancelled,
    GenerationSettled,
    GenerationQuoted,
)


def subscription(outbox: Outbox, *, default_limit: int) -> Subscription:
    """Hears `backlot.generations`. `default_limit` is the budget of a tenant that has none yet, in micro-units."""

    async def handle(conn: AsyncConnection, heard: Sequence[CloudEvent[Event]]) -> None:
        # Outcomes before quotes: what a batch frees, its quotes can hold.
        events = sorted(heard, key=lambda event: isinstance(event.data, GenerationQuoted))
        commands = [command_of(event) for event in events]
        _name_crash_points(conn, commands)
        book = await store.open_book(conn, commands, default_limit=default_limit)
        posting = post(book, commands)
        await store.write(conn, posting)
        drafts = [draft_of(answer, events[place].traceparent) for place, answer in posting.answers]
        await outbox.add(conn, [draft for draft in drafts if draft is not None])
        for _, answer in posting.answers:
            _observe(answer)

    async def on_poison(conn: AsyncConnection, event: CloudEvent[Event], error: Exception) -> None:
        if isinstance(event.data, GenerationQuoted) and not isinstance(error, ForeignJob):
            refusal = _refusal_of_unreadable(event.data)
            await outbox.add(conn, [Draft(refusal, event.data.job_id, event.tenant_id, event.traceparent)])

    return Subscription(topic=GENERATIONS, handlers=dict.fromkeys(HEARD, handle), on_poison=on_poison)


def _name_crash_points(conn: AsyncConnection, commands: Sequence[Command]) -> None:
    for step in {"reserve" if isinstance(command, Quote) else "settle" for command in commands}:
        crash.point(f"ledger.before_{step}")
        after_commit(conn, partial(crash.point, f"ledger.after_{step}"))


def command_of(event: CloudEvent[Event]) -> Command:
    """What an event asks of the ledger. Raises `Invalid` for a quote that names an item twice."""
    data = event.data
    match data:
        case GenerationQuoted():
            return _quote(event, data)
        case GenerationCompleted():
            return _outcome(event, data, data.lineage.provider, data.lineage.model)
        case GenerationFailed():
            return _outcome(event, data, data.provider, data.model)
        case GenerationSettled(lineage=lineage) if lineage is not None:
            return _outcome(event, data, lineage.provider, lineage.model)
        case GenerationCancelled() | GenerationSettled():
            return _outcome(event, data, None, None)
        case _:
            raise TypeError(f"the ledger does not hear {type(data).__name__}")


def _quote(event: CloudEvent[Event], data: GenerationQuoted) -> Quote:
    if len({item.number for item in data.items}) != len(data.items):
        raise Invalid("the quote names an item twice")
    return Quote(
        tenant_id=event.tenant_id,
        user_id=data.user_id,
        job_id=data.job_id,
        attempt=data.attempt,
        prices=tuple(Price(item.number, item.provider, item.model, item.amount_micros) for item in data.items),
        max_cost=data.max_cost_micros,
        currency=data.currency,
    )


def _outcome(
    event: CloudEvent[Event],
    data: GenerationCompleted | GenerationFailed | GenerationCancelled | GenerationSettled,
    provider: str | None,
    model: str | None,
) -> Outcome:
    bill = Bill(data.billing.state, data.billing.amount_micros, provider, model)
    return Outcome(event.tenant_id, Key(data.job_id, data.item, data.attempt), bill)


def draft_of(answer: Answer, traceparent: str | None = None) -> Draft | None:
    """The event that tells `answer`; None for what is only logged."""
    match answer:
        case Reserved():
            return Draft(_reserved(answer), answer.job_id, answer.tenant_id, traceparent)
        case Refused():
            return Draft(_refused(answer), answer.job_id, answer.tenant_id, traceparent)
        case Recorded():
            return Draft(_recorded(answer), answer.key.job_id, answer.tenant_id, traceparent)
        case Crossed():
            return Draft(_crossed(answer), answer.budget_id, answer.tenant_id, traceparent)
        case Unheld() | Contradicted():
            return None


def _reserved(answer: Reserved) -> CostReserved:
    return CostReserved(
        job_id=answer.job_id,
        attempt=answer.attempt,
        items=list(answer.items),
        amount_micros=answer.amount,
        currency=CURRENCY,
    )


def _refused(answer: Refused) -> BudgetRefused:
    return BudgetRefused(
        job_id=answer.job_id,
        attempt=answer.attempt,
        items=list(answer.items),
        amount_micros=answer.amount,
        currency=answer.currency,
        cap=answer.refusal.cap,
        limit_micros=answer.refusal.limit,
        left_micros=answer.refusal.left,
    )


def _refusal_of_unreadable(quote: GenerationQuoted) -> BudgetRefused:
    """Nobody waits for a quote that was set aside: nothing of it is held."""
    return BudgetRefused(
        job_id=quote.job_id,
        attempt=quote.attempt,
        items=[item.number for item in quote.items],
        amount_micros=sum(item.amount_micros for item in quote.items),
        currency=quote.currency,
        cap="budget",
        limit_micros=0,
        left_micros=0,
    )


def _recorded(answer: Recorded) -> CostRecorded:
    return CostRecorded(
        job_id=answer.key.job_id,
        item=answer.key.item,
        attempt=answer.key.attempt,
        captured_micros=answer.captured,
        released_micros=answer.released,
        excess_micros=answer.excess,
        currency=CURRENCY,
        provider=answer.provider,
        model=answer.model,
    )


def _crossed(answer: Crossed) -> BudgetThresholdCrossed:
    return BudgetThresholdCrossed(
        budget_id=answer.budget_id,
        percent=answer.percent,
        spent_micros=answer.spent,
        limit_micros=answer.limit,
        currency=CURRENCY,
    )


def _observe(answer: Answer) -> None:
    match answer:
        case Reserved():
            metrics.QUOTES.labels("reserved").inc()
        case Refused(refusal=refusal):
            metrics.QUOTES.labels(refusal.cap).inc()
            log.info("budget_refused", job_id=answer.job_id, cap=refusal.cap, amount=answer.amount, left=refusal.left)
        case Recorded():
            _observe_recorded(answer)
        case Crossed():
            log.warning("budget_threshold_crossed", tenant=answer.tenant_id, percent=answer.percent)
        case Unheld():
            metrics.EXCESS.labels(answer.provider).inc(answer.excess)
            log.error("billed_without_hold", **answer.key._asdict(), excess=answer.excess, provider=answer.provider)
        case Contradicted():
            metrics.CONTRADICTIONS.inc()
            log.error("bill_contradicted", **answer.key._asdict(), stands=answer.stands, told=answer.told)


def _observe_recorded(answer: Recorded) -> None:
    metrics.CAPTURED.labels(answer.provider).inc(answer.captured)
    if answer.excess:
        metrics.EXCESS.labels(answer.provider).inc(answer.excess)
        log.error("hold_exceeded", **answer.key._asdict(), excess=answer.excess, provider=answer.provider)
