"""How many jobs there are, by what a list may be filtered by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from enum import IntEnum
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from api_gateway.lifecycle import Status
from api_gateway.outcomes import Job


class Shard(IntEnum):
    """Who counts. Each writer has rows of its own, so that no two transactions wait for each other's count."""

    ACCEPTED = 0
    PROMPTS = 1
    GENERATIONS = 2
    ASSETS = 3
    COSTS = 4
    OWN = 5


Group = tuple[UUID, UUID, str, str, str]
"""(tenant, user, kind, asset type or '', status)"""

_ADD = text(
    "INSERT INTO job_total (tenant_id, user_id, kind, asset_type, status, shard, jobs) "
    "SELECT t, u, k, a, s, :shard, n FROM unnest(CAST(:tenants AS uuid[]), CAST(:users AS uuid[]), "
    "CAST(:kinds AS text[]), CAST(:types AS text[]), CAST(:statuses AS text[]), CAST(:counts AS bigint[])) "
    "AS c(t, u, k, a, s, n) "
    "ON CONFLICT (tenant_id, user_id, kind, asset_type, status, shard) "
    "DO UPDATE SET jobs = job_total.jobs + excluded.jobs"
)


async def add(conn: AsyncConnection, shard: Shard, counts: Counter[Group]) -> None:
    """Adds `counts`, which may be negative, with one statement and in key order. Belongs near the commit."""
    rows = sorted((*group, number) for group, number in counts.items() if number)
    if not rows:
        return
    tenants, users, kinds, types, statuses, numbers = (list(column) for column in zip(*rows, strict=True))
    values = {"tenants": tenants, "users": users, "kinds": kinds, "types": types, "statuses": statuses}
    await conn.execute(_ADD, {**values, "counts": numbers, "shard": int(shard)})


async def add_moves(conn: AsyncConnection, shard: Shard, moves: Sequence[tuple[Job, Status]]) -> None:
    """Counts jobs that left their status for another."""
    await add(conn, shard, _counts(moves))


def _counts(moves: Iterable[tuple[Job, Status]]) -> Counter[Group]:
    counts: Counter[Group] = Counter()
    for job, after in moves:
        if after is not job.status:
            asset_type = job.asset_type.value if job.asset_type else ""
            group = (job.tenant_id, job.user_id, job.kind.value, asset_type)
            counts[*group, job.status.value] -= 1
            counts[*group, after.value] += 1
    return counts
