"""What the pages show, each read with one statement that an index serves. Reads go through row-level security."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from api_gateway.paging import Page
from api_gateway.rendering import AssetRow, JobRow, Listed
from chassis.ids import uuid7_floor

_SELECT_JOB = (
    "SELECT id, tenant_id, user_id, kind, asset_type, brand_kit_id, request->>'prompt' AS prompt, labels, status, "
    "stage, progress, estimated_micros, reserved_micros, actual_micros, currency, settled, view, version, created_at, "
    "updated_at, completed_at, extract(epoch FROM now())::float8 AS now FROM job WHERE "
)
_SELECT_ASSET = (
    "SELECT id, tenant_id, user_id, job_id, url, sha256, is_public, body, extract(epoch FROM now())::float8 AS now "
    "FROM asset WHERE NOT deleted AND "
)
_OF_TENANT = "tenant_id = :tenant_id"
_VISIBLE = _OF_TENANT + " AND (CAST(:user_id AS uuid) IS NULL OR user_id = :user_id)"

_JOB = text(_SELECT_JOB + "id = :id AND " + _VISIBLE)
_JOBS = text(_SELECT_JOB + "id = ANY(:ids) AND " + _VISIBLE)
_VERSIONS = text("SELECT id, version FROM job WHERE id = ANY(:ids)")
_ASSETS = text(_SELECT_ASSET + "job_id = :job_id AND " + _OF_TENANT + " ORDER BY place")
_ASSET = text(_SELECT_ASSET + "id = :id AND " + _VISIBLE)

_COUNTED = "SELECT coalesce(sum(jobs), 0)::bigint FROM job_total WHERE "
_COUNT = "SELECT count(*) FROM job WHERE "
_NEWEST = " ORDER BY id DESC LIMIT :limit OFFSET :offset"
_PAGE = "SELECT total.n, page.* FROM ({total}) AS total(n) LEFT JOIN LATERAL ({jobs}) AS page ON true"

# Ids are made by the gateway's clock and times by the database's: the index is searched a little wider.
_CLOCKS_APART = timedelta(minutes=10)


async def read_job(conn: AsyncConnection, tenant_id: UUID, user_id: UUID | None, job_id: UUID) -> JobRow | None:
    """A job of the tenant (of `user_id` alone, if given), or None."""
    row = (await conn.execute(_JOB, {"id": job_id, "tenant_id": tenant_id, "user_id": user_id})).one_or_none()
    return None if row is None else JobRow(*row)


async def read_jobs(
    conn: AsyncConnection, tenant_id: UUID, user_id: UUID | None, ids: Sequence[UUID]
) -> dict[UUID, JobRow]:
    """Those of `ids` that may be seen."""
    rows = await conn.execute(_JOBS, {"ids": list(ids), "tenant_id": tenant_id, "user_id": user_id})
    return {row[0]: JobRow(*row) for row in rows.all()}


async def read_assets(conn: AsyncConnection, tenant_id: UUID, job_id: UUID) -> list[AssetRow]:
    """The assets of a job that were not deleted, in the order of its items."""
    rows = await conn.execute(_ASSETS, {"job_id": job_id, "tenant_id": tenant_id})
    return [AssetRow(*row) for row in rows.all()]


async def read_asset(conn: AsyncConnection, tenant_id: UUID, user_id: UUID | None, asset_id: UUID) -> AssetRow | None:
    """One asset of the tenant (of `user_id` alone, if given) that was not deleted, or None."""
    row = (await conn.execute(_ASSET, {"id": asset_id, "tenant_id": tenant_id, "user_id": user_id})).one_or_none()
    return None if row is None else AssetRow(*row)


async def read_versions(conn: AsyncConnection, ids: Sequence[UUID]) -> dict[UUID, int]:
    """The versions of jobs, for whoever waits for them to change."""
    return {row[0]: row[1] for row in (await conn.execute(_VERSIONS, {"ids": list(ids)})).all()}


async def read_page(conn: AsyncConnection, tenant_id: UUID, user_id: UUID | None, page: Page) -> Listed:
    """A page of jobs, newest first, with how many there are in all and whether more follow."""
    values = _values(tenant_id, user_id, page)
    rows = (await conn.execute(_page_statement(user_id, page), values)).all()
    total = int(rows[0][0])
    jobs = [JobRow(*row[1:]) for row in rows if row[1] is not None]
    return Listed(jobs[: page.limit], total, more=len(jobs) > page.limit)


def _values(tenant_id: UUID, user_id: UUID | None, page: Page) -> dict[str, Any]:
    values: dict[str, Any] = {"tenant_id": tenant_id, "limit": page.limit + 1, "offset": page.offset}
    given = {
        "user_id": user_id,
        "status": page.status and page.status.value,
        "kind": page.kind and page.kind.value,
        "asset_type": page.asset_type and page.asset_type.value,
        "labels": to_json(page.labels).decode() if page.labels else None,
        "created_after": page.created_after,
        "created_before": page.created_before,
        "before": page.before,
        "floor": page.created_after and uuid7_floor(page.created_after - _CLOCKS_APART),
        "ceiling": page.created_before and uuid7_floor(page.created_before + _CLOCKS_APART),
    }
    return values | {name: value for name, value in given.items() if value is not None}


_CONDITIONS = {
    "user_id": "user_id = :user_id",
    "status": "status = :status",
    "kind": "kind = :kind",
    "asset_type": "asset_type = :asset_type",
    "labels": "labels @> CAST(:labels AS jsonb)",
    "created_after": "created_at >= :created_after AND id >= :floor",
    "created_before": "created_at < :created_before AND id < :ceiling",
}


def _page_statement(user_id: UUID | None, page: Page) -> TextClause:
    asked = {
        "user_id": user_id,
        "status": page.status,
        "kind": page.kind,
        "asset_type": page.asset_type,
        "labels": page.labels or None,
        "created_after": page.created_after,
        "created_before": page.created_before,
    }
    where = " AND ".join([_OF_TENANT, *(_CONDITIONS[name] for name, value in asked.items() if value is not None)])
    total = (_COUNTED if page.counted else _COUNT) + where
    after = " AND id < :before" if page.before is not None else ""
    return text(_PAGE.format(total=total, jobs=_SELECT_JOB + where + after + _NEWEST))
