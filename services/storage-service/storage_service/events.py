"""What this service hears and says.

| Hears | Does |
|---|---|
| GenerationCompleted | notes each output as an arrival; the promotion loop stores it |
| GenerationSettled | the same for late outputs, if there are any, and again for those that could not be kept |

| Says | When |
|---|---|
| AssetStored | an output's bytes are kept and have a name (`store/shelf.py`) |
| AssetStoreFailed | an output can not be kept (`store/shelf.py`), or its event can not be handled (below) |
| AssetVisibilityChanged, AssetDeleted | its owner asked for it (`store/catalog.py`) |
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.consumer import Subscription
from chassis.ids import uuid7
from chassis.outbox import Draft, Outbox
from schemas.assets import AssetStoreFailed
from schemas.cloudevents import CloudEvent
from schemas.event import Event
from schemas.generations import GenerationCompleted, GenerationSettled
from schemas.parts import ErrorCode
from schemas.topics import GENERATIONS
from storage_service.arrivals import Arrival, Handover, OutputKey
from storage_service.store import arrivals

PRIMARY = 0
Heard = GenerationCompleted | GenerationSettled


class Ears:
    """The handlers of this service; `outbox` says at once what can not be handled."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def subscription(self, wake: Callable[[], None]) -> Subscription:
        """What is heard; `wake` is called when there is something to promote."""
        return Subscription(
            GENERATIONS,
            {GenerationCompleted: self.on_completed, GenerationSettled: self.on_settled},
            on_poison=self.on_poison,
            after_commit=wake,
        )

    async def on_completed(self, conn: AsyncConnection, events: Sequence[CloudEvent[GenerationCompleted]]) -> None:
        """Every output of an attempt arrives; an attempt without one has nothing to show for itself."""
        await arrivals.add(conn, [arrival for event in events for arrival in _completed(event)])
        bare = [event for event in events if not event.data.outputs]
        words = "the generation completed without an output"
        await self._outbox.add(
            conn, [draft for event in bare for draft in _failures(event, event.data, ErrorCode.CORRUPT_OUTPUT, words)]
        )

    async def on_settled(self, conn: AsyncConnection, events: Sequence[CloudEvent[GenerationSettled]]) -> None:
        """Late outputs arrive like any other; one that could not be kept before is tried again with these bytes.

        Raises for those whose context is missing: they are nobody's.
        """
        late = [arrival for event in events for arrival in _settled(event)]
        await arrivals.revive(conn, late)
        await arrivals.add(conn, late)

    async def on_poison(self, conn: AsyncConnection, event: CloudEvent[Event], error: Exception) -> None:
        """An event that is set aside must not leave its job waiting."""
        if isinstance(event.data, GenerationCompleted | GenerationSettled):
            words = "the output could not be taken in"
            await self._outbox.add(conn, _failures(event, event.data, ErrorCode.STORAGE_ERROR, words))


def _completed(event: CloudEvent[GenerationCompleted]) -> Iterator[Arrival]:
    data = event.data
    for output in data.outputs:
        yield _arrival(
            event,
            Handover(
                output=output,
                logical_name=data.logical_name,
                context=data.asset_context,
                lineage=data.lineage,
                flags=data.flags,
            ),
        )


def _settled(event: CloudEvent[GenerationSettled]) -> Iterator[Arrival]:
    data = event.data
    for output in data.late_outputs:
        if data.asset_context is None:
            raise ValueError("a late output came without the context of its job")
        yield _arrival(
            event,
            Handover(
                output=output,
                logical_name=data.logical_name or "",
                context=data.asset_context,
                lineage=data.lineage,
                late=True,
            ),
        )


def _arrival(event: CloudEvent[Heard], handover: Handover) -> Arrival:
    data = event.data
    if data.attempt < 1:
        raise ValueError("attempt 0 stands for an item that was never attempted: it has no outputs")
    key = OutputKey(data.job_id, data.item, data.attempt, handover.output.number)
    return Arrival(key, event.tenant_id, uuid7(), handover, event.traceparent)


def _failures(event: CloudEvent[Event], data: Heard, code: ErrorCode, message: str) -> list[Draft]:
    outputs = data.outputs if isinstance(data, GenerationCompleted) else data.late_outputs
    numbers = [output.number for output in outputs] or ([PRIMARY] if isinstance(data, GenerationCompleted) else [])
    return [
        Draft(
            AssetStoreFailed(
                job_id=data.job_id,
                item=data.item,
                attempt=data.attempt,
                output=number,
                code=code,
                message=message,
                late=isinstance(data, GenerationSettled),
            ),
            event.subject,
            event.tenant_id,
            event.traceparent,
        )
        for number in numbers
    ]
