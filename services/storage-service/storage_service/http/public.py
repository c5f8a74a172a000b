"""The public origin: an asset's bytes, to whoever may see them (R110, R111, R122, R134)."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, FastAPI, Request
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis.errors import BacklotError, Forbidden, NotFound, StorageError
from chassis.telemetry import get_logger
from objects import StorageError as ObjectError
from objects import blob_key
from objects.signing import SigningKey
from storage_service import delivery
from storage_service.addresses import Admission, Visit, admit
from storage_service.assets import Served
from storage_service.integrity import Bytes, Inspector
from storage_service.metrics import UNREADABLE
from storage_service.store.catalog import Catalog

log = get_logger()

_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD",
    "Access-Control-Allow-Headers": "Range, If-Range, If-None-Match",
    "Access-Control-Max-Age": "86400",
}


class Door:
    """Lets visitors in to the bytes."""

    def __init__(self, catalog: Catalog, inspector: Inspector, key: SigningKey) -> None:
        self._catalog = catalog
        self._inspector = inspector
        self._key = key

    async def visit(self, asset_id: str, request: Request) -> Response:
        """Answer one request for the bytes of an asset."""
        asset, admission, visit = await self._admitted(asset_id, request)
        expires_at = int(visit.expires) if admission is Admission.SIGNED and visit.expires else None
        try:
            planned = delivery.answer(asset, admission, expires_at, _asked(request))
        except delivery.OutOfRangeError as error:
            size = {"Content-Range": f"bytes */{asset.size}"}
            raise HTTPException(416, f"the asset has {asset.size} bytes", headers=size) from error
        if planned.status == 304:
            return Response(status_code=304, headers=planned.headers)
        return await self._bytes(asset, planned)

    async def _admitted(self, asset_id: str, request: Request) -> tuple[Served, Admission, Visit]:
        known = _parsed(asset_id)
        asset = await self._catalog.served(known) if known else None
        query = request.query_params
        visit = Visit(query.get("v"), query.get("exp"), query.get("sig"))
        admission = admit(asset, visit, self._key)
        refusal = _REFUSALS.get(admission)
        if asset is None or refusal is not None:
            raise refusal or _REFUSALS[Admission.UNKNOWN]
        return asset, admission, visit

    async def _bytes(self, asset: Served, planned: delivery.Answer) -> Response:
        blob = Bytes(blob_key(str(asset.tenant_id), asset.sha256), asset.sha256, asset.size)
        try:
            await self._inspector.inspect(blob)
        except ObjectError as error:
            UNREADABLE.labels(type(error).__name__).inc()
            log.error("asset_unreadable", asset_id=str(asset.id), tenant=str(asset.tenant_id), reason=str(error))
            raise StorageError("the bytes of this asset can not be read") from error
        if planned.span is None:
            return Response(status_code=planned.status, headers=planned.headers)
        chunks = self._inspector.chunks(blob, planned.span.start, planned.span.end)
        return StreamingResponse(chunks, planned.status, planned.headers)


_REFUSALS: dict[Admission, BacklotError] = {
    Admission.UNKNOWN: NotFound("there is no such asset"),
    Admission.FORGED: Forbidden("the signature of this address is not valid"),
    Admission.EXPIRED: Forbidden("this address has expired"),
}


def public_routes(door: Door) -> APIRouter:
    """`/asset/{id}`."""
    router = APIRouter(tags=["assets"])

    @router.get(
        "/asset/{asset_id}",
        summary="The bytes of an asset",
        response_class=Response,
        responses={200: {"content": {"application/octet-stream": {}}}, 206: {}, 304: {}, 416: {}},
    )
    async def get_asset(asset_id: str, request: Request) -> Response:
        """Public assets are for everybody; private ones want `exp` and `sig` of a signed address.

        One byte range, `If-Range` and `If-None-Match` are honoured; the ETag is the SHA-256 of the bytes.
        """
        return await door.visit(asset_id, request)

    @router.head("/asset/{asset_id}", include_in_schema=False)
    async def head_asset(asset_id: str, request: Request) -> Response:
        return await door.visit(asset_id, request)

    @router.options("/asset/{asset_id}", include_in_schema=False)
    async def preflight(asset_id: str) -> Response:
        return Response(status_code=204, headers=_PREFLIGHT)

    return router


def _asked(request: Request) -> delivery.Request:
    said = request.headers
    return delivery.Request(request.method, said.get("range"), said.get("if-range"), said.get("if-none-match"))


def _parsed(asset_id: str) -> UUID | None:
    try:
        return UUID(asset_id)
    except ValueError:
        return None


class SafeAnswers:
    """Puts the headers that make foreign bytes harmless on every answer below `/asset/`, refusals included, and keeps
    refusals out of caches.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entry."""

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(delivery.SAFE_HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        about_assets = scope["type"] == "http" and scope["path"].startswith("/asset/")
        await self._app(scope, receive, sent if about_assets else send)


def serve_assets(app: FastAPI, door: Door) -> None:
    """Give `app` the public routes and their protection."""
    app.include_router(public_routes(door))
    app.add_middleware(SafeAnswers)
