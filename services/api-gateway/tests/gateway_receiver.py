"""A receiver of webhooks on loopback: a real HTTP server that answers as the test says, and keeps what it got."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from standardwebhooks import Webhook

Say = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Got:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def told(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    def verified(self, secret: str) -> dict[str, Any]:
        """What the library makes of it. Raises where the signature is wrong."""
        found: dict[str, Any] = Webhook(secret).verify(self.body, self.headers)
        return found


def answering(status: int, *headers: str) -> Say:
    """An answer without a body."""

    async def say(writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status} Word", *headers, "Content-Length: 0", "", ""]
        writer.write("\r\n".join(lines).encode())
        await writer.drain()

    return say


OK = answering(204)


@dataclass(slots=True)
class Receiver:
    """Answers in the order of `answers`, the last one again and again; paths in `held` wait for `release`."""

    port: int = 0
    answers: list[Say] = field(default_factory=lambda: [OK])
    got: list[Got] = field(default_factory=list)
    held: set[str] = field(default_factory=set)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    busy: int = 0
    busiest: int = 0

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def url(self, path: str = "/hook") -> str:
        return self.origin + path

    def says(self, *answers: int | Say) -> None:
        """What it answers from now on."""
        self.answers = [answering(one) if isinstance(one, int) else one for one in answers]

    def ids(self) -> list[str]:
        return [one.id for one in self.got]

    def names(self) -> list[str]:
        return [one.told["type"] for one in self.got]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await self._one(head.decode(), reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _one(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        got = Got(first.split()[1], headers, await reader.readexactly(int(headers["content-length"])))
        self.got.append(got)
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        self.arrived.set()
        try:
            if got.path in self.held:
                await self.release.wait()
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            await answer(writer)
        finally:
            self.busy -= 1


@asynccontextmanager
async def receiving(port: int = 0) -> AsyncIterator[Receiver]:
    """A receiver that listens, on a port of its own where none is given."""
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", port)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        receiver.release.set()
        server.close()
