"""The shared batch consumer: one Kafka batch is one database transaction.

In it stand the inbox rows, what the handlers change and what they say. A record that can never be handled is isolated
and set aside, so that it delays nobody; trouble that passes is waited for; too much poison halts the consumer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chassis import metrics
from chassis.database import is_transient
from chassis.dead_letters import Dead, Record, draft
from chassis.halting import HaltLimits, HaltRule, LimitReachedError
from chassis.ids import is_uuid7
from chassis.inbox import claim
from chassis.loops import Backoff, sleep_until
from chassis.outbox import Outbox
from chassis.reader import UnreadableRecord
from chassis.telemetry import event_context, get_logger
from chassis.tracing import ConsumeSpans
from schemas.cloudevents import CloudEvent, DecodeError, decode
from schemas.event import Event
from schemas.topics import OTHER_PLATFORMS, Topic

log = get_logger()

E = TypeVar("E", bound=Event)

Handler = Callable[[AsyncConnection, Sequence[CloudEvent[E]]], Awaitable[None]]
PoisonHook = Callable[[AsyncConnection, CloudEvent[Event], Exception], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a service hears on one topic.

    A handler gets all events of its types in the batch, in order, in the transaction of the whole batch; handlers run
    in the order they are listed, one that is listed for several types once. Types that have no handler are passed over.
    `on_poison(conn, event, error)` tells the failure of the event's job in the transaction that sets the event aside.
    `after_commit` is called after a transaction in which a handler ran.
    """

    topic: Topic
    handlers: Mapping[type[Event], Handler[Any]]
    on_poison: PoisonHook | None = None
    after_commit: Callable[[], None] | None = None


class RedeliverError(Exception):
    """The batch could not be handled and was not: it must be read again. The wait has already been made."""


class ForeignRecordError(ValueError):
    """A well-formed event that has no business on this topic, or is too old to be told from a repetition."""


@dataclass(frozen=True, slots=True)
class _Read:
    """An event with the record it came in. `place` is its index among the batch's outcomes."""

    record: Record
    event: CloudEvent[Event]
    place: int


@dataclass(slots=True)
class _Batch:
    """A batch read: what can be handled, what never can, what nobody here hears, and how our own records fared."""

    events: list[_Read] = field(default_factory=list)
    dead: list[Dead] = field(default_factory=list)
    failed: list[bool] = field(default_factory=list)
    ignored: int = 0

    def take(self, record: Record, event: CloudEvent[Event]) -> None:
        self.events.append(_Read(record, event, len(self.failed)))
        self.failed.append(False)

    def refuse(self, record: Record, error: Exception, *, ours: bool) -> None:
        self.dead.append(Dead(record, error, ours=ours))
        if ours:
            self.failed.append(True)


def known_types(topic: str) -> dict[str, type[Event]]:
    """Every event type of `topic` that has been declared, by its CloudEvents type."""
    found: dict[str, type[Event]] = {}
    waiting = list(Event.__subclasses__())
    while waiting:
        model = waiting.pop()
        waiting.extend(model.__subclasses__())
        if getattr(model, "topic", None) == topic and "type" in vars(model):
            found[model.type] = model
    return found


