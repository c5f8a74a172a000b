"""What an item builds on, read right before its provider is called: assets of its tenant, and addresses.

No provider was asked for anything yet. What cannot be read for now is waited for, as long as it takes; what is gone, or
is not what it should be, ends the item before it has cost anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from uuid import UUID

import httpx

from chassis.context import Context
from chassis.errors import BacklotError, NotFound, TooLarge
from chassis.foreign import ForeignError, Limits, download
from chassis.internal_client import InternalClient
from media import Checker, ChildrenFailed, CorruptOutput
from provider_worker.adapters.interface import InputMedia
from provider_worker.tasks import Job, Task
from schemas.parts import MAX_INPUT_BYTES, Input

READ_S = 30.0
FETCH = Limits(max_bytes=MAX_INPUT_BYTES, seconds=10.0)
FETCH_WAITS = (0.5, 1.0)
MOST_HELD = 64 * 1024 * 1024
"""So many bytes of inputs are held at once: each is sent three times as large, as base64 in a body."""

_PICTURES = frozenset({"image/png", "image/jpeg", "image/webp"})
_MODELS = frozenset({"model/gltf-binary"})


class InputsAway(Exception):
    """They cannot be read for now; nothing was sent. The message may be shown."""


class InputRefused(Exception):
    """It is gone, or is not what it should be; nothing was sent. The message may be shown."""


Held = Callable[[Task], AbstractAsyncContextManager[Sequence[InputMedia]]]
"""The inputs of a task with their bytes, for as long as they are needed; raises `InputsAway` and `InputRefused`."""

Content = Callable[[Job, UUID], Awaitable[bytes]]
"""All bytes of an asset of the job's tenant; raises as `Held`."""


class Inputs:
    """Reads inputs: assets by `content`, addresses by `client`, which is a guarded one."""

    def __init__(
        self,
        content: Content,
        client: httpx.AsyncClient,
        checker: Checker,
        *,
        most_held: int = MOST_HELD,
        waits: Sequence[float] = FETCH_WAITS,
    ) -> None:
        self._content = content
        self._client = client
        self._checker = checker
        self._most_held = most_held
        self._waits = waits
        self._held = 0

    @asynccontextmanager
    async def held(self, task: Task) -> AsyncIterator[Sequence[InputMedia]]:
        """See `Held`."""
        size = sum(given.size or MAX_INPUT_BYTES for given in task.item.inputs)
        if self._held and self._held + size > self._most_held:
            raise InputsAway("too many inputs are on their way; this one waits")
        self._held += size
        try:
            yield await self._read_all(task)
        finally:
            self._held -= size

    async def _read_all(self, task: Task) -> Sequence[InputMedia]:
        given = enumerate(task.item.inputs, start=1)
        reading = [asyncio.create_task(self._read(task.job, number, one)) for number, one in given]
        try:
            return await asyncio.gather(*reading)
        finally:
            for one in reading:
                one.cancel()

    async def _read(self, job: Job, number: int, given: Input) -> InputMedia:
        try:
            async with asyncio.timeout(READ_S):
                data, mime = await self._found(job, given)
        except InputRefused as error:
            raise InputRefused(f"input {number} ({given.role}): {error}") from error
        except TimeoutError as error:
            raise InputsAway(f"input {number} ({given.role}) could not be read in time") from error
        return InputMedia(given.role, mime, data)

    async def _found(self, job: Job, given: Input) -> tuple[bytes, str]:
        if given.asset_id is not None:
            data = await self._content(job, given.asset_id)
            return data, given.mime or await self._checked(given, data)
        if given.url is None:
            raise InputRefused("it names neither an asset nor an address")
        data = await self._fetched(given.url)
        return data, await self._checked(given, data)

    async def _fetched(self, url: str) -> bytes:
        for wait in (*self._waits, None):
            try:
                return b"".join([chunk async for chunk in download(self._client, url, FETCH)])
            except ForeignError as error:
                if wait is None or not error.transient:
                    raise InputRefused(error.reason) from error
                await asyncio.sleep(wait)
        raise AssertionError("the last try returns or raises")

    async def _checked(self, given: Input, data: bytes) -> str:
        """What it is, by content: decoded whole, in a child process."""
        wanted = _MODELS if given.role == "model" else _PICTURES
        try:
            mime = (await self._checker.check(data)).mime
        except CorruptOutput as error:
            raise InputRefused(f"no whole media: {error.message}") from error
        except ChildrenFailed as error:
            raise InputsAway("inputs cannot be looked at for now") from error
        if mime not in wanted:
            raise InputRefused(f"{mime}, but a {given.role} is {', '.join(sorted(wanted))}")
        return mime


def content_of(storage: InternalClient) -> Content:
    """Assets as storage-service has them. Who may build on one was asked when the job was accepted."""

    async def content(job: Job, asset_id: UUID) -> bytes:
        context = Context(job.tenant_id, job.context.user_id, frozenset({"tenant:read"}))
        try:
            return await storage.read(f"/v1/assets/{asset_id}/content", context=context, max_bytes=MAX_INPUT_BYTES)
        except NotFound as error:
            raise InputRefused("the asset is gone") from error
        except TooLarge as error:
            raise InputRefused(f"the asset has {error.detail}") from error
        except BacklotError as error:
            raise InputsAway(f"{storage.service}: {error.detail}") from error

    return content


@asynccontextmanager
async def nothing_held(task: Task) -> AsyncIterator[Sequence[InputMedia]]:
    """`Held` of a worker that can read no inputs."""
    raise InputsAway("this worker reads no inputs")
    yield ()
