"""How many jobs there are, by what a list may be filtered by: counted as they come and move.

That new ones are counted is part of the statement that makes them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import IntEnum

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from api_gateway.outcomes import Change


class Shard(IntEnum):
    """Who counts. Each writer has rows of its own, so that no two transactions wait for each other's count."""

    ACCEPTED = 0
    PROMPTS = 1
    GENERATIONS = 2
    ASSETS = 3
    COSTS = 4
    OWN = 5


# Ordered, so that replicas which count the same jobs wait for each other and never in a circle.
_MOVE = text(
    "INSERT INTO job_total (tenant_id, user_id, kind, asset_type, status, shard, jobs) "
    "SELECT t, u, k, a, s, :shard, n FROM unnest(CAST(:tenants AS uuid[]), CAST(:users AS uuid[]), "
    "CAST(:kinds AS text[]), CAST(:types AS text[]), CAST(:statuses AS text[]), CAST(:jobs AS bigint[])) "
    "AS moved(t, u, k, a, s, n) ORDER BY 1, 2, 3, 4, 5 "
    "ON CONFLICT (tenant_id, user_id, kind, asset_type, status, shard) "
    "DO UPDATE SET jobs = job_total.jobs + excluded.jobs"
)


async def count_moves(conn: AsyncConnection, changes: Iterable[Change], shard: Shard) -> None:
    """Counts each job that has another status now there, and no longer where it was."""
    moved: Counter[tuple[object, ...]] = Counter()
    for job, after, _ in changes:
        if job.status is not after.status:
            of = (job.tenant_id, job.user_id, job.kind.value, job.asset_type.value if job.asset_type else "")
            moved[*of, job.status.value] -= 1
            moved[*of, after.status.value] += 1
    if not moved:
        return
    tenants, users, kinds, types, statuses = zip(*moved, strict=True)
    values = {"tenants": tenants, "users": users, "kinds": kinds, "types": types, "statuses": statuses}
    await conn.execute(_MOVE, {**values, "jobs": list(moved.values()), "shard": int(shard)})
