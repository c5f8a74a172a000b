"""How templates come in, as JSON or as the YAML of a file, and how they are shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Literal

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from chassis.errors import FieldError, Invalid, RemoteProblem
from chassis.problems import pointer
from chassis.yaml_file import BrokenYaml, YamlFault, read_yaml
from prompt_service.differences import Difference
from prompt_service.templates import OwnTemplate, Template, TemplateBody
from schemas.parts import PreparedItem

JSON, YAML = "application/json", "application/yaml"


class TemplateView(BaseModel):
    """A version of a template. `used`: a job was prepared with it, so it stays as it is; null for shipped ones.

    What `placeholders` leaves out is as where a template leaves it out.
    """

    name: str
    version: str
    kind: str
    origin: Literal["shipped", "own"]
    base_prompt: str
    quality_modifiers: list[str]
    placeholders: dict[str, dict[str, Any]]
    sha256: str
    used: bool | None
    retired: bool
    created_at: datetime | None


class TemplatePage(BaseModel):
    """Some templates: shipped ones first, then the tenant's, by name and version."""

    items: list[TemplateView]
    total: int
    limit: int
    offset: int


class ChangeView(BaseModel):
    """A stretch of both versions: sentences of the base prompt, or quality modifiers."""

    op: Literal["same", "removed", "added", "replaced"]
    before: list[str]
    after: list[str]


class PlaceholdersView(BaseModel):
    """By name; of a changed one what it was, then what it is."""

    added: dict[str, dict[str, Any]]
    removed: dict[str, dict[str, Any]]
    changed: dict[str, tuple[dict[str, Any], dict[str, Any]]]


class DifferenceView(BaseModel):
    """What changed between two versions; `text` is a unified diff."""

    name: str
    before: str
    after: str
    text: str
    base_prompt: list[ChangeView]
    quality_modifiers: list[ChangeView]
    placeholders: PlaceholdersView


class PreviewView(BaseModel):
    """What a job would be told; `blank`: it would make nothing."""

    template: str
    template_version: str
    template_sha256: str
    prompt: str
    prompt_sha256: str
    negative_prompt: str | None
    headline: str | None
    palette: list[str]
    blank: bool
    warnings: list[str]


async def read_template_body(request: Request) -> TemplateBody:
    """A template in the body of a request. Raises `Invalid` with everything that is wrong with it."""
    media_type = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    raw = await request.body()
    if media_type == YAML:
        return _from_yaml(raw)
    if media_type != JSON:
        raise RemoteProblem("INVALID_REQUEST", 415, f"a template is sent as {JSON} or {YAML}")
    try:
        return TemplateBody.model_validate_json(raw)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in problems]) from error


def _from_yaml(raw: bytes) -> TemplateBody:
    try:
        return read_yaml(raw, TemplateBody, place="the template")
    except BrokenYaml as error:
        raise _invalid([_field_error(fault) for fault in error.faults]) from error
    except ValueError as error:
        # A date or a number that YAML knows the form of and Python has no place for.
        raise _invalid([FieldError("", str(error))]) from error


def _field_error(fault: YamlFault) -> FieldError:
    line = "" if fault.line is None else f"line {fault.line}: "
    return FieldError(pointer(fault.place), f"{line}{fault.words}")


def _invalid(errors: Sequence[FieldError]) -> Invalid:
    first = f"{errors[0].pointer} {errors[0].detail}".strip()
    detail = first if len(errors) == 1 else f"{len(errors)} things are wrong with the template"
    return Invalid(detail, errors=errors)


def shipped_view(template: Template) -> TemplateView:
    """A shipped template."""
    return _view(template, origin="shipped", used=None, retired=False, created_at=None)


def own_view(own: OwnTemplate) -> TemplateView:
    """A version of a tenant's template."""
    return _view(own.template, origin="own", used=own.used, retired=own.retired, created_at=own.created_at)


def _view(template: Template, **kept: Any) -> TemplateView:
    said = template.file
    return TemplateView(
        name=said.name,
        version=said.version,
        kind=said.kind.value,
        base_prompt=said.base_prompt,
        quality_modifiers=said.quality_modifiers,
        placeholders={name: one.model_dump(exclude_defaults=True) for name, one in said.placeholders.items()},
        sha256=template.sha256,
        **kept,
    )


def difference_view(old: Template, new: Template, found: Difference) -> DifferenceView:
    """Two versions compared."""
    return DifferenceView(
        name=new.name,
        before=old.version,
        after=new.version,
        text=found.text,
        base_prompt=[ChangeView(**asdict(change)) for change in found.base_prompt],
        quality_modifiers=[ChangeView(**asdict(change)) for change in found.quality_modifiers],
        placeholders=PlaceholdersView(
            added=found.placeholders_added, removed=found.placeholders_removed, changed=found.placeholders_changed
        ),
    )


def preview_view(item: PreparedItem) -> PreviewView:
    """What a job would be told of one item."""
    return PreviewView(**item.model_dump(include=set(PreviewView.model_fields)))
