"""Prompt templates: YAML files at `prompts/{name}/{version}.yaml`, read once and checked whole (R98-R100)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from chassis.errors import StartError
from chassis.yaml_file import read_yaml
from schemas.parts import Kind

DEFAULT_VERSION = "v1.0"
SHIPPED = Path(__file__).parent / "prompts"
SLOT = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_BRACES = re.compile(r"[{}]")

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Version = Annotated[str, StringConstraints(pattern=r"^v\d+\.\d+$")]
Source = Literal["text", "brand_kit", "variable", "request"]
Asked = Literal["effect", "genre", "voices", "seconds", "looping", "tiling"]
"""What a slot of the source `request` may be called."""


class TemplateNotFound(LookupError):
    """There is no template of this name and version."""

    def __init__(self, name: str, version: str, known: list[str]) -> None:
        super().__init__(f"there is no template {name} {version} (TemplateNotFound); there are: {', '.join(known)}")


class BrokenTemplates(ValueError):
    """Template files that cannot be used; `problems` has one line each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("broken templates:\n" + "\n".join(f"  {line}" for line in problems))
        self.problems = problems


class Placeholder(BaseModel):
    """Where a slot's value comes from: the user's text, the brand kit, a variable, or the request's own fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Source
    required: bool = False
    default: str | None = None

    @model_validator(mode="after")
    def _has_a_way_out(self) -> Placeholder:
        if not self.required and self.default is None:
            raise ValueError("a placeholder that is not required needs a default")
        return self


class TemplateFile(BaseModel):
    """What a template file says (R100)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    version: Version
    kind: Kind
    base_prompt: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=8000)]
    quality_modifiers: list[Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]]
    placeholders: dict[Name, Placeholder] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _slots_and_placeholders_agree(self) -> TemplateFile:
        slots = set(SLOT.findall(self.base_prompt))
        if _BRACES.search(SLOT.sub("", self.base_prompt)):
            raise ValueError("base_prompt has a brace that is no slot: slots are {lower_case_names}")
        if unknown := sorted(slots - set(self.placeholders)):
            raise ValueError(f"base_prompt uses slots that are not in placeholders: {', '.join(unknown)}")
        if unused := sorted(set(self.placeholders) - slots):
            raise ValueError(f"placeholders that base_prompt never uses: {', '.join(unused)}")
        asked = {name for name, placeholder in self.placeholders.items() if placeholder.source == "request"}
        if unknown := sorted(asked - set(get_args(Asked))):
            known = ", ".join(get_args(Asked))
            raise ValueError(f"placeholders that no request fills: {', '.join(unknown)}; a request has {known}")
        return self


@dataclass(frozen=True, slots=True)
class Template:
    """A checked template, cut into literal pieces and slots; `sha256` is of its file."""

    name: str
    version: str
    kind: Kind
    pieces: tuple[str, ...]
    quality_modifiers: str
    placeholders: Mapping[str, Placeholder]
    sha256: str


Templates = Mapping[tuple[str, str], Template]


def load_templates(folder: Path = SHIPPED) -> Templates:
    """Every template below `folder`. Raises `BrokenTemplates` naming each file and everything wrong with it."""
    found: dict[tuple[str, str], Template] = {}
    problems: list[str] = []
    for path in sorted(folder.glob("*/*.yaml")):
        try:
            template = _read(path)
        except StartError as error:
            problems += error.problems
        except (ValueError, OSError) as error:
            problems.append(f"{_place(path)}: {error}")
        else:
            found[template.name, template.version] = template
    if not found and not problems:
        problems.append(f"{folder}: there is no template at all")
    if problems:
        raise BrokenTemplates(problems)
    return found


def find_template(templates: Templates, name: str, version: str | None) -> Template:
    """The template `name` in `version` (default v1.0, R99). Raises `TemplateNotFound`."""
    wanted = version or DEFAULT_VERSION
    try:
        return templates[name, wanted]
    except KeyError:
        raise TemplateNotFound(name, wanted, [f"{n} {v}" for n, v in sorted(templates)]) from None


def _place(path: Path) -> str:
    return f"prompts/{path.parent.name}/{path.name}"


def _read(path: Path) -> Template:
    raw = path.read_bytes()
    file = read_yaml(raw, TemplateFile, place=_place(path))
    if (file.name, file.version) != (path.parent.name, path.stem):
        place = f"prompts/{file.name}/{file.version}.yaml"
        raise ValueError(f"says it is {file.name} {file.version}, which belongs at {place}")
    return Template(
        name=file.name,
        version=file.version,
        kind=file.kind,
        pieces=tuple(SLOT.split(re.sub(r"\s+", " ", file.base_prompt))),
        quality_modifiers=", ".join(file.quality_modifiers),
        placeholders=file.placeholders,
        sha256=hashlib.sha256(raw).hexdigest(),
    )
