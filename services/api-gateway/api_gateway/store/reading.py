"""What the pages show, each read with one statement that an index serves. Reads go through row-level security."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from pydantic_core import from_json, to_json
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from api_gateway.items import ItemStatus
from api_gateway.paging import Page
from api_gateway.rendering import AssetRow, JobRow, Listed
from chassis.ids import uuid7_floor

# The request of a manifest is long, and its prompts are those of its items.
_COLUMNS = (
    "job.id, job.tenant_id, job.user_id, job.kind, job.asset_type, job.brand_kit_id, job.style_capsule_id, "
    "CASE WHEN job.channel IS NULL THEN job.request->>'prompt' END AS prompt, "
    "job.labels, job.status, job.progress, job.view, job.version, job.created_at, job.updated_at, job.completed_at, "
    "job.channel, job.project, job.resume, job.next_step, extract(epoch FROM now())::float8 AS now"
)
_SELECT_JOB = " ".join(["SELECT", _COLUMNS, "FROM job WHERE "])
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
_PRESENT = text(
    _SELECT_ASSET + "id = ANY(:ids) AND " + _OF_TENANT + " AND "
    "(CAST(:user_id AS uuid) IS NULL OR user_id = :user_id OR is_public)"
)

_PAGE = (
    "SELECT total.n, page.* FROM ({total}) AS total(n) LEFT JOIN LATERAL ({jobs}) AS page ON true ORDER BY page.id DESC"
)
_COUNTED = "SELECT coalesce(sum(jobs), 0)::bigint FROM job_total AS job WHERE {where}"
_COUNTED_LABEL = "SELECT count(*) FROM job_label AS job WHERE name = :label_name AND value = :label_value AND {where}"
_COUNT = "SELECT count(*) FROM {source} WHERE {where}"
# The page is chosen by its keys alone, which the index has: rows are read only to be shown, not to be passed over.
_JOBS_OF_PAGE = (
    "SELECT {columns} FROM (SELECT {key} AS id FROM {source} WHERE total.n > 0 AND {where} "
    "ORDER BY {key} DESC LIMIT :limit OFFSET :offset) AS chosen JOIN job ON job.id = chosen.id"
)
# Newest first is the order of both keys, so that a page is the beginning of a range of an index.
_ALL, _ALL_KEY = "job", "job.id"
_LABELLED = "job_label AS label JOIN job ON job.id = label.job_id"
_LABELLED_KEY = "label.job_id"

# Ids are made by the gateway's clock and times by the database's: the index is searched a little wider.
_CLOCKS_APART = timedelta(minutes=10)


async def read_job(conn: AsyncConnection, tenant_id: UUID, user_id: UUID | None, job_id: UUID) -> JobRow | None:
    """A job of the tenant (of `user_id` alone, if given), or None."""
    row = (await conn.execute(_JOB, {"id": job_id, "tenant_id": tenant_id, "user_id": user_id})).one_or_none()
    if row is None:
        return None
    [shown] = await _with_present(conn, tenant_id, user_id, [JobRow(*row)])
    return shown


async def read_jobs(
    conn: AsyncConnection, tenant_id: UUID, user_id: UUID | None, ids: Sequence[UUID]
) -> dict[UUID, JobRow]:
    """Those of `ids` that may be seen."""
    rows = await conn.execute(_JOBS, {"ids": list(ids), "tenant_id": tenant_id, "user_id": user_id})
    shown = await _with_present(conn, tenant_id, user_id, [JobRow(*row) for row in rows.all()])
    return {row.id: row for row in shown}


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
    rows = (await conn.execute(_page_statement(values), values)).all()
    total = int(rows[0][0])
    jobs = [JobRow(*row[1:]) for row in rows if row[1] is not None]
    shown = await _with_present(conn, tenant_id, user_id, jobs[: page.limit])
    return Listed(shown, total, more=len(jobs) > page.limit)


async def _with_present(
    conn: AsyncConnection, tenant_id: UUID, user_id: UUID | None, jobs: Sequence[JobRow]
) -> list[JobRow]:
    """`jobs` with the assets of their skipped items, looked up together; manifests alone have such items."""
    ids = {asset_id for job in jobs if job.channel is not None for asset_id in _skipped(job)}
    if not ids:
        return list(jobs)
    rows = await conn.execute(_PRESENT, {"ids": list(ids), "tenant_id": tenant_id, "user_id": user_id})
    present = {str(row[0]): AssetRow(*row) for row in rows.all()}
    return [job if job.channel is None else replace(job, present=present) for job in jobs]


def _skipped(job: JobRow) -> list[UUID]:
    items = from_json(job.view).get("items", ())
    return [UUID(item["asset_id"]) for item in items if item["status"] == ItemStatus.SKIPPED]


def _values(tenant_id: UUID, user_id: UUID | None, page: Page) -> dict[str, Any]:
    values: dict[str, Any] = {"tenant_id": tenant_id, "limit": page.limit + 1, "offset": page.offset}
    labels = list((page.labels or {}).items())
    given = {
        "user_id": user_id,
        "status": page.status and page.status.value,
        "kind": page.kind and page.kind.value,
        "asset_type": page.asset_type and page.asset_type.value,
        "manifests": page.manifests or None,
        "channel": page.channel,
        "project": page.project,
        "label_name": labels[0][0] if labels else None,
        "label_value": labels[0][1] if labels else None,
        "labels": to_json(page.labels).decode() if len(labels) > 1 else None,
        "created_after": page.created_after,
        "created_before": page.created_before,
        "before": page.before,
        "floor": page.created_after and uuid7_floor(page.created_after - _CLOCKS_APART),
        "ceiling": page.created_before and uuid7_floor(page.created_before + _CLOCKS_APART),
    }
    return values | {name: value for name, value in given.items() if value is not None} | _sure(page)


def _sure(page: Page) -> dict[str, UUID]:
    """Between which ids every job was made in the page's time, by either clock; nothing when there are none."""
    after = page.created_after and uuid7_floor(page.created_after + _CLOCKS_APART)
    before = page.created_before and uuid7_floor(page.created_before - _CLOCKS_APART)
    if after and before and after >= before:
        return {}
    return {name: value for name, value in (("sure_floor", after), ("sure_ceiling", before)) if value}


