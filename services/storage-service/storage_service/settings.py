"""What this service reads from the environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import AliasChoices, AnyHttpUrl, Field

from chassis.settings import PublicSettings, service_config
from media import MAX_BYTES


class Settings(PublicSettings):
    """Settings of storage-service; see `chassis.settings` for those that all services have."""

    model_config = service_config("STORAGE_SERVICE_")

    objects_dir: Path = Field(
        validation_alias=AliasChoices("BACKLOT_OBJECTS_DIR", "objects_dir"),
        description="folder of the object store, shared with provider-worker",
    )
    asset_public_url: AnyHttpUrl = Field(
        validation_alias=AliasChoices("ASSET_PUBLIC_URL", "asset_public_url"),
        description="public origin of the bytes, e.g. https://assets.example",
    )
    promotion_batch: int = Field(default=300, ge=1, le=2000, description="arrivals that are promoted together")
    lease_seconds: float = Field(default=10.0, ge=1, le=300, description="how long a claimed arrival is left alone")
    sweep_grace_seconds: float = Field(
        default=3600.0, ge=60, description="how long bytes are kept that nothing points at"
    )
    upload_max_bytes: int = Field(
        default=100 * 1024 * 1024, ge=1024, le=MAX_BYTES, description="the largest upload that is taken"
    )
    url_seconds: int = Field(
        default=3600, ge=1, le=7 * 24 * 3600, description="how long a signed address of a private asset is good for"
    )
