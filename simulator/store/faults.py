"""Rules of the admin API, and how often a fault was used up."""

from __future__ import annotations

import sqlite3
from typing import Any

from simulator.faults import Fault, Stage, parsed, share


def add_rule(connection: sqlite3.Connection, rule: dict[str, Any]) -> int:
    cursor = connection.execute(
        "INSERT INTO fault_rules (provider, endpoint, fault, probability, most, seed) "
        "VALUES (:provider, :endpoint, :fault, :probability, :count, :seed)",
        rule,
    )
    return int(cursor.lastrowid or 0)


def rules(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute("SELECT * FROM fault_rules ORDER BY rule")]


def remove_rules(connection: sqlite3.Connection, rule: int | None) -> int:
    return connection.execute("DELETE FROM fault_rules WHERE ?1 IS NULL OR rule = ?1", (rule,)).rowcount


def fired(connection: sqlite3.Connection, provider: str, endpoint: str) -> list[Fault]:
    """The faults of the rules that hit this request.

    Whether one does depends on its seed and on how many it saw; one that refuses keeps the request from the next.
    """
    found = []
    for row in connection.execute(
        "SELECT * FROM fault_rules WHERE provider IN ('*', ?) AND endpoint IN ('*', ?) "
        "AND (most IS NULL OR fired < most) ORDER BY rule",
        (provider, endpoint),
    ).fetchall():
        hit = share(row["seed"], row["seen"]) < row["probability"]
        connection.execute(
            "UPDATE fault_rules SET seen = seen + 1, fired = fired + ? WHERE rule = ?", (int(hit), row["rule"])
        )
        if hit:
            found.append(parsed(row["fault"], endpoint=endpoint))
            if found[-1].stage is Stage.REFUSE:
                break
    return found


def used(connection: sqlite3.Connection, subject: str, fault: Fault) -> bool:
    """Whether a fault still acts on this subject; counts the use of one that ends after some times."""
    if fault.times is None:
        return True
    (times,) = connection.execute(
        "INSERT INTO fault_uses (subject, fault, times) VALUES (?, ?, 1) "
        "ON CONFLICT (subject, fault) DO UPDATE SET times = times + 1 RETURNING times",
        (subject, str(fault)),
    ).fetchone()
    return bool(times <= fault.times)
