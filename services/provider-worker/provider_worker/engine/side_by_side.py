"""The rows of one batch, each handled for itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable


async def side_by_side(looks: Iterable[Awaitable[None]]) -> None:
    """Lets all of them end, and only then raises what any of them raised: the loop counts it and backs off."""
    told = await asyncio.gather(*looks, return_exceptions=True)
    failed = [error for error in told if error is not None]
    if len(failed) == 1:
        raise failed[0]
    if failed:
        raise BaseExceptionGroup("several rows of a batch failed", failed)
