"""The inbox: which events a handler has already applied."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# Sorted ids: members of a group that overlap after a rebalance take the same rows in the same order, so they wait for
# each other and never deadlock.
_CLAIM = text(
    "INSERT INTO inbox (handler, id) SELECT :handler, x FROM unnest(CAST(:ids AS uuid[])) AS x "
    "ON CONFLICT DO NOTHING RETURNING id"
)


_as_number = attrgetter("int")


async def claim(conn: AsyncConnection, handler: str, ids: Iterable[UUID]) -> set[UUID]:
    """Marks `ids` as applied by `handler` in this transaction; returns those that were not yet."""
    ordered = sorted(set(ids), key=_as_number)
    if not ordered:
        return set()
    rows = await conn.execute(_CLAIM, {"handler": handler, "ids": ordered})
    return set(rows.scalars())
