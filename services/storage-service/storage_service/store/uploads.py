"""Rows of uploads, and the transactions of those who upload."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.database import tenant_transaction
from storage_service.arrivals import UPLOAD_ITEM, Arrival
from storage_service.assets import Asset
from storage_service.store import arrivals, assets
from storage_service.uploading import Upload

_MOST = 200

_BEGIN = text("INSERT INTO uploads (id, tenant_id, user_id) VALUES (:id, :tenant_id, :user_id)")

# A row that was swept because its upload took so long is written anew.
_NAME = text("""
    INSERT INTO uploads (id, tenant_id, user_id, sha256) VALUES (:id, :tenant_id, :user_id, :sha256)
    ON CONFLICT (id) DO UPDATE SET sha256 = excluded.sha256
""")

_KNOWN = text(f"""
    SELECT id FROM assets
    WHERE tenant_id = :tenant_id AND sha256 = :sha256 AND user_id = :user_id AND deleted_at IS NULL
      AND item = {UPLOAD_ITEM} AND role = 'primary'
""")  # noqa: S608 - put together from constants

_FAILED = text("SELECT reason FROM arrivals WHERE job_id = :id AND state = 'failed'")

_WAITS = "EXISTS (SELECT FROM arrivals a WHERE a.job_id = u.id AND a.state = 'waiting')"
_IS_OVER = text(f"SELECT NOT {_WAITS} FROM uploads u WHERE id = :id")  # noqa: S608 - put together from constants
_LEFT_BEHIND = text(f"""
    SELECT id, tenant_id, user_id FROM uploads u
    WHERE begun_at < now() - make_interval(secs => :age) AND NOT {_WAITS}
    ORDER BY begun_at LIMIT {_MOST}
""")  # noqa: S608 - put together from constants
_FORGET = text("DELETE FROM uploads WHERE id = ANY(CAST(:ids AS uuid[]))")


class UploadDesk:
    """See `uploading.Desk`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def begin(self, upload: Upload) -> None:
        async with self._engine.begin() as conn:
            await conn.execute(_BEGIN, _columns(upload))

    async def known(self, upload: Upload, sha256: str) -> Asset | None:
        async with tenant_transaction(self._engine, upload.tenant_id) as conn:
            found = await conn.scalar(_KNOWN, {**_columns(upload), "sha256": sha256})
            return None if found is None else await assets.get(conn, upload.tenant_id, found)

    async def hand_over(self, upload: Upload, sha256: str, outputs: Sequence[Arrival]) -> bool:
        try:
            async with self._engine.begin() as conn:
                await conn.execute(_NAME, {**_columns(upload), "sha256": sha256})
                await arrivals.add(conn, outputs)
        except IntegrityError:
            return False
        return True

    async def refusal(self, upload: Upload) -> str | None:
        async with self._engine.connect() as conn:
            reason: str | None = await conn.scalar(_FAILED, {"id": upload.id})
            return reason

    async def is_over(self, upload: Upload) -> bool:
        async with self._engine.connect() as conn:
            return await conn.scalar(_IS_OVER, {"id": upload.id}) is True

    async def left_behind(self, age_s: float) -> list[Upload]:
        async with self._engine.connect() as conn:
            return [Upload(*row) for row in await conn.execute(_LEFT_BEHIND, {"age": age_s})]

    async def forget(self, uploads: Sequence[Upload]) -> None:
        async with self._engine.begin() as conn:
            await conn.execute(_FORGET, {"ids": [upload.id for upload in uploads]})


def _columns(upload: Upload) -> dict[str, UUID]:
    return {"id": upload.id, "tenant_id": upload.tenant_id, "user_id": upload.user_id}
