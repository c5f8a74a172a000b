"""API keys at rest."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from api_gateway.keys import Principal, StoredKey, digest_of, prefix_of

_FIND = text(
    "SELECT sha256, tenant_id, user_id, scopes FROM api_key "
    "WHERE prefix = :prefix AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())"
)
_ADD = text(
    "INSERT INTO api_key (id, tenant_id, user_id, prefix, sha256, scopes, expires_at) "
    "VALUES (:id, :tenant_id, :user_id, :prefix, :sha256, :scopes, now() + make_interval(secs => :seconds)) "
    "ON CONFLICT (sha256) DO UPDATE SET scopes = excluded.scopes, revoked_at = NULL, expires_at = excluded.expires_at "
    "WHERE api_key.tenant_id = excluded.tenant_id"
)
_REVOKE = text("UPDATE api_key SET revoked_at = now() WHERE id = :id AND tenant_id = :tenant_id AND revoked_at IS NULL")
_LIST = text(
    "SELECT id, user_id, prefix, scopes, created_at, expires_at FROM api_key WHERE tenant_id = :tenant_id "
    "AND revoked_at IS NULL ORDER BY id DESC LIMIT :limit OFFSET :offset"
)
_COUNT = text("SELECT count(*) FROM api_key WHERE tenant_id = :tenant_id AND revoked_at IS NULL")


@dataclass(frozen=True, slots=True)
class ListedKey:
    """A key as its tenant's administrators see it; what opens doors is not among it."""

    id: UUID
    user_id: UUID
    prefix: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None


async def find_keys(conn: AsyncConnection, key: str) -> list[StoredKey]:
    """The valid keys that begin as `key` does."""
    rows = await conn.execute(_FIND, {"prefix": prefix_of(key)})
    return [
        StoredKey(sha256, Principal(tenant_id, user_id, frozenset(scopes)))
        for sha256, tenant_id, user_id, scopes in rows.all()
    ]


async def add_key(
    conn: AsyncConnection, key_id: UUID, key: str, principal: Principal, *, seconds: int | None = None
) -> None:
    """Keeps `key` for `principal`, for ever or for `seconds`; one that is there already gets its scopes."""
    await conn.execute(
        _ADD,
        {
            "id": key_id,
            "tenant_id": principal.tenant_id,
            "user_id": principal.user_id,
            "prefix": prefix_of(key),
            "sha256": digest_of(key),
            "scopes": sorted(principal.scopes),
            "seconds": seconds,
        },
    )


async def revoke_key(conn: AsyncConnection, tenant_id: UUID, key_id: UUID) -> bool:
    """Whether a key of the tenant was valid until now."""
    return (await conn.execute(_REVOKE, {"id": key_id, "tenant_id": tenant_id})).rowcount == 1


async def list_keys(conn: AsyncConnection, tenant_id: UUID, limit: int, offset: int) -> tuple[list[ListedKey], int]:
    """The tenant's keys that were not revoked, newest first, and how many there are."""
    rows = await conn.execute(_LIST, {"tenant_id": tenant_id, "limit": limit, "offset": offset})
    keys = [ListedKey(*row) for row in rows.all()]
    return keys, (await conn.execute(_COUNT, {"tenant_id": tenant_id})).scalar_one()
