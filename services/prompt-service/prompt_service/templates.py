"""Prompt templates: text with named slots (R98-R100). Shipped ones are YAML files, read once and checked whole."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from chassis.errors import StartError
from chassis.yaml_file import read_yaml
from prompt_service.faults import Fault, raise_all
from prompt_service.placeholders import FILLED_BY, Placeholder, Words
from prompt_service.sanitizing import is_visible
from schemas.parts import Kind

DEFAULT_VERSION = "v1.0"
SHIPPED = Path(__file__).parent / "prompts"
SLOT = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_BRACES = re.compile(r"[{}]")
_BLANK_LINE = re.compile(r"\n\s*\n")

NAME = r"^[a-z][a-z0-9_]{0,62}$"
VERSION = r"^v\d{1,6}\.\d{1,6}$"


def _seen(text: str) -> str:
    if not is_visible(text):
        raise ValueError("has characters that nobody can see")
    return text


Name = Annotated[str, StringConstraints(pattern=NAME)]
Version = Annotated[str, StringConstraints(pattern=VERSION)]
Modifier = Annotated[Words, StringConstraints(strip_whitespace=True, min_length=1)]


class TemplateNotFound(LookupError):
    """There is no template of this name and version."""

    def __init__(self, name: str, version: str, known: list[str]) -> None:
        nobody = f"there is no template {name} {version} (TemplateNotFound), or it is retired"
        super().__init__(f"{nobody}; shipped are: {', '.join(known)}")


class BrokenTemplates(ValueError):
    """Template files that cannot be used; `problems` has one line each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("broken templates:\n" + "\n".join(f"  {line}" for line in problems))
        self.problems = problems


class TemplateText(BaseModel):
    """What a template says, whichever its version is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    kind: Kind
    base_prompt: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=8000), AfterValidator(_seen)
    ]
    quality_modifiers: list[Modifier] = Field(max_length=50)
    placeholders: dict[Name, Placeholder] = Field(default_factory=dict, max_length=50)

    @model_validator(mode="after")
    def _slots_and_placeholders_agree(self) -> TemplateText:
        raise_all("template", self._disagreements())
        return self

    def _disagreements(self) -> Iterator[Fault]:
        slots = set(SLOT.findall(self.base_prompt))
        if _BRACES.search(SLOT.sub("", self.base_prompt)):
            yield ("base_prompt",), "base_prompt has a brace that is no slot: slots are {lower_case_names}"
        if unknown := sorted(slots - set(self.placeholders)):
            yield ("base_prompt",), f"base_prompt uses slots that are not in placeholders: {', '.join(unknown)}"
        for name, placeholder in self.placeholders.items():
            if name not in slots:
                yield ("placeholders", name), "base_prompt never uses it"
            filled = FILLED_BY.get(placeholder.source)
            if filled is not None and name not in filled:
                filler = placeholder.source.replace("_", " ")
                yield ("placeholders", name), f"no {filler} fills it; a {filler} has {', '.join(filled)}"


class TemplateBody(TemplateText):
    """What a tenant sends to make or replace a template: which version it becomes need not be said."""

    version: Version | None = None


class TemplateFile(TemplateText):
    """What a template file says (R100)."""

    version: Version


@dataclass(frozen=True, slots=True)
class Template:
    """A checked template, cut into literal pieces and, between any two of them, the name of a slot."""

    file: TemplateFile
    pieces: tuple[str, ...]
    sha256: str

    @property
    def name(self) -> str:
        return self.file.name

    @property
    def version(self) -> str:
        return self.file.version

    @property
    def kind(self) -> Kind:
        return self.file.kind

    @property
    def placeholders(self) -> Mapping[str, Placeholder]:
        return self.file.placeholders


@dataclass(frozen=True, slots=True)
class OwnTemplate:
    """A version of a tenant's template. `used`: a job was prepared with it, and nothing changes it any more.

    `retired`: no list shows it, and no further job is prepared with it.
    """

    template: Template
    created_at: datetime
    used: bool
    retired: bool


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


def cut(file: TemplateFile, sha256: str) -> Template:
    """`file`, ready to be filled; `sha256` is of the bytes that it was read from.

    Of white space in the text only blank lines stay. Quality modifiers come behind it (R104).
    """
    text = "\n\n".join(" ".join(part.split()) for part in _BLANK_LINE.split(file.base_prompt))
    pieces = SLOT.split(text)
    pieces[-1] = f"{pieces[-1]} {', '.join(file.quality_modifiers)}".rstrip()
    return Template(file=file, pieces=tuple(pieces), sha256=sha256)


def written(file: TemplateFile) -> str:
    """`file` in the one form that a tenant's template is kept in and its hash is of, however it was sent."""
    return file.model_dump_json(exclude_defaults=True)


def own_template(file: TemplateFile) -> Template:
    """A tenant's template."""
    return cut(file, hashlib.sha256(written(file).encode()).hexdigest())


def next_version(newest: str | None) -> str:
    """The version after `newest`: v1.0, v1.1, v1.2 and so on (R99)."""
    if newest is None:
        return DEFAULT_VERSION
    major, minor = newest[1:].split(".")
    return f"v{major}.{int(minor) + 1}"


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
    return cut(file, hashlib.sha256(raw).hexdigest())
