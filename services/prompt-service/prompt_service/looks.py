"""What gives prompts their look, kept in versions by a tenant: brand kits (R102) and style capsules (R107)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Generic, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, StringConstraints

from prompt_service.sanitizing import clean

B = TypeVar("B", bound=BaseModel)


def _one_line(limit: int) -> Callable[[str], str]:
    def cleaned(text: str) -> str:
        line = clean(text, limit=limit)
        if not line:
            raise ValueError("must have visible characters")
        return line

    return cleaned


ShortText = Annotated[str, StringConstraints(min_length=1, max_length=100), AfterValidator(_one_line(100))]
LongText = Annotated[str, StringConstraints(min_length=1, max_length=1000), AfterValidator(_one_line(1000))]


@dataclass(frozen=True, slots=True)
class Look(Generic[B]):
    """One version of a tenant's brand kit or style capsule. `created_at` is the first's, `updated_at` this one's."""

    id: UUID
    version: int
    body: B
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Use:
    """A job whose prompts a look was in, in the version the job was accepted with."""

    job_id: UUID
    version: int
    used_at: datetime
