"""What the outside may know of a job: `backlot.job-results`, public. No prompts."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal
from uuid import UUID

from pydantic import Field

from schemas.event import Event, Part
from schemas.parts import AssetType, Kind, Requester
from schemas.topics import JOB_RESULTS


class ResultAsset(Part):
    """One asset of a finished job."""

    item: int
    asset_id: UUID
    url: str
    sha256: str
    mime: str
    file_size: int
    width: int | None = None
    height: int | None = None
    duration_seconds: float | None = None


class ResultError(Part):
    """Why a job, or one of its items, did not complete."""

    code: str
    message: str
    stage: str | None = None


class ManifestResult(Part):
    """What became of a manifest's pictures (R87), and what comes after it (R97)."""

    channel: str
    project: str
    generated: int = Field(ge=0)
    skipped: int = Field(ge=0)
    failed: int = Field(ge=0)
    total_cost_micros: int = Field(ge=0)
    next_step: str | None = None


class JobAccepted(Event):
    """A job was taken: one that was asked for by event, or a manifest."""

    type: ClassVar[str] = "dev.backlot.job.accepted.v1"
    topic: ClassVar[str] = JOB_RESULTS.name

    job_id: UUID
    requester: Requester | None = None
    labels: dict[str, str] = Field(default_factory=dict)


class JobRefused(Event):
    """A job asked for by event was not taken, and why."""

    type: ClassVar[str] = "dev.backlot.job.refused.v1"
    topic: ClassVar[str] = JOB_RESULTS.name

    requester: Requester
    code: str
    detail: str


class JobOutcome(Event):
    """What every terminal event says. `cost_micros` is what was captured so far; `settled` says whether that is all."""

    job_id: UUID
    user_id: UUID
    kind: Kind
    asset_type: AssetType | None = None
    status: Literal["completed", "partial", "failed", "cancelled"]
    items: int
    completed: int
    assets: list[ResultAsset] = Field(default_factory=list)
    error: ResultError | None = None
    manifest: ManifestResult | None = None
    cost_micros: int
    currency: str
    settled: bool
    labels: dict[str, str] = Field(default_factory=dict)
    requester: Requester | None = None
    completed_at: datetime


class JobCompleted(JobOutcome):
    """Every item is stored."""

    type: ClassVar[str] = "dev.backlot.job.completed.v1"
    topic: ClassVar[str] = JOB_RESULTS.name


class JobPartial(JobOutcome):
    """Some items are stored, some are not."""

    type: ClassVar[str] = "dev.backlot.job.partial.v1"
    topic: ClassVar[str] = JOB_RESULTS.name


class JobFailed(JobOutcome):
    """No item is stored."""

    type: ClassVar[str] = "dev.backlot.job.failed.v1"
    topic: ClassVar[str] = JOB_RESULTS.name


class JobCancelled(JobOutcome):
    """The job was cancelled before any item was stored."""

    type: ClassVar[str] = "dev.backlot.job.cancelled.v1"
    topic: ClassVar[str] = JOB_RESULTS.name


class JobSettled(Event):
    """All holds of a finished job are closed; the cost is final."""

    type: ClassVar[str] = "dev.backlot.job.settled.v1"
    topic: ClassVar[str] = JOB_RESULTS.name

    job_id: UUID
    cost_micros: int
    currency: str
    requester: Requester | None = None
