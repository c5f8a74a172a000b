"""Uploads: streamed on to storage-service, which looks at them. What it answers is kept here first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from api_gateway.http.authentication import Authenticator
from api_gateway.http.describing import UPLOAD
from api_gateway.http.multipart import FormFile, is_form
from api_gateway.http.responses import answer
from api_gateway.keys import Principal
from api_gateway.rendering import Sign, asset_json
from api_gateway.store.jobs import Jobs
from api_gateway.store.uploads import keep_upload
from chassis.errors import MalformedRequest, NotFound, RemoteProblem, TooLarge, Unavailable
from chassis.http import Context, InternalClient

PATH = "/api/v1/uploads"
FORM_BYTES = 64 * 1024
"""What a form may have beside its file."""
SLOWEST_S = 600.0
ANSWER_S = 120.0
"""How long storage-service may take to look at what it has: a video is decoded to its last frame."""

_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            },
        },
    }
}


@dataclass(frozen=True, slots=True)
class Uploads:
    """The route of uploads. `public_url` is the origin the bytes are served from, `most_bytes` one upload's limit."""

    engine: AsyncEngine
    jobs: Jobs
    storage: InternalClient
    auth: Authenticator
    sign: Sign
    public_url: str
    most_bytes: int

    def router(self) -> APIRouter:
        router = APIRouter(tags=["assets"])
        writes = self.auth.scope("assets:write")

        @router.post(PATH, status_code=201, response_model=None, responses=UPLOAD, openapi_extra=_BODY)
        async def upload(request: Request, who: Principal = writes) -> Response:
            """Bring a picture, a model or other media, to make something of it: a private asset of yours.

            The body is the file, or a form whose part `file` it is. What it is is found out from its bytes, all of
            which are decoded; a Content-Type that says something else is refused. The same bytes are the same asset:
            brought again they are answered with 200.
            """
            made = await self._stored(request, who)
            asset_id = UUID(made["id"])
            async with self.engine.begin() as conn:
                is_new = await keep_upload(conn, who.tenant_id, made, f"{self.public_url}/asset/{asset_id}")
            asset = await self.jobs.asset(who, asset_id)
            if asset is None:
                raise NotFound("the asset was deleted meanwhile")
            return answer(asset_json(asset, self.sign), 201 if is_new else 200)

        return router

    async def _stored(self, request: Request, who: Principal) -> Any:
        context = Context(who.tenant_id, who.user_id, who.scopes)
        try:
            async with asyncio.timeout(SLOWEST_S):
                media_type, chunks = await self._file(request)
                return await self.storage.stream(
                    "/v1/uploads",
                    self._limited(chunks),
                    context=context,
                    media_type=media_type,
                    answer_s=ANSWER_S,
                )
        except ClientDisconnect as error:
            raise MalformedRequest("the upload was cut off") from error
        except Unavailable as error:
            detail = f"{error.detail}; send the file again: the same bytes are the same asset"
            raise Unavailable(error.service, detail, retry_after=error.retry_after) from error
        except TimeoutError as error:
            raise RemoteProblem("TIMEOUT", 408, f"the upload took longer than {SLOWEST_S:g} s") from error

    async def _file(self, request: Request) -> tuple[str | None, AsyncIterator[bytes]]:
        coding = request.headers.get("content-encoding", "identity").strip().lower()
        if coding not in {"", "identity"}:
            raise RemoteProblem(
                "INVALID_REQUEST", 415, f"Content-Encoding {coding[:80]} is not taken: send the file as it is"
            )
        media_type = request.headers.get("content-type")
        stream = aiter(request.stream())
        if not is_form(media_type):
            length = request.headers.get("content-length", "")
            if length.isdigit() and int(length) > self.most_bytes:
                raise self._too_large()
            return media_type, stream
        form = await FormFile(media_type or "", stream).opened()
        return form.media_type, form.chunks()

    async def _limited(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in chunks:
            size += len(chunk)
            if size > self.most_bytes:
                raise self._too_large()
            if chunk:
                yield chunk

    def _too_large(self) -> TooLarge:
        return TooLarge(f"an upload has at most {self.most_bytes} bytes")
