"""Keeps the consumers of a service alive, and notices those that only look alive.

A Kafka consumer can be connected, assigned and deaf: aiokafka members have been seen that never rejoin after a broker
restart, with nothing in their public state to tell. So they are judged by progress against end offsets that a client of
its own has read.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from faststream.kafka import KafkaBroker

from chassis import metrics
from chassis.loops import Backoff, sleep_until
from chassis.member import Member, connect
from chassis.telemetry import get_logger

log = get_logger()


@dataclass(frozen=True, slots=True)
class WatchTimes:
    """Seconds. `silence`: records wait and none is handled for so long; `session`: the Kafka session timeout, twice
    which a member may be without an answer about its partitions; `interval`: between two looks."""

    silence: float = 60.0
    session: float = 30.0
    interval: float = 5.0


class EndOffsets:
    """Reads end offsets with a client of its own, which belongs to no group; made anew after any trouble."""

    def __init__(self, bootstrap: str, *, client_id: str) -> None:
        self._bootstrap = bootstrap
        self._client_id = client_id
        self._client: AIOKafkaConsumer | None = None

    async def read(self, partitions: Sequence[TopicPartition], timeout: float) -> dict[TopicPartition, int]:
        """The last stable offset of each partition. Raises when Kafka does not answer within `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                client = await self._connected()
                offsets: dict[TopicPartition, int] = await client.end_offsets(partitions)
                return offsets
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Disconnects."""
        client, self._client = self._client, None
        if client is not None:
            await _quietly_stop(client)

    async def _connected(self) -> AIOKafkaConsumer:
        if self._client is None:
            client = AIOKafkaConsumer(
                bootstrap_servers=self._bootstrap.split(","),
                client_id=self._client_id,
                isolation_level="read_committed",
                enable_auto_commit=False,
            )
            self._client = client
            await client.start()
        return self._client


class Watchdog:
    """Starts the consumers, looks after them, stops them.

    A deaf one is rebuilt; one that is deaf again before it has handled anything is given up: `given_up` is set with
    the reason, and the process should end.
    """

    def __init__(
        self, broker: KafkaBroker, consumers: Sequence[Member], ends: EndOffsets, times: WatchTimes | None = None
    ) -> None:
        self._broker = broker
        self._consumers = consumers
        self._ends = ends
        self._times = times or WatchTimes()
        self._behind_since: dict[str, float] = {}
        self._rebuilt_at: dict[str, int] = {}
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.given_up: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.blind_since: float | None = None

    async def start(self) -> None:
        """Begins to join; returns at once. A consumer joins as soon as Kafka and its topic are there."""
        await connect(self._broker)
        self._tasks = [asyncio.create_task(self._join(consumer)) for consumer in self._consumers]
        self._tasks.append(asyncio.create_task(self._watch()))

    async def stop(self) -> None:
        """Lets every consumer finish and commit its batch and leave its group, all at the same time."""
        self._stopping.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(self._stop(consumer) for consumer in self._consumers))
        await self._ends.close()
        try:
            await self._broker.stop()
        except Exception as error:
            log.warning("broker_not_stopped", error=repr(error))

    def problems(self) -> list[str]:
        """Why this process should not count as ready; empty when every consumer has its place and none is halted."""
        found = [f"{consumer.topic}: not joined yet" for consumer in self._consumers if not consumer.started]
        found += [f"{c.topic}: halted, {c.handle.halted}" for c in self._consumers if c.handle.halted]
        if self.blind_since is not None and time.monotonic() - self.blind_since > self._times.session:
            found.append("Kafka does not answer")
        return found

    async def _join(self, consumer: Member) -> None:
        backoff = Backoff(longest=5.0)
        while not self._stopping.is_set():
            try:
                async with asyncio.timeout(3 * self._times.session):
                    await consumer.start()
            except Exception as error:
                wait = backoff.next()
                log.warning("consumer_not_joined", topic=consumer.topic, error=repr(error), retry_in=round(wait, 2))
                await self._stop(consumer)
                await sleep_until(wait, self._stopping)
            else:
                log.info("consumer_joined", topic=consumer.topic, group=consumer.group)
                return

    async def _watch(self) -> None:
        while not await sleep_until(self._times.interval, self._stopping):
            try:
                await self._look()
            except Exception as error:
                # Without end offsets nobody can be judged; Kafka being away is no fault of the consumers.
                self.blind_since = self.blind_since or time.monotonic()
                log.warning("watchdog_blind", error=repr(error))

    async def _look(self) -> None:
        started = [consumer for consumer in self._consumers if consumer.started]
        lags = await self._lags(started)
        self.blind_since = None
        for consumer in started:
            lag = lags[consumer.topic]
            metrics.LAG.labels(consumer.topic).set(lag)
            reason = self._deafness(consumer, lag)
            if reason is not None:
                await self._deal_with(consumer, reason)

    async def _lags(self, consumers: Sequence[Member]) -> dict[str, int]:
        owned = {consumer.topic: consumer.partitions() for consumer in consumers}
        ends = await self._ends.read([tp for tps in owned.values() for tp in tps], self._times.interval + 5.0)
        return {consumer.topic: await _lag(consumer, owned[consumer.topic], ends) for consumer in consumers}

    def _deafness(self, consumer: Member, lag: int) -> str | None:
        now = time.monotonic()
        behind = self._behind_since.setdefault(consumer.topic, now)
        if lag == 0:
            del self._behind_since[consumer.topic]
        silent = now - max(consumer.handle.alive_at, consumer.assignment.since, behind)
        if lag > 0 and silent > self._times.silence:
            return f"{lag} records wait and none was handled for {silent:.0f} s"
        waiting = now - consumer.assignment.since
        if not consumer.assignment.given and waiting > 2 * self._times.session:
            return f"no partitions were assigned for {waiting:.0f} s"
        return None

    async def _deal_with(self, consumer: Member, reason: str) -> None:
        handled = consumer.handle.batches
        if self._rebuilt_at.get(consumer.topic) == handled:
            log.critical("consumer_given_up", topic=consumer.topic, reason=reason)
            if not self.given_up.done():
                self.given_up.set_result(f"{consumer.topic}: {reason}, also after the consumer was rebuilt")
            return
        self._rebuilt_at[consumer.topic] = handled
        self._behind_since.pop(consumer.topic, None)
        metrics.REBUILDS.labels(consumer.topic).inc()
        log.error("consumer_rebuilt", topic=consumer.topic, reason=reason)
        await self._stop(consumer)
        self._tasks.append(asyncio.create_task(self._join(consumer)))

    async def _stop(self, consumer: Member) -> None:
        try:
            async with asyncio.timeout(2 * self._times.session):
                await consumer.stop()
        except Exception as error:
            log.warning("consumer_stop_failed", topic=consumer.topic, error=repr(error))


async def _lag(consumer: Member, owned: set[TopicPartition], ends: dict[TopicPartition, int]) -> int:
    """Records this member has not read yet. A position that cannot be had counts as one: then it reads nothing."""
    client = consumer.client
    total = 0
    for partition in owned:
        try:
            async with asyncio.timeout(1.0):
                position = await client.position(partition) if client is not None else 0
        except Exception:
            total += 1
        else:
            total += max(0, ends.get(partition, 0) - position)
    return total


async def _quietly_stop(client: AIOKafkaConsumer) -> None:
    try:
        async with asyncio.timeout(5.0):
            await client.stop()
    except Exception as error:
        log.debug("client_not_stopped", error=repr(error))
