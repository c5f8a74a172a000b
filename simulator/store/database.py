"""One SQLite file, one connection, one thread. What was answered is on the disk."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

_MOST_AT_ONCE = 512
_SCHEMA = """
CREATE TABLE IF NOT EXISTS generations (
    provider TEXT NOT NULL, id TEXT NOT NULL, account TEXT NOT NULL, model TEXT NOT NULL, prompt TEXT NOT NULL,
    request TEXT NOT NULL, request_sha256 TEXT NOT NULL, outputs TEXT NOT NULL, outcome TEXT NOT NULL,
    faults TEXT NOT NULL, accepted_at REAL NOT NULL, starts_at REAL NOT NULL, ends_at REAL NOT NULL,
    base_url TEXT NOT NULL, amount_micros INTEGER NOT NULL, reference TEXT, tenant TEXT, idempotency_key TEXT,
    callback_url TEXT, cancelled_at REAL,
    PRIMARY KEY (provider, id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS generation_keys ON generations (provider, account, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX IF NOT EXISTS generation_references ON generations (provider, reference) WHERE reference IS NOT NULL;
CREATE INDEX IF NOT EXISTS generation_ends ON generations (provider, account, ends_at) WHERE cancelled_at IS NULL;
CREATE INDEX IF NOT EXISTS generation_times ON generations (provider, accepted_at);
CREATE TABLE IF NOT EXISTS bill (
    line INTEGER PRIMARY KEY, at REAL NOT NULL, provider TEXT NOT NULL, account TEXT NOT NULL,
    external_id TEXT NOT NULL, reference TEXT, tenant TEXT, kind TEXT NOT NULL CHECK (kind IN ('charge', 'refund')),
    amount_micros INTEGER NOT NULL, units TEXT NOT NULL, request_sha256 TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS bill_accounts ON bill (provider, account);
CREATE TABLE IF NOT EXISTS calls (
    call INTEGER PRIMARY KEY, at REAL NOT NULL, ended_at REAL, provider TEXT NOT NULL, endpoint TEXT NOT NULL,
    method TEXT NOT NULL, path TEXT NOT NULL, account TEXT, reference TEXT, tenant TEXT, external_id TEXT,
    status INTEGER, fault TEXT, repeated INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS call_rates ON calls (provider, account, endpoint, at);
CREATE TABLE IF NOT EXISTS fault_rules (
    rule INTEGER PRIMARY KEY, provider TEXT NOT NULL, endpoint TEXT NOT NULL, fault TEXT NOT NULL,
    probability REAL NOT NULL, most INTEGER, seed TEXT NOT NULL,
    seen INTEGER NOT NULL DEFAULT 0, fired INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS fault_uses (
    subject TEXT NOT NULL, fault TEXT NOT NULL, times INTEGER NOT NULL, PRIMARY KEY (subject, fault)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS callbacks (
    callback INTEGER PRIMARY KEY, provider TEXT NOT NULL, external_id TEXT NOT NULL, stage TEXT NOT NULL,
    url TEXT NOT NULL, due_at REAL NOT NULL, attempts TEXT NOT NULL DEFAULT '[]', done_at REAL, delivered INTEGER
);
CREATE INDEX IF NOT EXISTS callbacks_due ON callbacks (due_at) WHERE done_at IS NULL;
CREATE TABLE IF NOT EXISTS kept (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


class Database:
    """Runs pieces of work one after the other; those that wait at the same time share one commit.

    Belongs to one event loop.
    """

    def __init__(self, path: Path) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="simulator-store")
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode = WAL")
        # A bill line must outlive the machine too: with NORMAL a commit may be lost with the power.
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.executescript(_SCHEMA)
        self._waiting: list[tuple[Work[Any], asyncio.Future[Any]]] = []
        self._draining: asyncio.Task[None] | None = None

    async def run(self, work: Work[T]) -> T:
        """The result of `work(connection)`, committed and on the disk. What it raises undoes its own writes alone."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, future))
        if self._draining is None or self._draining.done():
            self._draining = asyncio.create_task(self._drain())
        return await future

    async def close(self) -> None:
        if self._draining is not None:
            await self._draining
        self._thread.shutdown()
        self._connection.close()

    async def _drain(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:_MOST_AT_ONCE], self._waiting[_MOST_AT_ONCE:]
            try:
                results = await asyncio.get_running_loop().run_in_executor(
                    self._thread, self._committed, [work for work, _ in batch]
                )
            except Exception as error:  # the whole batch was rolled back: each waiter is told
                results = [error] * len(batch)
            for (_, future), result in zip(batch, results, strict=True):
                if future.cancelled():
                    continue
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)

    def _committed(self, batch: list[Work[Any]]) -> list[Any]:
        connection = self._connection
        connection.execute("BEGIN")
        try:
            results = [self._one(connection, work) for work in batch]
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        return results

    def _one(self, connection: sqlite3.Connection, work: Work[Any]) -> Any:
        connection.execute("SAVEPOINT one")
        try:
            result = work(connection)
        except Exception as error:
            connection.execute("ROLLBACK TO one")
            result = error
        connection.execute("RELEASE one")
        return result
