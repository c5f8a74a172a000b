"""What the ledger says to what it hears: records in, outbox rows out, on a real PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeAlias
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.consumer import BatchConsumer
from chassis.database import make_engine, migrate
from chassis.ids import uuid7
from chassis.metrics import REGISTRY
from chassis.outbox import Outbox
from cost_ledger.events import subscription
from schemas.cloudevents import CloudEvent, encode
from schemas.event import Event
from schemas.events import (
    GenerationCancelled,
    GenerationCompleted,
    GenerationFailed,
    GenerationQuoted,
    GenerationSettled,
)
from schemas.generations import ItemEvent
from schemas.parts import AssetContext, Billing, ErrorCode, Fit, Kind, Lineage, QuotedItem, Stage
from schemas.topics import GENERATIONS

pytestmark = pytest.mark.integration

TENANT, USER = uuid7(), uuid7()
PRICE = 40_000
BILLED = Billing(state="final", amount_micros=PRICE)
FREE = Billing(state="none")
UNKNOWN = Billing(state="pending")
TRACE = f"00-{'a' * 32}-{'b' * 16}-01"

Heard: TypeAlias = GenerationQuoted | ItemEvent


@dataclass
class Record:
    """A Kafka record as the consumer reads it."""

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]
    topic: str = GENERATIONS.name
    partition: int = 0
    offset: int = 0
    timestamp: int = 0


@dataclass
class Ledger:
    """The ledger's consumer, and what it has said."""

    engine: AsyncEngine
    consumer: BatchConsumer
    seen: int = field(default=0)

    async def hear(self, *events: Heard, tenant: UUID = TENANT) -> list[dict[str, Any]]:
        """Handles `events` as one Kafka batch; answers what was said because of it."""
        await self.consumer([record(event, tenant) for event in events])
        async with self.engine.begin() as conn:
            rows = await conn.execute(
                text("SELECT n, headers, value FROM outbox WHERE n > :n ORDER BY n"), {"n": self.seen}
            )
            said = rows.all()
        self.seen = said[-1].n if said else self.seen
        return [_told(row.headers, row.value) for row in said]


def _told(headers: str, value: bytes) -> dict[str, Any]:
    attributes = json.loads(headers)
    kind = attributes["ce_type"].removeprefix("dev.backlot.").removesuffix(".v1")
    return {
        "type": kind,
        "subject": attributes["ce_subject"],
        "trace": attributes.get("traceparent"),
        **json.loads(value),
    }


def record(event: Heard, tenant: UUID) -> Record:
    envelope: CloudEvent[Event] = CloudEvent(
        uuid7(), "/services/provider-worker", event.job_id, tenant, datetime.now(UTC), event, TRACE
    )
    return Record(*encode(envelope))


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    await migrate(database_url, "cost_ledger")
    engine = make_engine(database_url, name="cost-ledger")
    outbox = Outbox("/services/cost-ledger")
    heard = subscription(outbox, default_limit=10 * PRICE)
    yield Ledger(engine, BatchConsumer(engine, outbox, heard, service="cost-ledger"))
    await engine.dispose()


def quoted(job: UUID, *items: int, attempt: int = 1, amount: int = PRICE, **more: Any) -> GenerationQuoted:
    prices = [QuotedItem(number=item, provider="sandbox", model="draw-1", amount_micros=amount) for item in items]
    values = {"user_id": USER, "currency": "USD", "price_version": "1", **more}
    return GenerationQuoted(job_id=job, attempt=attempt, items=prices, **values)


LINEAGE = Lineage(
    template="t", template_version="v1.0", template_sha256="0", prompt_sha256="0", provider="other", model="draw-2"
)


def completed(job: UUID, item: int = 1, *, billing: Billing = BILLED) -> GenerationCompleted:
    return GenerationCompleted(
        job_id=job,
        item=item,
        attempt=1,
        outputs=[],
        fit=Fit(native_width=1, native_height=1, method="none"),
        billing=billing,
        logical_name="a.png",
        lineage=LINEAGE,
        asset_context=AssetContext(user_id=USER, kind=Kind.IMAGE),
    )


