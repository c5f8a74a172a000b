"""An operator lists open bills and settles them by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text

from provider_worker.adapters.interface import ErrorCode as ProviderCode
from provider_worker.adapters.interface import GenerationRequest, Outcome, ProviderError, Status
from provider_worker.metrics import OPEN_BILLS
from provider_worker.operating import operate, wanted
from schemas.events import GenerationFailed, GenerationSettled
from schemas.parts import ErrorCode
from tests.worker_builders import PRICE, Home, Painter, Worker, envelope, home_at, prepared

pytestmark = pytest.mark.integration


@pytest.fixture
async def home(database_url: str, tmp_path: Path) -> AsyncIterator[Home]:
    async with home_at(database_url, tmp_path) as home:
        yield home


async def unknown(home: Home) -> tuple[Worker, str]:
    """A worker with an attempt nobody can be asked about, and its id."""
    painter = Painter(idempotency="none")

    async def lost(req: GenerationRequest) -> Status:
        raise ProviderError(ProviderCode.TIMEOUT, "no answer", outcome=Outcome.UNKNOWN)

    painter.answer = lost
    here = home.worker(painter)
    await here.hear(envelope(prepared()))
    await here.finish(rounds=100)
    [failed] = await home.said(GenerationFailed)
    assert (failed.code, failed.billing.state) == (ErrorCode.SUBMIT_UNKNOWN, "pending")
    [row] = await home.rows("SELECT attempt_id FROM attempts")
    return here, str(row.attempt_id)


async def test_what_nobody_can_be_asked_about_is_listed_counted_and_settled_with_its_evidence(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    here, attempt = await unknown(home)
    await here.bills.count()
    assert OPEN_BILLS.labels("painter", "SUBMIT_UNKNOWN", "false")._value.get() == 1
    await home.rows("UPDATE attempts SET lookup_at = now()")
    await here.bills.step()
    await here.bills.count()
    assert OPEN_BILLS.labels("painter", "SUBMIT_UNKNOWN", "true")._value.get() == 1

    capsys.readouterr()
    assert await operate(here.store, wanted(["--json"])) == 0
    [listed] = json.loads(capsys.readouterr().out)
    assert (listed["attempt_id"], listed["code"], listed["quoted_micros"]) == (attempt, "SUBMIT_UNKNOWN", PRICE)
    assert listed["needs_operator"]

    paid = wanted(["settle", attempt, "--paid", "0.039", "--evidence", "invoice 2026-11, line 17"])
    assert await operate(here.store, paid) == 0
    [settled] = await home.said(GenerationSettled)
    assert (settled.billing.state, settled.billing.amount_micros) == ("final", 39_000)
    assert settled.evidence == "operator: invoice 2026-11, line 17"

    capsys.readouterr()
    assert await operate(here.store, wanted([])) == 0
    assert capsys.readouterr().out == "No bill is open.\n"
    await here.bills.count()
    [family] = OPEN_BILLS.collect()
    assert not family.samples


async def test_a_bill_is_settled_once_however_often_and_by_whomever(home: Home) -> None:
    here, attempt = await unknown(home)
    await home.rows("UPDATE attempts SET lookup_at = now()")
    [looked_up_meanwhile] = await here.store.open_bills(1, 60.0)
    unpaid = wanted(["settle", attempt, "--unpaid", "--evidence", "the provider's log has no such call"])
    assert await operate(here.store, unpaid) == 0
    [settled] = await home.said(GenerationSettled)
    assert settled.billing.state == "none"
    assert not await here.store.settle(looked_up_meanwhile, settled, None)
    assert await operate(here.store, unpaid) == 1
    assert len(await home.said(GenerationSettled)) == 1


async def test_a_bill_that_is_still_open_after_a_day_is_flagged_whoever_could_be_asked(home: Home) -> None:
    painter = Painter(idempotency="list_lookup")

    async def taken_but_lost(req: GenerationRequest) -> Status:
        painter.jobs[req.request_id] = Status("running", f"job-{req.request_id}")
        raise ProviderError(ProviderCode.TIMEOUT, "no answer", outcome=Outcome.UNKNOWN)

    painter.answer = taken_but_lost
    here = home.worker(painter)
    await here.hear(envelope(prepared()))
    await here.reserve()
    await here.work()
    await home.rows("UPDATE tasks SET deadline_at = now()")
    await here.finish(rounds=100)
    for age, needs_operator in (("1 hour", False), ("25 hours", True)):
        await home.rows(f"UPDATE attempts SET lookup_at = now(), closed_at = now() - interval '{age}'")
        await here.bills.step()
        [bill] = await here.store.list_bills()
        assert bill.needs_operator is needs_operator


async def test_a_bill_that_is_not_open_is_told(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    here = home.worker()
    nobodys = str(uuid4())
    assert await operate(here.store, wanted(["settle", nobodys, "--unpaid", "--evidence", "none"])) == 1
    assert f"no open bill of an attempt {nobodys}" in capsys.readouterr().err


async def test_an_operator_waits_for_whoever_looks_a_bill_up(home: Home) -> None:
    here, attempt = await unknown(home)
    async with home.engine.connect() as looking:
        await looking.execute(text("SELECT 1 FROM attempts FOR UPDATE"))
        unpaid = wanted(["settle", attempt, "--unpaid", "--evidence", "the provider's log"])
        settling = asyncio.create_task(operate(here.store, unpaid))
        while not await home.rows("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND state = 'active'"):
            assert not settling.done(), "it did not wait"
    assert await settling == 0


async def test_what_was_settled_already_is_told_and_stays(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    here, attempt = await unknown(home)
    assert await operate(here.store, wanted(["settle", attempt, "--paid", "0.039", "--evidence", "line 17"])) == 0
    assert await operate(here.store, wanted(["settle", attempt, "--unpaid", "--evidence", "line 18"])) == 1
    assert "it cost 0.039 USD (operator: line 17). Nothing was changed." in capsys.readouterr().err
    assert [event.billing.amount_micros for event in await home.said(GenerationSettled)] == [39_000]


async def test_an_amount_far_above_the_quote_has_to_be_meant(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    here, attempt = await unknown(home)
    slip = ["settle", attempt, "--paid", "1000", "--evidence", "line 17"]
    assert await operate(here.store, wanted(slip)) == 1
    assert "more than 10 times the 0.04 USD" in capsys.readouterr().err
    assert not await home.said(GenerationSettled)
    assert await operate(here.store, wanted([*slip, "--above-quote"])) == 0
    [settled] = await home.said(GenerationSettled)
    assert settled.billing.amount_micros == 1_000_000_000


async def test_a_table_settles_many_bills_and_can_be_given_again(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here, attempt = await unknown(home)
    table = tmp_path / "bills.csv"
    table.write_text(f'attempt_id,paid_usd,evidence\r\n{attempt},0.039,"invoice 2026-11, line 17"\r\n')
    for _ in range(2):
        assert await operate(here.store, wanted(["settle-table", str(table)])) == 0
    [settled] = await home.said(GenerationSettled)
    assert (settled.billing.amount_micros, settled.evidence) == (39_000, "operator: invoice 2026-11, line 17")
    table.write_text(f"attempt_id,paid_usd,evidence\n{attempt},0,the provider's log\n{uuid4()},1,line 18\n")
    assert await operate(here.store, wanted(["settle-table", str(table)])) == 1
    assert "2 of 2 bills do not stand as the table says." in capsys.readouterr().err
    assert len(await home.said(GenerationSettled)) == 1


def test_a_table_is_refused_whole_with_every_line_that_cannot_be_meant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    attempt, table = uuid4(), tmp_path / "bills.csv"
    lines = [f"{attempt},0.04,line 1", "x,1,line 2", f"{uuid4()},much,line 3", f"{uuid4()},1", f"{attempt},0,line 5"]
    table.write_text("\n".join(["attempt_id,paid_usd,evidence", *lines]))
    with pytest.raises(SystemExit):
        wanted(["settle-table", str(table)])
    told = capsys.readouterr().err
    assert "line 3: 'x' is no attempt's id" in told
    assert "line 4: 'much' is no amount" in told
    assert "line 5: it has to have 3 fields" in told
    assert f"line 6: attempt {attempt} is in a line before" in told


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b"", "the first line has to be attempt_id,paid_usd,evidence"),
        (b"attempt,usd,evidence\n", "the first line has to be attempt_id,paid_usd,evidence"),
        (b'attempt_id,paid_usd,evidence\n"a,b\n', "no table in CSV"),
    ],
)
def test_a_file_that_is_no_table_of_bills_is_told(
    content: bytes | None, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "bills.csv"
    if content is not None:
        table.write_bytes(content)
    with pytest.raises(SystemExit):
        wanted(["settle-table", str(table)])
    assert why in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["settle"],
        ["settle", "x", "--unpaid", "--evidence", "e"],
        ["settle", str(uuid4()), "--evidence", "e"],
        ["settle", str(uuid4()), "--unpaid"],
        ["settle", str(uuid4()), "--unpaid", "--evidence", " "],
        ["settle", str(uuid4()), "--paid", "-1", "--evidence", "e"],
        ["settle", str(uuid4()), "--paid", "0.0000001", "--evidence", "e"],
        ["settle", str(uuid4()), "--paid", "NaN", "--evidence", "e"],
        ["settle", str(uuid4()), "--paid", "1e400", "--evidence", "e"],
        ["settle", str(uuid4()), "--paid", "1e999999999", "--evidence", "e"],
        ["settle", str(uuid4()), "--unpaid", "--evidence", "a\0b"],
        ["settle", str(uuid4()), "--paid", "1", "--unpaid", "--evidence", "e"],
    ],
)
def test_a_settlement_that_cannot_be_meant_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        wanted(arguments)
    assert ended.value.code == 2
