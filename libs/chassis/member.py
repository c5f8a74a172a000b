"""A member of a consumer group: FastStream configured so that it loses nothing, one group per topic.

FastStream's defaults lose messages; what is set here and why:

- NACK_ON_ERROR: the default policy commits before the handler has run.
- `_parse` reads no header: FastStream's own parser raises on a null or non-UTF-8 header, acknowledges nothing, and the
  next success commits past the whole batch.
- `earliest`: with `latest` a new group misses what was written before it first joined.
- offsets are committed here, explicitly and counted: FastStream commits the positions of all partitions and swallows a
  failure.
- a group per topic: members of one group with different topics stop each other at every rebalance.
- `read_committed`, topics never created on the side, no replies to whoever puts a `reply_to` header.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.exceptions import NackMessage
from faststream.kafka import KafkaBroker
from faststream.message import AckStatus

from chassis import metrics
from chassis.consumer import BatchConsumer, RedeliverError
from chassis.loops import Backoff
from chassis.reader import Reader
from chassis.telemetry import get_logger
from schemas.topics import Topic

log = get_logger()

# FastStream gives a logger named after itself a handler and a format of its own; it warns at each start that topics are
# not created on the side, which is the intention.
_faststream_log = logging.getLogger("chassis.faststream")
_faststream_log.setLevel(logging.ERROR)

MAX_RECORDS = 100
_HEARTBEATS_PER_SESSION = 10
# A member that waits out trouble inside its handler (30 s at most) is not to lose its partitions to a rebalance.
_REBALANCE_MS = 35_000


class _Assignment(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka has no types
    """Remembers when a group last gave this member its partitions, or took them."""

    def __init__(self) -> None:
        self.given = False
        self.since = time.monotonic()

    def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        self._now(given=False)

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self._now(given=True)

    def _now(self, *, given: bool) -> None:
        self.given, self.since = given, time.monotonic()


async def connect(broker: KafkaBroker) -> None:
    """Readies `broker` and gives its subscribers our `Reader` in place of aiokafka's own consumer."""
    await broker.connect()
    config: Any = broker.config.broker_config
    config.builder = partial(Reader, **config.builder.keywords)


def make_broker(bootstrap: str, *, client_id: str, drain_seconds: float = 15.0) -> KafkaBroker:
    """A FastStream broker that only consumes, and whose every subscriber acknowledges after success alone."""
    return KafkaBroker(
        bootstrap.split(","),
        client_id=client_id,
        consumer_only=True,
        allow_auto_create_topics=False,
        ack_policy=AckPolicy.NACK_ON_ERROR,
        graceful_timeout=drain_seconds,
        metadata_max_age_ms=60_000,
        apply_types=False,
        logger=_faststream_log,
        log_level=logging.DEBUG,
    )


class Member:
    """One subscription's member of its group `<service>.<topic>`: start, stop, rebuild, and what can be seen of it."""

    def __init__(
        self,
        broker: KafkaBroker,
        topic: Topic,
        handle: BatchConsumer,
        *,
        service: str,
        session_seconds: float = 10.0,
        instance: str | None = None,
    ) -> None:
        self.topic = topic.name
        self.group = f"{service}.{topic.name}"
        self.handle = handle
        self.assignment = _Assignment()
        self.started = False
        self._commit_backoff = Backoff()
        self._message: Any = None
        session = int(session_seconds * 1000)
        self._subscriber = broker.subscriber(
            topic.name,
            group_id=self.group,
            group_instance_id=instance,
            batch=True,
            max_records=MAX_RECORDS,
            batch_timeout_ms=1,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            session_timeout_ms=session,
            heartbeat_interval_ms=max(session // _HEARTBEATS_PER_SESSION, 100),
            rebalance_timeout_ms=max(session, _REBALANCE_MS),
            max_partition_fetch_bytes=4 * 1024 * 1024,
            no_reply=True,
            parser=self._parse,
            decoder=_raw,
            listener=self.assignment,
        )
        self._subscriber(self._consume)

    @property
    def client(self) -> AIOKafkaConsumer | None:
        """The aiokafka consumer while there is one."""
        return self._subscriber.consumer

    def partitions(self) -> set[TopicPartition]:
        """The partitions this member owns now."""
        client = self.client
        return set(client.assignment()) if client is not None and self.assignment.given else set()

    async def start(self) -> None:
        """Joins the group; returns when it has answered. Raises `KafkaError` while Kafka or the topic is away."""
        self.assignment.since = self.handle.alive_at = time.monotonic()
        self.handle.hurry(False)
        await self._subscriber.start()
        self.started = True

    async def stop(self) -> None:
        """Finishes the batch in hand, commits it and leaves the group."""
        self.started = False
        self.handle.hurry(True)
        await self._subscriber.stop()
        self.assignment.on_partitions_revoked(set())

    async def _parse(self, records: Any, original: Callable[[Any], Awaitable[Any]]) -> Any:
        first = replace(records[0], headers=(), value=b"")
        message = await original((first,))
        message.raw_message = records
        self._message = message
        return message

    async def _consume(self, records: tuple[ConsumerRecord, ...]) -> None:
        # Asked before the batch is handled: afterwards another client may have taken this one's place.
        offsets = self._offsets_after(records)
        try:
            await self.handle(records)
        except RedeliverError as error:
            raise NackMessage from error
        await self._commit(offsets)

    def _offsets_after(self, records: tuple[ConsumerRecord, ...]) -> dict[TopicPartition, int]:
        reader = self.client
        if not isinstance(reader, Reader):
            raise NackMessage
        return reader.offsets_after(records)

    async def _commit(self, offsets: dict[TopicPartition, int]) -> None:
        client = self.client
        if client is None:
            raise NackMessage
        try:
            await client.commit(offsets)
        except KafkaError as error:
            # Most likely somebody else owns the partitions now. What is still ours is read again and committed then;
            # the inbox knows it.
            metrics.COMMIT_FAILURES.labels(self.topic).inc()
            log.warning("offset_commit_failed", topic=self.topic, group=self.group, error=repr(error))
            await asyncio.sleep(self._commit_backoff.next())
            raise NackMessage from error
        self._commit_backoff.reset()
        # FastStream would commit once more, the positions of all partitions at that.
        self._message.committed = AckStatus.ACKED
        self._message = None


async def _raw(message: Any) -> Any:
    return message.raw_message