_CONDITIONS = {
    "user_id": "job.user_id = :user_id",
    "status": "job.status = :status",
    "kind": "job.kind = :kind",
    "asset_type": "job.asset_type = :asset_type",
    "manifests": "job.channel IS NOT NULL",
    "channel": "job.channel = :channel",
    "project": "job.project = :project",
    "label_name": "label.tenant_id = :tenant_id AND label.name = :label_name AND label.value = :label_value",
    "labels": "job.labels @> CAST(:labels AS jsonb)",
    "created_after": "job.created_at >= :created_after AND {key} >= :floor",
    "created_before": "job.created_at < :created_before AND {key} < :ceiling",
}


def _page_statement(values: Mapping[str, Any]) -> TextClause:
    """The statement for a page with these values: one text for each set of filters."""
    filters = [name for name in _CONDITIONS if name in values]
    source, key = (_LABELLED, _LABELLED_KEY) if "label_name" in values else (_ALL, _ALL_KEY)
    where = _where(filters, key)
    after = f" AND {key} < :before" if "before" in values else ""
    jobs = _JOBS_OF_PAGE.format(columns=_COLUMNS, source=source, where=where + after, key=key)
    total = _total_in_time(filters, values) if _is_sure(values) else _total(filters, source, where)
    return text(_PAGE.format(total=total, jobs=jobs))


def _where(filters: Sequence[str], key: str) -> str:
    return " AND ".join(["job.tenant_id = :tenant_id", *(_CONDITIONS[name].format(key=key) for name in filters)])


def _is_sure(values: Mapping[str, Any]) -> bool:
    return not values.keys().isdisjoint(_SURE) and "label_name" not in values


_SURE = {"sure_floor": "job.id >= :sure_floor", "sure_ceiling": "job.id < :sure_ceiling"}
_UNSURE = {
    "sure_floor": "job.id >= :floor AND job.id < :sure_floor AND job.created_at >= :created_after",
    "sure_ceiling": "job.id >= :sure_ceiling AND job.id < :ceiling AND job.created_at < :created_before",
}


def _total_in_time(filters: Sequence[str], values: Mapping[str, Any]) -> str:
    """The number of jobs made in a time: their ids are counted in the index, and rows looked at near its edges only."""
    others = _where([name for name in filters if not name.startswith("created_")], "job.id")
    edges = [name for name in _SURE if name in values]
    ranges = [" AND ".join(_SURE[name] for name in edges), *(_UNSURE[name] for name in edges)]
    counts = (_COUNT.format(source=_ALL, where=f"{others} AND {inside}") for inside in ranges)
    return "SELECT " + " + ".join(f"({count})" for count in counts)


def _total(filters: Sequence[str], source: str, where: str) -> str:
    """The cheapest way to the number of jobs: their totals, a label's own index, or counting them."""
    others = set(filters) - {"user_id"}
    if others == {"label_name"}:
        return _COUNTED_LABEL.format(where=_where([name for name in filters if name == "user_id"], ""))
    if others <= {"status", "kind", "asset_type"}:
        return _COUNTED.format(where=where)
    return _COUNT.format(source=source, where=where)
