"""Where media are made: in child processes, once for everybody who waits for them, and what took long is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from chassis.telemetry import get_logger
from media import Children, ChildrenFailed
from provider_worker.adapters.interface import ErrorCode, MediaKind, ProviderError
from provider_worker.adapters.sandbox.brief import sha256_of
from provider_worker.adapters.sandbox.keeping import Keep
from provider_worker.adapters.sandbox.kinds import KINDS
from provider_worker.adapters.sandbox.looking import Looked
from provider_worker.adapters.sandbox.making import made

log = get_logger()

_QUICK_S = 60.0
_QUICK_PIXELS = 2560 * 1440
_MOST_KEPT = 512 << 20

Look = Callable[[], Awaitable[Looked]]
"""What the inputs show, if it has to be known."""


class Workshop:
    """So many `processes` work at the same time, and as many again on what takes long: no picture waits for a film.

    What takes long, such as a film or a very large picture, goes on when nobody waits for it any more, and lies in
    `folder` when it is asked for again. Raises `ProviderError`. Belongs to one event loop.
    """

    def __init__(self, folder: Path, *, processes: int) -> None:
        self._keep = Keep(folder, _MOST_KEPT)
        self._quick = Children(workers=processes)
        self._slow = Children(workers=processes)
        self._under_way: dict[str, asyncio.Task[bytes]] = {}

    async def made(self, plan: Mapping[str, Any], look: Look) -> bytes:
        """The media that a plan asks for."""
        timeout_s = KINDS[MediaKind(plan["kind"])].timeout_s
        if not takes_long(plan):
            return await _run(self._quick, timeout_s, plan, await look())
        name = sha256_of(plan)
        making = self._under_way.get(name)
        if making is None:
            making = self._under_way[name] = asyncio.create_task(self._slowly(name, timeout_s, plan, look))
            making.add_done_callback(lambda done: self._done(name, done))
        return await asyncio.shield(making)

    async def close(self) -> None:
        """What is still being made is lost."""
        left = list(self._under_way.values())
        for making in left:
            making.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._quick.close()
        await self._slow.close()

    async def _slowly(self, name: str, timeout_s: float, plan: Mapping[str, Any], look: Look) -> bytes:
        try:
            kept = await asyncio.to_thread(self._keep.get, name)
        except OSError as error:
            log.warning("sandbox_result_not_read", error=str(error))
            kept = None
        if kept is not None:
            return kept
        data = await _run(self._slow, timeout_s, plan, await look())
        try:
            await asyncio.to_thread(self._keep.put, name, data)
        except OSError as error:
            log.warning("sandbox_result_not_kept", error=str(error))
        return data

    def _done(self, name: str, making: asyncio.Task[bytes]) -> None:
        """Its error is looked at here too: perhaps nobody waits any more."""
        del self._under_way[name]
        if not making.cancelled():
            making.exception()


def takes_long(plan: Mapping[str, Any]) -> bool:
    """Whether it is made at leisure, and kept."""
    is_quick = KINDS[MediaKind(plan["kind"])].timeout_s <= _QUICK_S
    return not is_quick or (plan.get("width") or 0) * (plan.get("height") or 0) > _QUICK_PIXELS


async def _run(children: Children, timeout_s: float, plan: Mapping[str, Any], looked: Looked) -> bytes:
    try:
        return await children.run(timeout_s, made, plan, looked)
    except ChildrenFailed as error:
        raise ProviderError(ErrorCode.TEMPORARY, str(error), http_status=500) from error
