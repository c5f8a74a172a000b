"""When the next request to Notion is right: one pace for everything, over all replicas."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from notion_connector.notion import Throttled
from notion_connector.store.notebook import Notebook

T = TypeVar("T")

TRIES = 5
# Longer than this nobody sleeps with a lease in hand.
PATIENCE_SECONDS = 2.0
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 60.0


class NotNow(Exception):
    """No token for `seconds`: whoever wanted one comes back then."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no request for {seconds:g} s")
        self.seconds = seconds


async def paced(notebook: Notebook, ask: Callable[[], Awaitable[T]]) -> T:
    """What Notion answers to `ask`, sent when it is right. Raises `NotNow` when that takes longer than a moment.

    Asked to slow down, it is this request that is sent again: a chain of requests that began anew would never end at
    a Notion that takes less than it says.
    """
    for _ in range(TRIES):
        await _turn(notebook)
        try:
            return await ask()
        except Throttled as error:
            seconds = error.seconds
            await notebook.slow_down(seconds)
    raise NotNow(seconds)


async def _turn(notebook: Notebook) -> None:
    while seconds := await notebook.take_token():
        if seconds > PATIENCE_SECONDS:
            raise NotNow(seconds)
        # Those who wait for the same token do not ask for it together.
        await asyncio.sleep(seconds + random.uniform(0, 0.02))  # noqa: S311 - jitter needs no secrecy


def pause(failures: int) -> float:
    """Seconds until the next try after so many failures: half a second, doubling to a minute, with jitter."""
    wait = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures, 20))
    return wait * random.uniform(0.5, 1.0)  # noqa: S311 - jitter needs no secrecy
