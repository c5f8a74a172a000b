"""As many calls are under way at one provider as the engine lets: none of them waits for a connection of our own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from provider_worker.adapters.interface import Artifact
from provider_worker.adapters.wire import Account, Wire

AT_ONCE, IDLE = 150, 100


@dataclass
class Crowd:
    """Who is connected to a provider."""

    present: int = 0
    may_stay: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when so many have left that no more than a hundred are connected."""


@asynccontextmanager
async def unhurried(crowd: Crowd | None = None) -> AsyncIterator[Wire]:
    """A provider that answers nobody until so many are waiting, and never hangs up."""
    crowd, waiting = crowd or Crowd(), asyncio.Barrier(AT_ONCE)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        crowd.present += 1
        await reader.readuntil(b"\r\n\r\n")
        await waiting.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await reader.read()
        writer.close()
        crowd.present -= 1
        if crowd.present <= IDLE:
            crowd.may_stay.set()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=2 * AT_ONCE)
    wire = Wire("acme", Account(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", {}))
    try:
        yield wire
    finally:
        await wire.close()
        server.close()


async def test_submits_that_are_more_than_a_hundred_go_out_at_once() -> None:
    async with unhurried() as wire:
        answers = await asyncio.gather(*(wire.submit("POST", "/jobs") for _ in range(AT_ONCE)))
    assert all(answer.ok for answer in answers)


async def test_connections_that_nobody_needs_are_hung_up_but_for_a_hundred() -> None:
    crowd = Crowd()
    async with unhurried(crowd) as wire:
        await asyncio.gather(*(wire.ask("GET", "/jobs/1") for _ in range(AT_ONCE)))
        async with asyncio.timeout(5):
            await crowd.may_stay.wait()


async def test_downloads_that_are_more_than_a_hundred_go_out_at_once() -> None:
    async with unhurried() as wire:
        result = Artifact("image/png", url=wire._url("/1.png"))

        async def fetched() -> bytes:
            return b"".join([chunk async for chunk in wire.fetch(result)])

        assert await asyncio.gather(*(fetched() for _ in range(AT_ONCE))) == [b"{}"] * AT_ONCE