class BatchConsumer:
    """Handles the batches of one subscription. Called by one task at a time; raises only `RedeliverError`.

    `horizon` gives the oldest event id that may still be applied (its inbox row would be gone). `halted` says why it
    refuses to set aside any more; it goes on trying with a long pause, so that a mended database or handler sets it
    free. `batches` counts those that were handled, `alive_at` is when it last did anything, on the monotonic clock.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        outbox: Outbox,
        subscription: Subscription,
        *,
        service: str,
        horizon: Callable[[], UUID] = lambda: UUID(int=0),
        limits: HaltLimits | None = None,
        longest_backoff: float = 30.0,
    ) -> None:
        self._engine = engine
        self._outbox = outbox
        self._subscription = subscription
        self._service = service
        self._topic = subscription.topic.name
        self._handlers = _by_handler(subscription.handlers)
        self._horizon = horizon
        self._types = {**known_types(self._topic), **{model.type: model for model in subscription.handlers}}
        self._unheard = {name.encode() for name, model in self._types.items() if model not in subscription.handlers}
        owner = subscription.topic.owner
        self._owner = None if owner == OTHER_PLATFORMS else f"/services/{owner}".encode()
        self._rule = HaltRule(limits or HaltLimits())
        self._backoff = Backoff(longest=longest_backoff)
        self._longest_backoff = longest_backoff
        self._hurry = asyncio.Event()
        self.halted: str | None = None
        self.batches = 0
        self.alive_at = time.monotonic()

    async def __call__(self, records: Sequence[Record]) -> None:
        """Handles `records` to the end: when it returns, everything about them is committed."""
        self.alive_at = time.monotonic()
        try:
            with metrics.BATCH_SECONDS.labels(self._topic).time():
                await self._handle(self._read(records))
        except LimitReachedError as halt:
            await self._refuse(halt)
        except Exception as error:
            if not is_transient(error):
                log.error("consumer_failed", topic=self._topic, exc_info=error)
            await self._wait(error)
        self._recovered()

    def _read(self, records: Sequence[Record]) -> _Batch:
        batch = _Batch()
        for record in records:
            try:
                event = self._decode(record)
            except DecodeError as error:
                batch.refuse(record, error, ours=error.ours and self._is_ours(record))
            except Exception as error:
                batch.refuse(record, error, ours=self._is_ours(record))
            else:
                if event is None:
                    batch.ignored += 1
                else:
                    batch.take(record, event)
        return batch

    def _is_ours(self, record: Record) -> bool:
        """Whether the topic's owner has written it: what others write is never our fault, however well they know us."""
        if self._owner is None:
            return False
        return any(name == "ce_source" and value == self._owner for name, value in record.headers or ())

    def _decode(self, record: Record) -> CloudEvent[Event] | None:
        """The event in `record`, or None when nobody here hears its type."""
        if isinstance(record, UnreadableRecord):
            raise DecodeError("records up to this offset cannot be unpacked: a header's name is no UTF-8")
        headers = record.headers or ()
        if self._unheard and not self._unheard.isdisjoint([value for name, value in headers if name == "ce_type"]):
            return None
        event = decode(headers, record.value, self._types)
        if type(event.data) not in self._subscription.handlers:
            return None
        if not is_uuid7(event.id):
            raise DecodeError(f"the event id {event.id} is no UUIDv7")
        if event.id < self._horizon():
            raise ForeignRecordError(f"the event {event.id} is older than the inbox remembers")
        return event

    async def _handle(self, batch: _Batch) -> None:
        self._rule.check(batch.failed)
        spans = ConsumeSpans(self._topic, [read.event for read in batch.events])
        try:
            await self._commit(spans.entered, batch.dead)
        except Exception as error:
            spans.close(error)
            if is_transient(error):
                raise
            entered = zip(batch.events, spans.entered, strict=True)
            await self._isolate([replace(read, event=event) for read, event in entered], batch, error)
        spans.close()
        self._rule.count(batch.failed)
        metrics.CONSUMED.labels(self._topic, "ignored").inc(batch.ignored)

    async def _commit(self, events: Sequence[CloudEvent[Event]], dead: Sequence[Dead]) -> None:
        """One transaction: what is new of `events` is handled, what is new of `dead` is told."""
        if not events and not dead:
            return
        ids = [*(event.id for event in events), *(item.inbox_id for item in dead)]
        async with self._engine.begin() as conn:
            fresh = await claim(conn, self._topic, ids)
            todo = _first_of_each(events, fresh)
            await self._run_handlers(conn, todo)
            await self._set_aside(conn, [item for item in dead if item.inbox_id in fresh])
        self._committed(len(todo), len(events) - len(todo))

    async def _run_handlers(self, conn: AsyncConnection, events: Sequence[CloudEvent[Event]]) -> None:
        for handler, models in self._handlers:
            heard = [event for event in events if type(event.data) in models]
            if heard:
                await handler(conn, heard)

    async def _set_aside(self, conn: AsyncConnection, dead: Sequence[Dead]) -> None:
        if not dead:
            return
        await self._outbox.add(conn, [draft(self._service, item) for item in dead])
        for item in dead:
            context = event_context(item.event) if item.event is not None else {}
            position = {"partition": item.record.partition, "offset": item.record.offset}
            log.error("record_dead_lettered", topic=self._topic, error=str(item.error), **position, **context)
            if item.event is not None and self._subscription.on_poison is not None:
                await self._tell_failure(conn, self._subscription.on_poison, item.event, item.error)
        metrics.CONSUMED.labels(self._topic, "dead").inc(len(dead))

    async def _tell_failure(
        self, conn: AsyncConnection, hook: PoisonHook, event: CloudEvent[Event], error: Exception
    ) -> None:
        try:
            async with conn.begin_nested():
                await hook(conn, event, error)
        except Exception as failure:
            if is_transient(failure):
                raise
            log.error("poison_hook_failed", topic=self._topic, exc_info=failure, **event_context(event))

    async def _isolate(self, events: Sequence[_Read], batch: _Batch, error: Exception) -> None:
        """Handles `events` one by one: the good ones are committed as they go, the bad ones set aside at the end."""
        log.warning("batch_isolated", topic=self._topic, events=len(events), exc_info=error)
        poison: list[Dead] = []
        for read in events:
            try:
                await self._commit([read.event], ())
            except Exception as alone:
                if is_transient(alone):
                    raise
                batch.failed[read.place] = ours = self._is_ours(read.record)
                poison.append(Dead(read.record, alone, ours=ours, event=read.event))
            self.alive_at = time.monotonic()
        self._rule.check(batch.failed)
        await self._commit((), [*batch.dead, *poison])

    async def _wait(self, error: Exception) -> None:
        wait = self._backoff.next()
        metrics.BACKOFFS.labels(self._topic).inc()
        log.warning("consumer_backs_off", topic=self._topic, error=repr(error), retry_in=round(wait, 2))
        await self._sleep(wait)
        raise RedeliverError from error

    async def _refuse(self, halt: LimitReachedError) -> None:
        self.halted = str(halt)
        metrics.HALTED.labels(self._topic).set(1)
        log.error(
            "consumer_halted",
            topic=self._topic,
            reason=str(halt),
            retry_in=self._longest_backoff,
            remedy="nothing is lost: the records stay on the topic. Mend the handler or the producer and restart; to "
            "set these records aside after all, restart once with <SERVICE>_DEAD_LETTER_WITHOUT_LIMIT=true",
        )
        await self._sleep(self._longest_backoff)
        raise RedeliverError from halt

    async def _sleep(self, seconds: float) -> None:
        # Waiting is not deafness: the watchdog must not take it for one.
        self.alive_at = time.monotonic() + seconds
        await sleep_until(seconds, self._hurry)

    def hurry(self, on: bool) -> None:
        """Cuts pauses short while its consumer is being stopped; the batch is asked for again all the same."""
        if on:
            self._hurry.set()
        else:
            self._hurry.clear()

    def _recovered(self) -> None:
        self._backoff.reset()
        self.batches += 1
        self.alive_at = time.monotonic()
        if self.halted is not None:
            self.halted = None
            metrics.HALTED.labels(self._topic).set(0)
            log.info("consumer_goes_on", topic=self._topic)

    def _committed(self, handled: int, duplicates: int) -> None:
        metrics.CONSUMED.labels(self._topic, "handled").inc(handled)
        metrics.CONSUMED.labels(self._topic, "duplicate").inc(duplicates)
        if handled and self._subscription.after_commit is not None:
            self._subscription.after_commit()


def _by_handler(handlers: Mapping[type[Event], Handler[Any]]) -> list[tuple[Handler[Any], frozenset[type[Event]]]]:
    distinct: list[Handler[Any]] = []
    for handler in handlers.values():
        if handler not in distinct:
            distinct.append(handler)
    return [(one, frozenset(model for model, handler in handlers.items() if handler == one)) for one in distinct]


def _first_of_each(events: Sequence[CloudEvent[Event]], fresh: set[UUID]) -> list[CloudEvent[Event]]:
    """The events whose id is fresh, in order; of repetitions within the batch the first."""
    left = set(fresh)
    first: list[CloudEvent[Event]] = []
    for event in events:
        if event.id in left:
            left.discard(event.id)
            first.append(event)
    return first
