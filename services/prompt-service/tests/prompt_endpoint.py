"""A small stand-in for an OpenAI-compatible endpoint, on a socket of its own: it answers what it is told to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]
KEY = "sk-of-the-tests"
NAMES = {"characters": 7, "environments": 9, "props": 6}


def composition(**counts: int) -> dict[str, Any]:
    """What a model answers that keeps the rules, unless `counts` says otherwise."""
    items = [
        {"group": group, "name": f"{group} {number}", "prompt": f"a picture of {group} {number}"}
        for group, count in {**NAMES, **counts}.items()
        for number in range(count)
    ]
    return {"atmosphere": "Blue dusk", "items": items}


def says(content: Any) -> Answer:
    """A completion with `content`, as JSON unless it is text."""
    text = content if isinstance(content, str) else json.dumps(content)
    return completes({"choices": [{"message": {"role": "assistant", "content": text}}]})


def completes(body: Any, status: str = "200 OK", *headers: str) -> Answer:
    """Any body, with any status."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def answer(writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(raw)}", *headers]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + raw)
        await writer.drain()

    return answer


async def hangs(_: asyncio.StreamWriter) -> None:
    """Takes the question and never says a word."""
    await asyncio.Event().wait()


async def breaks_off(writer: asyncio.StreamWriter) -> None:
    """Closes the connection in place of an answer."""
    writer.close()


async def drips(writer: asyncio.StreamWriter) -> None:
    """A byte now and then, so that no silence is ever long."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


async def floods(writer: asyncio.StreamWriter) -> None:
    """Never stops."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
        await writer.drain()


@dataclass
class Stub:
    """What it was asked, and what it will answer: the next of `answers`, the last again and again."""

    answers: list[Answer]
    port: int = 0
    asked: list[dict[str, Any]] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    is_asked: asyncio.Event = field(default_factory=asyncio.Event)
    left: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                [length] = [line[15:] for line in head.lower().split("\r\n") if line.startswith("content-length:")]
                self.asked.append(json.loads(await reader.readexactly(int(length))))
                self.heads.append(head)
                self.is_asked.set()
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                answering = asyncio.ensure_future(answer(writer))
                hung_up = asyncio.ensure_future(reader.read(1))
                await asyncio.wait({answering, hung_up}, return_when=asyncio.FIRST_COMPLETED)
                if not answering.done():
                    answering.cancel()
                    self.left += 1
                    break
                if not hung_up.cancel() or writer.is_closing():
                    break
                await asyncio.wait({hung_up})
        writer.close()


@asynccontextmanager
async def endpoint(*answers: Answer) -> AsyncIterator[Stub]:
    """An endpoint that gives these answers, in their order."""
    stub = Stub(list(answers))
    server = await asyncio.start_server(stub.connected, "127.0.0.1", 0)
    stub.port = server.sockets[0].getsockname()[1]
    try:
        yield stub
    finally:
        server.close()
