"""Records that wait to be handled: each tenant's stand in a line of their own, and the lines take turns."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from aiokafka import TopicPartition


class Lines:
    """Tenants take turns, one record at a time; within a line, and so of one key, records keep their order.

    A tenant is who a record's header names; whoever comes with a key that waits already stands where that one stands.
    """

    def __init__(self) -> None:
        self._lines: dict[bytes | None, deque[Any]] = {}
        self._turns: deque[bytes | None] = deque()

    def __len__(self) -> int:
        return sum(len(line) for line in self._lines.values())

    def size(self) -> int:
        """The bytes of all that waits."""
        return sum(len(record.value or b"") for line in self._lines.values() for record in line)

    def add(self, records: Iterable[Any]) -> None:
        """Each goes to the end of its line; a line that is new waits for one turn of all others at most."""
        places = {record.key: tenant for tenant, line in self._lines.items() for record in line}
        for record in records:
            tenant = places.setdefault(record.key, _tenant(record))
            if tenant not in self._lines:
                self._lines[tenant] = deque()
                self._turns.append(tenant)
            self._lines[tenant].append(record)

    def take(self, most: int) -> list[Any]:
        """At most so many, by turns."""
        taken: list[Any] = []
        while self._turns and len(taken) < most:
            tenant = self._turns.popleft()
            line = self._lines[tenant]
            taken.append(line.popleft())
            if line:
                self._turns.append(tenant)
            else:
                del self._lines[tenant]
        return taken

    def drop(self, partition: TopicPartition) -> None:
        """Forgets what waits of `partition`."""
        kept = [[one for one in line if (one.topic, one.partition) != partition] for line in self._lines.values()]
        self._lines, self._turns = {}, deque()
        self.add(record for line in kept for record in line)

    def first_offsets(self) -> dict[TopicPartition, int]:
        """The lowest offset that waits, of each partition."""
        first: dict[TopicPartition, int] = {}
        for line in self._lines.values():
            for record in line:
                partition = TopicPartition(record.topic, record.partition)
                first[partition] = min(first.get(partition, record.offset), record.offset)
        return first


def _tenant(record: Any) -> bytes | None:
    return next((value for name, value in record.headers or () if name == "ce_tenantid"), None)
