"""API keys at rest."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from api_gateway.keys import Principal, StoredKey, digest_of, prefix_of

_FIND = text(
    "SELECT sha256, tenant_id, user_id, scopes FROM api_key "
    "WHERE prefix = :prefix AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())"
)
_ADD = text(
    "INSERT INTO api_key (id, tenant_id, user_id, prefix, sha256, scopes) "
    "VALUES (:id, :tenant_id, :user_id, :prefix, :sha256, :scopes) "
    "ON CONFLICT (sha256) DO UPDATE SET scopes = excluded.scopes, revoked_at = NULL, expires_at = NULL "
    "WHERE api_key.tenant_id = excluded.tenant_id"
)
_REVOKE = text("UPDATE api_key SET revoked_at = now() WHERE id = :id AND tenant_id = :tenant_id AND revoked_at IS NULL")


async def find_keys(conn: AsyncConnection, key: str) -> list[StoredKey]:
    """The valid keys that begin as `key` does."""
    rows = await conn.execute(_FIND, {"prefix": prefix_of(key)})
    return [
        StoredKey(sha256, Principal(tenant_id, user_id, frozenset(scopes)))
        for sha256, tenant_id, user_id, scopes in rows.all()
    ]


async def add_key(conn: AsyncConnection, key_id: UUID, key: str, principal: Principal) -> None:
    """Keeps `key` for `principal`; one that is there already gets its scopes."""
    await conn.execute(
        _ADD,
        {
            "id": key_id,
            "tenant_id": principal.tenant_id,
            "user_id": principal.user_id,
            "prefix": prefix_of(key),
            "sha256": digest_of(key),
            "scopes": sorted(principal.scopes),
        },
    )


async def revoke_key(conn: AsyncConnection, tenant_id: UUID, key_id: UUID) -> bool:
    """Whether a key of the tenant was valid until now."""
    return (await conn.execute(_REVOKE, {"id": key_id, "tenant_id": tenant_id})).rowcount == 1
