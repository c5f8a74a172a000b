"""The batch consumer: one transaction for a batch, poison isolated, foreign records set aside, trouble waited for."""

from __future__ import annotations

import asyncio
import json
import time
from base64 import b64decode
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar
from uuid import UUID, uuid4

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chassis import tracing
from chassis.consumer import BatchConsumer, RedeliverError, Subscription
from chassis.database import make_engine
from chassis.errors import Transient
from chassis.halting import HaltLimits
from chassis.ids import uuid7
from chassis.outbox import Draft, Outbox
from chassis.telemetry import configure_logging
from chassis.testing import FakeRecord, create_tables, event_of, record_of, reset_tables
from schemas.cloudevents import CloudEvent
from schemas.event import Event
from schemas.topics import OTHER_PLATFORMS, Topic
from stack.testing import PostgresServer

pytestmark = pytest.mark.integration

ORDERS = Topic("test.orders", "shop", "job id", "orders", ())
OUTSIDE = Topic("test.outside", OTHER_PLATFORMS, "job id", "orders of others", ())


class Ordered(Event):
    type: ClassVar[str] = "dev.backlot.test.ordered.v1"
    topic: ClassVar[str] = ORDERS.name

    number: int


class Withdrawn(Event):
    type: ClassVar[str] = "dev.backlot.test.withdrawn.v1"
    topic: ClassVar[str] = ORDERS.name

    number: int


class Browsed(Event):
    """Nobody in these tests hears it."""

    type: ClassVar[str] = "dev.backlot.test.browsed.v1"
    topic: ClassVar[str] = ORDERS.name

    page: str = ""


class AskedFromOutside(Event):
    type: ClassVar[str] = "dev.backlot.test.asked-from-outside.v1"
    topic: ClassVar[str] = OUTSIDE.name

    number: int


class Refused(Event):
    type: ClassVar[str] = "dev.backlot.test.refused.v1"
    topic: ClassVar[str] = "test.refusals"

    number: int


class Shop:
    """Writes down what it is told; breaks on the numbers it is told to break on."""

    def __init__(self, engine: AsyncEngine, topic: Topic = ORDERS) -> None:
        self.engine = engine
        self.outbox = Outbox("/services/shop")
        self.breaks_on: dict[int, Exception] = {}
        self.calls: list[tuple[str, list[int]]] = []
        self.topic = topic
        self.commits = 0
        self.repeats = False

    def consumer(self, **options: Any) -> BatchConsumer:
        hears: dict[type[Event], Any] = {AskedFromOutside: self.on_ordered}
        if self.topic is ORDERS:
            hears = {Ordered: self.on_ordered, Withdrawn: self.on_withdrawn}
        subscription = Subscription(self.topic, hears, on_poison=self.on_poison, after_commit=self.after_commit)
        options = {"longest_backoff": 0.01, **options}
        return BatchConsumer(self.engine, self.outbox, subscription, service="shop", **options)

    def after_commit(self) -> None:
        self.commits += 1

    async def on_ordered(self, conn: AsyncConnection, events: Sequence[CloudEvent[Any]]) -> None:
        await self._write(conn, "ordered", events)

    async def on_withdrawn(self, conn: AsyncConnection, events: Sequence[CloudEvent[Any]]) -> None:
        await self._write(conn, "withdrawn", events)

    async def on_poison(self, conn: AsyncConnection, event: CloudEvent[Event], error: Exception) -> None:
        if isinstance(event.data, Ordered) and event.data.number == 666:
            await conn.execute(text("SELECT 1 / 0"))
        await self.outbox.add(conn, [Draft(Refused(number=0), event.subject, event.tenant_id)])

    async def _write(self, conn: AsyncConnection, what: str, events: Sequence[CloudEvent[Any]]) -> None:
        numbers = [event.data.number for event in events]
        self.calls.append((what, numbers))
        statement = text("INSERT INTO written (what, number) VALUES (:what, :number)")
        await conn.execute(statement, [{"what": what, "number": number} for number in numbers])
        for number in numbers:
            if number in self.breaks_on:
                raise self.breaks_on[number]
        if self.repeats:
            drafts = [Draft(Refused(number=1), e.subject, e.tenant_id, traceparent=e.traceparent) for e in events]
            await self.outbox.add(conn, drafts)

    async def written(self, what: str = "ordered") -> list[int]:
        async with self.engine.connect() as conn:
            statement = text("SELECT number FROM written WHERE what = :what ORDER BY n")
            return list((await conn.execute(statement, {"what": what})).scalars())

    async def said(self, event_type: str) -> list[dict[str, Any]]:
        async with self.engine.connect() as conn:
            found = (await conn.execute(text("SELECT value, headers, key FROM outbox ORDER BY n"))).mappings().all()
        return [
            json.loads(row["value"]) | {"headers_of_it": json.loads(row["headers"]), "key_of_it": row["key"]}
            for row in found
            if json.loads(row["headers"])["ce_type"] == event_type
        ]

    async def dead(self) -> list[dict[str, Any]]:
        return await self.said("dev.backlot.record.dead_lettered.v1")

    async def inbox(self) -> int:
        async with self.engine.connect() as conn:
            return int(await conn.scalar(text("SELECT count(*) FROM inbox")) or 0)


