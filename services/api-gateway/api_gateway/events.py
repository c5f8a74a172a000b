"""What the gateway hears: every event becomes facts, and the facts go to the projection."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, TypeGuard

from sqlalchemy.ext.asyncio import AsyncConnection

from api_gateway.facts import JOB, Fact, FactKind
from api_gateway.store.projecting import Heard, project
from api_gateway.store.remembering import Remembered
from api_gateway.store.totals import Shard
from api_gateway.store.uploads import change_uploads
from api_gateway.watching import Watch
from chassis.consumer import Subscription
from chassis.database import after_commit
from chassis.outbox import Outbox
from chassis.telemetry import bind_event
from schemas.cloudevents import CloudEvent
from schemas.event import Event
from schemas.events import (
    AssetDeleted,
    AssetStored,
    AssetStoreFailed,
    AssetVisibilityChanged,
    BudgetRefused,
    CostRecorded,
    CostReserved,
    GenerationCancelled,
    GenerationCompleted,
    GenerationFailed,
    GenerationProgressed,
    GenerationQuoted,
    GenerationSettled,
    GenerationSkipped,
    GenerationStarted,
    PromptsPrepared,
    PromptsRejected,
)
from schemas.parts import Output
from schemas.topics import ASSETS, COSTS, GENERATIONS, PROMPTS, TOPICS


def facts_of(event: CloudEvent[Event]) -> list[Fact]:
    """What `event` says of the job it belongs to; nothing, where it is about no job."""
    translate = HEARD[type(event.data)]
    return translate(event.data, event.time)


def _prepared(event: PromptsPrepared, _: datetime) -> list[Fact]:
    items = [
        {
            "number": item.number,
            "name": item.name,
            "group": item.group,
            "path": item.logical_name,
            "blank": item.blank,
            "prompt_version": f"{item.template}@{item.template_version}",
            "warnings": item.warnings,
        }
        for item in event.items
    ]
    return [Fact(JOB, 0, FactKind.PREPARED, 0, {"items": items, "warnings": event.warnings})]


def _rejected(event: PromptsRejected, _: datetime) -> list[Fact]:
    return [Fact(JOB, 0, FactKind.REJECTED, 0, {"code": event.code.value, "message": event.message})]


def _quoted(event: GenerationQuoted, _: datetime) -> list[Fact]:
    items = [[item.number, item.provider, item.model, item.amount_micros] for item in event.items]
    return _of_several(event, FactKind.QUOTED, [item.number for item in event.items], {"items": items})


def _reserved(event: CostReserved, _: datetime) -> list[Fact]:
    body = {"items": event.items, "amount": event.amount_micros}
    return _of_several(event, FactKind.RESERVED, event.items, body)


def _refused(event: BudgetRefused, _: datetime) -> list[Fact]:
    return _of_several(event, FactKind.REFUSED, event.items, {"items": event.items})


def _of_several(
    event: GenerationQuoted | CostReserved | BudgetRefused, kind: FactKind, numbers: list[int], body: dict[str, Any]
) -> list[Fact]:
    if not numbers:
        return []
    return [Fact(min(numbers), event.attempt, kind, 0, {**body, "currency": event.currency})]


def _started(event: GenerationStarted, _: datetime) -> list[Fact]:
    body = {"provider": event.provider, "model": event.model}
    return [Fact(event.item, event.attempt, FactKind.STARTED, 0, body)]


def _progressed(event: GenerationProgressed, _: datetime) -> list[Fact]:
    return [Fact(event.item, event.attempt, FactKind.PROGRESSED, event.progress, {})]


def _skipped(event: GenerationSkipped, _: datetime) -> list[Fact]:
    return [Fact(event.item, 0, FactKind.SKIPPED, 0, {"asset_id": str(event.asset_id), "warnings": event.warnings})]


def _completed(event: GenerationCompleted, _: datetime) -> list[Fact]:
    body = {
        "final": event.final,
        "primary": _primary(event.outputs),
        "outputs": [output.number for output in event.outputs],
        "flags": event.flags,
        "provider": event.lineage.provider,
        "model": event.lineage.model,
        "lineage": event.lineage.model_dump(mode="json"),
    }
    return [Fact(event.item, event.attempt, FactKind.COMPLETED, 0, body)]


def _primary(outputs: Sequence[Output]) -> int:
    """Which output the item stands or falls with. storage-service says output 0 is lost where there is no primary."""
    return next((output.number for output in outputs if output.role == "primary"), 0)


def _failed(event: GenerationFailed, _: datetime) -> list[Fact]:
    body = {
        "final": event.final,
        "code": event.code.value,
        "message": event.message,
        "stage": event.stage.value,
        "provider": event.provider,
        "model": event.model,
    }
    return [Fact(event.item, event.attempt, FactKind.FAILED, 0, body)]


def _cancelled(event: GenerationCancelled, _: datetime) -> list[Fact]:
    body = {"final": True, "code": event.code.value, "message": event.message, "stage": event.stage.value}
    return [Fact(event.item, event.attempt, FactKind.CANCELLED, 0, body)]


def _settled(event: GenerationSettled, _: datetime) -> list[Fact]:
    if event.redownload is not None:
        body = {"found": bool(event.late_outputs), "evidence": event.evidence}
        return [Fact(event.item, event.attempt, FactKind.REDOWNLOADED, event.redownload, body)]
    return [Fact(event.item, event.attempt, FactKind.SETTLED, 0, {"amount": event.billing.amount_micros})]


def _stored(event: AssetStored, at: datetime) -> list[Fact]:
    body = {
        "asset_id": str(event.asset_id),
        "role": event.role,
        "late": event.late,
        "version": event.version,
        "revision": event.revision,
        "url": event.url,
        "is_public": event.is_public,
        "logical_name": event.logical_name,
        "sha256": event.sha256,
        "mime": event.mime,
        "file_size": event.file_size,
        "width": event.width,
        "height": event.height,
        "duration_seconds": event.duration_seconds,
        "at": at.isoformat(),
    }
    return [Fact(event.item, event.attempt, FactKind.STORED, event.output, body)]


def _store_failed(event: AssetStoreFailed, _: datetime) -> list[Fact]:
    if event.late:
        return [Fact(event.item, event.attempt, FactKind.LATE_LOST, event.output, {})]
    body = {"code": event.code.value, "message": event.message}
    return [Fact(event.item, event.attempt, FactKind.STORE_FAILED, event.output, body)]


def _visibility(event: AssetVisibilityChanged, _: datetime) -> list[Fact]:
    if event.job_id is None:
        return []
    body = {"revision": event.revision, "is_public": event.is_public, "url": event.url}
    return [Fact(JOB, 0, FactKind.VISIBILITY, event.revision, body, event.asset_id)]


def _deleted(event: AssetDeleted, _: datetime) -> list[Fact]:
    if event.job_id is None:
        return []
    return [Fact(JOB, 0, FactKind.DELETED, event.revision, {"revision": event.revision}, event.asset_id)]


def _recorded(event: CostRecorded, _: datetime) -> list[Fact]:
    body = {"captured": event.captured_micros, "currency": event.currency}
    return [Fact(event.item, event.attempt, FactKind.RECORDED, 0, body)]


HEARD: Mapping[type[Event], Callable[[Any, datetime], list[Fact]]] = {
    PromptsPrepared: _prepared,
    PromptsRejected: _rejected,
    GenerationQuoted: _quoted,
    GenerationStarted: _started,
    GenerationProgressed: _progressed,
    GenerationSkipped: _skipped,
    GenerationCompleted: _completed,
    GenerationFailed: _failed,
    GenerationCancelled: _cancelled,
    GenerationSettled: _settled,
    AssetStored: _stored,
    AssetStoreFailed: _store_failed,
    AssetVisibilityChanged: _visibility,
    AssetDeleted: _deleted,
    CostReserved: _reserved,
    BudgetRefused: _refused,
    CostRecorded: _recorded,
}


@dataclass(frozen=True, slots=True)
class Hearing:
    """Hears all that is said of jobs, and tells those who wait.

    `on_deliveries` is called after a transaction that left something to send to webhooks.
    """

    outbox: Outbox
    watch: Watch
    remembered: Remembered = field(default_factory=Remembered)
    on_deliveries: Callable[[], None] | None = None

    def subscriptions(self) -> list[Subscription]:
        """One for each topic; all events of a batch go through the projection together."""
        return [self._subscription(topic, shard) for topic, shard in _TOPICS.items()]

    def _subscription(self, name: str, shard: Shard) -> Subscription:
        hear = partial(self.hear, shard=shard)
        handlers = {model: hear for model in HEARD if model.topic == name}
        return Subscription(TOPICS[name], handlers, on_poison=say_set_aside)

    async def hear(self, conn: AsyncConnection, events: Sequence[CloudEvent[Event]], *, shard: Shard) -> None:
        """Projects `events` in the transaction of their batch."""
        heard = [
            Heard(event.data.job_id, event.tenant_id, facts, event.traceparent)  # type: ignore[attr-defined]
            for event in events
            if (facts := facts_of(event))
        ]
        changed = await project(conn, self.outbox, heard, shard, self.remembered, on_deliveries=self.on_deliveries)
        said = [event.data for event in events]
        await change_uploads(conn, [data for data in said if _is_about_an_upload(data)])
        after_commit(conn, partial(self.watch.notify, changed))


def _is_about_an_upload(event: Event) -> TypeGuard[AssetVisibilityChanged | AssetDeleted]:
    return isinstance(event, AssetVisibilityChanged | AssetDeleted) and event.job_id is None


_TOPICS = {
    PROMPTS.name: Shard.PROMPTS,
    GENERATIONS.name: Shard.GENERATIONS,
    ASSETS.name: Shard.ASSETS,
    COSTS.name: Shard.COSTS,
}


async def say_set_aside(_: AsyncConnection, event: CloudEvent[Event], error: Exception) -> None:
    """An event of a job could not be projected. The job is not ended by that: its other events may still end it, and
    an operator can send this one again."""
    bind_event(event).error("job_event_set_aside", error=repr(error))
