"""What an operator settles by hand: bills that nobody can be asked about.

python -m provider_worker bills [--json]
python -m provider_worker bills settle ATTEMPT (--paid 0.04 | --unpaid) --evidence "invoice 2026-11, line 17"
python -m provider_worker bills settle-table FILE
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from provider_worker import says
from provider_worker.money import spelled
from provider_worker.settlements import COLUMNS, NoSettlement, Settlement, billing_of, evidence, micros
from provider_worker.settlements import settlements as settlements_of
from provider_worker.store.database import TaskDatabase
from provider_worker.tasks import ListedBill, OpenBill

FAR_ABOVE = 10
"""An amount of so many times the quote is more often a slip than a bill."""

_Read = TypeVar("_Read")


def wanted(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line; ends the process with a sentence where it cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m provider_worker bills", description="Open bills of attempts.")
    parser.add_argument("--json", action="store_true", help="for machines")
    actions = parser.add_subparsers(dest="action", metavar="settle | settle-table")
    settle = actions.add_parser("settle", help="close an open bill by hand, with what proves it")
    settle.add_argument("attempt", type=UUID, help="the attempt's id, as the list has it")
    amount = settle.add_mutually_exclusive_group(required=True)
    amount.add_argument("--paid", type=_told(micros), metavar="USD", help="what the provider charged, such as 0.04")
    amount.add_argument("--unpaid", dest="paid", action="store_const", const=0, help="the provider charged nothing")
    settle.add_argument("--evidence", required=True, type=_told(evidence), help="where that can be seen")
    table = actions.add_parser("settle-table", help="close many: all lines are read before the first is settled")
    table.add_argument(
        "table", type=_told(_read_table), metavar="FILE", help=f"CSV with the header {','.join(COLUMNS)}; - is stdin"
    )
    for one in (settle, table):
        one.add_argument(
            "--above-quote", action="store_true", help=f"it was more than {FAR_ABOVE} times what was quoted"
        )
    return parser.parse_args(arguments)


async def operate(store: TaskDatabase, arguments: argparse.Namespace) -> int:
    """Lists or settles; the exit status."""
    if arguments.action is None:
        _show(await store.list_bills(), as_json=arguments.json)
        return 0
    if arguments.action == "settle":
        settlement = Settlement(arguments.attempt, billing_of(arguments.paid), arguments.evidence)
        return 0 if await _settle_and_tell(store, settlement, above_quote=arguments.above_quote) else 1
    return await _settle_table(store, arguments.table, above_quote=arguments.above_quote)


async def _settle_table(store: TaskDatabase, settlements: Sequence[Settlement], *, above_quote: bool) -> int:
    """A table that was settled in part can be given again: what stands as the line says is no error."""
    wrong = 0
    for settlement in settlements:
        if not await _settle_and_tell(store, settlement, above_quote=above_quote):
            known = await store.settled_bill(settlement.attempt_id)
            wrong += known is None or known.billing.amount_micros != settlement.billing.amount_micros
    if wrong:
        sys.stderr.write(f"{wrong} of {len(settlements)} bills do not stand as the table says.\n")
    return 1 if wrong else 0


async def _settle_and_tell(store: TaskDatabase, settlement: Settlement, *, above_quote: bool) -> bool:
    """Closes the bill and says so; False where none is open, or the amount can hardly be meant."""
    attempt, amount = settlement.attempt_id, settlement.billing.amount_micros
    bill = await store.take_bill(attempt)
    quoted = bill.task.offer.amount_micros if bill else 0
    if bill is not None and not above_quote and amount > FAR_ABOVE * quoted:
        sys.stderr.write(
            f"{spelled(amount)} is more than {FAR_ABOVE} times the {spelled(quoted)} that attempt "
            f"{attempt} was quoted. Nothing was changed; if it is what the provider charged, add --above-quote.\n"
        )
        return False
    if bill is not None and await _settled(store, bill, settlement):
        sys.stdout.write(f"Settled: {spelled(amount)} for {attempt}.\n")
        return True
    known = await store.settled_bill(attempt)
    if known is None:
        sys.stderr.write(f"There is no open bill of an attempt {attempt}. The list has those there are.\n")
    else:
        proof = f" ({known.evidence})" if known.evidence else ""
        sys.stderr.write(
            f"There is no open bill of an attempt {attempt} any more: it cost "
            f"{spelled(known.billing.amount_micros)}{proof}. Nothing was changed.\n"
        )
    return False


async def _settled(store: TaskDatabase, bill: OpenBill, settlement: Settlement) -> bool:
    proof = f"operator: {settlement.evidence}"
    event = says.settled(bill.task, billing=settlement.billing, evidence=proof, late_outputs=[], seed=None)
    return await store.settle(bill, event, None)


def _show(found: Sequence[ListedBill], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps([_plain(bill) for bill in found], indent=2) + "\n")
        return
    if not found:
        sys.stdout.write("No bill is open.\n")
    for bill in found:
        sys.stdout.write(
            f"{bill.attempt_id}  {bill.provider}/{bill.model}  {bill.code}  quoted {spelled(bill.quoted_micros)}  "
            f"open for {bill.age_s / 60:.0f} min, looked up {bill.lookups} times  "
            f"job {bill.job_id} item {bill.item} tenant {bill.tenant_id}"
            f"{'  NEEDS AN OPERATOR' if bill.needs_operator else ''}"
            f"{f'  known there as {bill.external_id}' if bill.external_id else ''}\n"
        )


def _plain(bill: ListedBill) -> Mapping[str, Any]:
    return {name: str(value) if isinstance(value, UUID) else value for name, value in asdict(bill).items()}


def _told(read: Callable[[str], _Read]) -> Callable[[str], _Read]:
    """Says in argparse's way what cannot be meant."""

    def reading(text: str) -> _Read:
        try:
            return read(text)
        except NoSettlement as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return reading


def _read_table(name: str) -> Sequence[Settlement]:
    try:
        table = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise NoSettlement(f"{name} cannot be read: {error}") from error
    return settlements_of(table)
