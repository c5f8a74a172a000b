"""Who may look at an asset and who may change it."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from chassis.errors import Forbidden, NotFound
from storage_service.assets import Asset

SEES_ALL = "tenant:read"


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks, by his credential: his own assets are his, `sees_all` shows him those of the whole tenant."""

    tenant_id: UUID
    user_id: UUID
    sees_all: bool = False


def seen_by(viewer: Viewer, asset: Asset | None) -> Asset:
    """The asset, if there is one and `viewer` may look at it. Raises `NotFound` for both reasons alike (R123)."""
    if asset is None or asset.tenant_id != viewer.tenant_id or not (viewer.sees_all or asset.user_id == viewer.user_id):
        raise NotFound("there is no such asset")
    return asset


def changed_by(viewer: Viewer, asset: Asset | None) -> Asset:
    """The asset, if `viewer` owns it (R146). Raises `Forbidden` when he may look at it and no more."""
    seen = seen_by(viewer, asset)
    if seen.user_id != viewer.user_id:
        raise Forbidden("only its owner may change an asset")
    return seen
