"""Rows as the API shows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pydantic_core import from_json

from api_gateway.accepting import Accepted
from api_gateway.items import ItemStatus, tally
from api_gateway.lifecycle import TERMINAL, Status
from api_gateway.outputs import THUMBNAIL

Sign = Callable[[str, UUID, UUID, str, float], str]
"""(url, tenant, asset, sha256, now) → the URL, signed for a while"""


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job as it is read for its page. `view` is JSON, `now` the database's time in seconds since 1970.

    `present` are the assets of skipped items by their id, as far as the reader may see them.
    """

    id: UUID
    tenant_id: UUID
    user_id: UUID
    kind: str
    asset_type: str | None
    brand_kit_id: UUID | None
    style_capsule_id: UUID | None
    prompt: str | None
    labels: Mapping[str, str]
    status: str
    progress: int
    view: str
    version: int
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None
    channel: str | None
    project: str | None
    resume: bool | None
    next_step: str | None
    now: float
    present: Mapping[str, AssetRow] = field(default_factory=dict)

    @property
    def terminal(self) -> bool:
        return Status(self.status) in TERMINAL

    @property
    def etag(self) -> str:
        """The row's version, as an entity tag."""
        return f'"{self.version}"'


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of jobs. `total` is how many the filter has in all, `more` whether older ones follow."""

    jobs: Sequence[JobRow]
    total: int
    more: bool


@dataclass(frozen=True, slots=True)
class AssetRow:
    """An asset as it is read for its page. `body` is JSON. No job made an upload."""

    id: UUID
    tenant_id: UUID
    user_id: UUID
    job_id: UUID | None
    url: str
    sha256: str
    is_public: bool
    body: str
    now: float


def job_json(row: JobRow, sign: Sign) -> dict[str, Any]:
    """The job as `GET /api/v1/jobs/{id}` answers it. Private outputs get signed URLs."""
    view = from_json(row.view)
    error = view.get("error")
    return {
        "id": str(row.id),
        "status": row.status,
        "stage": view.get("stage"),
        "progress": row.progress,
        "kind": row.kind,
        "asset_type": row.asset_type,
        "user_id": str(row.user_id),
        "brand_kit_id": row.brand_kit_id and str(row.brand_kit_id),
        "style_capsule_id": row.style_capsule_id and str(row.style_capsule_id),
        "prompt": row.prompt,
        "labels": row.labels,
        "items": [_item(item, row, sign) for item in view.get("items", ())],
        "manifest": _manifest(row.channel, row.project, row.resume, row.next_step),
        "summary": _summary(view) if row.channel is not None else None,
        "cost": view.get("cost", _NO_COST),
        "error": error,
        "error_message": error and error["message"],
        "cancellation": view.get("cancellation"),
        "warnings": view.get("warnings", []),
        "retry_of": None,
        "retried_by": None,
        "late_outputs": [_output(output, row, sign) for output in view.get("late_outputs", ())],
        "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at),
        "completed_at": row.completed_at and rfc3339(row.completed_at),
        "version": row.version,
    }


def new_job_json(accepted: Accepted) -> dict[str, Any]:
    """What `job_json` would show of a job that was accepted this moment, without the way over its row."""
    job, order = accepted.submission, accepted.submission.order
    created_at, manifest = rfc3339(accepted.created_at), order.spec.manifest
    return {
        "id": str(job.job_id),
        "status": "queued",
        "stage": None,
        "progress": 0,
        "kind": order.spec.kind,
        "asset_type": order.spec.asset_type,
        "user_id": str(job.user_id),
        "brand_kit_id": order.brand_kit_id and str(order.brand_kit_id),
        "style_capsule_id": order.style_capsule_id and str(order.style_capsule_id),
        "prompt": order.spec.prompt,
        "labels": order.spec.labels,
        "items": (),
        "manifest": manifest and _manifest(manifest.channel, manifest.project, manifest.resume, manifest.next_step),
        "summary": manifest and _summary({}),
        "cost": _NO_COST,
        "error": None,
        "error_message": None,
        "cancellation": None,
        "warnings": (),
        "retry_of": None,
        "retried_by": None,
        "late_outputs": (),
        "created_at": created_at,
        "updated_at": created_at,
        "completed_at": None,
        "version": 1,
    }


_PICTURES = frozenset({"image/png", "image/jpeg", "image/webp"})
_NO_COST = {"estimated": None, "reserved": "0.00", "actual": "0.00", "currency": "USD", "settled": False}


def _manifest(channel: str | None, project: str | None, resume: bool | None, next_step: str | None) -> Any:
    if channel is None:
        return None
    return {"channel": channel, "project": project, "resume": resume, "next_step": next_step}


def _summary(view: Mapping[str, Any]) -> dict[str, Any]:
    made = tally(item["status"] for item in view.get("items", ()))
    return {**made._asdict(), "total_cost_usd": view.get("cost", _NO_COST)["actual"]}


def _item(item: Mapping[str, Any], row: JobRow, sign: Sign) -> dict[str, Any]:
    outputs = [_output(output, row, sign) for output in item["outputs"]]
    url, small = (outputs[0]["url"], outputs[0]["thumbnail_url"]) if outputs else (None, None)
    present = row.present.get(item["asset_id"]) if item["status"] == ItemStatus.SKIPPED else None
    if present is not None:
        url, small = _urls(present, from_json(present.body), sign)
    # What was shown before paths were told has none.
    return {**item, "path": item.get("path"), "outputs": outputs, "url": url, "thumbnail_url": small}


def _output(output: Mapping[str, Any], row: JobRow, sign: Sign) -> dict[str, Any]:
    shown, thumbnail = dict(output), output.get("thumbnail")
    shown.pop("thumbnail", None)
    url = _address(output, row.tenant_id, sign, row.now)
    small = _address(thumbnail, row.tenant_id, sign, row.now) if thumbnail else _its_own(output["mime"], url)
    return {**shown, "url": url, "thumbnail_url": small}


def _address(output: Mapping[str, Any], tenant_id: UUID, sign: Sign, now: float) -> str | None:
    """Where an output's bytes are, for somebody who may see them; None where they were deleted."""
    url: str | None = output["url"]
    if url is None or output["is_public"]:
        return url
    return sign(url, tenant_id, UUID(output["asset_id"]), output["sha256"], now)


