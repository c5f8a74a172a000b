"""The ledger's books on a real PostgreSQL: what is written, what is refused, and what a race comes to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.database import make_engine, migrate, tenant_transaction
from chassis.ids import uuid7
from cost_ledger import store
from cost_ledger.accounts import Account, Key, Kind
from cost_ledger.attempts import Bill, Budget
from cost_ledger.ledger import Answer, Book, Command, Outcome, Price, Quote, Recorded, Refused, Reserved, post
from cost_ledger.reconciliation import Books, differences

pytestmark = pytest.mark.integration

TENANT, STRANGER, USER = uuid7(), uuid7(), uuid7()
PRICE = 40_000


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    await migrate(database_url, "cost_ledger")
    engine = make_engine(database_url, name="cost-ledger", pool_size=32)
    yield engine
    await engine.dispose()


def quote(*, tenant: UUID = TENANT, items: int = 1, amount: int = PRICE, attempt: int = 1) -> Quote:
    prices = tuple(Price(item, "sandbox", "draw-1", amount) for item in range(1, items + 1))
    return Quote(tenant, USER, uuid7(), attempt, prices)


def outcome(quoted: Quote, bill: Bill, *, item: int = 1) -> Outcome:
    return Outcome(quoted.tenant_id, Key(quoted.job_id, item, quoted.attempt), bill)


async def apply(engine: AsyncEngine, *commands: Command, limit: int = 10**12) -> list[Answer]:
    async with engine.begin() as conn:
        book = await store.open_book(conn, commands, default_limit=limit)
        posting = post(book, commands)
        await store.write(conn, posting)
    return [answer for _, answer in posting.answers]


async def books_of(engine: AsyncEngine, tenant: UUID = TENANT) -> Books:
    async with engine.begin() as conn:
        books = await store.read_books(conn, tenant)
    assert books is not None
    return books


async def budget_of(engine: AsyncEngine, tenant: UUID = TENANT) -> Budget:
    async with engine.begin() as conn:
        budget = await store.read_budget(conn, tenant)
    assert budget is not None
    return budget


async def test_a_quote_is_held_and_its_bill_captured_with_the_rest_released(engine: AsyncEngine) -> None:
    asked = quote(items=3)
    assert await apply(engine, asked) == [Reserved(TENANT, asked.job_id, 1, (1, 2, 3), 3 * PRICE)]
    bills = [Bill("final", PRICE), Bill("final", PRICE - 1_000, "other", "draw-2"), Bill("none")]
    recorded = await apply(engine, *(outcome(asked, bill, item=item) for item, bill in enumerate(bills, 1)))
    assert [(one.captured, one.released, one.provider) for one in recorded if isinstance(one, Recorded)] == [
        (PRICE, 0, "sandbox"),
        (PRICE - 1_000, 1_000, "other"),
        (0, PRICE, "sandbox"),
    ]
    books = await books_of(engine)
    assert (books.held, books.spent, books.payable, books.variance) == (0, 2 * PRICE - 1_000, 2 * PRICE - 1_000, 0)
    assert differences(books) == []


async def test_what_is_billed_beyond_a_hold_is_variance_and_not_the_tenants(engine: AsyncEngine) -> None:
    asked = quote()
    recorded = (await apply(engine, asked, outcome(asked, Bill("final", PRICE + 5))))[-1]
    assert isinstance(recorded, Recorded)
    assert (recorded.captured, recorded.excess) == (PRICE, 5)
    books = await books_of(engine)
    assert (books.spent, books.variance, books.payable) == (PRICE, 5, PRICE + 5)
    assert differences(books) == []


async def test_a_pending_bill_keeps_the_hold_until_it_is_settled(engine: AsyncEngine) -> None:
    asked = quote()
    await apply(engine, asked, outcome(asked, Bill("pending", provider="other", model="draw-2")))
    books = await books_of(engine)
    assert (books.held, books.pending) == (PRICE, 1)
    recorded = (await apply(engine, outcome(asked, Bill("final", 7))))[0]
    assert recorded == Recorded(TENANT, Key(asked.job_id, 1, 1), 7, PRICE - 7, 0, "other", "draw-2")
    assert (await books_of(engine)).held == 0


async def test_an_outcome_that_comes_before_its_quote_is_applied_when_the_quote_comes(engine: AsyncEngine) -> None:
    asked = quote()
    assert await apply(engine, outcome(asked, Bill("final", PRICE))) == []
    answers = await apply(engine, asked)
    assert [type(answer) for answer in answers] == [Reserved, Recorded]
    assert (await budget_of(engine)).captured == PRICE


async def test_a_repeated_quote_changes_nothing_and_is_answered_again(engine: AsyncEngine) -> None:
    asked = quote(items=2)
    first = await apply(engine, asked)
    before = await books_of(engine)
    assert await apply(engine, asked) == first
    assert replace(await books_of(engine), oldest_seconds=before.oldest_seconds) == before


async def test_a_repeated_outcome_changes_nothing(engine: AsyncEngine) -> None:
    asked = quote()
    closed = outcome(asked, Bill("final", PRICE))
    await apply(engine, asked, closed)
    before = await books_of(engine)
    assert await apply(engine, closed) == []
    assert await books_of(engine) == before


async def test_a_batch_holds_what_fits_in_the_order_it_came(engine: AsyncEngine) -> None:
    small, large, last = quote(amount=40), quote(amount=70), quote(amount=60)
    answers = await apply(engine, small, large, last, limit=100)
    assert [type(answer) for answer in answers] == [Reserved, Refused, Reserved]
    refused = answers[1]
    assert isinstance(refused, Refused)
    assert (refused.refusal.cap, refused.refusal.limit, refused.refusal.left) == ("budget", 100, 60)


async def test_a_quote_is_refused_when_its_job_would_pass_its_own_max_cost(engine: AsyncEngine) -> None:
    first = replace(quote(amount=60), max_cost=100)
    await apply(engine, first, outcome(first, Bill("final", 50)))
    second = replace(first, attempt=2, prices=(Price(1, "sandbox", "draw-1", 51),))
    refused = (await apply(engine, second))[0]
    assert isinstance(refused, Refused)
    assert (refused.refusal.cap, refused.refusal.limit, refused.refusal.left) == ("max_cost", 100, 50)
    fitting = replace(second, attempt=3, prices=(Price(1, "sandbox", "draw-1", 50),))
    assert isinstance((await apply(engine, fitting))[0], Reserved)


async def test_another_tenants_job_cannot_be_billed(engine: AsyncEngine) -> None:
    asked = quote()
    await apply(engine, asked)
    forged = replace(outcome(asked, Bill("final", PRICE)), tenant_id=STRANGER)
    with pytest.raises(Exception, match="another tenant"):
        await apply(engine, forged)
    assert (await books_of(engine)).held == PRICE


async def test_four_hundred_racing_quotes_at_a_limit_for_fifty_hold_exactly_fifty(engine: AsyncEngine) -> None:
    asked = [quote() for _ in range(400)]
    answers = await race(engine, asked, limit=50 * PRICE)
    held = [one for one, answer in zip(asked, answers, strict=True) if isinstance(answer, Reserved)]
    assert len(held) == 50
    assert (await budget_of(engine)).left == 0
    assert differences(await books_of(engine)) == []

    await race(engine, [outcome(one, Bill("none")) for one in held], limit=50 * PRICE)
    again = await race(engine, [quote() for _ in range(50)], limit=50 * PRICE)
    assert all(isinstance(answer, Reserved) for answer in again)


async def race(engine: AsyncEngine, commands: Sequence[Command], *, limit: int) -> list[Answer]:
    """One transaction for each command, over 32 connections at once."""
    waiting = iter(list(enumerate(commands)))
    answers: dict[int, Answer] = {}

    async def run() -> None:
        for place, command in waiting:
            answers[place] = (await apply(engine, command, limit=limit))[0]

    await asyncio.gather(*(run() for _ in range(32)))
    return [answers[place] for place in range(len(commands))]


async def test_batches_that_share_new_and_known_tenants_do_not_stop_each_other(engine: AsyncEngine) -> None:
    tenants = [uuid7() for _ in range(40)]

    async def batches(number: int) -> None:
        order = tenants[number::2] + tenants[: number + 10]
        for _ in range(5):
            asked = [quote(tenant=tenant) for tenant in (order if number % 2 else reversed(order))]
            await apply(engine, *asked)

    await asyncio.gather(*(batches(number) for number in range(16)))
    for tenant in tenants:
        assert differences(await books_of(engine, tenant)) == []


async def test_a_batch_that_dies_before_its_commit_leaves_nothing_and_can_be_made_again(engine: AsyncEngine) -> None:
    asked = quote()
    await apply(engine, quote())
    before = await books_of(engine)
    with pytest.raises(DBAPIError):
        await write_and_die(engine, asked)
    assert (await books_of(engine)).held == before.held
    assert isinstance((await apply(engine, asked))[0], Reserved)
    assert (await books_of(engine)).held == 2 * PRICE


async def write_and_die(engine: AsyncEngine, command: Command) -> None:
    async with engine.begin() as conn, engine.connect() as killer:
        book = await store.open_book(conn, [command], default_limit=0)
        await store.write(conn, post(book, [command]))
        pid = await conn.scalar(text("SELECT pg_backend_pid()"))
        await killer.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE transfer SET amount_micros = 1",
        "DELETE FROM transfer",
        "TRUNCATE transfer",
        "INSERT INTO transfer SELECT * FROM transfer",
        "UPDATE budget SET captured_micros = limit_micros + 1",
        "UPDATE budget SET reserved_micros = -1",
    ],
)
async def test_the_database_itself_refuses_to_change_history_or_to_overspend(
    engine: AsyncEngine, statement: str
) -> None:
    await apply(engine, quote())
    with pytest.raises(DBAPIError, match=r"append-only|violates"):
        async with engine.begin() as conn:
            await conn.execute(text(statement))


async def test_a_posting_made_from_a_stale_book_cannot_overspend(engine: AsyncEngine) -> None:
    await apply(engine, quote(amount=60), limit=100)
    late = quote(amount=60)
    stale = Budget((await budget_of(engine)).id, TENANT, 100)
    posting = post(Book({TENANT: stale}, {}), [late])
    with pytest.raises(store.CapBroken):
        async with engine.begin() as conn:
            await store.write(conn, posting)
    assert (await budget_of(engine)).reserved == 60


async def test_transfers_keep_the_accounts_they_took_from_and_gave_to(engine: AsyncEngine) -> None:
    asked = quote()
    await apply(engine, asked)
    await apply(engine, outcome(asked, Bill("final", PRICE - 1)))
    async with tenant_transaction(engine, TENANT) as conn:
        posted = await store.read_transfers(conn, TENANT, asked.job_id)
        rows = await conn.execute(text("SELECT kind, debit_account, credit_account FROM transfer"))
        written = {row.kind: (row.debit_account, row.credit_account) for row in rows}
    assert [(one.transfer.kind, one.transfer.amount) for one in posted] == [
        (Kind.HOLD, PRICE),
        (Kind.BILL, PRICE - 1),
        (Kind.CAPTURE, PRICE - 1),
        (Kind.RELEASE, 1),
    ]
    assert written["capture"] == (Account.RESERVED, Account.SPENT)
    assert written["bill"] == (Account.COST, Account.PAYABLE)


async def test_the_accounts_are_the_sum_of_the_transfers(engine: AsyncEngine) -> None:
    for _ in range(3):
        asked = quote(items=2)
        await apply(engine, asked, outcome(asked, Bill("final", PRICE + 1)), outcome(asked, Bill("none"), item=2))
    async with engine.begin() as conn:
        summed = await conn.execute(
            text("SELECT debit_account, sum(amount_micros) FROM transfer GROUP BY debit_account ORDER BY 1")
        )
        kept = await conn.execute(
            text("SELECT account, sum(debit_micros) FROM account WHERE debit_micros > 0 GROUP BY account ORDER BY 1")
        )
        assert summed.all() == kept.all()


async def test_a_reader_sees_its_own_tenant_alone(engine: AsyncEngine) -> None:
    await apply(engine, quote(), quote(tenant=STRANGER))
    async with tenant_transaction(engine, TENANT) as conn:
        for table in ("budget", "attempt", "transfer", "account"):
            owners = await conn.scalars(text(f"SELECT DISTINCT tenant_id FROM {table}"))
            assert owners.all() == [TENANT]
        assert await store.read_budget(conn, STRANGER) is None
        assert await store.read_books(conn, STRANGER) is None


async def test_a_difference_between_the_records_is_found(engine: AsyncEngine) -> None:
    await apply(engine, quote(), quote(tenant=STRANGER))
    async with engine.begin() as conn:
        await conn.execute(text("UPDATE budget SET reserved_micros = 1 WHERE tenant_id = :t"), {"t": TENANT})
        await conn.execute(text("UPDATE account SET debit_micros = 9 WHERE account = 'available'"))
    async with engine.begin() as conn:
        page = await store.read_books_page(conn, after=UUID(int=0), limit=10)
    found = {books.tenant_id: differences(books) for books in page}
    assert [line.split(":")[0] for line in found[TENANT]] == [
        "debit and credit",
        "the budget's reserved and the open holds",
        "the budget's reserved and the account reserved",
    ]
    assert found[STRANGER] == [f"debit and credit: 9 and {PRICE}"]
