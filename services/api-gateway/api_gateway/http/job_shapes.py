"""What the OpenAPI document says of a job. A test holds real answers against these models."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

_TIME = "2030-01-31T12:00:00Z"


class Shape(BaseModel):
    """Part of an answer."""

    model_config = ConfigDict(extra="forbid")


class ItemCost(Shape):
    estimated: str | None = Field(examples=["0.04"])
    actual: str | None = Field(examples=["0.039"])


class Cost(Shape):
    """Decimal strings. `reserved` is all that was ever held; `settled`: no hold is open, `actual` is final."""

    estimated: str | None = Field(examples=["0.04"])
    reserved: str = Field(examples=["0.04"])
    actual: str = Field(examples=["0.039"])
    currency: str = Field(examples=["USD"])
    settled: bool


class Failure(Shape):
    code: str = Field(examples=["PROVIDER_ERROR"])
    message: str
    stage: str | None


class Output(Shape):
    """One stored output; `url` is signed for a private one, null for a deleted one.

    `thumbnail_url` is a small WebP, or a picture's own address where that is small enough.
    """

    asset_id: UUID
    role: str
    url: str | None
    thumbnail_url: str | None
    is_public: bool
    sha256: str
    mime: str
    width: int | None
    height: int | None
    duration_seconds: float | None
    file_size: int


class LateOutput(Output):
    """What was stored after its item had ended otherwise, until a redownload makes it the item's."""

    item: int
    attempt: int


class Redownload(Shape):
    """The last request to fetch what was paid for again; `message` says why it is not here."""

    state: Literal["requested", "fetched", "failed"]
    message: str | None


class Item(Shape):
    """`outputs` of a failed or cancelled item are what a redownload brought: its status stays.

    A skipped item shows the asset that was there, of another job: `url` is null where that was deleted since, or is a
    colleague's private one that the asker may not see.
    """

    number: int
    name: str | None
    group: str | None
    path: str | None = Field(description="the logical name, without the tenant")
    status: Literal["queued", "processing", "completed", "skipped", "failed", "cancelled"]
    attempt: int
    provider: str | None
    model: str | None
    prompt_version: str | None
    flags: list[str]
    warnings: list[str]
    asset_id: UUID | None
    url: str | None
    thumbnail_url: str | None
    cost: ItemCost
    error: Failure | None
    outputs: list[Output]
    redownload: Redownload | None


class Cancellation(Shape):
    state: Literal["cancel_requested", "cancelled", "completed_anyway"]
    reason: Literal["user", "deadline"]
    charged: Literal["yes", "no", "unknown"]
    amount: str | None


class Manifest(Shape):
    """What makes a job a manifest; `next_step` comes after it (R97)."""

    channel: str
    project: str
    resume: bool
    next_step: str | None


class Summary(Shape):
    """What a manifest has come to so far (R87). `failed` counts what ended without a picture, cancelled items too."""

    generated: int
    skipped: int
    failed: int
    total_cost_usd: str = Field(examples=["1.496"], description="captured so far; final once the cost is settled")


class Job(Shape):
    """A job. `version` grows with every change and is the ETag; `status` is final once it is one of the last four."""

    id: UUID
    status: Literal["queued", "processing", "completed", "partial", "failed", "cancelled"]
    stage: Literal["prompting", "generating", "uploading", "persisting"] | None
    progress: int = Field(ge=0, le=100)
    kind: str
    asset_type: str | None
    user_id: UUID
    brand_kit_id: UUID | None
    style_capsule_id: UUID | None
    prompt: str | None
    labels: dict[str, str]
    items: list[Item]
    manifest: Manifest | None = Field(description="null for a job that is none")
    summary: Summary | None
    cost: Cost
    error: Failure | None
    error_message: str | None
    cancellation: Cancellation | None
    warnings: list[str]
    retry_of: UUID | None
    retried_by: UUID | None
    late_outputs: list[LateOutput]
    created_at: str = Field(examples=[_TIME])
    updated_at: str
    completed_at: str | None
    version: int


class Asset(Shape):
    """An asset of a job, or an upload: `job_id` and `item` are null then."""

    id: UUID
    origin: Literal["job", "upload"]
    job_id: UUID | None
    item: int | None
    user_id: UUID
    asset_type: str | None
    kind: str
    role: str
    late: bool
    url: str
    thumbnail_url: str | None
    path: str
    version: int
    width: int | None
    height: int | None
    duration_seconds: float | None
    file_size: int
    mime: str
    sha256: str
    is_public: bool
    flags: list[str]
    viral_score: float | None
    provenance: dict[str, Any] | None
    created_at: str


class JobWithAssets(Job):
    """With `include=assets`."""

    assets: list[Asset] = []


class JobList(Shape):
    """A page of jobs, newest first; `next_cursor` is null on the last page."""

    items: list[Job]
    total: int
    limit: int
    offset: int
    next_cursor: str | None


class AssetList(Shape):
    items: list[Asset]
    total: int
    limit: int
    offset: int
    next_cursor: str | None
