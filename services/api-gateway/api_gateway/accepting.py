"""Accepting jobs: what is written for each, and what becomes of repetitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from api_gateway.requests import Order
from chassis.errors import FieldError, IdempotencyMismatch, NotFound
from schemas.jobs import JobRequested
from schemas.parts import VersionRef

Key = tuple[UUID, str]
"""(tenant, idempotency key)"""


@dataclass(frozen=True, slots=True)
class Submission:
    """A request to make a job. `key` is its idempotency key, `digest` what must be the same for the same key."""

    job_id: UUID
    tenant_id: UUID
    user_id: UUID
    order: Order
    key: str | None = None
    digest: bytes = b""
    traceparent: str | None = None

    @property
    def claim(self) -> Key | None:
        return (self.tenant_id, self.key) if self.key is not None else None

    def requested(self, kit_version: int | None) -> JobRequested:
        """The event that starts the job, with its kit pinned to `kit_version`."""
        kit = self.order.brand_kit_id
        return JobRequested(
            job_id=self.job_id,
            user_id=self.user_id,
            request=self.order.spec,
            brand_kit=VersionRef(id=kit, version=kit_version) if kit is not None and kit_version is not None else None,
            max_cost_micros=self.order.max_cost_micros,
        )


@dataclass(frozen=True, slots=True)
class Accepted:
    """The job was made, at the database's `created_at`."""

    submission: Submission
    kit_version: int | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Repeated:
    """The same request was accepted before, as this job (R23)."""

    job_id: UUID


class KitNotKnown(NotFound):
    """No version of the brand kit has been seen here yet; prompt-service may know it."""

    def __init__(self, kit_id: UUID) -> None:
        detail = f"there is no brand kit {kit_id}"
        super().__init__(detail, errors=[FieldError("/brand_kit_id", detail)])
        self.kit_id = kit_id


Answer = Accepted | Repeated | Exception


@dataclass(slots=True)
class Group:
    """Submissions that share one transaction, sorted by what is known of their kits and keys."""

    submissions: Sequence[Submission]
    kits: Mapping[tuple[UUID, UUID], int]
    leaders: dict[Key, Submission] = field(default_factory=dict)

    def claims(self) -> list[Submission]:
        """The submissions that may take their idempotency key: of each key the first whose kit is known."""
        for submission in self.submissions:
            if submission.claim is not None and self.kit_known(submission):
                self.leaders.setdefault(submission.claim, submission)
        return sorted(self.leaders.values(), key=lambda submission: (submission.tenant_id, submission.key or ""))

    def kit_known(self, submission: Submission) -> bool:
        return submission.order.brand_kit_id is None or self.kit_version(submission) is not None

    def kit_version(self, submission: Submission) -> int | None:
        kit = submission.order.brand_kit_id
        return None if kit is None else self.kits.get((submission.tenant_id, kit))

    def to_create(self, taken: Mapping[Key, tuple[bytes, UUID]]) -> list[Submission]:
        """The submissions that become jobs, `taken` being the keys as they stand after all claims were made."""
        return [submission for submission in self.submissions if self._creates(submission, taken)]

    def _creates(self, submission: Submission, taken: Mapping[Key, tuple[bytes, UUID]]) -> bool:
        if submission.claim is None:
            return self.kit_known(submission)
        return submission.claim in taken and taken[submission.claim][1] == submission.job_id

    def answer(
        self, submission: Submission, taken: Mapping[Key, tuple[bytes, UUID]], created_at: datetime | None
    ) -> Answer:
        """What `submission` is told once all is written."""
        if self._creates(submission, taken) and created_at is not None:
            return Accepted(submission, self.kit_version(submission), created_at)
        holder = taken.get(submission.claim) if submission.claim is not None else None
        if holder is not None:
            return _repeated(submission, *holder)
        assert submission.order.brand_kit_id is not None
        return KitNotKnown(submission.order.brand_kit_id)


def _repeated(submission: Submission, digest: bytes, job_id: UUID) -> Answer:
    if digest == submission.digest:
        return Repeated(job_id)
    detail = f"the idempotency key {submission.key!r} was used for another request"
    return IdempotencyMismatch(detail, errors=[FieldError("/header/Idempotency-Key", detail)])
