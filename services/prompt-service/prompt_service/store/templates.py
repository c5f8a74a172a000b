"""Templates of tenants with all their versions, and which of them jobs were prepared with.

A version that a job was prepared with is never changed. Whoever prepares jobs holds their templates by a lock that he
shares, until his jobs are written; whoever changes a template takes it for himself and looks only then whether it was
used.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.outbox import Draft
from prompt_service.templates import (
    DEFAULT_VERSION,
    NAME,
    VERSION,
    OwnTemplate,
    Template,
    TemplateFile,
    Templates,
    cut,
    written,
)
from schemas.jobs import JobRequested
from schemas.prompts import PromptsPrepared

Key = tuple[UUID, str, str]
"""Tenant, name, version."""

_IS_NAME, _IS_VERSION = re.compile(NAME), re.compile(VERSION)

_ADD = text("""
INSERT INTO template (tenant_id, name, version, kind, body, sha256)
VALUES (:tenant, :name, :version, :kind, :body, :sha256) ON CONFLICT DO NOTHING RETURNING created_at
""")

# v1.10 comes after v1.9.
_NEWEST = text("""
SELECT version FROM template WHERE tenant_id = :tenant AND name = :name
ORDER BY string_to_array(substr(version, 2), '.')::integer[] DESC LIMIT 1
""")

_READ = text("""
SELECT t.body, t.sha256, t.created_at, t.retired_at, u.used_at FROM template t
LEFT JOIN template_use u USING (tenant_id, name, version)
WHERE tenant_id = :tenant AND name = :name AND version = :version
""")

_PAGE = text("""
SELECT t.body, t.sha256, t.created_at, t.retired_at, u.used_at FROM template t
LEFT JOIN template_use u USING (tenant_id, name, version)
WHERE tenant_id = :tenant AND t.retired_at IS NULL
    AND t.kind = coalesce(CAST(:kind AS text), t.kind) AND name = coalesce(CAST(:name AS text), name)
ORDER BY name, string_to_array(substr(version, 2), '.')::integer[] LIMIT :limit OFFSET :offset
""")
_COUNT = text("""
SELECT count(*) FROM template
WHERE tenant_id = :tenant AND retired_at IS NULL
    AND kind = coalesce(CAST(:kind AS text), kind) AND name = coalesce(CAST(:name AS text), name)
""")

_HOLD = text("""
SELECT version FROM template WHERE tenant_id = :tenant AND name = :name AND version = :version FOR UPDATE
""")
_REPLACE = text("""
UPDATE template SET kind = :kind, body = :body, sha256 = :sha256
WHERE tenant_id = :tenant AND name = :name AND version = :version
""")
_RETIRE = text("""
UPDATE template SET retired_at = coalesce(retired_at, now())
WHERE tenant_id = :tenant AND name = :name AND version = :version
""")
_DELETE = text("DELETE FROM template WHERE tenant_id = :tenant AND name = :name AND version = :version")

_NAMED = text("""
SELECT tenant_id, name, version, t.body, t.sha256, u.used_at
FROM unnest(CAST(:tenants AS uuid[]), CAST(:names AS text[]), CAST(:versions AS text[])) w(tenant_id, name, version)
JOIN template t USING (tenant_id, name, version)
LEFT JOIN template_use u USING (tenant_id, name, version)
WHERE t.retired_at IS NULL
ORDER BY tenant_id, name, version FOR SHARE OF t
""")
_ADD_USES = text("""
INSERT INTO template_use (tenant_id, name, version, job_id)
SELECT * FROM unnest(CAST(:tenants AS uuid[]), CAST(:names AS text[]), CAST(:versions AS text[]), CAST(:jobs AS uuid[]))
ON CONFLICT DO NOTHING
""")


@dataclass(frozen=True, slots=True)
class NamedTemplates:
    """The templates that some jobs name, as far as there are any: shipped ones, and those of the jobs' tenants."""

    shipped: Templates
    own: Mapping[UUID, Templates]
    used: Set[Key]

    def of(self, tenant_id: UUID) -> Templates:
        """Those that a job of this tenant may be prepared with. A shipped name means the shipped template."""
        mine = self.own.get(tenant_id)
        return {**mine, **self.shipped} if mine else self.shipped

    async def add_uses(self, conn: AsyncConnection, drafts: Iterable[Draft]) -> None:
        """Writes for all prompts among `drafts` which tenants' templates were used now for the first time."""
        uses = {key: draft.subject for draft in drafts for key in _templates_in(draft) if self._is_new(key)}
        if uses:
            tenants, names, versions, jobs = zip(*sorted((*key, job) for key, job in uses.items()), strict=True)
            columns = {"tenants": tenants, "names": names, "versions": versions, "jobs": jobs}
            await conn.execute(_ADD_USES, {name: list(column) for name, column in columns.items()})

    def _is_new(self, key: Key) -> bool:
        tenant_id, name, version = key
        return (name, version) in self.own.get(tenant_id, {}) and key not in self.used


