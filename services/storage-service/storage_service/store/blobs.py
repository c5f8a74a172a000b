"""Rows of bytes: once per tenant and hash, noted when nobody uses them, deleted behind a mark that stops promotion."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from storage_service.arrivals import Arrival
from storage_service.sweeping import Blob

_KEEP = text("""
    INSERT INTO blobs AS b (tenant_id, sha256, size, unused_since)
    SELECT tenant_id, sha256, size, CASE WHEN unused THEN now() END
    FROM unnest(CAST(:tenants AS uuid[]), CAST(:hashes AS text[]), CAST(:sizes AS bigint[]), CAST(:unused AS boolean[]))
         AS u(tenant_id, sha256, size, unused)
    ON CONFLICT (tenant_id, sha256) DO UPDATE SET unused_since = NULL
    WHERE b.unused_since IS NOT NULL AND excluded.unused_since IS NULL
""")

_LET_GO = text("""
    UPDATE blobs SET unused_since = now()
    WHERE tenant_id = :tenant_id AND sha256 = :sha256
      AND NOT EXISTS (
          SELECT FROM assets WHERE tenant_id = :tenant_id AND sha256 = :sha256 AND deleted_at IS NULL
      )
""")

_NOBODY = """
    NOT EXISTS (
        SELECT FROM assets a WHERE a.tenant_id = b.tenant_id AND a.sha256 = b.sha256 AND a.deleted_at IS NULL
    )
    AND NOT EXISTS (
        SELECT FROM arrivals a WHERE a.tenant_id = b.tenant_id AND a.sha256 = b.sha256 AND a.state = 'waiting'
    )
"""

# A mark that has run out belonged to a sweeper that died; whoever comes next takes it over.
_DOOM = text(f"""
    WITH unused AS (
        SELECT tenant_id, sha256 FROM blobs b
        WHERE (doomed_until < now())
           OR (doomed_until IS NULL AND unused_since < now() - make_interval(secs => :grace) AND {_NOBODY})
        ORDER BY tenant_id, sha256
        LIMIT :most
        FOR UPDATE SKIP LOCKED
    )
    UPDATE blobs b SET doomed_until = now() + make_interval(secs => :mark)
    FROM unused u WHERE b.tenant_id = u.tenant_id AND b.sha256 = u.sha256
    RETURNING b.tenant_id, b.sha256, b.size
""")  # noqa: S608 - put together from constants

_SPARE = text(f"""
    UPDATE blobs b SET doomed_until = NULL, unused_since = now()
    FROM unnest(CAST(:tenants AS uuid[]), CAST(:hashes AS text[])) AS u(tenant_id, sha256)
    WHERE b.tenant_id = u.tenant_id AND b.sha256 = u.sha256 AND NOT ({_NOBODY})
    RETURNING b.tenant_id, b.sha256
""")  # noqa: S608 - put together from constants

_FORGET = text("""
    DELETE FROM blobs b
    USING unnest(CAST(:tenants AS uuid[]), CAST(:hashes AS text[])) AS u(tenant_id, sha256)
    WHERE b.tenant_id = u.tenant_id AND b.sha256 = u.sha256 AND b.doomed_until IS NOT NULL
""")


async def keep(conn: AsyncConnection, used: Iterable[Arrival], unused: Iterable[Arrival] = ()) -> None:
    """Note promoted bytes; those of `unused` have no asset and go unless somebody wants them within the grace."""
    rows: dict[tuple[UUID, str], tuple[int, bool]] = {}
    for arrival in unused:
        rows[_place(arrival)] = (arrival.handover.output.size, True)
    for arrival in used:
        rows[_place(arrival)] = (arrival.handover.output.size, False)
    if not rows:
        return
    # Sorted, so that two replicas take the rows in the same order and never deadlock.
    columns = zip(*((*place, *rows[place]) for place in sorted(rows)), strict=True)
    await conn.execute(_KEEP, dict(zip(("tenants", "hashes", "sizes", "unused"), map(list, columns), strict=True)))


async def let_go(conn: AsyncConnection, tenant_id: UUID, sha256: str) -> None:
    """An asset is gone: from now on its bytes are unused, unless another asset of the tenant has them."""
    await conn.execute(_LET_GO, {"tenant_id": tenant_id, "sha256": sha256})


async def doom(conn: AsyncConnection, *, grace_s: float, mark_s: float, most: int) -> list[Blob]:
    """Mark bytes that nothing has pointed at for `grace_s` seconds; for `mark_s` they are this sweeper's."""
    rows = await conn.execute(_DOOM, {"grace": grace_s, "mark": mark_s, "most": most})
    return [Blob(row.tenant_id, row.sha256, row.size) for row in rows]


async def spare(conn: AsyncConnection, doomed: Sequence[Blob]) -> set[tuple[UUID, str]]:
    """Take the mark from bytes that somebody asked for before he could see it; returns which."""
    rows = await conn.execute(_SPARE, _columns(doomed))
    return {(row.tenant_id, row.sha256) for row in rows}


async def forget(conn: AsyncConnection, doomed: Sequence[Blob]) -> None:
    """Delete the rows of bytes that are gone."""
    await conn.execute(_FORGET, _columns(doomed))


def _place(arrival: Arrival) -> tuple[UUID, str]:
    return arrival.tenant_id, arrival.handover.output.sha256


def _columns(blobs: Sequence[Blob]) -> dict[str, list[Any]]:
    return {"tenants": [blob.tenant_id for blob in blobs], "hashes": [blob.sha256 for blob in blobs]}
