"""One running manifest of a project: who has its place, and who gave it back."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from api_gateway.accepting import Key, Place, Submission

# Ordered, so that groups which want the same places wait for each other and never in a circle.
_LOCK = text(
    "SELECT pg_advisory_xact_lock(place) FROM (SELECT DISTINCT hashtextextended(concat_ws('/', t, c, p), 0) AS place "
    "FROM unnest(CAST(:tenants AS uuid[]), CAST(:channels AS text[]), CAST(:projects AS text[])) AS wanted(t, c, p) "
    "ORDER BY place) AS ordered"
)
_RUNNING = text(
    "SELECT tenant_id, channel, project, id FROM job WHERE channel IS NOT NULL AND completed_at IS NULL "
    "AND (tenant_id, channel, project) IN "
    "(SELECT * FROM unnest(CAST(:tenants AS uuid[]), CAST(:channels AS text[]), CAST(:projects AS text[])))"
)
_GIVE_BACK = text(
    "DELETE FROM idempotency "
    "WHERE (tenant_id, key) IN (SELECT * FROM unnest(CAST(:tenants AS uuid[]), CAST(:keys AS text[])))"
)


async def running_manifests(conn: AsyncConnection, submissions: Sequence[Submission]) -> dict[Place, UUID]:
    """The jobs that have the places which `submissions` want. Nobody else takes one before the transaction ends.

    The unique index alone would refuse a second job too, but with the whole group of requests it came in.
    """
    places = sorted({submission.place for submission in submissions if submission.place is not None})
    if not places:
        return {}
    tenants, channels, projects = (list(column) for column in zip(*places, strict=True))
    values = {"tenants": tenants, "channels": channels, "projects": projects}
    await conn.execute(_LOCK, values)
    rows = await conn.execute(_RUNNING, values)
    return {(tenant_id, channel, project): job_id for tenant_id, channel, project, job_id in rows.all()}


async def give_back(conn: AsyncConnection, keys: Sequence[Key]) -> None:
    """Frees idempotency keys that this transaction took for jobs it does not make."""
    if keys:
        values = {"tenants": [tenant for tenant, _ in keys], "keys": [key for _, key in keys]}
        await conn.execute(_GIVE_BACK, values)
