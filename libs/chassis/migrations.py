"""Alembic without its ceremony: revisions in a package, run at start under an advisory lock.

A service keeps its revisions in `<package>/migrations/NNNN_name.py` (or `<package>/migrations/versions/`); there is no
env.py and no alembic.ini, `migrate` supplies the environment.
"""

from __future__ import annotations

import asyncio
import importlib.util
import time
from pathlib import Path
from typing import Any

import asyncpg
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from chassis.dsn import raw_dsn
from chassis.telemetry import get_logger

log = get_logger()

READER_ROLE = "backlot_reader"
_LOCK = 0x6261636B6C6F74  # "backlot"
_WAIT = 60.0


async def migrate(dsn: str, package: str, *, wait: float = _WAIT) -> None:
    """Brings `dsn` to the newest revision of `<package>.migrations`.

    Processes that start together take turns; a database that is still starting is waited for, `wait` seconds at most.
    Raises what the database or a revision raised.
    """
    script = _script(package)
    await _wait_for_database(dsn, wait)

    async def connect() -> Any:
        return await asyncpg.connect(raw_dsn(dsn), timeout=10, server_settings={"application_name": "migrate"})

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.connect() as lock:
            await lock.execution_options(isolation_level="AUTOCOMMIT")
            await _take_turn(lock)
            async with engine.begin() as conn:
                await conn.run_sync(_upgrade, script)
    finally:
        await engine.dispose()


async def _take_turn(lock: AsyncConnection) -> None:
    # Asked again and again, not waited for: a statement that waits holds a snapshot, and CREATE INDEX CONCURRENTLY of
    # the process whose turn it is would wait for that snapshot in return.
    while not await lock.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _LOCK}):  # noqa: ASYNC110
        await asyncio.sleep(0.2)


def _script(package: str) -> ScriptDirectory:
    spec = importlib.util.find_spec(f"{package}.migrations")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"{package} has no package `migrations`")
    folder = Path(next(iter(spec.submodule_search_locations)))
    versions = folder / "versions"
    return ScriptDirectory(str(folder), version_locations=[str(versions if versions.is_dir() else folder)])


def _upgrade(connection: Connection, script: ScriptDirectory) -> None:
    unknown = _unknown_revisions(connection, script)
    if unknown:
        log.warning("database_is_newer", revisions=unknown)
        return

    def steps(revision: Any, _: Any) -> Any:
        return script._upgrade_revs("head", revision)

    with EnvironmentContext(Config(), script, fn=steps) as environment:
        environment.configure(connection=connection)
        with environment.begin_transaction():
            environment.run_migrations()


def _unknown_revisions(connection: Connection, script: ScriptDirectory) -> list[str]:
    """Revisions a newer release has left; this one runs beside it until it is rolled out or back."""
    known = {revision.revision for revision in script.walk_revisions()}
    return [head for head in MigrationContext.configure(connection).get_current_heads() if head not in known]


async def _wait_for_database(dsn: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    pause = 0.1
    while True:
        try:
            conn = await asyncpg.connect(raw_dsn(dsn), timeout=5)
        except (OSError, TimeoutError, asyncpg.CannotConnectNowError, asyncpg.TooManyConnectionsError) as error:
            if time.monotonic() + pause > deadline:
                raise
            log.warning("database_not_ready", reason=str(error) or type(error).__name__)
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)
        else:
            await conn.close()
            return


_TABLES = (
    """
    CREATE TABLE inbox (
        handler text NOT NULL,
        id uuid NOT NULL,
        PRIMARY KEY (handler, id)
    ) PARTITION BY RANGE (id)
    """,
    "CREATE TABLE inbox_default PARTITION OF inbox DEFAULT",
    """
    CREATE TABLE outbox (
        n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        id uuid NOT NULL,
        topic text NOT NULL,
        key bytea NOT NULL,
        value bytea NOT NULL,
        headers text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now()
    ) WITH (
        autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 50000
    )
    """,
    """
    CREATE TABLE outbox_published (
        n bigint NOT NULL,
        id uuid NOT NULL,
        topic text NOT NULL,
        key bytea NOT NULL,
        value bytea NOT NULL,
        headers text NOT NULL,
        created_at timestamptz NOT NULL,
        published_at timestamptz NOT NULL DEFAULT now()
    ) PARTITION BY RANGE (published_at)
    """,
    "CREATE TABLE outbox_published_default PARTITION OF outbox_published DEFAULT",
    """
    CREATE TABLE outbox_dead (
        n bigint PRIMARY KEY,
        id uuid NOT NULL,
        topic text NOT NULL,
        key bytea NOT NULL,
        value bytea NOT NULL,
        headers text NOT NULL,
        created_at timestamptz NOT NULL,
        error text NOT NULL,
        parked_at timestamptz NOT NULL DEFAULT now()
    )
    """,
)

# Roles belong to the whole server, so services that start together make the same one: losing that race is no error.
_ROLE = f"""
DO $$
BEGIN
    FOR attempt IN 1..20 LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{READER_ROLE}') THEN
                CREATE ROLE {READER_ROLE} NOLOGIN;
            END IF;
            IF NOT pg_has_role(current_user, '{READER_ROLE}', 'MEMBER') THEN
                GRANT {READER_ROLE} TO CURRENT_USER;
            END IF;
            EXECUTE format('GRANT USAGE ON SCHEMA %I TO {READER_ROLE}', current_schema());
            RETURN;
        EXCEPTION WHEN duplicate_object OR unique_violation OR internal_error THEN
            PERFORM pg_sleep(0.05 * attempt);
        END;
    END LOOP;
    RAISE EXCEPTION 'could not make the role {READER_ROLE}';
END
$$
"""


def create_chassis_tables(op: Any) -> None:
    """In a service's first revision: inbox, outbox, outbox_published, outbox_dead and the reader role."""
    for statement in _TABLES:
        op.execute(statement)
    op.execute(_ROLE)


def enable_rls(op: Any, table: str, *, column: str = "tenant_id") -> None:
    """Lets the reader role read `table`, and of it only the rows whose `column` is the transaction's tenant.

    The owner of the table, which is the role the batch consumers use, is not bound by the policy.
    """
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY tenant_reads ON {table} FOR SELECT TO {READER_ROLE} "
        f"USING ({column} = current_setting('backlot.tenant')::uuid)"
    )
    op.execute(f"GRANT SELECT ON {table} TO {READER_ROLE}")