@pytest.fixture(autouse=True)
def _json_logs() -> None:
    configure_logging("test")


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[str]:
    """One database for the tests of this file."""
    name = f"test_{uuid7().hex}"
    postgres_server.execute(f"CREATE DATABASE {name} TEMPLATE template0")

    async def fill() -> None:
        engine = make_engine(postgres_server.url(name), name="test")
        await create_tables(engine)
        async with engine.begin() as conn:
            await conn.execute(text("CREATE TABLE written (n serial PRIMARY KEY, what text, number bigint)"))
        await engine.dispose()

    asyncio.run(fill())
    yield postgres_server.url(name)
    postgres_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    engine = make_engine(database, name="test", pool_size=4)
    await reset_tables(engine, "written")
    yield engine
    await engine.dispose()


@pytest.fixture
def shop(engine: AsyncEngine) -> Shop:
    return Shop(engine)


def order(number: int, **envelope: Any) -> FakeRecord:
    return record_of(event_of(Ordered(number=number), **envelope), offset=number)


def unpacked(base64: str | None) -> bytes | None:
    return None if base64 is None else b64decode(base64)


def without(record: FakeRecord, header: str) -> FakeRecord:
    return replace(record, headers=tuple(pair for pair in record.headers if pair[0] != header))


def with_header(record: FakeRecord, name: str, value: bytes | None) -> FakeRecord:
    changed = without(record, name)
    return replace(changed, headers=(*changed.headers, (name, value)))


async def test_a_batch_is_handled_in_order_with_one_call_for_each_type(shop: Shop) -> None:
    records = [order(1), record_of(event_of(Withdrawn(number=1))), order(2), order(3)]
    await shop.consumer()(records)
    assert shop.calls == [("ordered", [1, 2, 3]), ("withdrawn", [1])]
    assert await shop.written() == [1, 2, 3]
    assert shop.commits == 1


async def test_a_batch_that_comes_again_changes_nothing(shop: Shop) -> None:
    records = [order(n) for n in range(5)]
    consumer = shop.consumer()
    await consumer(records)
    await consumer(records)
    await shop.consumer()([order(9), *records])
    assert await shop.written() == [0, 1, 2, 3, 4, 9]


async def test_an_event_that_is_twice_in_a_batch_is_handled_once(shop: Shop) -> None:
    record = order(7)
    await shop.consumer()([record, order(8), replace(record, offset=99)])
    assert await shop.written() == [7, 8]


async def test_types_nobody_hears_are_passed_over_without_a_trace(shop: Shop) -> None:
    unheard = record_of(event_of(Browsed(page="x")))
    await shop.consumer()([unheard, replace(unheard, value=b"whatever it says"), order(1)])
    assert await shop.written() == [1]
    assert await shop.inbox() == 1
    assert await shop.dead() == []


