"""What an operator says of open bills: one on the command line, or many in a table."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation, Overflow
from io import StringIO
from uuid import UUID

from provider_worker.money import MICROS
from provider_worker.routing import NO_BILL
from schemas.parts import Billing

COLUMNS = ("attempt_id", "paid_usd", "evidence")
MOST_EVIDENCE = 500
MOST_MICROS = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Settlement:
    """What an attempt cost, and where that can be seen."""

    attempt_id: UUID
    billing: Billing
    evidence: str


class NoSettlement(ValueError):
    """What was written cannot be meant; the message says why."""


def settlements(table: str) -> Sequence[Settlement]:
    """The lines of a table in CSV with the header `attempt_id,paid_usd,evidence`; 0 is unpaid.

    Raises `NoSettlement` with every line that cannot be meant, so that none is settled before all can be.
    """
    rows = csv.DictReader(StringIO(table), strict=True)
    found: dict[UUID, Settlement] = {}
    wrong: list[str] = []
    try:
        if tuple(rows.fieldnames or ()) != COLUMNS:
            raise NoSettlement(f"the first line has to be {','.join(COLUMNS)}")
        for row in rows:
            try:
                one = _settlement(row)
                if one.attempt_id in found:
                    raise NoSettlement(f"attempt {one.attempt_id} is in a line before")
                found[one.attempt_id] = one
            except NoSettlement as error:
                wrong.append(f"line {rows.line_num}: {error}")
    except csv.Error as error:
        raise NoSettlement(f"it is no table in CSV: {error}") from error
    if wrong:
        raise NoSettlement("\n".join(wrong))
    return list(found.values())


def _settlement(row: Mapping[str, str]) -> Settlement:
    if set(row) != set(COLUMNS) or None in row.values():
        raise NoSettlement(f"it has to have {len(COLUMNS)} fields")
    return Settlement(_attempt(row["attempt_id"]), billing_of(micros(row["paid_usd"])), evidence(row["evidence"]))


def billing_of(amount_micros: int) -> Billing:
    """The final bill of this amount."""
    return Billing(state="final", amount_micros=amount_micros) if amount_micros else NO_BILL


def micros(text: str) -> int:
    """Micro-units of an amount such as 0.04. Raises `NoSettlement`."""
    try:
        found = Decimal(text.strip()) * MICROS
    except (InvalidOperation, Overflow) as error:
        raise NoSettlement(f"{text!r} is no amount: it looks like 0.04") from error
    if not found.is_finite() or not 0 <= found <= MOST_MICROS or found % 1:
        raise NoSettlement(f"{text!r} is no amount in whole millionths")
    return int(found)


def evidence(text: str) -> str:
    """Where that can be seen, in a few words. Raises `NoSettlement`."""
    if not text.strip() or len(text) > MOST_EVIDENCE or not text.isprintable():
        raise NoSettlement(f"say in 1 to {MOST_EVIDENCE} characters of one line where that can be seen")
    return text.strip()


def _attempt(text: str) -> UUID:
    try:
        return UUID(text.strip())
    except ValueError as error:
        raise NoSettlement(f"{text!r} is no attempt's id") from error
