"""Sends outbox rows to Kafka with one idempotent producer, which is thrown away after any doubt.

Why thrown away: when a batch outlives its request while its partition has no leader, aiokafka fails it after using up
its sequence numbers; the broker then refuses every later batch as out of order until the producer is a new one
(aiokafka issue 1017).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidTopicError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    RecordTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)
from pydantic_core import from_json

from chassis.outbox import DEAD_LETTER_LIMIT
from chassis.partitioner import partition_of
from chassis.telemetry import get_logger

log = get_logger()

# Never acceptable to Kafka, whenever it is sent.
_POISON = (MessageSizeTooLargeError, RecordTooLargeError, RecordListTooLargeError, InvalidTopicError)
_MISSING = (UnknownTopicOrPartitionError, TopicAuthorizationFailedError, TimeoutError)

_TOPIC_WAIT = 2.0
_TOPIC_PAUSE = 5.0
_STOP_WAIT = 5.0
_LARGEST_ROW = DEAD_LETTER_LIMIT + 512 * 1024
_LARGEST_REQUEST = _LARGEST_ROW + 512 * 1024


class Row(Protocol):
    """A row of the outbox: n, topic, key, value, headers (JSON object of texts)."""

    def __getitem__(self, name: str, /) -> Any: ...


@dataclass(slots=True)
class Sent:
    """What became of the rows of a round; those in no list stay unsent. `failure` is why the round ended early."""

    acked: list[int] = field(default_factory=list)
    poison: list[tuple[int, str]] = field(default_factory=list)
    failure: BaseException | None = None


@dataclass(frozen=True, slots=True)
class _Flight:
    """Rows in one Kafka batch, and what Kafka will say to it."""

    rows: Sequence[Row]
    future: asyncio.Future[Any]

    def error(self) -> BaseException | None:
        if not self.future.done():
            return TimeoutError("not acknowledged in time")
        return asyncio.CancelledError() if self.future.cancelled() else self.future.exception()


class Sender:
    """`send` is called by one task at a time. `deadline` is how long a round may take, in seconds."""

    def __init__(self, bootstrap: str, *, client_id: str, deadline: float = 30.0) -> None:
        self._bootstrap = bootstrap
        self._client_id = client_id
        self._deadline = deadline
        self._producer: AIOKafkaProducer | None = None
        self._paused: dict[str, float] = {}
        self._suspects: set[int] = set()

    def paused_topics(self) -> list[str]:
        """Topics that are missing or forbidden and not asked for again yet; their rows wait, others do not."""
        now = time.monotonic()
        self._paused = {topic: until for topic, until in self._paused.items() if until > now}
        return list(self._paused)

    async def send(self, rows: Sequence[Row]) -> Sent:
        """Sends `rows` in order and waits for every acknowledgement, within the deadline.

        A row counts as acknowledged only when every earlier row of its key was. After a failure the producer is gone
        and the next call makes a new one.
        """
        sent = Sent()
        flights: list[_Flight] = []
        try:
            async with asyncio.timeout(self._deadline):
                producer = await self._ready()
                fitting = self._fitting(rows, sent)
                if self._suspects.isdisjoint(row["n"] for row in fitting):
                    await self._send_together(producer, fitting, flights)
                else:
                    await self._send_one_by_one(producer, fitting, flights)
        except Exception as error:
            sent.failure = error
        self._collect(flights, sent)
        if sent.failure is not None:
            await self.close()
        return sent

    async def close(self) -> None:
        """Drops the producer; rows it has not acknowledged are sent again by the next one."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await _stop(producer)

    async def _ready(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = AIOKafkaProducer(
                bootstrap_servers=self._bootstrap.split(","),
                client_id=self._client_id,
                acks="all",
                enable_idempotence=True,
                # aiokafka's lz4 is fixed at its slowest level: twenty times the CPU for a tenth fewer bytes.
                compression_type="snappy",
                linger_ms=0,
                max_batch_size=256 * 1024,
                max_request_size=_LARGEST_REQUEST,
                request_timeout_ms=15_000,
                metadata_max_age_ms=60_000,
            )
            try:
                await producer.start()
            except BaseException:
                await _stop(producer)
                raise
            self._producer = producer
        return self._producer

    def _fitting(self, rows: Sequence[Row], sent: Sent) -> list[Row]:
        fitting = []
        for row in rows:
            size = len(row["value"]) + len(row["headers"]) + len(row["key"])
            if size > _LARGEST_ROW:
                sent.poison.append((row["n"], f"{size} bytes, {_LARGEST_ROW} are allowed"))
            else:
                fitting.append(row)
        return fitting

    async def _send_together(self, producer: AIOKafkaProducer, rows: Sequence[Row], flights: list[_Flight]) -> None:
        """One Kafka batch for each partition, all under way at once."""
        lanes: dict[tuple[str, int], list[Row]] = {}
        counts = await self._partition_counts(producer, {row["topic"] for row in rows})
        for row in rows:
            count = counts.get(row["topic"])
            if count:
                lanes.setdefault((row["topic"], partition_of(row["key"], count)), []).append(row)
        await asyncio.gather(*(self._send_lane(producer, *lane, some, flights) for lane, some in lanes.items()))
        if flights:
            await asyncio.wait([flight.future for flight in flights])

    async def _send_one_by_one(self, producer: AIOKafkaProducer, rows: Sequence[Row], flights: list[_Flight]) -> None:
        """Each row alone and only after the one before, until one fails."""
        counts = await self._partition_counts(producer, {row["topic"] for row in rows})
        for row in rows:
            if row["topic"] not in counts:
                continue
            partition = partition_of(row["key"], counts[row["topic"]])
            await self._send_lane(producer, row["topic"], partition, [row], flights)
            await asyncio.wait([flights[-1].future])
            if flights[-1].error() is not None:
                return

    async def _send_lane(
        self, producer: AIOKafkaProducer, topic: str, partition: int, rows: Sequence[Row], flights: list[_Flight]
    ) -> None:
        """Rows of one partition, in order; more than one Kafka batch only when they are large."""
        waiting = deque(rows)
        while waiting:
            batch, aboard = producer.create_batch(), []
            while waiting and batch.append(
                timestamp=None, key=waiting[0]["key"], value=waiting[0]["value"], headers=_headers(waiting[0])
            ):
                aboard.append(waiting.popleft())
            batch.close()
            flights.append(_Flight(aboard, await producer.send_batch(batch, topic, partition=partition)))

    async def _partition_counts(self, producer: AIOKafkaProducer, topics: set[str]) -> dict[str, int]:
        """How many partitions each topic has; a topic that cannot be found is left alone for a while."""
        counts = {}
        for topic in topics - self._paused.keys():
            try:
                async with asyncio.timeout(_TOPIC_WAIT):
                    counts[topic] = len(await producer.partitions_for(topic))
            except _MISSING as error:
                self._paused[topic] = time.monotonic() + _TOPIC_PAUSE
                log.error("relay_topic_missing", topic=topic, reason=type(error).__name__, retry_in=_TOPIC_PAUSE)
        return counts

    def _collect(self, flights: Sequence[_Flight], sent: Sent) -> None:
        """Sorts the rows under way by what became of them."""
        blocked: set[tuple[str, bytes]] = set()
        for flight in flights:
            error = flight.error()
            if error is None:
                sent.acked += [row["n"] for row in flight.rows if (row["topic"], row["key"]) not in blocked]
                continue
            sent.failure = sent.failure or error
            blocked |= {(row["topic"], row["key"]) for row in flight.rows}
            if isinstance(error, _POISON):
                self._accuse(flight, error, sent)
        self._suspects -= {*sent.acked, *(n for n, _ in sent.poison)}

    def _accuse(self, flight: _Flight, error: BaseException, sent: Sent) -> None:
        # Kafka refuses whole batches: which row of a refused batch is to blame shows only when they are sent alone.
        if len(flight.rows) == 1:
            sent.poison.append((flight.rows[0]["n"], repr(error)[:500]))
        else:
            self._suspects |= {row["n"] for row in flight.rows}


def _headers(row: Row) -> list[tuple[str, bytes]]:
    return [(name, text.encode()) for name, text in from_json(row["headers"]).items()]


async def _stop(producer: AIOKafkaProducer) -> None:
    try:
        async with asyncio.timeout(_STOP_WAIT):
            await producer.stop()
    except Exception as error:
        log.warning("producer_stop_failed", reason=repr(error))