async def test_structured_events_are_heard_too(shop: Shop) -> None:
    event = event_of(Ordered(number=4))
    body = {
        "specversion": "1.0",
        "id": str(event.id),
        "type": Ordered.type,
        "source": event.source,
        "subject": str(event.subject),
        "tenantid": str(event.tenant_id),
        "data": {"number": 4},
    }
    headers = (("content-type", b"application/cloudevents+json"),)
    unheard = json.dumps({**body, "id": str(uuid7()), "type": Browsed.type, "data": {}}).encode()
    records = [
        FakeRecord(ORDERS.name, json.dumps(body).encode(), headers),
        FakeRecord(ORDERS.name, unheard, headers, offset=1),
    ]
    await shop.consumer()(records)
    assert await shop.written() == [4]
    assert await shop.dead() == []


def foreign_records() -> dict[str, FakeRecord]:
    good = order(50)
    return {
        "tombstone": replace(good, value=None),
        "empty value": replace(good, value=b""),
        "not JSON": replace(good, value=b"\xff\xfe not json"),
        "no headers": replace(good, headers=()),
        "null header": with_header(good, "ce_id", None),
        "header not UTF-8": with_header(good, "ce_subject", b"\xff\xfe"),
        "unknown type": with_header(good, "ce_type", b"com.example.something.v1"),
        "wrong specversion": with_header(good, "ce_specversion", b"0.3"),
        "no id": without(good, "ce_id"),
        "id no UUID": with_header(good, "ce_id", b"42"),
        "id of another version": with_header(good, "ce_id", str(uuid4()).encode()),
        "type of another topic": with_header(good, "ce_type", Refused.type.encode()),
        "deeply nested": FakeRecord(ORDERS.name, b"[" * 200_000, (("content-type", b"application/cloudevents+json"),)),
        "lone surrogate": FakeRecord(
            ORDERS.name, b'{"specversion": "\\ud800"}', (("content-type", b"application/cloudevents+json"),)
        ),
    }


async def test_foreign_records_are_set_aside_whole_and_delay_nothing(shop: Shop) -> None:
    strangers = [replace(record, offset=n, partition=3) for n, record in enumerate(foreign_records().values())]
    await shop.consumer()([order(1), *strangers, order(2)])
    assert await shop.written() == [1, 2]
    letters = await shop.dead()
    for kind, stranger, dead in zip(foreign_records(), strangers, letters, strict=True):
        assert (dead["source_topic"], dead["partition"], dead["offset"]) == (ORDERS.name, 3, stranger.offset), kind
        assert dead["service"] == "shop"
        assert dead["error"], kind
        assert unpacked(dead["value_base64"]) == stranger.value, kind
        headers = [(header["name"], unpacked(header["value_base64"])) for header in dead["headers"]]
        assert headers == list(stranger.headers), kind


async def test_a_foreign_record_that_comes_again_is_set_aside_once(shop: Shop) -> None:
    stranger = replace(order(1), value=None)
    consumer = shop.consumer()
    await consumer([stranger])
    await consumer([stranger])
    assert len(await shop.dead()) == 1


async def test_foreign_records_never_halt_however_many_they_are(shop: Shop) -> None:
    strangers = [FakeRecord(ORDERS.name, b"garbage", offset=n) for n in range(300)]
    consumer = shop.consumer()
    await consumer([*strangers, order(1)])
    assert consumer.halted is None
    assert len(await shop.dead()) == 300
    assert await shop.written() == [1]


async def test_a_poisonous_event_is_isolated_and_its_job_told_in_one_transaction(shop: Shop) -> None:
    poison = event_of(Ordered(number=13))
    shop.breaks_on[13] = ZeroDivisionError("thirteen")
    await shop.consumer()([order(1), record_of(poison, offset=5), order(2)])
    assert await shop.written() == [1, 2]
    (dead,) = await shop.dead()
    assert (dead["error_type"], dead["error"], dead["offset"]) == ("ZeroDivisionError", "thirteen", 5)
    assert dead["key_of_it"] == str(poison.subject).encode()
    assert dead["headers_of_it"]["ce_tenantid"] == str(poison.tenant_id)
    (told,) = await shop.said(Refused.type)
    assert told["key_of_it"] == str(poison.subject).encode()


