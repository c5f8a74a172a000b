"""Group commit: what is asked for while the disk is busy is done together in the next turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Grouped(Generic[T, R]):
    """Runs `work` on groups of items in a thread of its own, one group at a time.

    `work` gives one result or exception for each item, in order. A call that is cancelled while its group is at work
    stops waiting; the work is done all the same. Belongs to one event loop.
    """

    def __init__(self, work: Callable[[Sequence[T]], Sequence[R | Exception]], *, most: int, name: str) -> None:
        self._work = work
        self._most = most
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._turns: asyncio.Task[None] | None = None

    async def add(self, item: T) -> R:
        """The result of `work` for this item, or its exception raised."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._turns is None:
            self._turns = asyncio.create_task(self._take_turns())
        return await future

    async def _take_turns(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                for (_, future), result in zip(group, await self._done(group), strict=True):
                    if future.done():
                        continue
                    if isinstance(result, Exception):
                        future.set_exception(result)
                    else:
                        future.set_result(result)
        finally:
            self._turns = None

    async def _done(self, group: list[tuple[T, asyncio.Future[R]]]) -> Sequence[R | Exception]:
        items = [item for item, _ in group]
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._work, items)
        except Exception as error:  # handed to every caller of the group
            return [error] * len(items)

    async def close(self) -> None:
        """Wait for what is under way, then end the thread."""
        if self._turns is not None:
            await asyncio.wait([self._turns])
        self._thread.shutdown(wait=False)
