"""A Kafka consumer that no record can stop, that loses none when reading fails, and that serves tenants by turns.

aiokafka decodes header names as UTF-8 while it unpacks a batch, and raises when one is not: at every read, for ever, so
that whoever may write to a topic could block its partition. Records of other partitions that it had already taken out
for the same answer are gone then, although their positions have moved: the next commit would pass over them.

Kafka keeps the order in which records came, so that whoever says a thousand things is heard a thousand times before
anybody behind him. So it reads ahead, and gives of what waits each tenant's first before anybody's second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import chain
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from chassis.lines import Lines
from chassis.telemetry import get_logger

log = get_logger()

_FETCH_WAIT_MS = 1_000
# FastStream asks fifty times a second and sleeps as long again whenever there was nothing, which delays what comes
# meanwhile. A longer wait ends with the first record all the same.
_IDLE_WAIT_MS = 1_000
_READ_AHEAD = 2_000
_READ_AHEAD_BYTES = 16 * 1024 * 1024


class UnreadableRecord(ConsumerRecord):  # type: ignore[misc] # aiokafka has no types
    """Stands for records nobody here can unpack, up to and including its own offset."""


class Reader(AIOKafkaConsumer):  # type: ignore[misc]
    """As its parent, but `getmany` puts everything back when it fails, and steps over what cannot be unpacked.

    Where more waits than is asked for, it is given by tenants' turns: of one partition not in the order of offsets, but
    of one key always. It relies on its user committing `offsets_after` every batch before it asks for the next.
    """

    def __init__(self, *topics: str, **options: Any) -> None:
        super().__init__(*topics, **options)
        self._waiting = Lines()
        self._ends: dict[TopicPartition, int] = {}
        self._assigned: Any = None

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int = 0, max_records: int | None = None
    ) -> dict[TopicPartition, list[Any]]:
        """What was fetched, by partition, as soon as there is something; unreadable records as one."""
        most = max_records or 500
        self._forget_what_was_taken_away()
        room = _READ_AHEAD - len(self._waiting) if self._waiting.size() < _READ_AHEAD_BYTES else 0
        wait = 0 if self._waiting else max(timeout_ms, _IDLE_WAIT_MS)
        found = await self._read_on(*partitions, timeout_ms=wait, max_records=room) if room > 0 else {}
        if not self._waiting and sum(map(len, found.values())) <= most:
            return found
        self._waiting.add(chain.from_iterable(found.values()))
        return _by_partition(self._waiting.take(most))

    def offsets_after(self, records: Sequence[Any]) -> dict[TopicPartition, int]:
        """What may be committed once `records`, which were given last, are handled."""
        waiting = self._waiting.first_offsets()
        partitions = {TopicPartition(record.topic, record.partition) for record in records}
        return {partition: waiting.get(partition, self._ends[partition]) for partition in partitions}

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """As its parent; what waits of `partition` is forgotten, and read again from its first record on."""
        first = self._waiting.first_offsets().get(partition, offset)
        self._waiting.drop(partition)
        super().seek(partition, min(first, offset))

    async def position(self, partition: TopicPartition) -> int:
        """The offset of the first record of `partition` that was not given yet."""
        position: int = await super().position(partition)
        return min(position, self._waiting.first_offsets().get(partition, position))

    async def _read_on(self, *partitions: TopicPartition, **options: int) -> dict[TopicPartition, list[Any]]:
        found = await self._readable(*partitions, **options)
        self._forget_what_was_taken_away()
        self._ends |= {partition: records[-1].offset + 1 for partition, records in found.items()}
        return found

    def _forget_what_was_taken_away(self) -> None:
        # Whatever a group gives, also the same again, is read anew from the offsets that were committed.
        subscription = self._subscription.subscription
        assigned = subscription and subscription.assignment
        if assigned is not self._assigned:
            self._waiting, self._ends, self._assigned = Lines(), {}, assigned

    async def _readable(self, *partitions: TopicPartition, **options: int) -> dict[TopicPartition, list[Any]]:
        try:
            return await self._read(*partitions, **options)
        except UnicodeDecodeError:
            await self._put_back()
            return await self._read_carefully(options["max_records"])
        except KafkaError:
            await self._put_back()
            raise

    async def _read(self, *partitions: TopicPartition, **options: Any) -> dict[TopicPartition, list[Any]]:
        found: dict[TopicPartition, list[Any]] = await super().getmany(*partitions, **options)
        return found

    async def _put_back(self) -> None:
        self._waiting = Lines()
        for partition in self.assignment():
            offset = await self.committed(partition)
            if offset is None:
                await self.seek_to_beginning(partition)
            else:
                self.seek(partition, offset)

    async def _read_carefully(self, most: int) -> dict[TopicPartition, list[Any]]:
        partitions = list(self.assignment())
        found = await asyncio.gather(*(self._read_one_by_one(partition, most) for partition in partitions))
        return {partition: records for partition, records in zip(partitions, found, strict=True) if records}

    async def _read_one_by_one(self, partition: TopicPartition, most: int) -> list[Any]:
        """The readable records at the head of `partition`; if the very first is unreadable, what stands for it."""
        records: list[Any] = []
        while len(records) < most:
            try:
                found = await self._read(partition, timeout_ms=0 if records else _FETCH_WAIT_MS, max_records=1)
            except UnicodeDecodeError:
                return records or [await self._step_over(partition)]
            if not found:
                break
            records += found[partition]
        return records

    async def _step_over(self, partition: TopicPartition) -> UnreadableRecord:
        first = await self.position(partition)
        end = await self._end_of_unreadable(partition, first)
        self.seek(partition, end)
        log.error("records_unreadable", topic=partition.topic, partition=partition.partition, first=first, end=end)
        return UnreadableRecord(
            topic=partition.topic,
            partition=partition.partition,
            offset=end - 1,
            timestamp=0,
            timestamp_type=0,
            key=None,
            value=None,
            checksum=None,
            serialized_key_size=-1,
            serialized_value_size=-1,
            headers=(("first-unreadable-offset", str(first).encode()),),
        )

    async def _end_of_unreadable(self, partition: TopicPartition, first: int) -> int:
        """The first offset behind the batch that holds `first`: a read from anywhere inside unpacks it and fails."""
        last: int = (await self.end_offsets([partition]))[partition]
        inside, step = first, 1
        while inside + step < last and not await self._readable_from(partition, inside + step):
            inside, step = inside + step, step * 2
        outside = min(inside + step, last)
        while outside - inside > 1:
            middle = (inside + outside) // 2
            if await self._readable_from(partition, middle):
                outside = middle
            else:
                inside = middle
        return outside

    async def _readable_from(self, partition: TopicPartition, offset: int) -> bool:
        self.seek(partition, offset)
        try:
            await self._read(partition, timeout_ms=_FETCH_WAIT_MS, max_records=1)
        except UnicodeDecodeError:
            return False
        return True


def _by_partition(records: Sequence[Any]) -> dict[TopicPartition, list[Any]]:
    found: dict[TopicPartition, list[Any]] = {}
    for record in records:
        found.setdefault(TopicPartition(record.topic, record.partition), []).append(record)
    return found
