"""Assets as their jobs know them: written with the job, read by id and by job."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from api_gateway.outcomes import Change
from api_gateway.view import assets_of

_UPSERT = text(
    "INSERT INTO asset (id, tenant_id, user_id, job_id, place, url, sha256, is_public, deleted, body) "
    "SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:tenants AS uuid[]), "
    "CAST(:users AS uuid[]), CAST(:jobs AS uuid[]), CAST(:places AS int[]), CAST(:urls AS text[]), "
    "CAST(:hashes AS text[]), CAST(:public AS bool[]), CAST(:deleted AS bool[]), CAST(:bodies AS text[])) "
    "ON CONFLICT (id) DO UPDATE SET place = excluded.place, url = excluded.url, is_public = excluded.is_public, "
    "deleted = excluded.deleted, body = excluded.body "
    "WHERE asset.job_id = excluded.job_id"
)


async def write_assets(conn: AsyncConnection, changes: Sequence[Change]) -> None:
    """Writes the assets of changed jobs as they are now."""
    rows = list({row.id: row for change in changes for row in assets_of(change)}.values())
    if not rows:
        return
    await conn.execute(
        _UPSERT,
        {
            "ids": [row.id for row in rows],
            "tenants": [row.tenant_id for row in rows],
            "users": [row.user_id for row in rows],
            "jobs": [row.job_id for row in rows],
            "places": [row.place for row in rows],
            "urls": [row.url for row in rows],
            "hashes": [row.sha256 for row in rows],
            "public": [row.is_public for row in rows],
            "deleted": [row.deleted for row in rows],
            "bodies": [to_json(row.body).decode() for row in rows],
        },
    )
