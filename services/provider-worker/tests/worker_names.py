"""Logical names and what is behind them, as far as the worker asks storage-service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.outbox import Outbox
from provider_worker.engine.plannings import Plannings
from provider_worker.engine.presence import PresenceUnknown, Present
from provider_worker.planning import Planner, Planning, PresentAsset, names_of
from provider_worker.store.plannings import PlanningDatabase


@dataclass
class Names:
    """`Present`: `there` has whole bytes. It is away for so many questions, or hangs until it is let go."""

    there: dict[str, PresentAsset] = field(default_factory=dict)
    away: int = 0
    trouble: Exception | None = None
    asked: list[Planning] = field(default_factory=list)
    hanging: asyncio.Event | None = None
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, planning: Planning) -> Mapping[str, PresentAsset]:
        self.asked.append(planning)
        self.reached.set()
        if self.hanging is not None:
            await self.hanging.wait()
        if self.trouble is not None:
            raise self.trouble
        if self.away:
            self.away -= 1
            raise PresenceUnknown("storage-service is unavailable")
        return {name: self.there[name] for name in names_of(planning.prepared) if name in self.there}


def plannings_of(engine: AsyncEngine, outbox: Outbox, planner: Planner, present: Present | None) -> Plannings:
    """What plans jobs that resume; nothing is there where nobody says what is."""
    waiting = PlanningDatabase(engine, outbox, planner.table.price_version)
    return Plannings(waiting, planner, present or Names(), asyncio.Event())


@asynccontextmanager
async def storage_with(there: dict[str, UUID], asked: list[list[str]]) -> AsyncIterator[str]:
    """The shape of storage-service's answer, at an address of its own; notes what it was asked."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length:")[1].split("\r\n")[0])
        paths = json.loads(await reader.readexactly(length))["paths"]
        asked.append(paths)
        found = [{"path": path, "asset_id": str(there[path])} for path in paths if path in there]
        body = json.dumps({"present": found}).encode()
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
