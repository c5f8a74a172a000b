"""Events of storage-service: `backlot.assets`."""

from __future__ import annotations

from typing import ClassVar, Literal
from uuid import UUID

from pydantic import Field

from schemas.event import Event
from schemas.parts import AssetType, ErrorCode, Kind
from schemas.topics import ASSETS


class AssetStored(Event):
    """Bytes are kept under their hash and have an asset id, a version and a URL."""

    type: ClassVar[str] = "dev.backlot.asset.stored.v1"
    topic: ClassVar[str] = ASSETS.name

    job_id: UUID
    item: int = Field(ge=1)
    attempt: int = Field(ge=1)
    output: int
    role: Literal["primary", "variant", "texture_map", "thumbnail"] = "primary"
    asset_id: UUID
    revision: int
    version: int
    user_id: UUID
    kind: Kind
    asset_type: AssetType | None = None
    logical_name: str
    url: str
    sha256: str
    file_size: int
    mime: str
    width: int | None = None
    height: int | None = None
    duration_seconds: float | None = None
    is_public: bool
    late: bool = False


class AssetStoreFailed(Event):
    """An output could not be kept. `late`: its job no longer waited for it."""

    type: ClassVar[str] = "dev.backlot.asset.store_failed.v1"
    topic: ClassVar[str] = ASSETS.name

    job_id: UUID
    item: int = Field(ge=1)
    attempt: int = Field(ge=1)
    output: int
    code: ErrorCode
    message: str
    late: bool = False


class AssetVisibilityChanged(Event):
    """An asset was made public or private; a higher revision wins."""

    type: ClassVar[str] = "dev.backlot.asset.visibility_changed.v1"
    topic: ClassVar[str] = ASSETS.name

    asset_id: UUID
    job_id: UUID | None
    revision: int
    is_public: bool
    url: str


class AssetDeleted(Event):
    """An asset is gone for its users."""

    type: ClassVar[str] = "dev.backlot.asset.deleted.v1"
    topic: ClassVar[str] = ASSETS.name

    asset_id: UUID
    job_id: UUID | None
    revision: int
