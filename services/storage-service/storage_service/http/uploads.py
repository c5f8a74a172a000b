"""What a user brings: one body, streamed in."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import APIRouter, Depends, Request, Response
from pydantic import SecretStr
from starlette.requests import ClientDisconnect

from chassis.errors import MalformedRequest
from chassis.http import Context, require_context
from storage_service.http.internal import AssetView, Shown
from storage_service.uploading import Uploader

PATH = "/v1/uploads"


def upload_routes(uploader: Uploader, shown: Shown, secret: SecretStr) -> APIRouter:
    """`/v1/uploads`."""
    router = APIRouter(tags=["uploads"])
    asked = Depends(require_context(secret))

    @router.post(PATH, status_code=201)
    async def upload(request: Request, response: Response, context: Context = asked) -> AssetView:
        """Media of the body's bytes becomes a private asset; 200 where the same user has brought the same before."""
        claimed = request.headers.get("content-type")
        try:
            asset, is_new = await uploader.take_in(context.tenant_id, context.user_id, _chunks(request), claimed)
        except ClientDisconnect as error:
            raise MalformedRequest("the upload was cut off") from error
        response.status_code = 201 if is_new else 200
        return shown.view(asset)

    return router


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    async for chunk in request.stream():
        if chunk:
            yield chunk
