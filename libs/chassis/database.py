"""Connections to a service's own PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
from aiokafka.errors import KafkaError
from sqlalchemy import event, exc, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import QueuePool

from chassis.dsn import raw_dsn
from chassis.errors import Transient
from chassis.metrics import DB_CONNECTIONS
from chassis.migrations import READER_ROLE, migrate

__all__ = [
    "READER_ROLE",
    "after_commit",
    "is_transient",
    "make_engine",
    "migrate",
    "on_new_connection",
    "raw_dsn",
    "tenant_transaction",
]

_AFTER_RETURN = "chassis.after_return"

# A statement that waits longer than this has met a lock nobody gives back; its transaction is tried again.
_SERVER_SETTINGS = {
    "timezone": "UTC",
    "jit": "off",
    "lock_timeout": "10s",
    "statement_timeout": "30s",
    "idle_in_transaction_session_timeout": "60s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
_COMMAND_TIMEOUT = 40.0


def make_engine(dsn: str, *, name: str, pool_size: int = 8) -> AsyncEngine:
    """A pool of at most `pool_size` connections to `dsn` (any postgresql:// form); `name` is the application_name.

    Connections keep their prepared statements, speak UTC, and are not pinged before use: a dead one fails its
    statement, is thrown away with all its age, and `is_transient` says that trying again is right. Errors do not repeat
    what a statement was given: it may be a prompt.
    """

    async def connect() -> Any:
        return await asyncpg.connect(
            raw_dsn(dsn),
            timeout=10,
            command_timeout=_COMMAND_TIMEOUT,
            server_settings={**_SERVER_SETTINGS, "application_name": name},
        )

    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=10,
        pool_use_lifo=True,
        connect_args={"prepared_statement_cache_size": 500},
        hide_parameters=True,
    )
    event.listen(engine.sync_engine, "checkin", _run_after_return)
    event.listen(engine.sync_engine, "handle_error", _forget_the_row)
    _observe_pool(engine, name)
    return engine


def _forget_the_row(context: ExceptionContext) -> None:
    """PostgreSQL's word on a row it refuses is the row, and goes wherever the error is logged."""
    cause = context.original_exception.__cause__
    if isinstance(cause, asyncpg.CheckViolationError | asyncpg.NotNullViolationError):
        cause.detail = None


def _observe_pool(engine: AsyncEngine, name: str) -> None:
    pool = engine.sync_engine.pool
    if isinstance(pool, QueuePool):
        DB_CONNECTIONS.labels(name, "in_use").set_function(pool.checkedout)
        DB_CONNECTIONS.labels(name, "idle").set_function(pool.checkedin)


def after_commit(conn: AsyncConnection, callback: Callable[[], None]) -> None:
    """Calls `callback` once when `conn` is back in its pool, that is after its transaction has ended.

    SQLAlchemy's own commit event fires before the COMMIT is sent, too early for whoever looks for the row at once.
    A rollback calls it as well. It must be quick and must not raise.
    """
    waiting: dict[Callable[[], None], None] = conn.info.setdefault(_AFTER_RETURN, {})
    waiting[callback] = None


def on_new_connection(engine: AsyncEngine, callback: Callable[[], None]) -> None:
    """Calls `callback` for every connection that is made to the server: none outlives a crash of it."""
    event.listen(engine.sync_engine, "connect", lambda *_: callback())


def _run_after_return(_: Any, record: Any) -> None:
    for callback in record.info.pop(_AFTER_RETURN, ()):
        callback()


_SET_TENANT = text(f"SELECT set_config('role', '{READER_ROLE}', true), set_config('backlot.tenant', :tenant, true)")


@asynccontextmanager
async def tenant_transaction(engine: AsyncEngine, tenant_id: UUID) -> AsyncIterator[AsyncConnection]:
    """A transaction that sees only `tenant_id`'s rows of tables under row-level security, and may only read."""
    async with engine.begin() as conn:
        await conn.execute(_SET_TENANT, {"tenant": str(tenant_id)})
        yield conn


# 08 connection, 40 rollback (deadlock, serialization), 53 resources, 57 operator intervention; lock_not_available;
# idle_in_transaction_session_timeout
_TRANSIENT_CLASSES = ("08", "40", "53", "57")
_TRANSIENT_STATES = ("55P03", "25P03")


def is_transient(error: BaseException) -> bool:
    """Whether the same work may succeed later without anybody mending anything."""
    if isinstance(error, exc.DBAPIError):
        return bool(error.connection_invalidated) or _state_is_transient(getattr(error.orig, "sqlstate", None))
    if isinstance(error, asyncpg.PostgresError):
        return _state_is_transient(error.sqlstate)
    if isinstance(error, KafkaError):
        return bool(error.retriable)
    return isinstance(error, (Transient, OSError, TimeoutError, exc.TimeoutError))


def _state_is_transient(state: str | None) -> bool:
    return state is not None and (state[:2] in _TRANSIENT_CLASSES or state in _TRANSIENT_STATES)