def _its_own(mime: str, url: str | None) -> str | None:
    """A picture that is small enough has no thumbnail beside it."""
    return url if mime in _PICTURES else None


def asset_json(row: AssetRow, sign: Sign) -> dict[str, Any]:
    """The asset as the API answers it; the URL of a private one is signed."""
    body = from_json(row.body)
    url, small = _urls(row, body, sign)
    body.pop("thumbnail", None)
    return {
        "id": str(row.id),
        "origin": "upload" if row.job_id is None else "job",
        "job_id": row.job_id and str(row.job_id),
        "user_id": str(row.user_id),
        **body,
        "url": url,
        "thumbnail_url": small,
        "sha256": row.sha256,
        "is_public": row.is_public,
        "viral_score": None,
    }


def _urls(row: AssetRow, body: Mapping[str, Any], sign: Sign) -> tuple[str, str | None]:
    """Where an asset's bytes are, and those of its thumbnail."""
    url, thumbnail = asset_url(row, sign), body.get("thumbnail")
    small = _address(thumbnail, row.tenant_id, sign, row.now) if thumbnail else _its_own(body["mime"], url)
    return url, small


def assets_json(rows: Sequence[AssetRow], sign: Sign) -> list[dict[str, Any]]:
    """The assets of a job; a thumbnail is shown with what it is of."""
    shown = [asset_json(row, sign) for row in rows]
    return [asset for asset in shown if asset["role"] != THUMBNAIL]


def asset_url(row: AssetRow, sign: Sign) -> str:
    """Where its bytes are, for somebody who may see them."""
    return row.url if row.is_public else sign(row.url, row.tenant_id, row.id, row.sha256, row.now)


def rfc3339(moment: datetime) -> str:
    """A time in UTC, e.g. 2030-01-31T12:00:00.123456Z."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
