"""PostgreSQL as a child process: nothing that was committed is lost, nothing is left over."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from stack.errors import FolderHeldError, ServerError
from stack.ports import free_ports
from stack.postgres import Postgres

pytestmark = pytest.mark.integration

OWNER = """
import asyncio, sys
from pathlib import Path
from stack.postgres import Postgres

server = Postgres(Path(sys.argv[1]), int(sys.argv[2]))
asyncio.run(server.start())
print(server.child.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
async def fresh(tmp_path: Path) -> AsyncIterator[Postgres]:
    """A server over an empty folder."""
    postgres = Postgres(tmp_path / "postgres", free_ports(1)[0])
    yield postgres
    await postgres.stop()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of a server that was started once."""
    made = Postgres(tmp_path_factory.mktemp("made") / "postgres", free_ports(1)[0])

    async def make() -> None:
        await made.start()
        await made.stop()

    asyncio.run(make())
    return made.folder / "data"


@pytest.fixture
def server(fresh: Postgres, cluster: Path) -> Postgres:
    """A server over a cluster of its own: what an earlier start has left, without the seconds that it took."""
    fresh.folder.mkdir()
    subprocess.run(["cp", "-a", cluster, fresh.folder], check=True)
    return fresh


async def ask(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_what_was_committed_is_there_after_the_server_was_killed(server: Postgres) -> None:
    await server.start()
    port = server.port
    await ask(server.url(), "CREATE TABLE jobs AS SELECT generate_series(1, 500) AS id")

    os.kill(server.child.pid, signal.SIGKILL)
    await server.child.wait()
    await server.run()

    assert await ask(server.url(), "SELECT count(*) FROM jobs") == 500
    assert server.port == port


async def test_when_its_owner_is_killed_it_ends_and_the_next_owner_finds_the_data(tmp_path: Path) -> None:
    folder, port = tmp_path / "postgres", free_ports(1)[0]
    command = [sys.executable, "-c", OWNER, str(folder), str(port)]
    owner = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert owner.stdout is not None
    first = psutil.Process(int(await owner.stdout.readline()))
    server = Postgres(folder, port)
    await ask(server.url(), "CREATE TABLE jobs AS SELECT 7 AS id")
    with pytest.raises(FolderHeldError, match=f"in use by process {owner.pid}"):
        await server.start()
    owner.kill()

    await server.start()
    try:
        assert await ask(server.url(), "SELECT id FROM jobs") == 7
        assert not first.is_running() or first.status() == psutil.STATUS_ZOMBIE
    finally:
        await server.stop()


async def test_a_cluster_that_was_half_made_is_made_again(fresh: Postgres) -> None:
    half = fresh.folder / "data.new" / "data"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")

    await fresh.start()

    assert await ask(fresh.url(), "SELECT 1") == 1
    assert not (fresh.folder / "data.new").exists()


async def test_a_folder_with_something_else_in_the_place_of_the_data_is_left_alone(fresh: Postgres) -> None:
    letter = fresh.folder / "data" / "letter.txt"
    letter.parent.mkdir(parents=True)
    letter.write_text("dear reader")

    with pytest.raises(ServerError, match="is in the way"):
        await fresh.start()

    assert letter.read_text() == "dear reader"


async def test_a_pid_file_that_names_somebody_else_does_not_keep_it_from_starting(server: Postgres) -> None:
    data = server.folder / "data"
    stranger = await asyncio.create_subprocess_exec("sleep", "600", user=data.stat().st_uid)
    note = f"{stranger.pid}\n{data}\n1700000000\n{server.port}\n\n127.0.0.1\n 1 1\nready\n"
    (data / "postmaster.pid").write_text(note)

    try:
        await server.start()
        assert await ask(server.url(), "SELECT 1") == 1
    finally:
        stranger.kill()
        await stranger.wait()


async def test_over_tcp_it_wants_the_password(server: Postgres) -> None:
    await server.start()

    with pytest.raises(asyncpg.InvalidPasswordError):
        await ask(f"postgresql://postgres:guess@127.0.0.1:{server.port}/postgres", "SELECT 1")
    assert await ask(server.socket_url(), "SELECT 1") == 1
    assert (server.folder / "s").stat().st_mode & 0o077 == 0


async def test_a_folder_too_deep_for_a_unix_socket_works_and_leaves_nothing_in_the_temporary_folder(
    tmp_path: Path,
) -> None:
    server = Postgres(tmp_path / ("deep" * 30), free_ports(1)[0])
    await server.start()
    sockets = (server.folder / "s").resolve()
    try:
        assert await ask(server.socket_url(), "SELECT 1") == 1
        assert sockets.is_dir()
    finally:
        await server.stop()

    assert not sockets.exists()


async def test_databases_are_made_once_and_keep_what_is_in_them(server: Postgres) -> None:
    await server.start()
    await server.ensure_databases(["first"])
    await ask(server.socket_url("first"), "CREATE TABLE jobs AS SELECT 1 AS id")

    await server.ensure_databases(["first", "second"])

    assert await ask(server.socket_url("first"), "SELECT id FROM jobs") == 1
    assert await ask(server.socket_url("second"), "SELECT current_database()") == "second"


async def test_a_server_that_cannot_start_says_why(server: Postgres) -> None:
    broken = Postgres(server.folder, server.port, settings={"shared_buffers": "a lot"})

    with pytest.raises(ServerError, match=r"(?s)PostgreSQL did not start.*shared_buffers"):
        await asyncio.wait_for(broken.start(), 60)
