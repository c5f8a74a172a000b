"""Brand kits with all their versions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from prompt_service.kits import BrandKit, BrandKitBody

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


def _kit(row: Any) -> BrandKit:
    return BrandKit(row.id, row.version, BrandKitBody.model_validate(row.body), row.created_at, row.updated_at)
