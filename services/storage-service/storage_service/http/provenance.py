"""Where an asset comes from, for whoever may look at it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import SecretStr

from chassis.http import Context, require_context
from storage_service.http.internal import viewer_of
from storage_service.provenance import record_of
from storage_service.store.catalog import Catalog


def provenance_routes(catalog: Catalog, secret: SecretStr) -> APIRouter:
    """`/v1/assets/{id}/provenance`."""
    router = APIRouter(prefix="/v1/assets", tags=["assets"])

    @router.get("/{asset_id}/provenance")
    async def get_provenance(asset_id: UUID, context: Context = Depends(require_context(secret))) -> dict[str, Any]:  # noqa: B008
        """The record of one asset."""
        return record_of(await catalog.get(viewer_of(context), asset_id))

    return router
