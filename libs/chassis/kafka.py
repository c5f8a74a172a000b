"""What a service hears from Kafka: one group member per subscription, watched over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.consumer import BatchConsumer, Subscription
from chassis.halting import HaltLimits
from chassis.member import Member, make_broker
from chassis.outbox import Outbox
from chassis.topics import provision
from chassis.watchdog import EndOffsets, Watchdog, WatchTimes

__all__ = ["Consumers", "WatchTimes", "provision"]


class Consumers:
    """The consumers of a process, one group `<service>.<topic>` for each of `subscriptions`.

    `given_up` ends with a sentence when one of them cannot be brought back: the process should end then.
    """

    def __init__(
        self,
        bootstrap: str,
        subscriptions: Sequence[Subscription],
        *,
        service: str,
        engine: AsyncEngine,
        outbox: Outbox,
        horizon: Callable[[], UUID] = lambda: UUID(int=0),
        times: WatchTimes | None = None,
        limits: HaltLimits | None = None,
        drain_seconds: float = 15.0,
        instance: str | None = None,
    ) -> None:
        times = times or WatchTimes()
        broker = make_broker(bootstrap, client_id=service, drain_seconds=drain_seconds)
        self.members = [
            Member(
                broker,
                subscription.topic,
                BatchConsumer(engine, outbox, subscription, service=service, horizon=horizon, limits=limits),
                service=service,
                session_seconds=times.session,
                instance=instance,
            )
            for subscription in subscriptions
        ]
        self._watchdog = Watchdog(broker, self.members, EndOffsets(bootstrap, client_id=f"{service}-watchdog"), times)

    @property
    def given_up(self) -> asyncio.Future[str]:
        """Done, with the reason, when a consumer stayed deaf after it was rebuilt."""
        return self._watchdog.given_up

    async def start(self) -> None:
        """Begins to join the groups; returns at once, `problems` says what is still missing."""
        if self.members:
            await self._watchdog.start()

    async def stop(self) -> None:
        """Finishes and commits the batches in hand and leaves the groups."""
        if self.members:
            await self._watchdog.stop()

    def problems(self) -> list[str]:
        """Why this process is not ready to consume; empty when it is."""
        return self._watchdog.problems()
