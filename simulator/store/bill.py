"""The bill: lines that are only ever added. A refund is a line with a negative amount."""

from __future__ import annotations

import json
import sqlite3
from typing import Any, Literal

from simulator.generation import Charge, Generation


def add(
    connection: sqlite3.Connection,
    generation: Generation,
    charge: Charge,
    *,
    now: float,
    kind: Literal["charge", "refund"] = "charge",
) -> None:
    connection.execute(
        "INSERT INTO bill (at, provider, account, external_id, reference, tenant, kind, amount_micros, units, "
        "request_sha256) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            now,
            generation.provider,
            generation.account,
            generation.id,
            generation.reference,
            generation.tenant,
            kind,
            charge.amount_micros,
            json.dumps(charge.units),
            generation.request_sha256,
        ),
    )


def spent_micros(connection: sqlite3.Connection, provider: str, account: str) -> int:
    (spent,) = connection.execute(
        "SELECT coalesce(sum(amount_micros), 0) FROM bill WHERE provider = ? AND account = ?", (provider, account)
    ).fetchone()
    return int(spent)


def lines(connection: sqlite3.Connection, provider: str | None) -> list[dict[str, Any]]:
    """Every line in the order it was written, of one provider or all."""
    rows = connection.execute("SELECT * FROM bill WHERE ?1 IS NULL OR provider = ?1 ORDER BY line", (provider,))
    return [{**dict(row), "units": json.loads(row["units"])} for row in rows]


def sums(connection: sqlite3.Connection, provider: str | None) -> list[dict[str, Any]]:
    """Provider, account, what it comes to, and for how many generations."""
    rows = connection.execute(
        "SELECT provider, account, sum(amount_micros) AS amount_micros, count(DISTINCT external_id) AS generations "
        "FROM bill WHERE ?1 IS NULL OR provider = ?1 GROUP BY provider, account ORDER BY provider, account",
        (provider,),
    )
    return [dict(row) for row in rows]


def paid_more_than_once(connection: sqlite3.Connection, provider: str | None) -> list[dict[str, Any]]:
    """References with more than one charged generation: what must never be."""
    rows = connection.execute(
        "SELECT provider, reference, count(DISTINCT external_id) AS generations, sum(amount_micros) AS amount_micros "
        "FROM bill WHERE kind = 'charge' AND reference IS NOT NULL AND (?1 IS NULL OR provider = ?1) "
        "GROUP BY provider, reference HAVING count(DISTINCT external_id) > 1 ORDER BY provider, reference",
        (provider,),
    )
    return [dict(row) for row in rows]


def same_requests(connection: sqlite3.Connection, provider: str | None) -> list[dict[str, Any]]:
    """Equal requests that were charged more than once, for wires that carry no reference."""
    rows = connection.execute(
        "SELECT provider, request_sha256, count(DISTINCT external_id) AS generations FROM bill "
        "WHERE kind = 'charge' AND (?1 IS NULL OR provider = ?1) "
        "GROUP BY provider, request_sha256 HAVING count(DISTINCT external_id) > 1",
        (provider,),
    )
    return [dict(row) for row in rows]
