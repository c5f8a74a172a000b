"""The log of every request, and what can be counted from it."""

from __future__ import annotations

import sqlite3
from typing import Any

from simulator.faults import SUBMIT

_REPEATED_SUBMITS = """
SELECT provider, reference, count(*) AS submits, sum(repeated) AS repeated FROM calls
WHERE endpoint = 'submit' AND reference IS NOT NULL GROUP BY provider, reference HAVING count(*) > 1
ORDER BY provider, reference
"""


def arrived(
    connection: sqlite3.Connection,
    *,
    now: float,
    provider: str,
    endpoint: str,
    method: str,
    path: str,
    account: str | None = None,
) -> int:
    """Write down that a request came; its number."""
    cursor = connection.execute(
        "INSERT INTO calls (at, provider, endpoint, account, method, path) VALUES (?, ?, ?, ?, ?, ?)",
        (now, provider, endpoint, account, method, path),
    )
    return int(cursor.lastrowid or 0)


def ended(connection: sqlite3.Connection, call: int, facts: dict[str, Any]) -> None:
    connection.execute(
        "UPDATE calls SET ended_at = :now, status = :status, reference = :reference, tenant = :tenant, "
        "external_id = :external_id, fault = :fault, repeated = :repeated WHERE call = :call",
        facts | {"call": call},
    )


def submits_since(connection: sqlite3.Connection, provider: str, account: str, since: float) -> list[float]:
    """When the submits were made that are not refused, the oldest first."""
    rows = connection.execute(
        "SELECT at FROM calls WHERE provider = ? AND account = ? AND endpoint = ? AND at > ? "
        "AND (status IS NULL OR status < 400) ORDER BY at",
        (provider, account, SUBMIT, since),
    )
    return [row["at"] for row in rows]


def log(connection: sqlite3.Connection, chosen: dict[str, Any]) -> list[dict[str, Any]]:
    """The newest first. `chosen` has provider, endpoint, reference, external_id (or None) and limit."""
    rows = connection.execute(
        "SELECT * FROM calls WHERE (:provider IS NULL OR provider = :provider) "
        "AND (:endpoint IS NULL OR endpoint = :endpoint) AND (:reference IS NULL OR reference = :reference) "
        "AND (:external_id IS NULL OR external_id = :external_id) ORDER BY call DESC LIMIT :limit",
        chosen,
    )
    return [{**dict(row), "repeated": bool(row["repeated"])} for row in rows]


def counts(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    rows = connection.execute(
        "SELECT provider, endpoint, count(*) AS calls, sum(coalesce(status, 0) >= 400) AS refused, "
        "sum(status IS NULL) AS unanswered FROM calls GROUP BY provider, endpoint ORDER BY provider, endpoint"
    )
    return [dict(row) for row in rows]


def repeated_submits(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """References that were submitted more than once, also in vain; `repeated` of them got the first one's answer."""
    return [dict(row) for row in connection.execute(_REPEATED_SUBMITS)]
