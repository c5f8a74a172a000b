"""Rows of logical names: each path of a tenant once, with the version that is behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from storage_service.arrivals import Kept
from storage_service.assets import Placed
from storage_service.layouts import numbered

# A path that another output of the same job holds is not replaced by it: those rows do not come back.
_TAKE = text("""
    INSERT INTO aliases AS a (tenant_id, path, version, asset_id, job_id, item, output)
    SELECT tenant_id, path, 1, asset_id, job_id, item, output
    FROM unnest(CAST(:tenants AS uuid[]), CAST(:paths AS text[]), CAST(:assets AS uuid[]), CAST(:jobs AS uuid[]),
                CAST(:items AS int[]), CAST(:outputs AS int[])) AS u(tenant_id, path, asset_id, job_id, item, output)
    ON CONFLICT (tenant_id, path) DO UPDATE
    SET version = a.version + 1, asset_id = excluded.asset_id, job_id = excluded.job_id, item = excluded.item,
        output = excluded.output, updated_at = now()
    WHERE a.job_id <> excluded.job_id OR (a.item = excluded.item AND a.output = excluded.output)
    RETURNING tenant_id, path, version
""")

_FALL_BACK = text("""
    UPDATE aliases
    SET asset_id = (
            SELECT id FROM assets
            WHERE tenant_id = :tenant_id AND path = :path AND deleted_at IS NULL
            ORDER BY version DESC LIMIT 1
        ),
        updated_at = now()
    WHERE tenant_id = :tenant_id AND path = :path AND asset_id = :asset_id
""")

_Place = tuple[UUID, str]


async def take(conn: AsyncConnection, kept: Sequence[Kept]) -> list[Placed]:
    """Give every one its logical name, in order: a new version where an earlier job had it (R25), the next number
    where another output of the same job has it (R96).
    """
    placed: list[Placed] = []
    waiting = [(one, 1) for one in kept]
    while waiting:
        turn, waiting = _one_per_path(waiting)
        versions = await _take_once(conn, turn)
        for place, (one, number) in turn.items():
            if place in versions:
                placed.append(Placed(one.arrival, place[1], versions[place], one.mime))
            else:
                waiting.append((one, number + 1))
    return placed


def _one_per_path(waiting: Sequence[tuple[Kept, int]]) -> tuple[dict[_Place, tuple[Kept, int]], list[tuple[Kept, int]]]:
    """Who asks this turn, and who asks in a later one because somebody of the same batch asks for the same path."""
    turn: dict[_Place, tuple[Kept, int]] = {}
    later = []
    for one, number in waiting:
        place = (one.arrival.tenant_id, one.path if number == 1 else numbered(one.path, number))
        if place in turn:
            later.append((one, number))
        else:
            turn[place] = (one, number)
    return turn, later


async def _take_once(conn: AsyncConnection, turn: dict[_Place, tuple[Kept, int]]) -> dict[_Place, int]:
    # Sorted, so that two replicas take the rows in the same order and never deadlock.
    rows = [_row(place, turn[place][0]) for place in sorted(turn)]
    names = ("tenants", "paths", "assets", "jobs", "items", "outputs")
    taken = await conn.execute(_TAKE, dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))
    return {(row.tenant_id, row.path): row.version for row in taken}


def _row(place: _Place, one: Kept) -> tuple[Any, ...]:
    key = one.arrival.key
    return (*place, one.arrival.asset_id, key.job_id, key.item, key.output)


async def fall_back(conn: AsyncConnection, tenant_id: UUID, path: str, asset_id: UUID) -> None:
    """When the asset behind a path is deleted, the version before it takes its place, if there is one."""
    await conn.execute(_FALL_BACK, {"tenant_id": tenant_id, "path": path, "asset_id": asset_id})
