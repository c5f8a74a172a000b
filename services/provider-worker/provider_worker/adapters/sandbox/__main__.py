"""`python -m provider_worker.adapters.sandbox bill [--json] [--lines] DIR`: what the sandbox was paid."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from provider_worker.adapters.sandbox.store import BillError, read_bill, read_lines


def main(arguments: Sequence[str]) -> int:
    """Print the bill; 1 with a sentence where there is none."""
    parser = argparse.ArgumentParser(prog="python -m provider_worker.adapters.sandbox")
    commands = parser.add_subparsers(required=True)
    bill = commands.add_parser("bill", help="what the sandbox was paid")
    bill.add_argument("folder", type=Path, metavar="DIR")
    bill.add_argument("--json", action="store_true", help="one JSON object")
    bill.add_argument("--lines", action="store_true", help="every paid generation too")
    chosen = parser.parse_args(arguments)
    try:
        sys.stdout.write(_told(chosen.folder, as_json=chosen.json, with_lines=chosen.lines) + "\n")
    except BillError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _told(folder: Path, *, as_json: bool, with_lines: bool) -> str:
    bill = read_bill(folder)
    lines = read_lines(folder) if with_lines else []
    if as_json:
        return json.dumps(asdict(bill) | ({"lines": [asdict(line) for line in lines]} if with_lines else {}))
    told = [f"{line.reference}  {_money(line.amount_micros)}" for line in lines]
    total = f"{bill.count} generations, {_money(bill.amount_micros)} {bill.currency}"
    return "\n".join([*told, f"{total}, {bill.duplicate_submits} duplicate submits"])


def _money(micros: int) -> str:
    return f"{micros // 1_000_000}.{micros % 1_000_000:06d}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
