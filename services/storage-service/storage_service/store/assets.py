"""Rows of assets: written once, listed, shown, hidden, deleted."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from storage_service.assets import Asset, Named, Placed, Served, Thumbnail
from storage_service.ownership import Viewer

_INSERT = text("""
    INSERT INTO assets (id, tenant_id, user_id, job_id, item, attempt, output, role, kind, asset_type, path, version,
        sha256, size, mime, width, height, duration_seconds, is_public, late, content_sha256, context, lineage, flags,
        marking)
    SELECT id, tenant_id, user_id, job_id, item, attempt, output, role, kind, asset_type, path, version,
        sha256, size, mime, width, height, duration_seconds, is_public, late, content_sha256, CAST(context AS json),
        CAST(lineage AS json), CAST(flags AS json), CAST(marking AS json)
    FROM unnest(CAST(:id AS uuid[]), CAST(:tenant_id AS uuid[]), CAST(:user_id AS uuid[]), CAST(:job_id AS uuid[]),
                CAST(:item AS int[]), CAST(:attempt AS int[]), CAST(:output AS int[]), CAST(:role AS text[]),
                CAST(:kind AS text[]), CAST(:asset_type AS text[]), CAST(:path AS text[]), CAST(:version AS int[]),
                CAST(:sha256 AS text[]), CAST(:size AS bigint[]), CAST(:mime AS text[]), CAST(:width AS int[]),
                CAST(:height AS int[]), CAST(:duration_seconds AS double precision[]), CAST(:is_public AS boolean[]),
                CAST(:late AS boolean[]), CAST(:content_sha256 AS text[]), CAST(:context AS text[]),
                CAST(:lineage AS text[]), CAST(:flags AS text[]), CAST(:marking AS text[]))
         AS u(id, tenant_id, user_id, job_id, item, attempt, output, role, kind, asset_type, path, version,
              sha256, size, mime, width, height, duration_seconds, is_public, late, content_sha256, context, lineage,
              flags, marking)
""")

_SERVED = text("""
    SELECT id, tenant_id, sha256, size, mime, path, is_public, revision, deleted_at IS NOT NULL AS deleted,
        extract(epoch FROM now())::double precision AS now
    FROM assets WHERE id = :id
""")

_COLUMNS = """
    id, tenant_id, user_id, job_id, item, role, kind, asset_type, path, version, sha256, content_sha256, size, mime,
    width, height, duration_seconds, is_public, late, revision, context::text AS context, lineage::text AS lineage,
    flags::text AS flags, marking::text AS marking, created_at, extract(epoch FROM now())::double precision AS now,
    (SELECT json_build_object('id', t.id, 'sha256', t.sha256, 'is_public', t.is_public, 'revision', t.revision)::text
        FROM assets t WHERE t.role = 'thumbnail' AND t.deleted_at IS NULL AND assets.role = 'primary'
            AND (t.job_id, t.item, t.attempt) = (assets.job_id, assets.item, assets.attempt) LIMIT 1) AS thumbnail
"""

_MINE = "FROM assets WHERE id = :id AND tenant_id = :tenant_id AND deleted_at IS NULL"
_ONE = text(f"SELECT {_COLUMNS} {_MINE}")
# Locked first, so that the changes of an asset are numbered one after the other.
_LOCK = text(f"SELECT {_COLUMNS} {_MINE} FOR UPDATE")

_THUMBNAILS = text(f"""
    SELECT {_COLUMNS} FROM assets
    WHERE role = 'thumbnail' AND deleted_at IS NULL AND (tenant_id, job_id, item, attempt) = (
        SELECT tenant_id, job_id, item, attempt FROM assets WHERE id = :id AND role = 'primary')
    ORDER BY id FOR UPDATE
""")  # noqa: S608 - put together from constants

_FILTER = """
    FROM assets
    WHERE deleted_at IS NULL AND tenant_id = :tenant_id AND role <> 'thumbnail'
      AND (CAST(:user_id AS uuid) IS NULL OR user_id = :user_id)
      AND (CAST(:kind AS text) IS NULL OR kind = :kind)
      AND (CAST(:asset_type AS text) IS NULL OR asset_type = :asset_type)
      AND (CAST(:job_id AS uuid) IS NULL OR job_id = :job_id)
"""

_PAGE = text(f"SELECT {_COLUMNS} {_FILTER} ORDER BY id DESC LIMIT :limit OFFSET :offset")
_COUNT = text(f"SELECT count(*) {_FILTER}")

# The newest of those that the viewer may look at: another user's private version behind the same name hides nothing.
_NAMED = text("""
    SELECT DISTINCT ON (path) path, id, sha256, size, version, width, height,
        lineage->>'prompt_sha256' AS prompt_sha256 FROM assets
    WHERE tenant_id = :tenant_id AND path = ANY(CAST(:paths AS text[])) AND deleted_at IS NULL AND role = 'primary'
      AND (is_public OR user_id = :user_id OR :sees_all)
    ORDER BY path, version DESC