async def test_poison_that_comes_again_is_not_set_aside_twice(shop: Shop) -> None:
    shop.breaks_on[13] = ZeroDivisionError()
    records = [order(1), order(13)]
    consumer = shop.consumer()
    await consumer(records)
    await consumer(records)
    assert len(await shop.dead()) == 1
    assert len(await shop.said(Refused.type)) == 1


async def test_data_that_breaks_a_statement_is_poison_not_trouble(shop: Shop) -> None:
    await shop.consumer()([order(1), order(2**70), order(2)])
    assert await shop.written() == [1, 2]
    assert len(await shop.dead()) == 1


async def test_an_event_whose_data_does_not_fit_its_type_is_set_aside(shop: Shop) -> None:
    wrong = replace(order(3), value=b'{"number": "three"}')
    await shop.consumer()([order(1), wrong])
    (dead,) = await shop.dead()
    assert "number" in dead["error"]
    assert await shop.written() == [1]


async def test_a_broken_poison_hook_does_not_keep_the_event_from_being_set_aside(shop: Shop) -> None:
    shop.breaks_on[666] = ZeroDivisionError()
    await shop.consumer()([order(666), order(1)])
    assert len(await shop.dead()) == 1
    assert await shop.written() == [1]


async def test_an_id_older_than_the_inbox_is_set_aside_never_applied(shop: Shop) -> None:
    ancient = UUID("01700000-0000-7000-8000-000000000000")
    horizon = UUID("01800000-0000-0000-0000-000000000000")
    await shop.consumer(horizon=lambda: horizon)([order(1, id=ancient), order(2)])
    assert await shop.written() == [2]
    (dead,) = await shop.dead()
    assert "older" in dead["error"]
    assert await shop.said(Refused.type) == []


async def test_trouble_that_passes_asks_for_redelivery_and_changes_nothing(shop: Shop) -> None:
    shop.breaks_on[2] = Transient("the kit is not here yet")
    consumer = shop.consumer()
    records = [order(1), order(2)]
    with pytest.raises(RedeliverError):
        await consumer(records)
    assert await shop.written() == []
    assert await shop.inbox() == 0
    shop.breaks_on.clear()
    await consumer(records)
    assert await shop.written() == [1, 2]
    assert await shop.dead() == []


async def test_trouble_that_lasts_is_waited_for_longer_each_time(shop: Shop) -> None:
    shop.breaks_on[1] = Transient()
    consumer = shop.consumer(longest_backoff=30.0)
    waits = []
    for _ in range(4):
        begun = time.monotonic()
        with pytest.raises(RedeliverError):
            await consumer([order(1)])
        waits.append(time.monotonic() - begun)
    assert waits[0] >= 0.05
    assert waits[3] >= 0.4


async def test_trouble_while_poison_is_isolated_sets_nothing_aside(shop: Shop) -> None:
    shop.breaks_on = {1: ZeroDivisionError(), 2: Transient()}
    consumer = shop.consumer()
    records = [order(0), order(1), order(2)]
    with pytest.raises(RedeliverError):
        await consumer(records)
    assert await shop.dead() == []
    del shop.breaks_on[2]
    await consumer(records)
    assert await shop.written() == [0, 2]
    assert len(await shop.dead()) == 1


async def test_a_handler_that_breaks_on_everything_halts_and_loses_nothing(shop: Shop) -> None:
    shop.breaks_on = {n: KeyError("a bug") for n in range(100)}
    consumer = shop.consumer()
    records = [order(n) for n in range(100)]
    with pytest.raises(RedeliverError):
        await consumer(records)
    assert consumer.halted is not None
    assert "in a row" in consumer.halted
    assert await shop.dead() == []
    shop.breaks_on = {}
    await consumer(records)
    assert consumer.halted is None
    assert await shop.written() == list(range(100))