async def read_named(
    conn: AsyncConnection, shipped: Templates, jobs: Iterable[tuple[UUID, JobRequested]]
) -> NamedTemplates:
    """The templates that `jobs`, each with its tenant, name: one statement, however many they are.

    Until the transaction ends nobody changes them.
    """
    wanted = {
        (tenant_id, spec.template, spec.template_version or DEFAULT_VERSION)
        for tenant_id, spec in ((tenant_id, job.request) for tenant_id, job in jobs)
        if spec.template is not None
    }
    # What is no name may have characters that PostgreSQL has no place for.
    asked = (key for key in wanted if _IS_NAME.fullmatch(key[1]) and _IS_VERSION.fullmatch(key[2]))
    keys = sorted(key for key in asked if key[1:] not in shipped)
    own: dict[UUID, dict[tuple[str, str], Template]] = {}
    used: set[Key] = set()
    if keys:
        tenants, names, versions = (list(column) for column in zip(*keys, strict=True))
        for row in await conn.execute(_NAMED, {"tenants": tenants, "names": names, "versions": versions}):
            own.setdefault(row.tenant_id, {})[row.name, row.version] = _template(row)
            if row.used_at:
                used.add((row.tenant_id, row.name, row.version))
    return NamedTemplates(shipped, own, used)


async def add_template(conn: AsyncConnection, tenant_id: UUID, template: Template) -> bool:
    """A new version; False where there is one already."""
    return (
        await conn.scalar(_ADD, {**_key(tenant_id, template.name, template.version), **_values(template)}) is not None
    )


async def newest_version(conn: AsyncConnection, tenant_id: UUID, name: str) -> str | None:
    """The newest version that the tenant has of it, retired or not."""
    found: str | None = await conn.scalar(_NEWEST, {"tenant": tenant_id, "name": name})
    return found


async def read_template(conn: AsyncConnection, tenant_id: UUID, name: str, version: str) -> OwnTemplate | None:
    """One version, a retired one too."""
    row = (await conn.execute(_READ, _key(tenant_id, name, version))).one_or_none()
    return _own(row) if row else None


async def page_of_templates(
    conn: AsyncConnection, tenant_id: UUID, *, kind: str | None, name: str | None, limit: int, offset: int
) -> Sequence[OwnTemplate]:
    """The tenant's templates by name and version, without retired ones."""
    values = {"tenant": tenant_id, "kind": kind, "name": name, "limit": limit, "offset": offset}
    return [_own(row) for row in await conn.execute(_PAGE, values)]


async def count_templates(conn: AsyncConnection, tenant_id: UUID, *, kind: str | None, name: str | None) -> int:
    """How many there are, without retired ones."""
    return int(await conn.scalar(_COUNT, {"tenant": tenant_id, "kind": kind, "name": name}))


async def hold_template(conn: AsyncConnection, tenant_id: UUID, name: str, version: str) -> OwnTemplate | None:
    """One version, which nobody else uses or changes until the transaction ends; None where there is none."""
    key = _key(tenant_id, name, version)
    if (await conn.execute(_HOLD, key)).one_or_none() is None:
        return None
    # A statement of its own, after the lock: it sees what those who held the template before have written.
    return await read_template(conn, tenant_id, name, version)


async def replace_template(conn: AsyncConnection, tenant_id: UUID, template: Template) -> None:
    """Another text for a version that is held and was never used."""
    await conn.execute(_REPLACE, {**_key(tenant_id, template.name, template.version), **_values(template)})


async def retire_template(conn: AsyncConnection, tenant_id: UUID, name: str, version: str) -> None:
    """Takes a version out of lists and from further jobs; it stays readable."""
    await conn.execute(_RETIRE, _key(tenant_id, name, version))


async def delete_template(conn: AsyncConnection, tenant_id: UUID, name: str, version: str) -> None:
    """Removes a version that is held and was never used."""
    await conn.execute(_DELETE, _key(tenant_id, name, version))


def _key(tenant_id: UUID, name: str, version: str) -> dict[str, Any]:
    return {"tenant": tenant_id, "name": name, "version": version}


def _values(template: Template) -> dict[str, Any]:
    return {"kind": template.kind.value, "body": written(template.file), "sha256": template.sha256}


def _template(row: Any) -> Template:
    return cut(TemplateFile.model_validate_json(row.body), row.sha256)


def _own(row: Any) -> OwnTemplate:
    return OwnTemplate(_template(row), row.created_at, row.used_at is not None, row.retired_at is not None)


def _templates_in(draft: Draft) -> set[Key]:
    if not isinstance(draft.data, PromptsPrepared):
        return set()
    return {(draft.tenant_id, item.template, item.template_version) for item in draft.data.items}
