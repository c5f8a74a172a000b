"""Logical names and what is behind them, as far as the worker asks storage-service."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from provider_worker.engine.presence import PresenceUnknown
from provider_worker.planning import Planning, names_of


@dataclass
class Names:
    """`Present`: `there` has whole bytes. It is away for so many questions, or hangs until it is let go."""

    there: dict[str, UUID] = field(default_factory=dict)
    away: int = 0
    trouble: Exception | None = None
    asked: list[Planning] = field(default_factory=list)
    hanging: asyncio.Event | None = None
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, planning: Planning) -> Mapping[str, UUID]:
        self.asked.append(planning)
        self.reached.set()
        if self.hanging is not None:
            await self.hanging.wait()
        if self.trouble is not None:
            raise self.trouble
        if self.away:
            self.away -= 1
            raise PresenceUnknown("storage-service is unavailable")
        return {name: self.there[name] for name in names_of(planning.prepared) if name in self.there}
