"""An asset as it is kept and as it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from objects.signing import Grant
from storage_service.arrivals import UPLOAD_ITEM, Arrival


@dataclass(frozen=True, slots=True)
class Placed:
    """An arrival that has its logical name: version `version` of `path`."""

    arrival: Arrival
    path: str
    version: int
    mime: str

    @property
    def is_public(self) -> bool:
        """A late output is private, whatever its job asked for: nobody waits for it."""
        handover = self.arrival.handover
        return handover.context.visibility == "public" and not handover.late


@dataclass(frozen=True, slots=True)
class Served:
    """What has to be known of an asset to serve its bytes. `now` is the database's clock in seconds since 1970 UTC."""

    id: UUID
    tenant_id: UUID
    sha256: str
    size: int
    mime: str
    path: str
    is_public: bool
    revision: int
    deleted: bool
    now: float

    @property
    def grant(self) -> Grant:
        """What a signed address of it allows."""
        return Grant(self.tenant_id, self.id, self.sha256)


@dataclass(frozen=True, slots=True)
class Named:
    """The newest version behind a logical name, which bytes it should have, and what it was made as.

    `size` is in bytes. What has no pixels has no width and height, what was uploaded no prompt.
    """

    path: str
    id: UUID
    sha256: str
    size: int
    version: int
    width: int | None
    height: int | None
    prompt_sha256: str | None


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """The small picture that is stored with an asset."""

    id: UUID
    sha256: str
    is_public: bool
    revision: int


@dataclass(frozen=True, slots=True)
class Asset:
    """One version behind a logical name. Its bytes never change; `revision` counts changes of who may see it.

    `path` is the logical name, `size` is in bytes, `width` and `height` are in pixels; `now` as in `Served`. `job_id`
    and `item` are those of its natural key.
    """

    id: UUID
    tenant_id: UUID
    user_id: UUID
    job_id: UUID
    item: int
    role: str
    kind: str
    asset_type: str | None
    path: str
    version: int
    sha256: str
    content_sha256: str
    size: int
    mime: str
    width: int | None
    height: int | None
    duration_seconds: float | None
    is_public: bool
    late: bool
    revision: int
    context: Mapping[str, Any]
    lineage: Mapping[str, Any] | None
    flags: tuple[str, ...]
    marking: Mapping[str, Any] | None
    created_at: datetime
    now: float
    thumbnail: Thumbnail | None = None

    @property
    def made_by(self) -> UUID | None:
        """The job that made it; None of an upload."""
        return None if self.item == UPLOAD_ITEM else self.job_id

    @property
    def grant(self) -> Grant:
        """What a signed address of it allows."""
        return Grant(self.tenant_id, self.id, self.sha256)
