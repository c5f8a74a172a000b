"""Accepting jobs: what is written for each, and what becomes of repetitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from api_gateway.inputs import KnownAsset, media_problem, resolved
from api_gateway.looks import LookNotKnown, Sort, Versions
from api_gateway.orders import Order
from api_gateway.requests import InvalidRequest
from chassis.errors import BacklotError, Conflict, FieldError, IdempotencyMismatch, NotFound
from schemas.jobs import JobRequested
from schemas.parts import Input, JobSpec, VersionRef

Key = tuple[UUID, str]
"""(tenant, idempotency key)"""
Place = tuple[UUID, str, str]
"""(tenant, channel, project): one manifest of it runs at a time"""


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

    @property
    def place(self) -> Place | None:
        manifest = self.order.spec.manifest
        return (self.tenant_id, manifest.channel, manifest.project) if manifest is not None else None

    def requested(self, spec: JobSpec, pinned: Mapping[Sort, VersionRef]) -> JobRequested:
        """The event that starts the job, with its kit and capsule as they are pinned."""
        return JobRequested(
            job_id=self.job_id,
            user_id=self.user_id,
            request=spec,
            brand_kit=pinned.get(Sort.BRAND_KIT),
            style_capsule=pinned.get(Sort.STYLE_CAPSULE),
            max_cost_micros=self.order.max_cost_micros,
        )


@dataclass(frozen=True, slots=True)
class Accepted:
    """The job was made, at the database's `created_at`."""

    submission: Submission
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Repeated:
    """The same request was accepted before, as this job (R23)."""

    job_id: UUID


class AssetNotKnown(NotFound):
    """There is no such asset, or nothing that this user may see."""

    def __init__(self, number: int, asset_id: UUID) -> None:
        detail = f"there is no asset {asset_id}"
        super().__init__(detail, errors=[FieldError(f"/inputs/{number}/asset_id", detail)])


class ManifestRunning(Conflict):
    """Another manifest of the same channel and project has not ended yet."""

    def __init__(self, place: Place, job_id: UUID) -> None:
        _, channel, project = place
        detail = f"is being made by job {job_id}"
        super().__init__(
            f"the project {project!r} of the channel {channel!r} {detail}", errors=[FieldError("/project", detail)]
        )


Answer = Accepted | Repeated | Exception


@dataclass(slots=True)
class Group:
    """Submissions that share one transaction, sorted by what is known of their looks, assets, places and keys.

    `running` are the jobs that have places which the group wants. A free one goes to the first who wants it, the others
    are crowded out.
    """

    submissions: Sequence[Submission]
    looks: Versions
    assets: Mapping[tuple[UUID, UUID], KnownAsset]
    running: Mapping[Place, UUID] = field(default_factory=dict)
    leaders: dict[Key, Submission] = field(default_factory=dict)
    placed: dict[Place, UUID] = field(default_factory=dict)
    crowded_out: set[UUID] = field(default_factory=set)

    def claims(self) -> list[Submission]:
        """The submissions that may take their idempotency key: of each key the first that nothing speaks against."""
        for submission in self.submissions:
            if submission.claim is not None and self.problem(submission) is None:
                self.leaders.setdefault(submission.claim, submission)
        return sorted(self.leaders.values(), key=lambda submission: (submission.tenant_id, submission.key or ""))

    def problem(self, submission: Submission) -> BacklotError | None:
        """Why no job can be made of it, whatever its key says."""
        for sort, look_id in submission.order.looks.items():
            if (sort, submission.tenant_id, look_id) not in self.looks:
                return LookNotKnown(sort, look_id)
        given = submission.order.spec.inputs
        known = [self._asset(submission, one) for one in given]
        for number, (one, asset) in enumerate(zip(given, known, strict=True)):
            if one.asset_id is not None and asset is None:
                return AssetNotKnown(number, one.asset_id)
        if found := media_problem(submission.order.spec.kind, given, known):
            pointer, detail = found
            return InvalidRequest(f"{pointer} {detail}", errors=[FieldError(pointer, detail)])
        place = submission.place
        return ManifestRunning(place, self.running[place]) if place is not None and place in self.running else None

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

    def pinned(self, submission: Submission) -> dict[Sort, VersionRef]:
        """The kit and the capsule of a job that is made, in the versions that are known now."""
        asked = submission.order.looks.items()
        return {
            sort: VersionRef(id=look_id, version=self.looks[sort, submission.tenant_id, look_id])
            for sort, look_id in asked
        }

    def to_create(self, taken: Mapping[Key, tuple[bytes, UUID]]) -> list[Submission]:
        """The submissions that become jobs, `taken` being the keys as they stand after all claims were made."""
        created = []
        for submission in self.submissions:
            if not self._may(submission, taken):
                continue
            place = submission.place
            if place is None or self.placed.setdefault(place, submission.job_id) == submission.job_id:
                created.append(submission)
            else:
                self.crowded_out.add(submission.job_id)
        return created

    def keys_to_give_back(self) -> list[Key]:
        """The keys that were taken for jobs which are not made after all."""
        crowded = (submission for submission in self.submissions if submission.job_id in self.crowded_out)
        return [submission.claim for submission in crowded if submission.claim is not None]

    def _creates(self, submission: Submission, taken: Mapping[Key, tuple[bytes, UUID]]) -> bool:
        return self._may(submission, taken) and submission.job_id not in self.crowded_out

    def _may(self, submission: Submission, taken: Mapping[Key, tuple[bytes, UUID]]) -> bool:
        if submission.claim is None:
            return self.problem(submission) is None
        return submission.claim in taken and taken[submission.claim][1] == submission.job_id

    def answer(
        self, submission: Submission, taken: Mapping[Key, tuple[bytes, UUID]], created_at: datetime | None
    ) -> Answer:
        """What `submission` is told once all is written."""
        if self._creates(submission, taken) and created_at is not None:
            return Accepted(submission, created_at)
        holder = taken.get(submission.claim) if submission.claim is not None else None
        if holder is not None and not self._is_without_a_job(submission, *holder):
            return _repeated(submission, *holder)
        problem = self.problem(submission) or self._crowd(submission)
        assert problem is not None
        return problem

    def _is_without_a_job(self, submission: Submission, digest: bytes, job_id: UUID) -> bool:
        """Whether its key was taken for the same request, which found its place taken."""
        return job_id in self.crowded_out and digest == submission.digest

    def _crowd(self, submission: Submission) -> ManifestRunning | None:
        place = submission.place
        return ManifestRunning(place, self.placed[place]) if place is not None and place in self.placed else None


def _repeated(submission: Submission, digest: bytes, job_id: UUID) -> Answer:
    if digest == submission.digest:
        return Repeated(job_id)
    detail = f"the idempotency key {submission.key!r} was used for another request"
    return IdempotencyMismatch(detail, errors=[FieldError("/header/Idempotency-Key", detail)])
