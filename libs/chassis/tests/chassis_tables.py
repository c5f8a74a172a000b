"""The database of the chassis's tests: its own tables and one to write into, empty for each test."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.database import make_engine
from chassis.ids import uuid7
from chassis.telemetry import configure_logging
from chassis.testing import create_tables, reset_tables
from stack.testing import PostgresServer


@pytest.fixture(autouse=True)
def _json_logs() -> None:
    configure_logging("test")


@functools.cache
def _made(server: PostgresServer) -> str:
    """Once in a session, whoever asks; it ends with its server."""
    name = f"test_{uuid7().hex}"
    server.execute(f"CREATE DATABASE {name} TEMPLATE template0")

    async def fill() -> None:
        engine = make_engine(server.url(name), name="test")
        await create_tables(engine)
        async with engine.begin() as conn:
            await conn.execute(text("CREATE TABLE written (n serial PRIMARY KEY, what text, number bigint)"))
        await engine.dispose()

    asyncio.run(fill())
    return server.url(name)


@pytest.fixture
def database(postgres_server: PostgresServer) -> str:
    """Its DSN; `engine` empties it."""
    return _made(postgres_server)


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    """Connections to it, when nothing is in it."""
    engine = make_engine(database, name="test", pool_size=8)
    await reset_tables(engine, "written")
    yield engine
    await engine.dispose()
