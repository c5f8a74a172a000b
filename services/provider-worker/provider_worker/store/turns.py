"""Turns: one row per pool and tenant is the lock, the turn and the cap of a claim."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# Sorted, so that two who announce the same tenants wait for each other and never deadlock. The row is locked before
# `waiting` is looked at: a claim that has just emptied the tenant's turn is seen.
_ANNOUNCE = text("""
    INSERT INTO turns (pool, tenant_id)
    SELECT * FROM unnest(CAST(:pools AS text[]), CAST(:tenants AS uuid[]))
    ON CONFLICT (pool, tenant_id) DO UPDATE SET waiting = true WHERE NOT turns.waiting
""")


async def announce(conn: AsyncConnection, turns: Iterable[tuple[str, UUID]]) -> bool:
    """Says that these (pool, tenant) have ready tasks; goes after the tasks, in the same transaction."""
    ordered = sorted(set(turns))
    if not ordered:
        return False
    pools, tenants = zip(*ordered, strict=True)
    await conn.execute(_ANNOUNCE, {"pools": list(pools), "tenants": list(tenants)})
    return True
