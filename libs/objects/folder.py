"""The object store that is a folder: bytes in files, work in threads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from objects.errors import ObjectTooLarge, StorageError, translated
from objects.files import ObjectFiles, Put
from objects.grouping import Grouped
from objects.keys import key_parts
from objects.store import ObjectStat, Promoted, Promotion, Stored, Swept
from objects.streams import Reader, Upload

T = TypeVar("T")

_SMALL = 1 << 20
_READ_CHUNK = 256 << 10
_MOST_IN_A_GROUP = 64
_THREADS = 8


class FolderStore:
    """An `ObjectStore` in a folder that several processes of one machine may share.

    Small objects that are put at the same time are flushed to the disk together. Belongs to one event loop.
    """

    def __init__(self, root: Path) -> None:
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise translated(error, str(root)) from error
        self._files = ObjectFiles(root.resolve())
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="objects")
        self._puts: Grouped[Put, Stored] = Grouped(self._files.put, most=_MOST_IN_A_GROUP, name="objects-put")

    async def put(self, key: str, chunks: AsyncIterator[bytes] | bytes, *, max_bytes: int) -> Stored:
        """See `ObjectStore.put`; up to 1 MiB is held in memory and shares its flush with other puts."""
        key_parts(key)
        if isinstance(chunks, bytes):
            _check_size(key, len(chunks), max_bytes)
            return await self._puts.add(Put(key, (chunks,)))
        held: list[bytes] = []
        size = 0
        async for chunk in chunks:
            held.append(chunk)
            size += len(chunk)
            _check_size(key, size, max_bytes)
            if size > _SMALL:
                return await self._put_long(key, held, chunks, max_bytes)
        return await self._puts.add(Put(key, tuple(held)))

    async def _put_long(self, key: str, held: list[bytes], chunks: AsyncIterator[bytes], max_bytes: int) -> Stored:
        upload = Upload(self._files.root, key)
        try:
            await self._run(partial(upload.write, held))
            held, waiting = [], 0
            async for chunk in chunks:
                held.append(chunk)
                waiting += len(chunk)
                _check_size(key, upload.size + waiting, max_bytes)
                if waiting > _SMALL:
                    await self._run(partial(upload.write, held))
                    held, waiting = [], 0
            await self._run(partial(upload.write, held))
            return await self._run(upload.finish)
        finally:
            await self._run(upload.abandon)

    async def open(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """See `ObjectStore.open`."""
        key_parts(key)
        reader = Reader(self._files.root, key, start, end)
        try:
            while chunk := await self._run(partial(reader.read, _READ_CHUNK)):
                yield chunk
                if not reader.left:
                    return
        finally:
            reader.close()

    async def stat(self, key: str) -> ObjectStat:
        return ObjectStat(await self._run(partial(self._files.size, key)))

    async def exists(self, key: str) -> bool:
        return await self._run(partial(self._files.exists, key))

    async def delete(self, key: str) -> bool:
        return await self.delete_many([key]) == 1

    async def delete_many(self, keys: Sequence[str]) -> int:
        return await self._run(partial(self._files.delete, keys))

    async def delete_with_made(self, keys: Sequence[str]) -> int:
        return await self._run(partial(self._files.delete_with_made, keys))

    async def promote(self, staged_key: str, blob_key: str, sha256: str, *, verify: bool = False) -> Promoted:
        """See `ObjectStore.promote`: a hard link, so no bytes are copied."""
        [outcome] = await self.promote_many([Promotion(staged_key, blob_key, sha256)], verify=verify)
        if isinstance(outcome, StorageError):
            raise outcome
        return outcome

    async def promote_many(
        self, promotions: Sequence[Promotion], *, verify: bool = False
    ) -> list[Promoted | StorageError]:
        return await self._run(partial(self._files.promote, promotions, verify=verify))

    async def sweep(self, *, older_than_s: float = 3600) -> Swept:
        return await self._run(partial(self._files.sweep, older_than_s))

    def local_path(self, key: str) -> Path | None:
        return self._files.root.joinpath(*key_parts(key))

    async def close(self) -> None:
        await self._puts.close()
        self._threads.shutdown(wait=False)

    async def _run(self, work: Callable[[], T]) -> T:
        """Do `work` in a thread; a cancelled caller waits for its end, so that nobody closes a file in use."""
        future = asyncio.get_running_loop().run_in_executor(self._threads, work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            raise


def _check_size(key: str, size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise ObjectTooLarge(key, f"more than the {max_bytes} bytes allowed")
