"""Sends outbox rows to Kafka with one idempotent producer, which is thrown away after any doubt.

Why thrown away: when a batch outlives its request while its partition has no leader, aiokafka fails it after using up
its sequence numbers; the broker then refuses every later batch as out of order until the producer is a new one
(aiokafka issue 1017).
"""

from __future__ import annotations

import asyncio
import json
import time
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

from chassis.outbox import DEAD_LETTER_LIMIT
from chassis.telemetry import get_logger

log = get_logger()

# Never acceptable to Kafka, whenever it is sent.
_POISON = (
    MessageSizeTooLargeError,
    RecordTooLargeError,
    RecordListTooLargeError,
    InvalidTopicError,
    ValueError,
    TypeError,
    AssertionError,
)
_MISSING = (UnknownTopicOrPartitionError, TopicAuthorizationFailedError, TimeoutError)

_TOPIC_WAIT = 2.0
_TOPIC_PAUSE = 5.0
_STOP_WAIT = 5.0
_MEGABYTE = 1024 * 1024


class Row(Protocol):
    """A row of the outbox: n, topic, key, value, headers (JSON object of texts)."""

    def __getitem__(self, name: str, /) -> Any: ...


@dataclass(slots=True)
class Sent:
    """What became of the rows of a round; those in no list stay unsent. `failure` is why the round ended early."""

    acked: list[int] = field(default_factory=list)
    poison: list[tuple[int, str]] = field(default_factory=list)
    failure: BaseException | None = None


class Sender:
    """`send` is called by one task at a time. `deadline` is how long a round may take, in seconds."""

    def __init__(self, bootstrap: str, *, client_id: str, deadline: float = 30.0) -> None:
        self._bootstrap = bootstrap
        self._client_id = client_id
        self._deadline = deadline
        self._producer: AIOKafkaProducer | None = None
        self._present: set[str] = set()
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
        futures: list[tuple[Row, asyncio.Future[Any]]] = []
        try:
            async with asyncio.timeout(self._deadline):
                producer = await self._ready()
                await self._check_topics(producer, rows)
                await self._hand_over(producer, rows, futures, sent)
                if futures:
                    await asyncio.wait([future for _, future in futures])
        except Exception as error:
            sent.failure = error
        self._collect(futures, sent)
        if sent.failure is not None:
            await self.close()
        return sent

    async def close(self) -> None:
        """Drops the producer; rows it has not acknowledged are sent again by the next one."""
        producer, self._producer = self._producer, None
        self._present.clear()
        if producer is not None:
            await _stop(producer)

    async def _ready(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = AIOKafkaProducer(
                bootstrap_servers=self._bootstrap.split(","),
                client_id=self._client_id,
                acks="all",
                enable_idempotence=True,
                compression_type="lz4",
                linger_ms=0,
                max_batch_size=256 * 1024,
                max_request_size=DEAD_LETTER_LIMIT + _MEGABYTE,
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

    async def _check_topics(self, producer: AIOKafkaProducer, rows: Sequence[Row]) -> None:
        for topic in {row["topic"] for row in rows} - self._present - self._paused.keys():
            try:
                async with asyncio.timeout(_TOPIC_WAIT):
                    await producer.partitions_for(topic)
            except _MISSING as error:
                self._paused[topic] = time.monotonic() + _TOPIC_PAUSE
                log.error("relay_topic_missing", topic=topic, reason=type(error).__name__, retry_in=_TOPIC_PAUSE)
            else:
                self._present.add(topic)

    async def _hand_over(
        self,
        producer: AIOKafkaProducer,
        rows: Sequence[Row],
        futures: list[tuple[Row, asyncio.Future[Any]]],
        sent: Sent,
    ) -> None:
        alone = not self._suspects.isdisjoint(row["n"] for row in rows)
        for row in rows:
            if row["topic"] in self._paused:
                continue
            try:
                future = await producer.send(row["topic"], row["value"], key=row["key"], headers=_headers(row))
            except _POISON as error:
                sent.poison.append((row["n"], repr(error)[:500]))
                continue
            futures.append((row, future))
            if alone:
                await asyncio.wait([future])
                if future.exception() is not None:
                    return

    def _collect(self, futures: Sequence[tuple[Row, asyncio.Future[Any]]], sent: Sent) -> None:
        """Sorts the rows handed over by what became of them."""
        blocked: set[tuple[str, bytes]] = set()
        for row, future in futures:
            key, n = (row["topic"], row["key"]), row["n"]
            error = _outcome(future)
            if error is None and key not in blocked:
                sent.acked.append(n)
            elif isinstance(error, _POISON) and n in self._suspects:
                sent.poison.append((n, repr(error)[:500]))
                sent.failure = sent.failure or error
            else:
                blocked.add(key)
                sent.failure = sent.failure or error
        self._remember_suspects(futures, sent)

    def _remember_suspects(self, futures: Sequence[tuple[Row, asyncio.Future[Any]]], sent: Sent) -> None:
        # Kafka refuses whole batches: which row of a refused batch is to blame shows only when they are sent alone.
        refused = {row["n"] for row, future in futures if isinstance(_outcome(future), _POISON)}
        self._suspects |= refused
        self._suspects -= {*sent.acked, *(n for n, _ in sent.poison)}


def _outcome(future: asyncio.Future[Any]) -> BaseException | None:
    if not future.done():
        return TimeoutError("not acknowledged in time")
    if future.cancelled():
        return asyncio.CancelledError()
    return future.exception()


def _headers(row: Row) -> list[tuple[str, bytes]]:
    return [(name, text.encode()) for name, text in json.loads(row["headers"]).items()]


async def _stop(producer: AIOKafkaProducer) -> None:
    try:
        async with asyncio.timeout(_STOP_WAIT):
            await producer.stop()
    except Exception as error:
        log.warning("producer_stop_failed", reason=repr(error))
