"""The tables of prompt-service, and every SQL statement on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from prompt_service.kits import BrandKit, BrandKitBody

State = Literal["prepared", "rejected", "waiting", "cancelled", "timed_out"]
KitKey = tuple[UUID, UUID, int]
"""Tenant, kit, version."""

_ADD_KIT = text("INSERT INTO brand_kit (id, tenant_id, version) VALUES (:id, :tenant, 1)")

_ADD_VERSION = text("""
INSERT INTO brand_kit_version (kit_id, version, tenant_id, body)
SELECT id, version, tenant_id, CAST(:body AS jsonb) FROM brand_kit WHERE id = :id
""")

_NEXT_VERSION = text("""
UPDATE brand_kit SET version = version + 1
WHERE id = :id AND tenant_id = :tenant AND deleted_at IS NULL RETURNING version
""")

_DELETE_KIT = text("""
UPDATE brand_kit SET deleted_at = now() WHERE id = :id AND tenant_id = :tenant AND deleted_at IS NULL RETURNING id
""")

_READ_KIT = text("""
SELECT k.id, v.version, v.body, k.created_at, v.created_at AS updated_at
FROM brand_kit k JOIN brand_kit_version v ON v.kit_id = k.id AND v.version = k.version
WHERE k.id = :id AND k.tenant_id = :tenant AND k.deleted_at IS NULL
""")

_LIST_KITS = text("""
SELECT k.id, v.version, v.body, k.created_at, v.created_at AS updated_at, count(*) OVER () AS total
FROM brand_kit k JOIN brand_kit_version v ON v.kit_id = k.id AND v.version = k.version
WHERE k.tenant_id = :tenant AND k.deleted_at IS NULL
ORDER BY k.created_at DESC, k.id DESC LIMIT :limit OFFSET :offset
""")

_COUNT_KITS = text("SELECT count(*) FROM brand_kit WHERE tenant_id = :tenant AND deleted_at IS NULL")

_PINNED_KITS = text("""
SELECT k.tenant_id, k.id, v.version, v.body, k.created_at, v.created_at AS updated_at
FROM unnest(CAST(:tenants AS uuid[]), CAST(:kits AS uuid[]), CAST(:versions AS integer[])) w(tenant_id, id, version)
JOIN brand_kit k ON k.id = w.id AND k.tenant_id = w.tenant_id
JOIN brand_kit_version v ON v.kit_id = k.id AND v.version = w.version
""")

_STATES = text("SELECT id, state FROM job WHERE id = ANY(CAST(:ids AS uuid[]))")

_ADD_JOBS = text("""
INSERT INTO job (id, tenant_id, state, told, requested, traceparent)
SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:tenants AS uuid[]), CAST(:states AS text[]), CAST(:told AS text[]),
    CAST(:requested AS text[]), CAST(:traceparents AS text[]))
ON CONFLICT (id) DO NOTHING RETURNING id
""")

_FINISH_JOBS = text("""
UPDATE job j SET state = u.state, told = u.told, requested = NULL
FROM unnest(CAST(:ids AS uuid[]), CAST(:states AS text[]), CAST(:told AS text[])) u(id, state, told)
WHERE j.id = u.id
""")

_WAITING = text("""
SELECT id, tenant_id, requested, traceparent, created_at < now() - make_interval(secs => :patience) AS too_long
FROM job WHERE state = 'waiting' ORDER BY created_at LIMIT :limit FOR UPDATE SKIP LOCKED
""")

_STOP_WAITING = text("""
UPDATE job SET state = 'rejected', requested = NULL
WHERE id = ANY(CAST(:ids AS uuid[])) AND state = 'waiting' RETURNING id
""")


@dataclass(frozen=True, slots=True)
class JobRow:
    """What is written of a job: its state, what was told (JSON), or what waits (JSON of JobRequested)."""

    id: UUID
    tenant_id: UUID
    state: State
    told: str | None = None
    requested: str | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A job that waits for its kit; `too_long` by the database's clock."""

    id: UUID
    tenant_id: UUID
    requested: str
    traceparent: str | None
    too_long: bool


async def add_kit(conn: AsyncConnection, tenant_id: UUID, kit_id: UUID, body: BrandKitBody) -> None:
    """A new kit in version 1."""
    await conn.execute(_ADD_KIT, {"id": kit_id, "tenant": tenant_id})
    await conn.execute(_ADD_VERSION, {"id": kit_id, "body": body.model_dump_json()})


