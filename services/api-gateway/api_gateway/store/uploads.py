"""Assets that no job made: what storage-service answered, kept before it is passed on, and what became of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from pydantic_core import from_json, to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from api_gateway.inputs import KnownAsset
from schemas.assets import AssetDeleted, AssetVisibilityChanged

_PUT = text(
    "INSERT INTO asset (id, tenant_id, user_id, job_id, place, url, sha256, is_public, deleted, body) "
    "VALUES (:id, :tenant_id, :user_id, NULL, 0, :url, :sha256, false, false, :body) ON CONFLICT (id) DO NOTHING"
)
_DELETE = text("UPDATE asset SET deleted = true WHERE id = ANY(CAST(:ids AS uuid[])) AND job_id IS NULL")
_SHOW = text(
    "UPDATE asset SET is_public = u.is_public, url = u.url, revision = u.revision "
    "FROM (SELECT DISTINCT ON (id) * FROM unnest(CAST(:ids AS uuid[]), CAST(:revisions AS int[]), "
    "CAST(:shown AS bool[]), CAST(:urls AS text[])) AS n(id, revision, is_public, url) ORDER BY id, revision DESC) u "
    "WHERE asset.id = u.id AND asset.job_id IS NULL AND asset.revision < u.revision"
)
_KNOWN = text(
    "SELECT tenant_id, id, user_id, sha256, body FROM asset WHERE NOT deleted AND "
    "(tenant_id, id) IN (SELECT * FROM unnest(CAST(:tenants AS uuid[]), CAST(:ids AS uuid[])))"
)
_SHOWN = (
    "kind", "asset_type", "item", "role", "late", "path", "version", "width", "height", "duration_seconds",
    "file_size", "mime", "flags", "created_at",
)  # fmt: skip


async def keep_upload(conn: AsyncConnection, tenant_id: UUID, made: Mapping[str, Any], url: str) -> bool:
    """Knows an upload, private at its lasting address `url`; False where it is known already."""
    body = {name: made[name] for name in _SHOWN} | {"provenance": None, "thumbnail": _thumbnail(made, url)}
    values = {
        "id": UUID(made["id"]),
        "tenant_id": tenant_id,
        "user_id": UUID(made["user_id"]),
        "url": url,
        "sha256": made["sha256"],
        "body": to_json(body).decode(),
    }
    return (await conn.execute(_PUT, values)).rowcount == 1


async def forget_uploads(conn: AsyncConnection, ids: Sequence[UUID]) -> None:
    """Deleted uploads are shown and used no more; assets of jobs are not touched."""
    if ids:
        await conn.execute(_DELETE, {"ids": list(ids)})


async def change_uploads(conn: AsyncConnection, events: Sequence[AssetVisibilityChanged | AssetDeleted]) -> None:
    """What storage-service says of assets that no job made, in any order: a higher revision wins, and deletion."""
    shown = [event for event in events if isinstance(event, AssetVisibilityChanged)]
    if shown:
        values = {
            "ids": [event.asset_id for event in shown],
            "revisions": [event.revision for event in shown],
            "shown": [event.is_public for event in shown],
            "urls": [event.url for event in shown],
        }
        await conn.execute(_SHOW, values)
    await forget_uploads(conn, [event.asset_id for event in events if isinstance(event, AssetDeleted)])


async def known_assets(
    conn: AsyncConnection, wanted: Sequence[tuple[UUID, UUID]]
) -> dict[tuple[UUID, UUID], KnownAsset]:
    """Of (tenant, asset) those that are there, with what must be known to build on them."""
    if not wanted:
        return {}
    tenants, ids = (list(column) for column in zip(*sorted(set(wanted)), strict=True))
    rows = await conn.execute(_KNOWN, {"tenants": tenants, "ids": ids})
    return {(row.tenant_id, row.id): _known(row.user_id, row.sha256, from_json(row.body)) for row in rows}


def _known(user_id: UUID, sha256: str, body: Mapping[str, Any]) -> KnownAsset:
    return KnownAsset(user_id, body["mime"], sha256, body["file_size"], body["width"], body["height"])


def _thumbnail(made: Mapping[str, Any], url: str) -> dict[str, Any] | None:
    small = made["thumbnail"]
    if small is None:
        return None
    address = url.replace(made["id"], small["id"])
    return {"asset_id": small["id"], "url": address, "is_public": False, "sha256": small["sha256"]}
