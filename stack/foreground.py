"""The system in the foreground of a process, until a signal ends it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

from stack.state import StackInfo
from stack.system import System

END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def serve(system: System, *, on_ready: Callable[[StackInfo], None] = lambda info: None) -> None:
    """Start the system, run until SIGINT, SIGTERM or SIGHUP, stop it in order; a second signal ends everything at once.

    ``on_ready`` is called when everything is ready. What ``System.start`` raises is raised.
    """
    ended = asyncio.Event()

    def end() -> None:
        if ended.is_set():
            os._exit(130)  # the kernel takes our processes along
        ended.set()

    loop = asyncio.get_running_loop()
    for number in END_SIGNALS:
        loop.add_signal_handler(number, end)
    try:
        if await _started(system, ended):
            on_ready(system.info)
            await ended.wait()
    finally:
        await system.stop()


async def _started(system: System, ended: asyncio.Event) -> bool:
    """True when it is ready; False when a signal came first."""
    starting, ending = asyncio.create_task(system.start()), asyncio.create_task(ended.wait())
    await asyncio.wait({starting, ending}, return_when=asyncio.FIRST_COMPLETED)
    ending.cancel()
    if starting.done():
        await starting
        return True
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    return False
