"""The bytes of an asset, for the service that makes something of them."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import SecretStr
from starlette.responses import StreamingResponse

from chassis.errors import StorageError
from chassis.http import Context, require_context
from objects import StorageError as ObjectError
from objects import blob_key
from storage_service.http.internal import viewer_of
from storage_service.integrity import Bytes, Inspector
from storage_service.store.catalog import Catalog


def content_routes(catalog: Catalog, inspector: Inspector, secret: SecretStr) -> APIRouter:
    """`/v1/assets/{id}/content`."""
    router = APIRouter(tags=["assets"])
    asked = Depends(require_context(secret))

    @router.get("/v1/assets/{asset_id}/content", response_class=StreamingResponse)
    async def get_content(asset_id: UUID, context: Context = asked) -> StreamingResponse:
        """All bytes of an asset that the viewer may look at; damaged ones are a 503, never other bytes."""
        asset = await catalog.get(viewer_of(context), asset_id)
        blob = Bytes(blob_key(str(asset.tenant_id), asset.sha256), asset.sha256, asset.size)
        try:
            await inspector.inspect(blob)
        except ObjectError as error:
            raise StorageError("the bytes of this asset can not be read") from error
        headers = {"Content-Length": str(asset.size)}
        return StreamingResponse(inspector.chunks(blob, 0, asset.size), media_type=asset.mime, headers=headers)

    return router
