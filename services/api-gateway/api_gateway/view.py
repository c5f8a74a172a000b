"""What of a job's state is kept beside its row for the pages that show it. Plain JSON; URLs are not signed yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from api_gateway.items import Failure, ItemState
from api_gateway.money import decimal, decimal_or_none
from api_gateway.outcomes import Change
from api_gateway.outputs import THUMBNAIL, Output, thumbnail_of
from api_gateway.projection import Cancellation, JobState


def view_of(state: JobState) -> dict[str, Any]:
    """Stage, items, cost, error, cancellation, late outputs and warnings."""
    return {
        "stage": state.stage and state.stage.value,
        "cost": {
            "estimated": decimal_or_none(state.estimated_micros),
            "reserved": decimal(state.reserved_micros),
            "actual": decimal(state.actual_micros),
            "currency": state.currency,
            "settled": state.settled,
        },
        "items": [_item(item) for item in state.items],
        "error": _failure(state.error),
        "cancellation": _cancellation(state.cancellation),
        "late_outputs": [
            {"item": found.item, "attempt": found.attempt, **_output(found, state.late_outputs)}
            for found in state.late_outputs
            if found.role != THUMBNAIL
        ],
        "warnings": list(state.warnings),
    }


def _item(item: ItemState) -> dict[str, Any]:
    return {
        "number": item.number,
        "name": item.name,
        "group": item.group,
        "path": item.path,
        "status": item.status.value,
        "attempt": item.attempt,
        "provider": item.provider,
        "model": item.model,
        "prompt_version": item.prompt_version,
        "flags": list(item.flags),
        "warnings": list(item.warnings),
        "asset_id": item.asset_id,
        "cost": {"estimated": decimal_or_none(item.estimated_micros), "actual": decimal_or_none(item.actual_micros)},
        "error": _failure(item.error),
        "outputs": _outputs(item.outputs),
        "redownload": item.redownload and {"state": item.redownload.state, "message": item.redownload.message},
    }


def _outputs(outputs: Sequence[Output]) -> list[dict[str, Any]]:
    return [_output(output, outputs) for output in outputs if output.role != THUMBNAIL]


def _output(output: Output, among: Sequence[Output]) -> dict[str, Any]:
    return {
        "asset_id": str(output.asset_id),
        "role": output.role,
        "url": None if output.deleted else output.url,
        "is_public": output.is_public,
        "sha256": output.sha256,
        "mime": output.mime,
        "width": output.width,
        "height": output.height,
        "duration_seconds": output.duration_seconds,
        "file_size": output.file_size,
        "thumbnail": _thumbnail(output, among),
    }


def _thumbnail(output: Output, among: Sequence[Output]) -> dict[str, Any] | None:
    """What is needed to show an output's small picture."""
    found = thumbnail_of(output, among)
    if found is None:
        return None
    return {
        "asset_id": str(found.asset_id),
        "url": found.url,
        "is_public": found.is_public,
        "sha256": found.sha256,
    }


def _failure(failure: Failure | None) -> dict[str, Any] | None:
    return None if failure is None else {"code": failure.code, "message": failure.message, "stage": failure.stage}


def _cancellation(cancellation: Cancellation | None) -> dict[str, Any] | None:
    if cancellation is None:
        return None
    return {
        "state": cancellation.state.value,
        "reason": cancellation.reason,
        "charged": cancellation.charged,
        "amount": decimal_or_none(cancellation.amount_micros),
    }


class AssetRow(NamedTuple):
    """An asset as its job knows it. `place` orders the assets of a job."""

    id: UUID
    tenant_id: UUID
    user_id: UUID
    job_id: UUID
    place: int
    url: str
    sha256: str
    is_public: bool
    deleted: bool
    body: dict[str, Any]


def assets_of(change: Change) -> list[AssetRow]:
    """The assets of a job, in the order of its items."""
    shown = [(item, output) for item in change.after.items for output in item.outputs]
    late = [(None, output) for output in change.after.late_outputs]
    outputs = [output for _, output in (*shown, *late)]
    return [_asset(change, place, item, output, outputs) for place, (item, output) in enumerate([*shown, *late])]


def _asset(change: Change, place: int, item: ItemState | None, output: Output, among: Sequence[Output]) -> AssetRow:
    job = change.before
    body = {
        "asset_type": job.asset_type.value if job.asset_type else None,
        "kind": job.kind.value,
        "item": output.item,
        "role": output.role,
        "late": item is None,
        "path": output.logical_name,
        "version": output.version,
        "width": output.width,
        "height": output.height,
        "duration_seconds": output.duration_seconds,
        "file_size": output.file_size,
        "mime": output.mime,
        "flags": list(item.flags) if item else [],
        "thumbnail": None if output.role == THUMBNAIL else _thumbnail(output, among),
        "provenance": dict(item.lineage) if item and item.lineage else None,
        "created_at": output.stored_at,
    }
    return AssetRow(
        id=output.asset_id,
        tenant_id=job.tenant_id,
        user_id=job.user_id,
        job_id=job.id,
        place=place,
        url=output.url,
        sha256=output.sha256,
        is_public=output.is_public,
        deleted=output.deleted,
        body=body,
    )
