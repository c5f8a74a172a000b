"""Which brand kits are known, and in which version: what prompt-service answered, kept before it is passed on."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_PUT = text(
    "INSERT INTO brand_kit (tenant_id, id, version) VALUES (:tenant_id, :id, :version) "
    "ON CONFLICT (tenant_id, id) DO UPDATE SET version = excluded.version "
    "WHERE brand_kit.version < excluded.version"
)
_DELETE = text("UPDATE brand_kit SET deleted = true WHERE tenant_id = :tenant_id AND id = :id")


async def keep_kit(conn: AsyncConnection, tenant_id: UUID, kit_id: UUID, version: int) -> None:
    """Knows a version of a kit; an older one changes nothing."""
    await conn.execute(_PUT, {"tenant_id": tenant_id, "id": kit_id, "version": version})


async def forget_kit(conn: AsyncConnection, tenant_id: UUID, kit_id: UUID) -> None:
    """A deleted kit is never used again; its id is not given twice."""
    await conn.execute(_DELETE, {"tenant_id": tenant_id, "id": kit_id})