""")

_SHOW = text("UPDATE assets SET is_public = :is_public, revision = revision + 1 WHERE id = :id")
_DELETE = text("UPDATE assets SET deleted_at = now(), revision = revision + 1 WHERE id = :id")


@dataclass(frozen=True, slots=True)
class Filter:
    """Which assets of a tenant are listed; what is None does not narrow."""

    tenant_id: UUID
    user_id: UUID | None = None
    kind: str | None = None
    asset_type: str | None = None
    job_id: UUID | None = None


async def insert(conn: AsyncConnection, placed: Sequence[Placed]) -> None:
    """Write new assets with revision 1."""
    if not placed:
        return
    rows = [_new(one) for one in placed]
    await conn.execute(_INSERT, {column: [row[column] for row in rows] for column in rows[0]})


async def served(conn: AsyncConnection, asset_id: UUID) -> Served | None:
    """What is needed to serve an asset's bytes; deleted ones are found too."""
    row = (await conn.execute(_SERVED, {"id": asset_id})).one_or_none()
    return Served(**row._mapping) if row else None


async def get(conn: AsyncConnection, tenant_id: UUID, asset_id: UUID, *, lock: bool = False) -> Asset | None:
    """An asset that was not deleted; with `lock` nobody else changes it until the transaction ends."""
    rows = await conn.execute(_LOCK if lock else _ONE, {"id": asset_id, "tenant_id": tenant_id})
    row = rows.one_or_none()
    return _asset(row) if row else None


async def thumbnails(conn: AsyncConnection, asset_id: UUID) -> list[Asset]:
    """The small pictures of a primary output, locked."""
    return [_asset(row) for row in await conn.execute(_THUMBNAILS, {"id": asset_id})]


async def page(conn: AsyncConnection, wanted: Filter, *, limit: int, offset: int) -> tuple[list[Asset], int]:
    """Assets newest first, and how many there are; a thumbnail is shown with what it is of."""
    values = {
        "tenant_id": wanted.tenant_id,
        "user_id": wanted.user_id,
        "kind": wanted.kind,
        "asset_type": wanted.asset_type,
        "job_id": wanted.job_id,
    }
    rows = await conn.execute(_PAGE, {**values, "limit": limit, "offset": offset})
    found = [_asset(row) for row in rows]
    return found, int((await conn.execute(_COUNT, values)).scalar_one())


async def named(conn: AsyncConnection, viewer: Viewer, paths: Collection[str]) -> list[Named]:
    """What is behind each of these logical names, as far as `viewer` may see it; an asset that is public is for all."""
    values = {"tenant_id": viewer.tenant_id, "user_id": viewer.user_id, "sees_all": viewer.sees_all}
    rows = await conn.execute(_NAMED, {**values, "paths": list(paths)})
    return [Named(**row._mapping) for row in rows]


async def show(conn: AsyncConnection, asset_id: UUID, *, is_public: bool) -> None:
    """Make a locked asset public or private; its revision rises."""
    await conn.execute(_SHOW, {"id": asset_id, "is_public": is_public})


async def delete(conn: AsyncConnection, asset_id: UUID) -> None:
    """Mark a locked asset as gone; the row stays, so that its natural key is never used again."""
    await conn.execute(_DELETE, {"id": asset_id})


def _new(placed: Placed) -> dict[str, Any]:
    arrival, handover, output = placed.arrival, placed.arrival.handover, placed.arrival.handover.output
    context = handover.context
    return {
        "id": arrival.asset_id,
        "tenant_id": arrival.tenant_id,
        "user_id": context.user_id,
        "job_id": arrival.key.job_id,
        "item": arrival.key.item,
        "attempt": arrival.key.attempt,
        "output": arrival.key.output,
        "role": output.role,
        "kind": context.kind.value,
        "asset_type": context.asset_type.value if context.asset_type else None,
        "path": placed.path,
        "version": placed.version,
        "sha256": output.sha256,
        "size": output.size,
        "mime": placed.mime,
        "width": output.width,
        "height": output.height,
        "duration_seconds": output.duration_seconds,
        "is_public": placed.is_public,
        "late": handover.late,
        "content_sha256": output.content_sha256,
        "context": context.model_dump_json(),
        "lineage": handover.lineage.model_dump_json() if handover.lineage else None,
        "flags": json.dumps(handover.flags),
        "marking": output.marking.model_dump_json() if output.marking else None,
    }


def _asset(row: Row[Any]) -> Asset:
    values = dict(row._mapping)
    lineage, marking = values["lineage"], values["marking"]
    return Asset(
        **{
            **values,
            "context": json.loads(values["context"]),
            "lineage": json.loads(lineage) if lineage else None,
            "flags": tuple(json.loads(values["flags"])),
            "marking": json.loads(marking) if marking else None,
            "thumbnail": _thumbnail(values["thumbnail"]),
        }
    )


def _thumbnail(found: str | None) -> Thumbnail | None:
    if found is None:
        return None
    values = json.loads(found)
    return Thumbnail(UUID(values["id"]), values["sha256"], values["is_public"], values["revision"])
