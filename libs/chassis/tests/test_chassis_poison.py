"""What can never be handled: isolated, set aside whole, told, and no delay for the others."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.consumer import RedeliverError
from chassis.errors import Transient
from chassis.halting import HaltLimits
from chassis.testing import FakeRecord, event_of, record_of
from chassis.tests.chassis_tables import _json_logs, database, engine
from chassis.tests.shop import (
    ORDERS,
    OUTSIDE,
    AskedFromOutside,
    Ordered,
    Refused,
    Shop,
    order,
    shop,
)

# pytest finds fixtures by their names in the module that uses them.
__all__ = ["_json_logs", "database", "engine", "shop"]

pytestmark = pytest.mark.integration


def unpacked(base64: str | None) -> bytes | None:
    return None if base64 is None else b64decode(base64)


def foreign(record: FakeRecord) -> FakeRecord:
    """The record as somebody else would write it."""
    return replace(
        without(record, "ce_source"), headers=(*without(record, "ce_source").headers, ("ce_source", b"/evil"))
    )


def without(record: FakeRecord, header: str) -> FakeRecord:
    return replace(record, headers=tuple(pair for pair in record.headers if pair[0] != header))


def with_header(record: FakeRecord, name: str, value: bytes | None) -> FakeRecord:
    changed = without(record, name)
    return replace(changed, headers=(*changed.headers, (name, value)))


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


async def test_whoever_writes_to_a_topic_of_ours_cannot_halt_us_with_its_types(shop: Shop) -> None:
    """Neither with data that does not fit nor with data that breaks the handler."""
    shop.breaks_on = dict.fromkeys(range(100, 160), ValueError("broken"))
    wrong = [foreign(replace(order(n), value=b"{}", offset=n)) for n in range(60)]
    breaking = [foreign(order(n)) for n in range(100, 160)]
    consumer = shop.consumer()
    await consumer([*wrong, *breaking, order(1)])
    assert consumer.halted is None
    assert await shop.written() == [1]
    assert len(await shop.dead()) == 120


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


async def test_a_record_too_large_for_a_dead_letter_is_set_aside_by_its_position(shop: Shop) -> None:
    huge = FakeRecord(ORDERS.name, b"x" * 4 * 1024 * 1024, offset=77)
    await shop.consumer()([huge, order(1)])
    (dead,) = await shop.dead()
    assert dead["value_base64"] is None
    assert dead["offset"] == 77
    assert "4194304 bytes" in dead["error"]
    assert await shop.written() == [1]
