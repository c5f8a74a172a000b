"""Connections, migrations and row-level security on the real PostgreSQL."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from io import StringIO
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.database import after_commit, is_transient, make_engine, migrate, tenant_transaction
from chassis.errors import Transient
from chassis.ids import uuid7
from chassis.telemetry import configure_logging, get_logger

pytestmark = pytest.mark.integration

FIRST = """
from alembic import op
from chassis.migrations import create_chassis_tables, enable_rls

revision = "0001"
down_revision = None


def upgrade():
    create_chassis_tables(op)
    op.execute("CREATE TABLE thing (id int PRIMARY KEY, tenant_id uuid NOT NULL)")
    enable_rls(op, "thing")
"""
SECOND = """
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    op.execute("ALTER TABLE thing ADD COLUMN name text")
"""


@pytest.fixture
def package(tmp_path: Path) -> Iterator[Path]:
    """An importable package `shop_under_test` with one revision; answers its migrations folder."""
    folder = tmp_path / "shop_under_test" / "migrations"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    (folder / "__init__.py").touch()
    (folder / "0001_first.py").write_text(FIRST)
    sys.path.insert(0, str(tmp_path))
    yield folder
    sys.path.remove(str(tmp_path))
    for name in [name for name in sys.modules if name.startswith("shop_under_test")]:
        del sys.modules[name]


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = make_engine(database_url, name="test", pool_size=2)
    yield engine
    await engine.dispose()


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """What was logged so far."""
    output = StringIO()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", output)
        configure_logging("test")
    return output.getvalue


async def scalar(engine: AsyncEngine, statement: str) -> object:
    async with engine.connect() as conn:
        return await conn.scalar(text(statement))


async def test_a_database_is_brought_to_the_newest_revision(
    package: Path, database_url: str, engine: AsyncEngine
) -> None:
    await migrate(database_url, "shop_under_test")
    assert await scalar(engine, "SELECT version_num FROM alembic_version") == "0001"
    (package / "0002_second.py").write_text(SECOND)
    await migrate(database_url, "shop_under_test")
    assert await scalar(engine, "SELECT version_num FROM alembic_version") == "0002"
    await migrate(database_url, "shop_under_test")


@pytest.mark.usefixtures("package")
async def test_processes_that_start_together_migrate_once(database_url: str, engine: AsyncEngine) -> None:
    await asyncio.gather(*(migrate(database_url, "shop_under_test") for _ in range(4)))
    assert await scalar(engine, "SELECT count(*) FROM thing") == 0


async def test_a_program_older_than_its_database_still_starts(
    package: Path, database_url: str, engine: AsyncEngine
) -> None:
    newer = package / "0002_second.py"
    newer.write_text(SECOND)
    await migrate(database_url, "shop_under_test")
    newer.unlink()
    await migrate(database_url, "shop_under_test")
    assert await scalar(engine, "SELECT version_num FROM alembic_version") == "0002"


async def test_a_revision_that_fails_leaves_nothing_behind(
    package: Path, database_url: str, engine: AsyncEngine
) -> None:
    (package / "0002_second.py").write_text(SECOND.replace("ADD COLUMN name", "ADD COLUMN tenant_id"))
    with pytest.raises(Exception, match="already exists"):
        await migrate(database_url, "shop_under_test")
    assert await scalar(engine, "SELECT to_regclass('thing')") is None


@pytest.mark.usefixtures("package")
async def test_a_database_that_is_away_is_waited_for_and_then_given_up() -> None:
    with pytest.raises(OSError, match=r".+"):
        await migrate("postgresql://nobody@127.0.0.1:1/none", "shop_under_test", wait=0.3)


@pytest.mark.usefixtures("package")
async def test_a_tenant_reads_its_own_rows_and_writes_none(database_url: str, engine: AsyncEngine) -> None:
    await migrate(database_url, "shop_under_test")
    mine, theirs = uuid7(), uuid7()
    async with engine.begin() as conn:
        await conn.execute(text("INSERT INTO thing VALUES (1, :mine), (2, :theirs)"), {"mine": mine, "theirs": theirs})
    async with tenant_transaction(engine, mine) as conn:
        assert (await conn.execute(text("SELECT id FROM thing"))).scalars().all() == [1]
    with pytest.raises(Exception, match="permission denied"):
        async with tenant_transaction(engine, mine) as conn:
            await conn.execute(text("DELETE FROM thing"))
    async with engine.connect() as conn:
        assert (await conn.execute(text("SELECT count(*) FROM thing"))).scalar() == 2


@pytest.mark.usefixtures("package")
async def test_a_connection_forgets_its_tenant_with_the_transaction(database_url: str) -> None:
    await migrate(database_url, "shop_under_test")
    engine = make_engine(database_url, name="test", pool_size=1)
    async with tenant_transaction(engine, uuid7()):
        pass
    async with engine.begin() as conn:
        assert await conn.scalar(text("SELECT current_user")) != "backlot_reader"
        assert await conn.scalar(text("SELECT coalesce(current_setting('backlot.tenant', true), '')")) == ""
    await engine.dispose()


async def test_connections_speak_utc_and_show_their_name(engine: AsyncEngine) -> None:
    async with engine.connect() as conn:
        assert await conn.scalar(text("SHOW timezone")) == "UTC"
        assert await conn.scalar(text("SHOW application_name")) == "test"


async def test_what_waits_for_a_commit_is_called_when_others_can_see_it(engine: AsyncEngine) -> None:
    seen: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def look() -> None:
        async with engine.connect() as conn:
            seen.set_result(await conn.scalar(text("SELECT count(*) FROM thing")))

    tasks: list[asyncio.Task[None]] = []

    def begin_to_look() -> None:
        tasks.append(asyncio.create_task(look()))

    async with engine.begin() as conn:
        await conn.execute(text("CREATE TABLE thing (id int)"))
    async with engine.begin() as conn:
        after_commit(conn, begin_to_look)
        after_commit(conn, begin_to_look)
        await conn.execute(text("INSERT INTO thing VALUES (1)"))
        assert not tasks
    assert await asyncio.wait_for(seen, 5) == 1
    assert len(tasks) == 1


async def test_a_killed_connection_is_transient_and_the_pool_recovers(engine: AsyncEngine, database_url: str) -> None:
    killer = await asyncpg.connect(database_url)

    async def work_on_a_connection_that_is_killed() -> None:
        async with engine.begin() as conn:
            pid = await conn.scalar(text("SELECT pg_backend_pid()"))
            await killer.execute("SELECT pg_terminate_backend($1)", pid)
            await conn.execute(text("SELECT 1"))

    with pytest.raises(Exception, match=r".+") as caught:
        await work_on_a_connection_that_is_killed()
    assert is_transient(caught.value)
    assert await scalar(engine, "SELECT 1") == 1
    await killer.close()


async def test_a_deadlock_is_transient(engine: AsyncEngine) -> None:
    async with engine.begin() as conn:
        await conn.execute(text("CREATE TABLE thing (id int)"))
        await conn.execute(text("INSERT INTO thing VALUES (1), (2)"))

    async def lock(first: int, second: int, met: asyncio.Barrier) -> None:
        async with engine.begin() as conn:
            await conn.execute(text("SELECT * FROM thing WHERE id = :id FOR UPDATE"), {"id": first})
            await met.wait()
            await conn.execute(text("SELECT * FROM thing WHERE id = :id FOR UPDATE"), {"id": second})

    met = asyncio.Barrier(2)
    results = await asyncio.gather(lock(1, 2, met), lock(2, 1, met), return_exceptions=True)
    (victim,) = [result for result in results if result is not None]
    assert is_transient(victim)


@pytest.mark.parametrize(
    ("statement", "parameters"),
    [
        ("SELECT * FROM nowhere", {}),
        ("SELECT 1 / :zero", {"zero": 0}),
        ("SELECT CAST(:number AS int)", {"number": 2**40}),
        ("SELECT CAST(:id AS uuid)", {"id": "no uuid"}),
    ],
)
async def test_what_fails_again_the_same_way_is_not_transient(
    engine: AsyncEngine, statement: str, parameters: dict[str, object]
) -> None:
    with pytest.raises(Exception, match=r".+") as caught:
        async with engine.begin() as conn:
            await conn.execute(text(statement), parameters)
    assert not is_transient(caught.value)


@pytest.mark.parametrize(
    ("statement", "number"),
    [
        ("INSERT INTO thing VALUES (1, :prompt)", 1),
        ("INSERT INTO thing VALUES (-1, :prompt)", 1),
        ("INSERT INTO thing VALUES (NULL, :prompt)", 1),
        ("INSERT INTO thing SELECT 1 / :number, :prompt", 0),
        ("INSERT INTO nowhere VALUES (:number, :prompt)", 1),
    ],
    ids=["taken", "not allowed", "missing", "no number", "no table"],
)
async def test_what_a_statement_was_told_is_not_in_the_words_of_its_failure(
    engine: AsyncEngine, lines: Callable[[], str], statement: str, number: int
) -> None:
    async with engine.begin() as conn:
        await conn.execute(text("CREATE TABLE thing (id int PRIMARY KEY CHECK (id > 0), prompt text)"))
        await conn.execute(text("INSERT INTO thing VALUES (1, '')"))
    try:
        async with engine.begin() as conn:
            parameters = {"prompt": "a canary sings", "number": number}
            await conn.execute(
                text(statement), {name: parameters[name] for name in parameters if f":{name}" in statement}
            )
    except Exception as error:
        get_logger().error("consumer_failed", exc_info=error, error=repr(error), words=str(error))
    assert "consumer_failed" in lines()
    assert "canary" not in lines()


def test_time_and_connection_trouble_is_transient_and_a_bug_is_not() -> None:
    assert is_transient(TimeoutError())
    assert is_transient(ConnectionRefusedError())
    assert is_transient(Transient("the kit is not here yet"))
    assert not is_transient(KeyError("typo"))
    assert not is_transient(ValueError("no"))


def test_ids_are_ordered_by_time() -> None:
    made = [uuid7() for _ in range(1000)]
    assert made == sorted(made)
    assert all(isinstance(item, UUID) and item.version == 7 for item in made)
