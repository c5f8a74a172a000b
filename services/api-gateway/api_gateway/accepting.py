"""Accepting jobs: what is written for each, and what becomes of repetitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from api_gateway.inputs import KnownAsset, media_problem, resolved
from api_gateway.requests import InvalidRequest, Order
from chassis.errors import BacklotError, FieldError, IdempotencyMismatch, NotFound
from schemas.jobs import JobRequested
from schemas.parts import Input, JobSpec, VersionRef

Key = tuple[UUID, str]
"""(tenant, idempotency key)"""


@dataclass(frozen=True, slots=True)
class Submission:
    """A request to make a job. `key` is its idempotency key, `digest` what must be the same for the same key.

    `sees_all`: its user may look at his colleagues' assets, and build on them.
    """

    job_id: UUID
    tenant_id: UUID
    user_id: UUID
    order: Order
    key: str | None = None
    digest: bytes = b""
    traceparent: str | None = None
    sees_all: bool = False

    @property
    def claim(self) -> Key | None:
        return (self.tenant_id, self.key) if self.key is not None else None

    def requested(self, spec: JobSpec, kit_version: int | None) -> JobRequested:
        """The event that starts the job, with its kit pinned to `kit_version`."""
        kit = self.order.brand_kit_id
        return JobRequested(
            job_id=self.job_id,
            user_id=self.user_id,
            request=spec,
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


class AssetNotKnown(NotFound):
    """There is no such asset, or nothing that this user may see."""

    def __init__(self, number: int, asset_id: UUID) -> None:
        detail = f"there is no asset {asset_id}"
        super().__init__(detail, errors=[FieldError(f"/inputs/{number}/asset_id", detail)])


Answer = Accepted | Repeated | Exception


@dataclass(slots=True)
class Group:
    """Submissions that share one transaction, sorted by what is known of their kits, assets and keys."""

    submissions: Sequence[Submission]
    kits: Mapping[tuple[UUID, UUID], int]
    assets: Mapping[tuple[UUID, UUID], KnownAsset]
    leaders: dict[Key, Submission] = field(default_factory=dict)

    def claims(self) -> list[Submission]:
        """The submissions that may take their idempotency key: of each key the first that nothing speaks against."""
        for submission in self.submissions:
            if submission.claim is not None and self.problem(submission) is None:
                self.leaders.setdefault(submission.claim, submission)
        return sorted(self.leaders.values(), key=lambda submission: (submission.tenant_id, submission.key or ""))

    def problem(self, submission: Submission) -> BacklotError | None:
        """Why no job can be made of it, whatever its key says."""
        kit = submission.order.brand_kit_id
        if kit is not None and self.kit_version(submission) is None:
            return KitNotKnown(kit)
        given = submission.order.spec.inputs
        known = [self._asset(submission, one) for one in given]
        for number, (one, asset) in enumerate(zip(given, known, strict=True)):
            if one.asset_id is not None and asset is None:
                return AssetNotKnown(number, one.asset_id)
        if found := media_problem(submission.order.spec.kind, given, known):
            pointer, detail = found
            return InvalidRequest(f"{pointer} {detail}", errors=[FieldError(pointer, detail)])
        return None

    def spec(self, submission: Submission) -> JobSpec:
        """What the job is made of, with what is known of its inputs."""
        spec = submission.order.spec
        if not spec.inputs:
            return spec
        return spec.model_copy(update={"inputs": [resolved(one, self._asset(submission, one)) for one in spec.inputs]})

    def _asset(self, submission: Submission, given: Input) -> KnownAsset | None:
        if given.asset_id is None:
            return None
        found = self.assets.get((submission.tenant_id, given.asset_id))
        visible = found is not None and (submission.sees_all or found.user_id == submission.user_id)
        return found if visible else None

    def kit_version(self, submission: Submission) -> int | None:
        kit = submission.order.brand_kit_id
        return None if kit is None else self.kits.get((submission.tenant_id, kit))

    def to_create(self, taken: Mapping[Key, tuple[bytes, UUID]]) -> list[Submission]:
        """The submissions that become jobs, `taken` being the keys as they stand after all claims were made."""
        return [submission for submission in self.submissions if self._creates(submission, taken)]

    def _creates(self, submission: Submission, taken: Mapping[Key, tuple[bytes, UUID]]) -> bool:
        if submission.claim is None:
            return self.problem(submission) is None
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
        problem = self.problem(submission)
        assert problem is not None
        return problem


def _repeated(submission: Submission, digest: bytes, job_id: UUID) -> Answer:
    if digest == submission.digest:
        return Repeated(job_id)
    detail = f"the idempotency key {submission.key!r} was used for another request"
    return IdempotencyMismatch(detail, errors=[FieldError("/header/Idempotency-Key", detail)])
