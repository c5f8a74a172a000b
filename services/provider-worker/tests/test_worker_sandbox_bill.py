"""The sandbox's own bill: each reference paid once, whatever dies and however many write."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from provider_worker.adapters.interface import GenerationRequest, MediaKind, Op, Status
from provider_worker.adapters.sandbox import Bill, BillError, SandboxProvider, SandboxSettings, read_bill, read_lines
from provider_worker.adapters.sandbox.store import BillBook, Submit

SPAWN = multiprocessing.get_context("spawn")
PRICE = 40_000


def asks_for(reference: str, sha256: str = "a" * 64) -> Submit:
    return Submit(reference, sha256, PRICE)


def test_each_reference_is_paid_once_and_repetitions_are_counted(tmp_path: Path) -> None:
    book = BillBook(tmp_path)
    answers = book.enter([asks_for("one"), asks_for("two"), asks_for("one")])
    answers += book.enter([asks_for("one")])
    book.close()
    assert [answer.repeated for answer in answers if answer] == [False, False, True, True]
    assert len({answer.external_id for answer in answers if answer}) == 2
    assert read_bill(tmp_path) == Bill(count=2, amount_micros=2 * PRICE, duplicate_submits=2)


def test_a_refused_submit_is_not_paid(tmp_path: Path) -> None:
    book = BillBook(tmp_path)
    flaky = Submit("flaky", "a" * 64, PRICE, refuse_first=2)
    assert [bool(book.enter([flaky])[0]) for _ in range(3)] == [False, False, True]
    book.close()
    assert read_bill(tmp_path) == Bill(1, PRICE, 0)


def test_a_group_that_fails_leaves_no_trace(tmp_path: Path) -> None:
    book = BillBook(tmp_path)
    with pytest.raises(BillError):
        book.enter([asks_for("good"), Submit("bad", "a" * 64, -1)])
    assert read_bill(tmp_path).count == 0
    assert book.enter([asks_for("good")])[0]
    book.close()


def test_the_bill_says_what_it_holds_while_it_is_being_written(tmp_path: Path) -> None:
    book = BillBook(tmp_path)
    book.enter([asks_for("one")])
    assert [(line.reference, line.amount_micros) for line in read_lines(tmp_path)] == [("one", PRICE)]
    book.close()


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BillError, match="file"):
        BillBook(tmp_path / "file")
    with pytest.raises(BillError, match="no sandbox bill"):
        read_bill(tmp_path)


def request(reference: str) -> GenerationRequest:
    return GenerationRequest(reference, "tenant", MediaKind.IMAGE, Op.TEXT_TO_IMAGE, "a fox", 16, 16)


async def submitted(provider: SandboxProvider, reference: str) -> Status:
    wish = request(reference)
    answer = await provider.submit(wish, provider.plan(wish))
    assert isinstance(answer, Status)
    return answer


def submit_for_ever(folder: str, answered: Any) -> None:
    async def line(provider: SandboxProvider, number: int) -> None:
        for turn in range(1_000_000):
            reference = f"{number}-{turn}"
            await submitted(provider, reference)
            answered.send(reference)

    async def run() -> None:
        provider = SandboxProvider(SandboxSettings(Path(folder), instant=True))
        await asyncio.gather(*(line(provider, number) for number in range(8)))

    asyncio.run(run())


def test_what_was_answered_before_a_kill_is_on_the_bill(tmp_path: Path) -> None:
    answers, sending = SPAWN.Pipe(duplex=False)
    child = SPAWN.Process(target=submit_for_ever, args=(str(tmp_path), sending))
    child.start()
    seen = {answers.recv() for _ in range(200)}
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join(10)
    paid = {line.reference for line in read_lines(tmp_path)}
    assert seen <= paid
    assert read_bill(tmp_path).amount_micros == PRICE * len(paid)
    book = BillBook(tmp_path)
    assert book.enter([asks_for("afterwards")])[0]
    book.close()


def submit_some(folder: str, names: list[str], start: Any) -> None:
    async def run() -> None:
        provider = SandboxProvider(SandboxSettings(Path(folder), instant=True))
        await asyncio.gather(*(submitted(provider, name) for name in names))
        await provider.close()

    start.wait()
    asyncio.run(run())


def test_processes_that_share_the_folder_pay_each_reference_once(tmp_path: Path) -> None:
    start = SPAWN.Event()
    both = [f"shared-{number}" for number in range(100)]
    own = [[f"own-{process}-{number}" for number in range(100)] for process in range(2)]
    workers = [SPAWN.Process(target=submit_some, args=(str(tmp_path), both + names, start)) for names in own]
    for worker in workers:
        worker.start()
    start.set()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert read_bill(tmp_path) == Bill(count=300, amount_micros=300 * PRICE, duplicate_submits=100)


def bill_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "provider_worker.adapters.sandbox", "bill", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_command_prints_the_bill(tmp_path: Path) -> None:
    book = BillBook(tmp_path)
    book.enter([asks_for("one"), asks_for("two"), asks_for("two")])
    book.close()
    plain = bill_command(str(tmp_path))
    assert plain.stdout == "2 generations, 0.080000 USD, 1 duplicate submits\n"
    told = json.loads(bill_command("--json", "--lines", str(tmp_path)).stdout)
    assert (told["count"], told["amount_micros"], told["duplicate_submits"]) == (2, 2 * PRICE, 1)
    assert [line["reference"] for line in told["lines"]] == ["one", "two"]


def test_the_command_says_that_there_is_no_bill(tmp_path: Path) -> None:
    answer = bill_command("--json", str(tmp_path))
    assert answer.returncode == 1
    assert answer.stderr == f"there is no sandbox bill in {tmp_path}\n"
