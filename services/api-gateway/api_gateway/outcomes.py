"""What changes when facts come in, and what the outside is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from api_gateway.items import DONE, tally
from api_gateway.lifecycle import TERMINAL, Status, passage
from api_gateway.outputs import Output
from api_gateway.projection import JobState
from schemas.event import Event
from schemas.parts import AssetType, Kind
from schemas.results import (
    JobCancelled,
    JobCompleted,
    JobFailed,
    JobOutcome,
    JobPartial,
    JobSettled,
    ManifestResult,
    ResultAsset,
    ResultError,
)


class Manifest(NamedTuple):
    """What makes a job a manifest, as far as its end tells it."""

    channel: str
    project: str
    next_step: str | None


class Job(NamedTuple):
    """What a job was accepted as, and where it stood when its facts were last read."""

    id: UUID
    tenant_id: UUID
    user_id: UUID
    kind: Kind
    asset_type: AssetType | None
    labels: Mapping[str, str]
    status: Status
    progress: int
    settled: bool
    created_at: datetime
    manifest: Manifest | None = None

    @property
    def sealed(self) -> bool:
        return self.status in TERMINAL


class Change(NamedTuple):
    """What one job became, `now` being the database's time of the change."""

    before: Job
    after: JobState
    now: datetime


def advance(job: Job, found: JobState) -> JobState:
    """`found` as the next state of `job`: progress never falls (R11), a sealed job keeps its status.

    Raises InvalidStateTransition when the state machine has no way there.
    """
    passage(job.status, found.status)
    return found if found.progress >= job.progress else found._replace(progress=job.progress)


def announcements(job: Job, after: JobState, now: datetime) -> list[Event]:
    """The public events of the step from `job` to `after`: the end of the job, and the end of its bill after that."""
    events: list[Event] = []
    if after.sealed and not job.sealed:
        events.append(_outcome(job, after, now))
    if after.settled and not job.settled:
        events.append(JobSettled(job_id=job.id, cost_micros=after.actual_micros, currency=after.currency))
    return events


_EVENTS: dict[Status, type[JobOutcome]] = {
    Status.COMPLETED: JobCompleted,
    Status.PARTIAL: JobPartial,
    Status.FAILED: JobFailed,
    Status.CANCELLED: JobCancelled,
}


def _outcome(job: Job, after: JobState, now: datetime) -> JobOutcome:
    error = after.error
    return _EVENTS[after.status].model_validate(
        {
            "job_id": job.id,
            "user_id": job.user_id,
            "kind": job.kind,
            "asset_type": job.asset_type,
            "status": after.status.value,
            "items": len(after.items),
            "completed": sum(item.status in DONE for item in after.items),
            "assets": [_asset(output) for item in after.items for output in item.outputs],
            "error": ResultError(code=error.code, message=error.message, stage=error.stage) if error else None,
            "manifest": _manifest(job.manifest, after) if job.manifest is not None else None,
            "cost_micros": after.actual_micros,
            "currency": after.currency,
            "settled": after.settled,
            "labels": dict(job.labels),
            "completed_at": now,
        }
    )


def _manifest(manifest: Manifest, after: JobState) -> ManifestResult:
    made = tally(item.status for item in after.items)
    return ManifestResult(
        channel=manifest.channel,
        project=manifest.project,
        generated=made.generated,
        skipped=made.skipped,
        failed=made.failed,
        total_cost_micros=after.actual_micros,
        next_step=manifest.next_step,
    )


def _asset(output: Output) -> ResultAsset:
    return ResultAsset(
        item=output.item,
        asset_id=output.asset_id,
        url=output.url,
        sha256=output.sha256,
        mime=output.mime,
        file_size=output.file_size,
        width=output.width,
        height=output.height,
        duration_seconds=output.duration_seconds,
    )
