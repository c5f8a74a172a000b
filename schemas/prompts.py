"""Events of prompt-service: `backlot.prompts`."""

from __future__ import annotations

from typing import ClassVar, Literal
from uuid import UUID

from pydantic import Field

from schemas.event import Event
from schemas.parts import AssetContext, ErrorCode, PreparedItem, Route
from schemas.topics import PROMPTS


class PromptsPrepared(Event):
    """All items of a job with their finished prompts. The number of items comes from here alone.

    `resume`: items whose logical name has whole bytes behind it are not made again.
    """

    type: ClassVar[str] = "dev.backlot.prompts.prepared.v1"
    topic: ClassVar[str] = PROMPTS.name

    job_id: UUID
    items: list[PreparedItem]
    route: Route = Route()
    max_cost_micros: int | None = None
    asset_context: AssetContext
    resume: bool = False
    warnings: list[str] = Field(default_factory=list)


class PromptsRejected(Event):
    """There are no prompts for this job: template, kit or capsule is missing or bad, or the job was stopped first."""

    type: ClassVar[str] = "dev.backlot.prompts.rejected.v1"
    topic: ClassVar[str] = PROMPTS.name

    job_id: UUID
    code: ErrorCode
    message: str
    stage: Literal["prompting"] = "prompting"
