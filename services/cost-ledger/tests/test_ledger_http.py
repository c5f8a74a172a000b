"""What the ledger answers to other services, over HTTP and a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.database import make_engine, migrate
from chassis.errors import Forbidden, Invalid, NotFound, Unauthenticated
from chassis.http import Context, InternalClient
from chassis.ids import uuid7
from chassis.outbox import Outbox
from cost_ledger import http, store
from cost_ledger.accounts import Key
from cost_ledger.attempts import Bill
from cost_ledger.ledger import Command, Outcome, Price, Quote, post

pytestmark = pytest.mark.integration

SECRET = SecretStr("a secret of the tests")
URL = "http://cost-ledger"
LIMIT = 1_000
TENANT, USER = uuid7(), uuid7()
OWNER = Context(TENANT, USER, frozenset({"billing:write"}))


@dataclass
class Ledger:
    """The internal API, and the books behind it."""

    engine: AsyncEngine
    app: FastAPI
    client: InternalClient

    async def get(self, path: str, context: Context = OWNER, **params: Any) -> Any:
        return await self.client.request("GET", path, context=context, params=params)

    async def put(self, path: str, body: Any, context: Context = OWNER) -> Any:
        return await self.client.request("PUT", path, context=context, json=body)

    async def apply(self, *commands: Command) -> None:
        async with self.engine.begin() as conn:
            book = await store.open_book(conn, commands, default_limit=LIMIT)
            await store.write(conn, post(book, commands))


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    await migrate(database_url, "cost_ledger")
    engine = make_engine(database_url, name="cost-ledger")
    app = http.make(engine, Outbox("/services/cost-ledger"), secret=SECRET, default_limit=LIMIT)
    client = InternalClient("cost-ledger", URL, SECRET, transport=httpx.ASGITransport(app))
    yield Ledger(engine, app, client)
    await client.stop()
    await engine.dispose()


def quote(job: UUID, amount: int, *, tenant: UUID = TENANT) -> Quote:
    return Quote(tenant, USER, job, 1, (Price(1, "sandbox", "draw-1", amount),))


def billed(job: UUID, amount: int) -> Outcome:
    return Outcome(TENANT, Key(job, 1, 1), Bill("final", amount))


async def test_a_tenant_begins_with_the_default_budget(ledger: Ledger) -> None:
    budget = await ledger.get("/v1/budgets")
    assert (budget["limit_micros"], budget["available_micros"], budget["period"]) == (LIMIT, LIMIT, "total")
    assert (await ledger.get("/v1/budgets"))["id"] == budget["id"]


async def test_a_budget_shows_what_is_held_and_spent_of_it(ledger: Ledger) -> None:
    held, spent = uuid7(), uuid7()
    await ledger.apply(quote(held, 300), quote(spent, 200), billed(spent, 150))
    budget = await ledger.get("/v1/budgets")
    assert (budget["reserved_micros"], budget["spent_micros"], budget["available_micros"]) == (300, 150, 550)


async def test_a_limit_below_what_is_taken_stops_new_holds_and_keeps_the_old(ledger: Ledger) -> None:
    job = uuid7()
    await ledger.apply(quote(job, 600))
    budget = await ledger.put("/v1/budgets", {"limit_micros": 100})
    assert (budget["limit_micros"], budget["reserved_micros"], budget["available_micros"]) == (100, 600, 0)
    await ledger.apply(quote(uuid7(), 1), billed(job, 90))
    budget = await ledger.get("/v1/budgets")
    assert (budget["reserved_micros"], budget["spent_micros"], budget["available_micros"]) == (0, 90, 10)


async def test_a_lower_limit_tells_the_thresholds_that_spending_has_thereby_reached(ledger: Ledger) -> None:
    job = uuid7()
    await ledger.apply(quote(job, 300), billed(job, 300))
    await ledger.put("/v1/budgets", {"limit_micros": 370})
    assert await told(ledger) == [50, 80]
    await ledger.put("/v1/budgets", {"limit_micros": 370})
    assert await told(ledger) == [50, 80]


async def test_a_higher_limit_arms_its_thresholds_again(ledger: Ledger) -> None:
    job = uuid7()
    await ledger.apply(quote(job, 600), billed(job, 600))
    await ledger.put("/v1/budgets", {"limit_micros": 2_000})
    await ledger.put("/v1/budgets", {"limit_micros": 1_200})
    assert await told(ledger) == [50]


async def told(ledger: Ledger) -> list[int]:
    async with ledger.engine.begin() as conn:
        rows = await conn.scalars(
            text("SELECT (convert_from(value, 'UTF8')::jsonb -> 'percent')::int FROM outbox ORDER BY n")
        )
        return list(rows)


async def test_only_who_may_write_billing_changes_a_budget(ledger: Ledger) -> None:
    with pytest.raises(Forbidden):
        await ledger.put("/v1/budgets", {"limit_micros": 1}, Context(TENANT, USER))


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"limit_micros": -1}, "/limit_micros"),
        ({"limit_micros": 1.5}, "/limit_micros"),
        ({"limit_micros": 10**30}, "/limit_micros"),
        ({"limit_micros": 1, "currency": "EUR"}, "/currency"),
        ({"limit_micros": 1, "limits": 2}, "/limits"),
        ({}, "/limit_micros"),
    ],
)
async def test_a_bad_budget_is_refused_with_the_field_at_fault(ledger: Ledger, body: Any, pointer: str) -> None:
    with pytest.raises(Invalid) as refused:
        await ledger.put("/v1/budgets", body)
    assert [error.pointer for error in refused.value.errors] == [pointer]


async def test_a_jobs_entries_are_shown_to_its_owner_and_balance(ledger: Ledger) -> None:
    job = uuid7()
    await ledger.apply(quote(job, 300), billed(job, 310))
    shown = await ledger.get("/v1/ledger", job_id=str(job))
    assert [(one["held_micros"], one["captured_micros"], one["excess_micros"]) for one in shown["attempts"]] == [
        (300, 300, 10)
    ]
    assert sum(entry["debit_micros"] - entry["credit_micros"] for entry in shown["entries"]) == 0
    assert {(entry["kind"], entry["account"], entry["provider"]) for entry in shown["entries"]} == {
        ("hold", "available", None),
        ("hold", "reserved", None),
        ("capture", "reserved", None),
        ("capture", "spent", None),
        ("bill", "cost", "sandbox"),
        ("bill", "payable", "sandbox"),
        ("excess", "variance", "sandbox"),
        ("excess", "payable", "sandbox"),
    }


@pytest.mark.parametrize(
    "context",
    [
        pytest.param(Context(uuid7(), USER, frozenset({"tenant:read"})), id="another tenant"),
        pytest.param(Context(TENANT, uuid7()), id="another user"),
    ],
)
async def test_a_jobs_entries_are_hidden_from_others(ledger: Ledger, context: Context) -> None:
    job = uuid7()
    await ledger.apply(quote(job, 300))
    with pytest.raises(NotFound):
        await ledger.get("/v1/ledger", context, job_id=str(job))


async def test_a_colleague_who_may_read_the_whole_tenant_sees_a_jobs_entries(ledger: Ledger) -> None:
    job = uuid7()
    await ledger.apply(quote(job, 300))
    shown = await ledger.get("/v1/ledger", Context(TENANT, uuid7(), frozenset({"tenant:read"})), job_id=str(job))
    assert len(shown["entries"]) == 2


async def test_reconciliation_shows_how_the_tenants_books_stand(ledger: Ledger) -> None:
    held, spent = uuid7(), uuid7()
    await ledger.apply(quote(held, 300), quote(spent, 200), billed(spent, 150), quote(uuid7(), 7, tenant=uuid7()))
    shown = await ledger.get("/v1/reconciliation")
    assert (shown["held_micros"], shown["captured_micros"], shown["payable_micros"]) == (300, 150, 150)
    assert shown["debit"] == shown["credit"] == 300 + 200 + 150 + 50 + 150
    assert shown["differences"] == []


async def test_the_books_of_a_tenant_without_any_are_empty(ledger: Ledger) -> None:
    shown = await ledger.get("/v1/reconciliation")
    assert (shown["held_micros"], shown["captured_micros"], shown["debit"], shown["credit"]) == (0, 0, 0, 0)


async def test_nothing_is_answered_without_a_context_signed_by_a_service(ledger: Ledger) -> None:
    stranger = InternalClient("cost-ledger", URL, "another secret", transport=httpx.ASGITransport(ledger.app))
    with pytest.raises(Unauthenticated):
        await stranger.request("GET", "/v1/budgets", context=OWNER)
    await stranger.stop()
