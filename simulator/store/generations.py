"""Generations as rows."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict, fields
from typing import Any

from simulator.faults import parsed
from simulator.generation import Generation, Output, State

_COLUMNS = tuple(field.name for field in fields(Generation))
_INSERT = (
    f"INSERT INTO generations ({', '.join(_COLUMNS)}) "  # noqa: S608 - the names of our own fields
    f"VALUES ({', '.join(f':{name}' for name in _COLUMNS)})"
)


def add(connection: sqlite3.Connection, generation: Generation) -> None:
    row = asdict(generation) | {
        "request": json.dumps(generation.request),
        "outputs": json.dumps([asdict(output) for output in generation.outputs]),
        "faults": json.dumps([str(fault) for fault in generation.faults]),
    }
    connection.execute(_INSERT, row)


def by_id(connection: sqlite3.Connection, provider: str, generation: str) -> Generation | None:
    return _one(connection, "SELECT * FROM generations WHERE provider = ? AND id = ?", provider, generation)


def by_reference(connection: sqlite3.Connection, provider: str, reference: str) -> Generation | None:
    """The first one: a repeated reference without an idempotency key is another generation."""
    return _one(
        connection,
        "SELECT * FROM generations WHERE provider = ? AND reference = ? ORDER BY accepted_at, id LIMIT 1",
        provider,
        reference,
    )


def by_key(connection: sqlite3.Connection, provider: str, account: str, key: str) -> Generation | None:
    return _one(
        connection,
        "SELECT * FROM generations WHERE provider = ? AND account = ? AND idempotency_key = ?",
        provider,
        account,
        key,
    )


def newest(
    connection: sqlite3.Connection, provider: str, account: str, *, model: str | None, skip: int, limit: int
) -> list[Generation]:
    rows = connection.execute(
        "SELECT * FROM generations WHERE provider = :provider AND account = :account "
        "AND (:model IS NULL OR model = :model) ORDER BY accepted_at DESC, id LIMIT :limit OFFSET :skip",
        {"provider": provider, "account": account, "model": model, "skip": skip, "limit": limit},
    )
    return [_generation(row) for row in rows]


def unfinished_ends(connection: sqlite3.Connection, provider: str, account: str, now: float) -> list[float]:
    """When each unfinished generation of an account will end, the first to end first."""
    rows = connection.execute(
        "SELECT ends_at FROM generations WHERE provider = ? AND account = ? AND ends_at > ? AND cancelled_at IS NULL "
        "ORDER BY ends_at",
        (provider, account, now),
    )
    return [row["ends_at"] for row in rows]


def cancel(connection: sqlite3.Connection, provider: str, generation: str, now: float) -> None:
    connection.execute(
        "UPDATE generations SET cancelled_at = ? WHERE provider = ? AND id = ? AND cancelled_at IS NULL",
        (now, provider, generation),
    )


def spans(connection: sqlite3.Connection) -> list[tuple[str, str, str | None, float, float]]:
    """Provider, account, tenant, start and end of all accepted work."""
    rows = connection.execute(
        "SELECT provider, account, tenant, accepted_at, min(ends_at, coalesce(cancelled_at, ends_at)) FROM generations"
    )
    return [tuple(row) for row in rows]


def _one(connection: sqlite3.Connection, statement: str, *values: Any) -> Generation | None:
    row = connection.execute(statement, values).fetchone()
    return None if row is None else _generation(row)


def _generation(row: sqlite3.Row) -> Generation:
    return Generation(
        **{
            **dict(row),
            "request": json.loads(row["request"]),
            "outputs": tuple(Output(**output) for output in json.loads(row["outputs"])),
            "faults": tuple(parsed(text) for text in json.loads(row["faults"])),
            "outcome": State(row["outcome"]),
        }
    )
