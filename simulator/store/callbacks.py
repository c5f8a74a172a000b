"""Calls that the provider owes its customers."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Any

from simulator.clock import NEVER


@dataclass(frozen=True, slots=True)
class Callback:
    callback: int
    provider: str
    external_id: str
    stage: str
    url: str
    due_at: float
    attempts: list[dict[str, Any]]


def add(
    connection: sqlite3.Connection, *, provider: str, external_id: str, stage: str, url: str, due_at: float
) -> None:
    connection.execute(
        "INSERT INTO callbacks (provider, external_id, stage, url, due_at) VALUES (?, ?, ?, ?, ?)",
        (provider, external_id, stage, url, due_at),
    )


def add_copy(connection: sqlite3.Connection, one: Callback, *, due_at: float) -> None:
    """The same call once more. Its attempts tell that it was delivered, so that a copy makes no copy."""
    connection.execute(
        "INSERT INTO callbacks (provider, external_id, stage, url, due_at, attempts) "
        "SELECT provider, external_id, stage, url, ?, attempts FROM callbacks WHERE callback = ?",
        (due_at, one.callback),
    )


def due(connection: sqlite3.Connection, now: float, limit: int) -> list[Callback]:
    rows = connection.execute(
        "SELECT callback, provider, external_id, stage, url, due_at, attempts FROM callbacks "
        "WHERE done_at IS NULL AND due_at <= ? ORDER BY due_at LIMIT ?",
        (now, limit),
    )
    return [Callback(**{**dict(row), "attempts": json.loads(row["attempts"])}) for row in rows]


def next_due(connection: sqlite3.Connection, after: float) -> float:
    (moment,) = connection.execute(
        "SELECT coalesce(min(due_at), ?) FROM callbacks WHERE done_at IS NULL AND due_at > ?", (NEVER, after)
    ).fetchone()
    return float(moment)


def tried(connection: sqlite3.Connection, one: Callback, attempt: dict[str, Any], *, again_at: float | None) -> None:
    """Write an attempt down; `again_at` None ends it, delivered when the attempt says so."""
    connection.execute(
        "UPDATE callbacks SET attempts = ?, due_at = coalesce(?, due_at), done_at = ?, delivered = ? "
        "WHERE callback = ?",
        (
            json.dumps([*one.attempts, attempt]),
            again_at,
            attempt["at"] if again_at is None else None,
            int(attempt["delivered"]) if again_at is None else None,
            one.callback,
        ),
    )


def move(connection: sqlite3.Connection, provider: str, external_id: str, due_at: float) -> None:
    """The work ended earlier than it was going to."""
    connection.execute(
        "UPDATE callbacks SET due_at = ? WHERE provider = ? AND external_id = ? AND done_at IS NULL",
        (due_at, provider, external_id),
    )


def log(connection: sqlite3.Connection, provider: str | None) -> list[dict[str, Any]]:
    rows = connection.execute(
        "SELECT * FROM callbacks WHERE ?1 IS NULL OR provider = ?1 ORDER BY callback", (provider,)
    )
    return [{**dict(row), "attempts": json.loads(row["attempts"])} for row in rows]
