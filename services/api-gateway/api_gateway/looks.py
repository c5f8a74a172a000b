"""What gives a job its look: a brand kit (R102), a style capsule (R107). prompt-service has them, a job pins them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from uuid import UUID

from chassis.errors import FieldError, NotFound


class Sort(StrEnum):
    """A sort of look, by the name of its table."""

    BRAND_KIT = "brand_kit"
    STYLE_CAPSULE = "style_capsule"

    @property
    def field(self) -> str:
        """What names one in a request."""
        return f"{self}_id"

    @property
    def word(self) -> str:
        return self.replace("_", " ")

    @property
    def path(self) -> str:
        """Where they are, below `/api/v1` here and below `/v1` at prompt-service."""
        return f"/{self.replace('_', '-')}s"


LookKey = tuple[Sort, UUID, UUID]
"""(sort, tenant, id)"""

Versions = Mapping[LookKey, int]
"""The newest version of each that is known here."""


class LookNotKnown(NotFound):
    """No version of it has been seen here yet; prompt-service may know it."""

    def __init__(self, sort: Sort, look_id: UUID) -> None:
        detail = f"there is no {sort.word} {look_id}"
        super().__init__(detail, errors=[FieldError(f"/{sort.field}", detail)])
        self.sort = sort
        self.look_id = look_id
