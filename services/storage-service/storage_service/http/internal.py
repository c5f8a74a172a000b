"""What the other services ask, on behalf of a tenant."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from chassis.http import Context, require_context
from objects.signing import SigningKey
from schemas.parts import AssetType, Kind
from storage_service.addresses import Addresses
from storage_service.assets import Asset
from storage_service.ownership import SEES_ALL, Viewer
from storage_service.store.assets import Filter
from storage_service.store.catalog import Catalog

_PICTURES = frozenset({"image/png", "image/jpeg", "image/webp"})


class ThumbnailView(BaseModel):
    """The small picture that is stored with an asset."""

    id: UUID
    sha256: str


class AssetView(BaseModel):
    """An asset as its users see it. `url` is signed for a private one and ends at `url_expires_at`.

    `job_id` and `item` are null for an upload.
    """

    id: UUID
    origin: Literal["job", "upload"]
    job_id: UUID | None
    item: int | None
    user_id: UUID
    role: str
    kind: str
    asset_type: str | None
    url: str
    url_expires_at: datetime | None
    thumbnail_url: str | None
    thumbnail: ThumbnailView | None
    path: str
    version: int
    revision: int
    width: int | None
    height: int | None
    duration_seconds: float | None
    file_size: int
    mime: str
    sha256: str
    is_public: bool
    late: bool
    flags: list[str]
    viral_score: float | None = None
    provenance: dict[str, Any]
    created_at: datetime


class AssetQuery(BaseModel):
    """Which assets are listed."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=20, ge=1, le=100)
    offset: int = Field(default=0, ge=0, le=1_000_000)
    kind: Kind | None = None
    asset_type: AssetType | None = None
    job_id: UUID | None = None


class AssetPage(BaseModel):
    """A page of assets, newest first."""

    items: list[AssetView]
    total: int
    limit: int
    offset: int


class Visibility(BaseModel):
    """Whether everybody may see an asset."""

    model_config = ConfigDict(extra="forbid", strict=True)

    is_public: bool


class Shown:
    """Makes views of assets: with addresses that work for `ttl_s` seconds."""

    def __init__(self, addresses: Addresses, key: SigningKey, ttl_s: int) -> None:
        self._addresses = addresses
        self._key = key
        self._ttl_s = ttl_s

    def view(self, asset: Asset) -> AssetView:
        """The view of one asset."""
        url, ends = self._address(asset)
        small = asset.thumbnail
        return AssetView(
            id=asset.id,
            origin="upload" if asset.made_by is None else "job",
            job_id=asset.made_by,
            item=None if asset.made_by is None else asset.item,
            user_id=asset.user_id,
            role=asset.role,
            kind=asset.kind,
            asset_type=asset.asset_type,
            url=url,
            url_expires_at=ends,
            thumbnail_url=self._small(asset, url),
            thumbnail=None if small is None else ThumbnailView(id=small.id, sha256=small.sha256),
            path=asset.path,
            version=asset.version,
            revision=asset.revision,
            width=asset.width,
            height=asset.height,
            duration_seconds=asset.duration_seconds,
            file_size=asset.size,
            mime=asset.mime,
            sha256=asset.sha256,
            is_public=asset.is_public,
            late=asset.late,
            flags=list(asset.flags),
            provenance=_provenance(asset),
            created_at=asset.created_at,
        )

    def _small(self, asset: Asset, url: str) -> str | None:
        """A picture that is small enough has no thumbnail beside it."""
        small = asset.thumbnail
        if small is None:
            return url if asset.mime in _PICTURES else None
        shown = replace(asset, id=small.id, sha256=small.sha256, is_public=small.is_public, revision=small.revision)
        return self._address(shown)[0]

    def _address(self, asset: Asset) -> tuple[str, datetime | None]:
        if asset.is_public:
            return self._addresses.of(asset.id, revision=asset.revision, is_public=True), None
        return self._addresses.signed(asset, self._key, self._ttl_s)


def internal_routes(catalog: Catalog, shown: Shown, secret: SecretStr) -> APIRouter:
    """`/v1/assets`."""
    router = APIRouter(prefix="/v1/assets", tags=["assets"])
    asked = Depends(require_context(secret))

    @router.get("")
    async def list_assets(query: Annotated[AssetQuery, Query()], context: Context = asked) -> AssetPage:
        """The viewer's own assets, or with `tenant:read` those of the whole tenant."""
        wanted = _filter(viewer_of(context), query)
        found, total = await catalog.page(wanted, limit=query.limit, offset=query.offset)
        items = [shown.view(asset) for asset in found]
        return AssetPage(items=items, total=total, limit=query.limit, offset=query.offset)

    @router.get("/{asset_id}")
    async def get_asset(asset_id: UUID, context: Context = asked) -> AssetView:
        """One asset, with an address that works."""
        return shown.view(await catalog.get(viewer_of(context), asset_id))

    @router.put("/{asset_id}/visibility")
    async def put_visibility(asset_id: UUID, body: Visibility, context: Context = asked) -> AssetView:
        """Show or hide an asset; the public address it had stops working (R113)."""
        return shown.view(await catalog.show(viewer_of(context), asset_id, is_public=body.is_public))

    @router.delete("/{asset_id}", status_code=204)
    async def delete_asset(asset_id: UUID, context: Context = asked) -> Response:
        """Delete an asset for good."""
        await catalog.delete(viewer_of(context), asset_id)
        return Response(status_code=204)

    return router


def viewer_of(context: Context) -> Viewer:
    """Who looks, by the signed context of his request."""
    return Viewer(context.tenant_id, context.user_id, SEES_ALL in context.scopes)


def _filter(viewer: Viewer, query: AssetQuery) -> Filter:
    return Filter(
        tenant_id=viewer.tenant_id,
        user_id=None if viewer.sees_all else viewer.user_id,
        kind=query.kind.value if query.kind else None,
        asset_type=query.asset_type.value if query.asset_type else None,
        job_id=query.job_id,
    )


def _provenance(asset: Asset) -> dict[str, Any]:
    context = asset.context
    pinned = {name: context.get(name) for name in ("brand_kit", "style_capsule")}
    return {**(asset.lineage or {}), **pinned, "content_sha256": asset.content_sha256}