async def test_a_mended_operator_can_let_everything_be_set_aside(shop: Shop) -> None:
    shop.breaks_on = {n: KeyError("a bug") for n in range(40)}
    await shop.consumer(limits=HaltLimits(enabled=False))([order(n) for n in range(40)])
    assert len(await shop.dead()) == 40


async def test_our_own_types_with_wrong_data_count_towards_the_halt(shop: Shop) -> None:
    consumer = shop.consumer()
    with pytest.raises(RedeliverError):
        await consumer([replace(order(n), value=b"{}") for n in range(30)])
    assert consumer.halted is not None
    assert await shop.dead() == []


async def test_an_outsider_cannot_halt_us_with_wrong_data_of_a_type_we_know(engine: AsyncEngine) -> None:
    shop = Shop(engine, OUTSIDE)
    strangers = [replace(record_of(event_of(AskedFromOutside(number=n)), offset=n), value=b"{}") for n in range(100)]
    consumer = shop.consumer()
    await consumer([*strangers, record_of(event_of(AskedFromOutside(number=5)), offset=500)])
    assert consumer.halted is None
    assert len(await shop.dead()) == 100
    assert await shop.written() == [5]


async def test_scattered_poison_among_many_good_events_does_not_halt(shop: Shop) -> None:
    consumer = shop.consumer()
    shop.breaks_on = {n: ZeroDivisionError() for n in range(0, 500, 60)}
    await consumer([order(n) for n in range(500)])
    assert consumer.halted is None
    assert len(await shop.dead()) == 9
    assert len(await shop.written()) == 491


async def test_members_that_overlap_handle_each_event_once(shop: Shop) -> None:
    records = [order(n) for n in range(200)]

    async def member(mine: list[FakeRecord]) -> None:
        consumer = shop.consumer()
        while True:
            try:
                await consumer(mine)
            except RedeliverError:
                continue
            return

    await asyncio.gather(member(records), member(records[::-1]), member(records[50:150]))
    assert sorted(await shop.written()) == list(range(200))


async def test_a_record_too_large_for_a_dead_letter_is_set_aside_by_its_position(shop: Shop) -> None:
    huge = FakeRecord(ORDERS.name, b"x" * 4 * 1024 * 1024, offset=77)
    await shop.consumer()([huge, order(1)])
    (dead,) = await shop.dead()
    assert dead["value_base64"] is None
    assert dead["offset"] == 77
    assert "4194304 bytes" in dead["error"]
    assert await shop.written() == [1]


async def test_what_an_event_causes_carries_its_trace(shop: Shop) -> None:
    cause = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
    shop.breaks_on[13] = ZeroDivisionError()
    await shop.consumer()([order(13, traceparent=cause)])
    (dead,) = await shop.dead()
    assert dead["headers_of_it"]["traceparent"] == cause


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    tracing.setup_tracing("test", None, processor=SimpleSpanProcessor(exporter))
    yield exporter
    tracing.shutdown_tracing()


async def test_a_sampled_trace_goes_from_the_request_through_the_handler_to_what_it_says(
    shop: Shop, spans: InMemorySpanExporter
) -> None:
    shop.repeats = True
    with tracing.span("POST /jobs"):
        request = tracing.current_traceparent()
    await shop.consumer()([order(1, traceparent=request), order(2)])
    asked, handled = spans.get_finished_spans()
    assert asked.context is not None
    assert handled.context is not None
    assert handled.parent is not None
    assert handled.parent.span_id == asked.context.span_id
    first, second = await shop.said(Refused.type)
    trace, parent = f"{asked.context.trace_id:032x}", f"{handled.context.span_id:016x}"
    assert first["headers_of_it"]["traceparent"] == f"00-{trace}-{parent}-01"
    assert "traceparent" not in second["headers_of_it"]
