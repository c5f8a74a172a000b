"""Which brand kits and style capsules are known, and in which version: what prompt-service answered, kept before it is
passed on."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from api_gateway.looks import LookKey, Sort

_PUT = (
    "INSERT INTO {table} (tenant_id, id, version) VALUES (:tenant_id, :id, :version) "
    "ON CONFLICT (tenant_id, id) DO UPDATE SET version = excluded.version WHERE {table}.version < excluded.version"
)
_DELETE = "UPDATE {table} SET deleted = true WHERE tenant_id = :tenant_id AND id = :id"
_KNOWN = (
    "SELECT tenant_id, id, version FROM {table} WHERE NOT deleted AND "
    "(tenant_id, id) IN (SELECT * FROM unnest(CAST(:tenants AS uuid[]), CAST(:ids AS uuid[])))"
)
_PUTS = {sort: text(_PUT.format(table=sort)) for sort in Sort}
_DELETES = {sort: text(_DELETE.format(table=sort)) for sort in Sort}
_KNOWNS = {sort: text(_KNOWN.format(table=sort)) for sort in Sort}


async def keep_look(conn: AsyncConnection, sort: Sort, tenant_id: UUID, look_id: UUID, version: int) -> None:
    """Knows a version; an older one changes nothing."""
    await conn.execute(_PUTS[sort], {"tenant_id": tenant_id, "id": look_id, "version": version})


async def forget_look(conn: AsyncConnection, sort: Sort, tenant_id: UUID, look_id: UUID) -> None:
    """A deleted one is never used again; its id is not given twice."""
    await conn.execute(_DELETES[sort], {"tenant_id": tenant_id, "id": look_id})


async def known_looks(conn: AsyncConnection, wanted: Collection[LookKey]) -> dict[LookKey, int]:
    """The newest known versions of those among `wanted` that may be used."""
    found: dict[LookKey, int] = {}
    for sort in Sort:
        keys = [(tenant_id, look_id) for one, tenant_id, look_id in wanted if one is sort]
        if keys:
            tenants, ids = (list(column) for column in zip(*keys, strict=True))
            rows = await conn.execute(_KNOWNS[sort], {"tenants": tenants, "ids": ids})
            found |= {(sort, row.tenant_id, row.id): row.version for row in rows}
    return found
