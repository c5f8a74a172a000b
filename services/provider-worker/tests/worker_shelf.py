"""What an item builds on, for tests: assets that are there, a site that is asked, a provider that remembers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from chassis.foreign import Policy, guarded_client
from chassis.ids import uuid7
from media import Checker
from media.tests.media_files import glb, png
from provider_worker.adapters.interface import (
    GenerationRequest,
    JobRef,
    Status,
)
from provider_worker.engine.inputs import InputRefused, Inputs, InputsAway
from provider_worker.tasks import Job
from schemas.parts import Input
from tests.worker_builders import Painter, Worker, envelope, item, prepared

PICTURE, MODEL = png(16, 16), glb()
ASSET = uuid7()
OWN = Input(role="reference", asset_id=ASSET, mime="image/png", sha256="0" * 64, size=len(PICTURE))
SECRET = "a secret of the tests, long enough"

Answer = tuple[str, bytes]


class Shelf:
    """Assets, as storage-service has them."""

    def __init__(self) -> None:
        self.assets: dict[UUID, bytes] = {ASSET: PICTURE}
        self.away = 0
        self.reads: list[tuple[UUID, UUID]] = []
        self.reading = asyncio.Event()
        self.hangs = False

    async def __call__(self, job: Job, asset_id: UUID) -> bytes:
        self.reads.append((job.tenant_id, asset_id))
        self.reading.set()
        if self.hangs:
            await asyncio.Event().wait()
        if self.away:
            self.away -= 1
            raise InputsAway("storage-service is away")
        if asset_id not in self.assets:
            raise InputRefused("the asset is gone")
        return self.assets[asset_id]


class Seeing(Painter):
    """Keeps what it was asked."""

    seen: list[GenerationRequest]

    async def submit(self, req: GenerationRequest, plan: Any) -> JobRef | Status:
        self.seen = [*getattr(self, "seen", []), req]
        return await super().submit(req, plan)


@asynccontextmanager
async def website(pages: dict[str, list[Answer]]) -> AsyncIterator[str]:
    """A server that answers each path with its answers in order, the last one again and again."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        answers = pages[head.split(b" ")[1].decode()]
        status, body = answers.pop(0) if len(answers) > 1 else answers[0]
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def inputs_from(
    shelf: Shelf, checker: Checker, *trusted: str, hosts: tuple[str, ...] = ("*",), most_held: int = 1 << 26
) -> AsyncIterator[Inputs]:
    client = guarded_client(Policy(hosts=hosts, trusted=frozenset(trusted)))
    yield Inputs(shelf, client, checker, most_held=most_held, waits=(0.01, 0.01))
    await client.aclose()


async def built_on(here: Worker, *given: Input, **changes: Any) -> UUID:
    job = prepared([item(inputs=list(given), **changes)])
    await here.hear(envelope(job))
    return job.job_id
