"""Events of api-gateway about jobs: `backlot.jobs`."""

from __future__ import annotations

from typing import ClassVar, Literal
from uuid import UUID

from pydantic import Field

from schemas.event import Event
from schemas.parts import JobSpec, VersionRef
from schemas.topics import JOBS


class JobRequested(Event):
    """A job was accepted. Kit and capsule are pinned to the version that the gateway saw."""

    type: ClassVar[str] = "dev.backlot.job.requested.v1"
    topic: ClassVar[str] = JOBS.name

    job_id: UUID
    user_id: UUID
    request: JobSpec
    brand_kit: VersionRef | None = None
    style_capsule: VersionRef | None = None
    max_cost_micros: int | None = None
    retry_of: UUID | None = None
    retry_items: list[int] = Field(default_factory=list)


class JobCancelRequested(Event):
    """A tombstone for the job: whoever has not started stops; who has started says what it came to."""

    type: ClassVar[str] = "dev.backlot.job.cancel_requested.v1"
    topic: ClassVar[str] = JOBS.name

    job_id: UUID
    reason: Literal["user", "deadline"]


class JobRedownloadRequested(Event):
    """The paid bytes of an item are to be fetched again, without a new generation.

    `request` numbers the requests of one item, from 1; GenerationSettled answers it by that number.
    """

    type: ClassVar[str] = "dev.backlot.job.redownload_requested.v1"
    topic: ClassVar[str] = JOBS.name

    job_id: UUID
    item: int
    request: int = Field(default=1, ge=1)
