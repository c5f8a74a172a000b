"""Which jobs a brand kit or a style capsule was used for: written with their prompts, read by whoever audits it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.outbox import Draft
from prompt_service.looks import Use
from schemas.parts import VersionRef
from schemas.prompts import PromptsPrepared

_ADD = text("""
INSERT INTO look_use (tenant_id, look_id, job_id, version)
SELECT * FROM unnest(CAST(:tenants AS uuid[]), CAST(:looks AS uuid[]), CAST(:jobs AS uuid[]), CAST(:versions AS int[]))
ON CONFLICT DO NOTHING
""")

# Newest first is the order of the jobs' ids, which are UUIDv7.
_PAGE = text("""
SELECT job_id, version, used_at FROM look_use WHERE tenant_id = :tenant AND look_id = :look
ORDER BY job_id DESC LIMIT :limit OFFSET :offset
""")
_COUNT = text("SELECT count(*) FROM look_use WHERE tenant_id = :tenant AND look_id = :look")


async def add_uses(conn: AsyncConnection, drafts: Sequence[Draft]) -> None:
    """Writes for all prompts among `drafts` which kit and which capsule are in them, with one statement."""
    used = sorted((draft.tenant_id, ref.id, draft.subject, ref.version) for draft in drafts for ref in _refs(draft))
    if not used:
        return
    tenants, looks, jobs, versions = (list(column) for column in zip(*used, strict=True))
    await conn.execute(_ADD, {"tenants": tenants, "looks": looks, "jobs": jobs, "versions": versions})


async def page_of_uses(conn: AsyncConnection, tenant_id: UUID, look_id: UUID, *, limit: int, offset: int) -> list[Use]:
    """The uses of a kit or capsule, newest first."""
    values = {"tenant": tenant_id, "look": look_id, "limit": limit, "offset": offset}
    return [Use(*row) for row in await conn.execute(_PAGE, values)]


async def count_uses(conn: AsyncConnection, tenant_id: UUID, look_id: UUID) -> int:
    """In how many jobs it was used."""
    return int(await conn.scalar(_COUNT, {"tenant": tenant_id, "look": look_id}))


def _refs(draft: Draft) -> Iterable[VersionRef]:
    if not isinstance(draft.data, PromptsPrepared):
        return ()
    context = draft.data.asset_context
    return [ref for ref in (context.brand_kit, context.style_capsule) if ref is not None]
