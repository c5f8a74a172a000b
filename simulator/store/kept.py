"""Small things by name, as JSON: the clock, keys, settings, accounts. And forgetting everything else."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

_FORGOTTEN = ("generations", "bill", "calls", "fault_rules", "fault_uses", "callbacks")


def get(connection: sqlite3.Connection, name: str) -> Any:
    """The value, or None."""
    row = connection.execute("SELECT value FROM kept WHERE name = ?", (name,)).fetchone()
    return None if row is None else json.loads(row["value"])


def put(connection: sqlite3.Connection, name: str, value: Any) -> None:
    connection.execute("INSERT OR REPLACE INTO kept (name, value) VALUES (?, ?)", (name, json.dumps(value)))


def starting_with(connection: sqlite3.Connection, prefix: str) -> dict[str, Any]:
    """Names without their prefix, and their values."""
    rows = connection.execute("SELECT name, value FROM kept WHERE substr(name, 1, ?) = ?", (len(prefix), prefix))
    return {row["name"][len(prefix) :]: json.loads(row["value"]) for row in rows}


def forget_all(connection: sqlite3.Connection, *, but: str) -> None:
    """Everything but the values whose names start with `but`."""
    for table in _FORGOTTEN:
        connection.execute(f"DELETE FROM {table}")  # noqa: S608 - the names above
    connection.execute("DELETE FROM kept WHERE substr(name, 1, ?) <> ?", (len(but), but))
