"""The comparison of all books: what it finds, and that it goes through every tenant."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from chassis.metrics import REGISTRY
from cost_ledger.reconciliation import Books, Reconciler, differences

SOUND = Books(
    tenant_id=UUID(int=1),
    budget_reserved=30,
    budget_captured=70,
    debit=200,
    credit=200,
    reserved=30,
    spent=70,
    cost=70,
    variance=5,
    payable=75,
    held=30,
    holds=2,
    pending=1,
    oldest_seconds=9.0,
)


def test_sound_books_have_no_difference() -> None:
    assert differences(SOUND) == []


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        (replace(SOUND, debit=201), ["debit and credit: 201 and 200"]),
        (replace(SOUND, held=29), ["the budget's reserved and the open holds: 30 and 29"]),
        (replace(SOUND, reserved=31), ["the budget's reserved and the account reserved: 30 and 31"]),
        (replace(SOUND, budget_captured=71), ["the budget's captured and the account spent: 71 and 70"]),
        (replace(SOUND, cost=69, payable=74), ["what the tenant spent and what it cost: 70 and 69"]),
        (replace(SOUND, variance=6), ["what is owed and its cost with the variance: 75 and 76"]),
    ],
)
def test_each_difference_is_named_with_both_amounts(wrong: Books, found: list[str]) -> None:
    assert differences(wrong) == found


async def test_a_round_reads_every_tenant_page_by_page_and_publishes_the_sums() -> None:
    tenants = [replace(SOUND, tenant_id=UUID(int=number)) for number in range(1, 6)]
    tenants[3] = replace(tenants[3], held=0, oldest_seconds=60.0)

    async def read_page(after: UUID, limit: int) -> list[Books]:
        return [books for books in tenants if books.tenant_id > after][:limit]

    reconciler = Reconciler(read_page, page=2)
    assert [await reconciler.step() for _ in range(3)] == [True, True, False]
    assert published("backlot_ledger_reconciled_tenants") == 5
    assert published("backlot_ledger_differences") == 1
    assert published("backlot_ledger_holds", state="pending") == 5
    assert published("backlot_ledger_oldest_hold_seconds") == 60
    assert published("backlot_ledger_balance_micros", account="payable") == 5 * 75

    del tenants[1:]
    assert await reconciler.step() is False
    assert published("backlot_ledger_reconciled_tenants") == 1
    assert published("backlot_ledger_differences") == 0


def published(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)
