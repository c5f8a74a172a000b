"""What an operator settles by hand: bills that nobody can be asked about.

python -m provider_worker bills [--json]
python -m provider_worker bills settle ATTEMPT (--paid 0.04 | --unpaid) --evidence "invoice 2026-11, line 17"
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from provider_worker import says
from provider_worker.routing import NO_BILL
from provider_worker.store.database import TaskDatabase
from provider_worker.tasks import ListedBill
from schemas.parts import Billing

MICROS = 1_000_000


def wanted(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line; ends the process with a sentence where it cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m provider_worker bills", description="Open bills of attempts.")
    parser.add_argument("--json", action="store_true", help="for machines")
    actions = parser.add_subparsers(dest="action", metavar="settle")
    settle = actions.add_parser("settle", help="close an open bill by hand, with what proves it")
    settle.add_argument("attempt", type=UUID, help="the attempt's id, as the list has it")
    amount = settle.add_mutually_exclusive_group(required=True)
    amount.add_argument("--paid", type=_micros, metavar="USD", help="what the provider charged, such as 0.04")
    amount.add_argument("--unpaid", action="store_true", help="the provider charged nothing")
    settle.add_argument("--evidence", required=True, type=_evidence, help="where that can be seen")
    return parser.parse_args(arguments)


async def operate(store: TaskDatabase, arguments: argparse.Namespace) -> int:
    """Lists or settles; the exit status."""
    if arguments.action is None:
        _show(await store.list_bills(), as_json=arguments.json)
        return 0
    billing = NO_BILL if arguments.unpaid else Billing(state="final", amount_micros=arguments.paid)
    if not await settle(store, arguments.attempt, billing, arguments.evidence):
        sys.stderr.write(f"There is no open bill of an attempt {arguments.attempt}. The list has those there are.\n")
        return 1
    sys.stdout.write(f"Settled: {_money(billing.amount_micros)} for {arguments.attempt}.\n")
    return 0


async def settle(store: TaskDatabase, attempt_id: UUID, billing: Billing, evidence: str) -> bool:
    """Closes the bill and says so; False where none is open."""
    bill = await store.take_bill(attempt_id)
    if bill is None:
        return False
    proof = f"operator: {evidence}"
    event = says.settled(bill.task, billing=billing, evidence=proof, late_outputs=[], seed=None)
    return await store.settle(bill, event, None)


def _show(found: Sequence[ListedBill], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps([_plain(bill) for bill in found], indent=2) + "\n")
        return
    if not found:
        sys.stdout.write("No bill is open.\n")
    for bill in found:
        sys.stdout.write(
            f"{bill.attempt_id}  {bill.provider}/{bill.model}  {bill.code}  quoted {_money(bill.quoted_micros)}  "
            f"open for {bill.age_s / 60:.0f} min, looked up {bill.lookups} times  "
            f"job {bill.job_id} item {bill.item} tenant {bill.tenant_id}"
            f"{'  NEEDS AN OPERATOR' if bill.needs_operator else ''}"
            f"{f'  known there as {bill.external_id}' if bill.external_id else ''}\n"
        )


def _plain(bill: ListedBill) -> Mapping[str, Any]:
    return {name: str(value) if isinstance(value, UUID) else value for name, value in asdict(bill).items()}


def _money(micros: int) -> str:
    return f"{Decimal(micros) / MICROS:f} USD"


def _micros(text: str) -> int:
    try:
        micros = Decimal(text) * MICROS
    except InvalidOperation as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no amount: it looks like 0.04") from error
    if not micros.is_finite() or micros < 0 or micros % 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no amount in whole millionths")
    return int(micros)


def _evidence(text: str) -> str:
    if not text.strip() or len(text) > 500:
        raise argparse.ArgumentTypeError("say in 1 to 500 characters where that can be seen")
    return text.strip()
