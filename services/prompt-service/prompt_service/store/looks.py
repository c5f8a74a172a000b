"""Brand kits and style capsules with all their versions: the same statements over tables of the same form."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Generic
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from prompt_service.capsules import StyleCapsuleBody
from prompt_service.kits import BrandKitBody
from prompt_service.looks import B, Look

Key = tuple[UUID, UUID, int]
"""Tenant, kit or capsule, version."""

_ADD = "INSERT INTO {table} (id, tenant_id, version) VALUES (:id, :tenant, 1)"
_ADD_VERSION = (
    "INSERT INTO {table}_version ({key}, version, tenant_id, body) "
    "SELECT id, version, tenant_id, CAST(:body AS jsonb) FROM {table} WHERE id = :id"
)
_NEXT_VERSION = (
    "UPDATE {table} SET version = version + 1 "
    "WHERE id = :id AND tenant_id = :tenant AND deleted_at IS NULL RETURNING version"
)
_DELETE = (
    "UPDATE {table} SET deleted_at = now() WHERE id = :id AND tenant_id = :tenant AND deleted_at IS NULL RETURNING id"
)
_COLUMNS = "k.id, v.version, v.body, k.created_at, v.created_at AS updated_at"
_READ = (
    "SELECT {columns} FROM {table} k JOIN {table}_version v ON v.{key} = k.id AND v.version = k.version "
    "WHERE k.id = :id AND k.tenant_id = :tenant AND k.deleted_at IS NULL"
)
_PAGE = (
    "SELECT {columns} FROM {table} k JOIN {table}_version v ON v.{key} = k.id AND v.version = k.version "
    "WHERE k.tenant_id = :tenant AND k.deleted_at IS NULL "
    "ORDER BY k.created_at DESC, k.id DESC LIMIT :limit OFFSET :offset"
)
_COUNT = "SELECT count(*) FROM {table} WHERE tenant_id = :tenant AND deleted_at IS NULL"
_VERSIONS = (
    "SELECT {columns} FROM {table} k JOIN {table}_version v ON v.{key} = k.id "
    "WHERE k.id = :id AND k.tenant_id = :tenant ORDER BY v.version DESC LIMIT :limit OFFSET :offset"
)
_VERSION = (
    "SELECT {columns} FROM {table} k JOIN {table}_version v ON v.{key} = k.id "
    "WHERE k.id = :id AND k.tenant_id = :tenant AND v.version = :version"
)
_HOW_MANY = "SELECT version FROM {table} WHERE id = :id AND tenant_id = :tenant"
_PINNED = (
    "SELECT k.tenant_id, {columns} FROM unnest(CAST(:tenants AS uuid[]), CAST(:ids AS uuid[]), "
    "CAST(:versions AS integer[])) w(tenant_id, id, version) "
    "JOIN {table} k ON k.id = w.id AND k.tenant_id = w.tenant_id "
    "JOIN {table}_version v ON v.{key} = k.id AND v.version = w.version"
)


class _Statements:
    """The statements over one table and its versions, `key` being what these call it by."""

    def __init__(self, table: str, key: str) -> None:
        def over(statement: str) -> TextClause:
            return text(statement.format(table=table, key=key, columns=_COLUMNS))

        self.add, self.add_version, self.next_version = over(_ADD), over(_ADD_VERSION), over(_NEXT_VERSION)
        self.delete, self.read, self.page, self.count = over(_DELETE), over(_READ), over(_PAGE), over(_COUNT)
        self.versions, self.version, self.how_many = over(_VERSIONS), over(_VERSION), over(_HOW_MANY)
        self.pinned = over(_PINNED)


@dataclass(frozen=True, slots=True)
class Shelf(Generic[B]):
    """Where all brand kits stand, or all style capsules. `name` is their table and field, `word` what people say."""

    name: str
    word: str
    body: type[B]
    sql: _Statements

    async def add(self, conn: AsyncConnection, tenant_id: UUID, look_id: UUID, body: BaseModel) -> None:
        """A new one in version 1."""
        await conn.execute(self.sql.add, {"id": look_id, "tenant": tenant_id})
        await conn.execute(self.sql.add_version, {"id": look_id, "body": body.model_dump_json()})

    async def add_version(self, conn: AsyncConnection, tenant_id: UUID, look_id: UUID, body: BaseModel) -> bool:
        """A further version; False where the tenant has no such one."""
        if await conn.scalar(self.sql.next_version, {"id": look_id, "tenant": tenant_id}) is None:
            return False
        await conn.execute(self.sql.add_version, {"id": look_id, "body": body.model_dump_json()})
        return True

    async def delete(self, conn: AsyncConnection, tenant_id: UUID, look_id: UUID) -> bool:
        """Hides one; its versions stay for the jobs that pinned them. False where the tenant has no such one."""
        return await conn.scalar(self.sql.delete, {"id": look_id, "tenant": tenant_id}) is not None

    async def read(self, conn: AsyncConnection, tenant_id: UUID, look_id: UUID) -> Look[B] | None:
        """One in its newest version; None where it was deleted."""
        row = (await conn.execute(self.sql.read, {"id": look_id, "tenant": tenant_id})).one_or_none()
        return self._look(row) if row else None

    async def page(self, conn: AsyncConnection, tenant_id: UUID, *, limit: int, offset: int) -> list[Look[B]]:
        """The tenant's, newest first."""
        values = {"tenant": tenant_id, "limit": limit, "offset": offset}
        return [self._look(row) for row in await conn.execute(self.sql.page, values)]

    async def count(self, conn: AsyncConnection, tenant_id: UUID) -> int:
        """How many the tenant has."""
        return int(await conn.scalar(self.sql.count, {"tenant": tenant_id}))

    async def versions(
        self, conn: AsyncConnection, tenant_id: UUID, look_id: UUID, *, limit: int, offset: int
    ) -> list[Look[B]]:
        """All versions, newest first, of a deleted one too."""
        values = {"id": look_id, "tenant": tenant_id, "limit": limit, "offset": offset}
        return [self._look(row) for row in await conn.execute(self.sql.versions, values)]

    async def version(self, conn: AsyncConnection, tenant_id: UUID, look_id: UUID, version: int) -> Look[B] | None:
        """One version, of a deleted one too."""
        values = {"id": look_id, "tenant": tenant_id, "version": version}
        row = (await conn.execute(self.sql.version, values)).one_or_none()
        return self._look(row) if row else None

    async def how_many_versions(self, conn: AsyncConnection, tenant_id: UUID, look_id: UUID) -> int | None:
        """How many versions there are, of a deleted one too; None where the tenant never had it."""
        found: int | None = await conn.scalar(self.sql.how_many, {"id": look_id, "tenant": tenant_id})
        return found

    async def pinned(self, conn: AsyncConnection, wanted: Iterable[Key]) -> dict[Key, Look[B]]:
        """The versions that there are among `wanted`, of deleted ones too."""
        keys = sorted(set(wanted))
        if not keys:
            return {}
        tenants, ids, versions = (list(column) for column in zip(*keys, strict=True))
        rows = await conn.execute(self.sql.pinned, {"tenants": tenants, "ids": ids, "versions": versions})
        return {(row.tenant_id, row.id, row.version): self._look(row) for row in rows}

    def _look(self, row: Any) -> Look[B]:
        return Look(row.id, row.version, self.body.model_validate(row.body), row.created_at, row.updated_at)


BRAND_KITS = Shelf("brand_kit", "brand kit", BrandKitBody, _Statements("brand_kit", "kit_id"))
STYLE_CAPSULES = Shelf("style_capsule", "style capsule", StyleCapsuleBody, _Statements("style_capsule", "capsule_id"))
