"""What every dialect comes to: the order of one job."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic_core import to_json

from api_gateway.looks import Sort
from schemas.parts import JobSpec


@dataclass(frozen=True, slots=True)
class Order:
    """A request, translated: what every dialect comes to. Two orders are the same job if their digests are equal."""

    spec: JobSpec
    brand_kit_id: UUID | None
    max_cost_micros: int | None
    deadline_seconds: int | None
    style_capsule_id: UUID | None = None

    @property
    def looks(self) -> Mapping[Sort, UUID]:
        """The brand kit and the style capsule that are asked for."""
        asked = {Sort.BRAND_KIT: self.brand_kit_id, Sort.STYLE_CAPSULE: self.style_capsule_id}
        return {sort: look_id for sort, look_id in asked.items() if look_id is not None}

    def digest(self, user_id: UUID) -> bytes:
        """SHA-256 over all that makes this job what it is, and whose it is (R23)."""
        # Defaults are left out, so that a field that comes to the schema later changes no digest that is kept.
        spec = _in_order(self.spec).model_dump_json(exclude_defaults=True)
        parts: list[Any] = [spec, self.brand_kit_id, self.max_cost_micros, self.deadline_seconds, user_id]
        if self.style_capsule_id is not None:
            parts.append({Sort.STYLE_CAPSULE: self.style_capsule_id})
        return hashlib.sha256(to_json(parts)).digest()


def _in_order(spec: JobSpec) -> JobSpec:
    """The same, whichever order its variables and labels were sent in."""
    if len(spec.variables) < 2 and len(spec.labels) < 2:
        return spec
    return spec.model_copy(
        update={"variables": dict(sorted(spec.variables.items())), "labels": dict(sorted(spec.labels.items()))}
    )