def failed(job: UUID, *, attempt: int = 1, billing: Billing = FREE, provider: str | None = None) -> GenerationFailed:
    return GenerationFailed(
        job_id=job,
        item=1,
        attempt=attempt,
        code=ErrorCode.PROVIDER_ERROR,
        message="it failed",
        stage=Stage.GENERATING,
        final=True,
        billing=billing,
        provider=provider,
        model=provider,
    )


def cancelled(job: UUID, item: int = 1, *, attempt: int = 1) -> GenerationCancelled:
    return GenerationCancelled(
        job_id=job, item=item, attempt=attempt, message="stopped", stage=Stage.GENERATING, billing=FREE
    )


def settled(job: UUID, billing: Billing) -> GenerationSettled:
    return GenerationSettled(job_id=job, item=1, attempt=1, billing=billing, evidence="the provider's list")


async def test_a_quote_is_answered_with_one_reservation_on_its_jobs_key_and_trace(ledger: Ledger) -> None:
    job = uuid7()
    assert await ledger.hear(quoted(job, 1, 2, 3)) == [
        {
            "type": "cost.reserved",
            "subject": str(job),
            "trace": TRACE,
            "job_id": str(job),
            "attempt": 1,
            "items": [1, 2, 3],
            "amount_micros": 3 * PRICE,
            "currency": "USD",
        }
    ]


async def test_a_quote_over_the_budget_is_refused_whole_with_what_is_left(ledger: Ledger) -> None:
    job = uuid7()
    await ledger.hear(quoted(uuid7(), 1))
    (refused,) = await ledger.hear(quoted(job, *range(1, 11)))
    assert refused["type"] == "cost.budget_refused"
    assert (refused["cap"], refused["limit_micros"], refused["left_micros"]) == ("budget", 10 * PRICE, 9 * PRICE)
    assert refused["amount_micros"] == 10 * PRICE
    assert refused["items"] == list(range(1, 11))


async def test_a_quote_over_the_jobs_max_cost_is_refused_and_counts_what_was_spent(ledger: Ledger) -> None:
    job = uuid7()
    await ledger.hear(quoted(job, 1, max_cost_micros=PRICE), completed(job))
    (refused,) = await ledger.hear(quoted(job, 1, attempt=2, amount=1, max_cost_micros=PRICE))
    assert (refused["type"], refused["cap"], refused["left_micros"]) == ("cost.budget_refused", "max_cost", 0)


async def test_a_finished_attempt_is_recorded_with_who_made_it(ledger: Ledger) -> None:
    job = uuid7()
    await ledger.hear(quoted(job, 1))
    (recorded,) = await ledger.hear(completed(job, billing=Billing(state="final", amount_micros=PRICE + 7)))
    assert recorded["type"] == "cost.recorded"
    assert (recorded["captured_micros"], recorded["released_micros"], recorded["excess_micros"]) == (PRICE, 0, 7)
    assert (recorded["provider"], recorded["model"]) == ("other", "draw-2")


async def test_a_cancelled_attempt_gives_its_whole_hold_back(ledger: Ledger) -> None:
    job = uuid7()
    await ledger.hear(quoted(job, 1, 2))
    (recorded,) = await ledger.hear(cancelled(job, 2))
    assert (recorded["item"], recorded["captured_micros"], recorded["released_micros"]) == (2, 0, PRICE)
    assert recorded["provider"] == "sandbox"


async def test_an_unknown_bill_keeps_the_hold_and_is_recorded_when_it_is_settled(ledger: Ledger) -> None:
    job = uuid7()
    assert len(await ledger.hear(quoted(job, 1), failed(job, billing=UNKNOWN, provider="other"))) == 1
    (recorded,) = await ledger.hear(settled(job, Billing(state="final", amount_micros=PRICE)))
    assert (recorded["type"], recorded["captured_micros"], recorded["provider"]) == ("cost.recorded", PRICE, "other")


