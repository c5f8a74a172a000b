"""What a template would make of a request, without a job and without money."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from chassis.errors import FieldError, RemoteProblem
from chassis.ids import uuid7
from prompt_service.placeholders import MAX_VARIABLE
from prompt_service.preparing import Looks, prompts_of
from prompt_service.rendering import MAX_PARAGRAPHS, MAX_TEXT, NotFilled
from prompt_service.templates import Template, Version
from schemas.jobs import JobRequested
from schemas.parts import JobSpec, PreparedItem, variable_text

_Word = Annotated[str, StringConstraints(max_length=100)]
_Value = Annotated[str, StringConstraints(max_length=MAX_VARIABLE), BeforeValidator(variable_text)]


class PreviewBody(BaseModel):
    """What a job would bring. Without a version it is v1.0, as for a job (R99)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    template_version: Version | None = None
    prompt: Annotated[str, StringConstraints(max_length=MAX_PARAGRAPHS)] | None = None
    negative_prompt: Annotated[str, StringConstraints(max_length=MAX_TEXT)] | None = None
    brand_kit_id: UUID | None = None
    style_capsule_id: UUID | None = None
    variables: dict[_Word, _Value] = Field(default_factory=dict, max_length=50)
    effect: _Word | None = None
    genre: _Word | None = None
    instrumental: bool = True
    duration_seconds: float | None = Field(default=None, gt=0, le=3600, allow_inf_nan=False)
    loop: bool = False
    tileable: bool = False


def preview(template: Template, body: PreviewBody, looks: Looks, user_id: UUID) -> PreparedItem:
    """The item that a job would get: made by what makes those of jobs. Raises what a job would be rejected with."""
    asked = body.model_dump(exclude={"template_version", "brand_kit_id", "style_capsule_id"})
    spec = JobSpec(kind=template.kind, template=template.name, template_version=template.version, **asked)
    job = JobRequested(job_id=uuid7(), user_id=user_id, request=spec)
    try:
        return prompts_of(job, looks, {(template.name, template.version): template}).items[0]
    except NotFilled as error:
        errors = [FieldError(pointer, said) for pointer, said in error.faults.items()]
        raise RemoteProblem("INVALID_REQUEST", 422, str(error), errors=errors) from error
