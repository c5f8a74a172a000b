"""Who waits behind whom: tenants by turns, each tenant's records in their order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

import pytest
from aiokafka import TopicPartition

from chassis.errors import Transient
from chassis.ids import uuid7
from chassis.lines import Lines
from chassis.member import MAX_RECORDS
from chassis.reader import Reader
from chassis.testing import FakeRecord, event_of, eventually
from chassis.tests.chassis_tables import _json_logs, database, engine
from chassis.tests.listener import Counted, Headers, Listener, listener, send
from schemas.cloudevents import encode

# pytest finds fixtures by their names in the module that uses them.
__all__ = ["_json_logs", "database", "engine", "listener"]

FLOOD = 10 * MAX_RECORDS


def record(offset: int, tenant: str | None, *, key: bytes | None = None, partition: int = 0) -> FakeRecord:
    headers = () if tenant is None else (("ce_tenantid", tenant.encode()),)
    return FakeRecord("t", b"four", headers, key or str(offset).encode(), partition, offset)


def offsets(records: Sequence[FakeRecord]) -> list[int]:
    return [one.offset for one in records]


def test_each_tenant_has_its_first_before_any_has_its_second() -> None:
    lines = Lines()
    lines.add([*(record(n, "flooder") for n in range(5)), record(5, "quiet"), record(6, "other"), record(7, "quiet")])
    assert offsets(lines.take(4)) == [0, 5, 6, 1]
    assert offsets(lines.take(10)) == [7, 2, 3, 4]
    assert len(lines) == lines.size() == 0


def test_who_comes_later_waits_for_one_turn_of_those_who_wait() -> None:
    lines = Lines()
    lines.add(record(n, "flooder") for n in range(5))
    assert offsets(lines.take(2)) == [0, 1]
    lines.add([record(5, "quiet")])
    assert offsets(lines.take(2)) == [2, 5]
    assert lines.size() == 2 * len(b"four")


def test_of_one_key_nothing_overtakes_whoever_says_to_have_written_it() -> None:
    lines = Lines()
    lines.add([record(0, "flooder"), record(1, "flooder"), record(2, "flooder", key=b"one")])
    lines.add([record(3, "quiet", key=b"one"), record(4, None, key=b"one"), record(5, "quiet")])
    assert offsets(lines.take(10)) == [0, 5, 1, 2, 3, 4]


def test_no_offset_is_passed_over_while_its_record_waits() -> None:
    lines = Lines()
    lines.add([*(record(n, "flooder") for n in range(3)), record(3, "quiet"), record(9, "quiet", partition=1)])
    assert offsets(lines.take(2)) == [0, 3]
    assert lines.first_offsets() == {TopicPartition("t", 0): 1, TopicPartition("t", 1): 9}
    lines.drop(TopicPartition("t", 0))
    assert offsets(lines.take(10)) == [9]


def said_by(tenant: UUID, numbers: Sequence[int]) -> list[tuple[bytes, bytes, Headers]]:
    said: list[tuple[bytes, bytes, Headers]] = []
    for number in numbers:
        key, value, headers = encode(event_of(Counted(number=number), tenant_id=tenant))
        said.append((key, value, [(name, raw) for name, raw in headers]))
    return said


def send_a_flood_and_one_of_somebody_else(listener: Listener) -> None:
    records = [*said_by(uuid7(), range(FLOOD)), *said_by(uuid7(), [FLOOD])]
    send(listener.bootstrap, listener.topic, records, partition=0)


@pytest.mark.integration
async def test_a_tenant_with_one_event_does_not_wait_for_a_thousand_of_another(listener: Listener) -> None:
    send_a_flood_and_one_of_somebody_else(listener)
    async with listener.listening():
        await listener.has_written(range(FLOOD + 1))
        written = await listener.written()
    assert written.index(FLOOD) < MAX_RECORDS
    written.remove(FLOOD)
    assert written == list(range(FLOOD))
    assert await listener.committed() == FLOOD + 1


@pytest.mark.integration
async def test_what_was_read_ahead_and_not_handled_is_heard_by_whoever_comes_next(listener: Listener) -> None:
    second = asyncio.Event()

    async def slowly(_: list[int]) -> None:
        if listener.calls == 2:
            second.set()
            await asyncio.sleep(0.5)

    listener.before_writing = slowly
    send_a_flood_and_one_of_somebody_else(listener)
    async with listener.listening():
        await asyncio.wait_for(second.wait(), 20)
    written = await listener.written()
    assert FLOOD in written
    assert await listener.committed() == len(written) - 1 == 2 * MAX_RECORDS - 1
    async with listener.listening():
        await listener.has_written(range(FLOOD + 1))


@pytest.mark.integration
async def test_a_batch_that_is_refused_comes_again_and_so_does_what_was_passed_over(listener: Listener) -> None:
    refused: list[list[int]] = []

    async def refuse_three(numbers: list[int]) -> None:
        if len(refused) < 3:
            refused.append(numbers)
            raise Transient("the database is away")

    listener.before_writing = refuse_three
    send_a_flood_and_one_of_somebody_else(listener)
    async with listener.listening():
        await listener.has_written(range(FLOOD + 1))
        written = await listener.written()
    assert refused[0] == refused[1] == refused[2]
    assert FLOOD in refused[0]
    written.remove(FLOOD)
    assert written == list(range(FLOOD))
    assert await listener.committed() == FLOOD + 1


@pytest.mark.integration
async def test_a_seek_goes_back_to_the_first_record_that_nobody_has_been_given(listener: Listener) -> None:
    flooder, quiet = uuid7(), uuid7()
    send(listener.bootstrap, listener.topic, [*said_by(flooder, range(3)), *said_by(quiet, [3])], partition=0)
    reader = Reader(listener.topic, bootstrap_servers=listener.bootstrap, auto_offset_reset="earliest")
    partition = TopicPartition(listener.topic, 0)
    await reader.start()
    try:
        given = [offsets((await reader.getmany(max_records=1))[partition]) for _ in range(2)]
        assert given == [[0], [3]]
        assert await reader.position(partition) == 1
        reader.seek(partition, 3)
        again = await eventually(lambda: reader.getmany(max_records=10))
    finally:
        await reader.stop()
    assert sorted(offsets(again[partition])) == [1, 2, 3]