@pytest.mark.parametrize("before_the_end", [False, True], ids=["after", "in the batch of the end"])
async def test_a_second_word_on_a_closed_bill_moves_no_money_and_says_nothing(
    ledger: Ledger, before_the_end: bool
) -> None:
    """What a redownload says again of an attempt whose bill was final."""
    job, paid = uuid7(), Billing(state="final", amount_micros=PRICE // 2)
    again = settled(job, paid)
    await ledger.hear(quoted(job, 1))
    said = await ledger.hear(failed(job, billing=paid), *([again, again] if before_the_end else []))
    assert [event["type"] for event in said] == ["cost.recorded"]
    before = await money(ledger)
    contradictions = REGISTRY.get_sample_value("backlot_ledger_contradictions_total")
    assert await ledger.hear(again) == []
    assert await money(ledger) == before
    assert REGISTRY.get_sample_value("backlot_ledger_contradictions_total") == contradictions


async def money(ledger: Ledger) -> list[Any]:
    """Every transfer and what is taken of the budget."""
    async with ledger.engine.begin() as conn:
        transfers = await conn.execute(text("SELECT kind, amount_micros FROM transfer ORDER BY kind"))
        budgets = await conn.execute(text("SELECT reserved_micros, captured_micros FROM budget"))
        return [*transfers.all(), *budgets.all()]


async def test_an_item_that_was_never_quoted_has_no_money_in_it(ledger: Ledger) -> None:
    assert await ledger.hear(cancelled(uuid7(), attempt=0)) == []


async def test_the_end_of_a_refused_attempt_is_not_recorded(ledger: Ledger) -> None:
    job = uuid7()
    await ledger.hear(quoted(job, 1, amount=11 * PRICE))
    assert await ledger.hear(failed(job)) == []


async def test_an_outcome_before_its_quote_is_remembered(ledger: Ledger) -> None:
    job = uuid7()
    assert await ledger.hear(completed(job)) == []
    assert [event["type"] for event in await ledger.hear(quoted(job, 1))] == ["cost.reserved", "cost.recorded"]


async def test_what_a_batch_frees_its_quotes_can_hold(ledger: Ledger) -> None:
    first, second = uuid7(), uuid7()
    await ledger.hear(quoted(first, 1, amount=10 * PRICE))
    said = await ledger.hear(quoted(second, 1, amount=10 * PRICE), cancelled(first))
    assert [event["type"] for event in said] == ["cost.recorded", "cost.reserved"]


async def test_an_event_told_again_under_another_id_changes_nothing(ledger: Ledger) -> None:
    job = uuid7()
    (first,) = await ledger.hear(quoted(job, 1))
    assert await ledger.hear(quoted(job, 1)) == [first]
    await ledger.hear(completed(job))
    assert await ledger.hear(completed(job), quoted(job, 1)) == []


async def test_each_threshold_is_told_once_as_spending_reaches_it(ledger: Ledger) -> None:
    told = []
    for _ in range(10):
        job = uuid7()
        said = await ledger.hear(quoted(job, 1), completed(job))
        told += [(event["percent"], event["spent_micros"] // PRICE) for event in said if "percent" in event]
    assert told == [(50, 5), (80, 8), (100, 10)]


async def test_a_quote_in_a_currency_without_a_budget_is_refused(ledger: Ledger) -> None:
    (refused,) = await ledger.hear(quoted(uuid7(), 1, currency="EUR"))
    assert (refused["type"], refused["currency"], refused["left_micros"]) == ("cost.budget_refused", "EUR", 0)


async def test_an_unreadable_quote_is_set_aside_and_refused_so_that_nobody_waits(ledger: Ledger) -> None:
    bad, good = uuid7(), uuid7()
    said = await ledger.hear(quoted(bad, 1, 1), quoted(good, 1))
    assert [(event["type"], event["subject"]) for event in said if event["type"] != "record.dead_lettered"] == [
        ("cost.reserved", str(good)),
        ("cost.budget_refused", str(bad)),
    ]
    assert [event["error"] for event in said if event["type"] == "record.dead_lettered"] == [
        "the quote names an item twice"
    ]


async def test_another_tenant_can_neither_bill_nor_fail_a_job(ledger: Ledger) -> None:
    job = uuid7()
    await ledger.hear(quoted(job, 1))
    said = await ledger.hear(quoted(job, 1), completed(job), tenant=uuid7())
    assert {event["type"] for event in said} == {"record.dead_lettered"}
    assert [event["type"] for event in await ledger.hear(completed(job))] == ["cost.recorded"]
