"""How another platform asks for a job by event: `backlot.job-requests`, public."""

from __future__ import annotations

from typing import Any, ClassVar

from schemas.event import Event
from schemas.topics import JOB_REQUESTS


class JobSubmitted(Event):
    """Asks for a job: the same body as `POST /api/v1/jobs`, the same idempotency."""

    type: ClassVar[str] = "dev.backlot.job.submitted.v1"
    topic: ClassVar[str] = JOB_REQUESTS.name

    job: dict[str, Any]
    idempotencykey: str | None = None
