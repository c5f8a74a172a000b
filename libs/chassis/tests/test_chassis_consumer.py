"""The batch consumer: one transaction for a batch, poison isolated, foreign records set aside, trouble waited for."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from chassis import tracing
from chassis.consumer import BatchConsumer, RedeliverError, Subscription
from chassis.errors import Transient
from chassis.ids import uuid7
from chassis.testing import FakeRecord, event_of, record_of
from chassis.tests.chassis_tables import _json_logs, database, engine
from chassis.tests.shop import (
    ORDERS,
    Browsed,
    Ordered,
    Refused,
    Shop,
    Withdrawn,
    order,
    shop,
)

# pytest finds fixtures by their names in the module that uses them.
__all__ = ["_json_logs", "database", "engine", "shop"]

pytestmark = pytest.mark.integration


async def test_a_batch_is_handled_in_order_with_one_call_for_each_type(shop: Shop) -> None:
    records = [order(1), record_of(event_of(Withdrawn(number=1))), order(2), order(3)]
    await shop.consumer()(records)
    assert shop.calls == [("ordered", [1, 2, 3]), ("withdrawn", [1])]
    assert await shop.written() == [1, 2, 3]
    assert shop.commits == 1


async def test_a_handler_of_several_types_is_called_once_with_all_of_them_in_order(shop: Shop) -> None:
    records = [order(1), record_of(event_of(Withdrawn(number=1))), order(2)]
    subscription = Subscription(ORDERS, {Ordered: shop.on_ordered, Withdrawn: shop.on_ordered})
    await BatchConsumer(shop.engine, shop.outbox, subscription, service="shop")(records)
    assert shop.calls == [("ordered", [1, 1, 2])]


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
