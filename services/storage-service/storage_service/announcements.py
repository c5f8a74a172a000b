"""What this service says, as events made from its own values."""

from __future__ import annotations

from schemas.assets import AssetDeleted, AssetStored, AssetStoreFailed, AssetVisibilityChanged
from storage_service.addresses import Addresses
from storage_service.arrivals import Refused
from storage_service.assets import Asset, Placed

FIRST_REVISION = 1


def stored(placed: Placed, addresses: Addresses) -> AssetStored:
    """Bytes are kept and have a name and an address."""
    arrival, handover, output = placed.arrival, placed.arrival.handover, placed.arrival.handover.output
    return AssetStored(
        job_id=arrival.key.job_id,
        item=arrival.key.item,
        attempt=arrival.key.attempt,
        output=arrival.key.output,
        role=output.role,
        asset_id=arrival.asset_id,
        revision=FIRST_REVISION,
        version=placed.version,
        user_id=handover.context.user_id,
        kind=handover.context.kind,
        asset_type=handover.context.asset_type,
        logical_name=placed.path,
        url=addresses.of(arrival.asset_id, revision=FIRST_REVISION, is_public=placed.is_public),
        sha256=output.sha256,
        file_size=output.size,
        mime=placed.mime,
        width=output.width,
        height=output.height,
        duration_seconds=output.duration_seconds,
        is_public=placed.is_public,
        late=handover.late,
    )


def store_failed(refused: Refused) -> AssetStoreFailed:
    """An output could not be kept."""
    key = refused.arrival.key
    return AssetStoreFailed(
        job_id=key.job_id,
        item=key.item,
        attempt=key.attempt,
        output=key.output,
        code=refused.code,
        message=refused.message,
        late=refused.arrival.handover.late,
    )


def visibility_changed(asset: Asset, addresses: Addresses) -> AssetVisibilityChanged:
    """An asset was shown or hidden; the address of a hidden one has to be signed before it is of use."""
    return AssetVisibilityChanged(
        asset_id=asset.id,
        job_id=asset.made_by,
        revision=asset.revision,
        is_public=asset.is_public,
        url=addresses.of(asset.id, revision=asset.revision, is_public=asset.is_public),
    )


def deleted(asset: Asset) -> AssetDeleted:
    """An asset is gone for its users."""
    return AssetDeleted(asset_id=asset.id, job_id=asset.made_by, revision=asset.revision)
