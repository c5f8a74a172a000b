"""The real process: killed between the steps of a promotion, visited by idlers, started with nonsense."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process, create_subprocess_exec
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from schemas.assets import AssetStored
from stack.ports import free_ports
from stack.testing import PostgresServer
from tests.storage_house import PICTURE, SECRET, House, completed, house_in, migrated_database

pytestmark = pytest.mark.integration

KILLED = 137


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[str]:
    yield from migrated_database(postgres_server)


@pytest.fixture
async def house(database: str, tmp_path: Path) -> AsyncIterator[House]:
    async with house_in(database, tmp_path / "objects") as house:
        yield house


@pytest.fixture
def environment(database: str, tmp_path: Path) -> dict[str, str]:
    public, internal, nothing = free_ports(3)
    return {
        **os.environ,
        "STORAGE_SERVICE_DATABASE_URL": database,
        "STORAGE_SERVICE_HTTP_PORT": str(public),
        "STORAGE_SERVICE_INTERNAL_PORT": str(internal),
        "STORAGE_SERVICE_DATABASE_POOL": "2",
        "STORAGE_SERVICE_LEASE_SECONDS": "1",
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{nothing}",
        "BACKLOT_SECRET": SECRET,
        "BACKLOT_OBJECTS_DIR": str(tmp_path / "objects"),
        "ASSET_PUBLIC_URL": f"http://127.0.0.1:{public}",
    }


async def start(environment: Mapping[str, str]) -> Process:
    return await create_subprocess_exec(sys.executable, "-m", "storage_service", env=environment, stdout=PIPE)


@asynccontextmanager
async def running(environment: Mapping[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    """The process, from its first answer to its orderly end."""
    process = await start(environment)
    draining = asyncio.create_task(process.stdout.read()) if process.stdout else None
    async with httpx.AsyncClient(base_url=environment["ASSET_PUBLIC_URL"], timeout=20) as client:
        try:
            await answers(client, process)
            yield client
        finally:
            process.send_signal(signal.SIGTERM)
            code = await asyncio.wait_for(process.wait(), 25)
            if draining is not None:
                await draining
    assert code == 0


async def answers(client: httpx.AsyncClient, process: Process) -> None:
    async with asyncio.timeout(60):
        while process.returncode is None:
            try:
                await client.get("/livez")
            except httpx.ConnectError:
                await asyncio.sleep(0.05)
            else:
                return
    raise AssertionError(f"the process ended with {process.returncode}")


@pytest.mark.parametrize("step", ["before_promote", "after_promote", "before_commit", "after_commit"])
async def test_a_kill_at_any_step_costs_nothing_and_doubles_nothing(
    house: House, environment: dict[str, str], step: str
) -> None:
    await house.hear(*[completed([await house.stage(str(number).encode())]) for number in range(20)])
    doomed = await start({**environment, "BACKLOT_CRASH_AT": f"storage.{step}"})
    await asyncio.wait_for(doomed.communicate(), 60)
    assert doomed.returncode == KILLED
    assert len(await house.said()) == (20 if step == "after_commit" else 0)
    assert len(house.blobs()) == (0 if step == "before_promote" else 20)
    await house.make_due()
    await house.store_all()
    assert len({one.job_id for one in await house.said(AssetStored)}) == len(await house.said()) == 20
    assert len(await house.sql("SELECT id FROM assets")) == len(house.blobs()) == 20


async def test_visitors_who_do_not_read_keep_nobody_out(house: House, environment: dict[str, str]) -> None:
    """Two database connections are all the process has, so that one kept by a download would be missed at once."""
    long = await house.kept(os.urandom(8 << 20), visibility="public")
    short = await house.kept(visibility="public")
    async with running(environment) as client:
        visitors = [await idle_visitor(environment, f"/asset/{long}") for _ in range(24)]
        async with asyncio.timeout(10):
            assert (await client.get(f"/asset/{short}")).content == PICTURE
        for visitor in visitors:
            visitor.close()


async def idle_visitor(environment: Mapping[str, str], path: str) -> asyncio.StreamWriter:
    """Somebody who reads the first line of an answer and then nothing more."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(environment["STORAGE_SERVICE_HTTP_PORT"]))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
    return writer


async def test_a_start_with_nonsense_says_all_that_is_wrong(environment: dict[str, str]) -> None:
    environment.pop("BACKLOT_OBJECTS_DIR")
    wrong = {**environment, "ASSET_PUBLIC_URL": "nowhere", "STORAGE_SERVICE_LEASE_SECONDS": "0"}
    process = await create_subprocess_exec(sys.executable, "-m", "storage_service", env=wrong, stdout=PIPE, stderr=PIPE)
    _, said = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 2
    for name in ("BACKLOT_OBJECTS_DIR", "ASSET_PUBLIC_URL", "STORAGE_SERVICE_LEASE_SECONDS"):
        assert name in said.decode()


async def test_a_store_that_can_not_be_opened_stops_the_start(environment: dict[str, str], tmp_path: Path) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("not a folder")
    wrong = {**environment, "BACKLOT_OBJECTS_DIR": str(occupied / "objects")}
    process = await create_subprocess_exec(sys.executable, "-m", "storage_service", env=wrong, stdout=PIPE, stderr=PIPE)
    _, said = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 2
    assert "BACKLOT_OBJECTS_DIR" in said.decode()