async def add_version(conn: AsyncConnection, tenant_id: UUID, kit_id: UUID, body: BrandKitBody) -> bool:
    """A further version; False where the tenant has no such kit."""
    if await conn.scalar(_NEXT_VERSION, {"id": kit_id, "tenant": tenant_id}) is None:
        return False
    await conn.execute(_ADD_VERSION, {"id": kit_id, "body": body.model_dump_json()})
    return True


async def delete_kit(conn: AsyncConnection, tenant_id: UUID, kit_id: UUID) -> bool:
    """Hides a kit; its versions stay for the jobs that pinned them. False where the tenant has no such kit."""
    return await conn.scalar(_DELETE_KIT, {"id": kit_id, "tenant": tenant_id}) is not None


async def read_kit(conn: AsyncConnection, tenant_id: UUID, kit_id: UUID) -> BrandKit | None:
    """A kit in its newest version."""
    row = (await conn.execute(_READ_KIT, {"id": kit_id, "tenant": tenant_id})).one_or_none()
    return _kit(row) if row else None


async def list_kits(conn: AsyncConnection, tenant_id: UUID, *, limit: int, offset: int) -> tuple[list[BrandKit], int]:
    """The tenant's kits, newest first, and how many there are in all."""
    rows = (await conn.execute(_LIST_KITS, {"tenant": tenant_id, "limit": limit, "offset": offset})).all()
    total = rows[0].total if rows else await conn.scalar(_COUNT_KITS, {"tenant": tenant_id})
    return [_kit(row) for row in rows], total or 0


async def pinned_kits(conn: AsyncConnection, wanted: Iterable[KitKey]) -> dict[KitKey, BrandKit]:
    """The versions of kits that there are among `wanted`, deleted kits too."""
    keys = sorted(set(wanted))
    if not keys:
        return {}
    tenants, kits, versions = (list(column) for column in zip(*keys, strict=True))
    rows = await conn.execute(_PINNED_KITS, {"tenants": tenants, "kits": kits, "versions": versions})
    return {(row.tenant_id, row.id, row.version): _kit(row) for row in rows}


async def read_states(conn: AsyncConnection, ids: Sequence[UUID]) -> dict[UUID, State]:
    """How the jobs stand that were met before."""
    return {row.id: row.state for row in await conn.execute(_STATES, {"ids": list(ids)})}


async def add_jobs(conn: AsyncConnection, rows: Sequence[JobRow]) -> set[UUID]:
    """Writes jobs not met before; answers the ids that were written."""
    if not rows:
        return set()
    ordered = sorted(rows, key=lambda row: row.id)
    columns = {
        "ids": [row.id for row in ordered],
        "tenants": [row.tenant_id for row in ordered],
        "states": [row.state for row in ordered],
        "told": [row.told for row in ordered],
        "requested": [row.requested for row in ordered],
        "traceparents": [row.traceparent for row in ordered],
    }
    return set((await conn.execute(_ADD_JOBS, columns)).scalars())


async def finish_jobs(conn: AsyncConnection, rows: Sequence[JobRow]) -> None:
    """Writes what became of jobs that waited."""
    if rows:
        columns = {
            "ids": [row.id for row in rows],
            "states": [row.state for row in rows],
            "told": [row.told for row in rows],
        }
        await conn.execute(_FINISH_JOBS, columns)


async def lock_waiting(conn: AsyncConnection, *, patience: float, limit: int) -> list[Waiting]:
    """Jobs that wait for a kit, locked; `patience` in seconds."""
    rows = await conn.execute(_WAITING, {"patience": patience, "limit": limit})
    return [Waiting(row.id, row.tenant_id, row.requested, row.traceparent, row.too_long) for row in rows]


async def stop_waiting(conn: AsyncConnection, ids: Sequence[UUID]) -> set[UUID]:
    """Ends the waiting of jobs; answers those that did wait."""
    if not ids:
        return set()
    return set((await conn.execute(_STOP_WAITING, {"ids": sorted(ids)})).scalars())


def _kit(row: Any) -> BrandKit:
    return BrandKit(row.id, row.version, BrandKitBody.model_validate(row.body), row.created_at, row.updated_at)
