"""Where media is made: in processes of their own, so that drawing holds up no answer, and remembered."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import Any

from simulator.generation import Output
from simulator.media import images, made, sounds, videos

_REMEMBERED_BYTES = 96 << 20
_WORKERS = 2
_FEW = 8


class Studio:
    """Makes the bytes of outputs. Belongs to one event loop."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._making: dict[str, asyncio.Future[bytes]] = {}
        self._made: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0

    async def bytes_of(self, output: Output, *, stamp: bool = False) -> bytes:
        """The file of an output. With `stamp`, it is one of a few that are made once and then told apart."""
        if stamp and output.kind == "image":
            few = replace(output, kind="stamped_image", seed=output.seed % _FEW)
            return images.stamped(await self.bytes_of(few), output.mime, output.seed)
        if stamp and output.kind in {"sound", "video"}:
            data = await self.bytes_of(replace(output, seed=output.seed % _FEW))
            if output.kind == "video":
                return videos.stamped(data, output.seed)
            return sounds.stamped(data, output.mime, output.seed)
        name = repr((output.kind, output.mime, output.seed, sorted(output.params.items())))
        if name in self._made:
            self._made.move_to_end(name)
            return self._made[name]
        if name not in self._making:
            loop = asyncio.get_running_loop()
            self._making[name] = loop.run_in_executor(self._workers(), made, _plain(output))
        try:
            data = await asyncio.shield(self._making[name])
        finally:
            self._making.pop(name, None)
        self._remember(name, data)
        return data

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def _workers(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(["simulator.media"])
            self._pool = ProcessPoolExecutor(_WORKERS, mp_context=context, initializer=_end_with_the_simulator)
        return self._pool

    def _remember(self, name: str, data: bytes) -> None:
        if name not in self._made:
            self._made[name] = data
            self._size += len(data)
        while self._size > _REMEMBERED_BYTES:
            _, oldest = self._made.popitem(last=False)
            self._size -= len(oldest)


def _plain(output: Output) -> Output:
    params: Mapping[str, Any] = dict(output.params)
    return replace(output, params=params)


def _end_with_the_simulator() -> None:
    """A worker waits on a pipe of which it holds both ends: without this it outlives a simulator that was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:

        def wait_and_end() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=wait_and_end, daemon=True).start()
