"""What changed between two versions of a template: as a unified diff to read, and as data."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from prompt_service.templates import Template

Op = Literal["same", "removed", "added", "replaced"]

_OPS: dict[str, Op] = {"equal": "same", "delete": "removed", "insert": "added", "replace": "replaced"}
_END_OF_SENTENCE = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True, slots=True)
class Change:
    """A stretch of both versions: `before` in the one, `after` in the other."""

    op: Op
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """`text` is a unified diff, empty where nothing differs. The base prompt is compared sentence by sentence."""

    text: str
    base_prompt: tuple[Change, ...]
    quality_modifiers: tuple[Change, ...]
    placeholders_added: dict[str, dict[str, Any]]
    placeholders_removed: dict[str, dict[str, Any]]
    placeholders_changed: dict[str, tuple[dict[str, Any], dict[str, Any]]]


def difference(old: Template, new: Template) -> Difference:
    """What makes `new` another template than `old`."""
    before, after = _placeholders(old), _placeholders(new)
    return Difference(
        text=_unified(old, new),
        base_prompt=_changes(_sentences(old), _sentences(new)),
        quality_modifiers=_changes(old.file.quality_modifiers, new.file.quality_modifiers),
        placeholders_added={name: after[name] for name in after if name not in before},
        placeholders_removed={name: before[name] for name in before if name not in after},
        placeholders_changed={
            name: (before[name], after[name]) for name in before if before[name] != after.get(name, before[name])
        },
    )


def _changes(before: Sequence[str], after: Sequence[str]) -> tuple[Change, ...]:
    found = difflib.SequenceMatcher(None, before, after).get_opcodes()
    return tuple(Change(_OPS[op], tuple(before[a:b]), tuple(after[c:d])) for op, a, b, c, d in found)


def _unified(old: Template, new: Template) -> str:
    before, after = (f"{one.name} {one.version}" for one in (old, new))
    return "\n".join(difflib.unified_diff(list(_lines(old)), list(_lines(new)), before, after, lineterm=""))


def _lines(template: Template) -> Iterator[str]:
    """A template as text that has a line for everything that may change by itself."""
    yield f"kind: {template.kind}"
    yield "base_prompt:"
    for sentence in _sentences(template):
        yield f"  {sentence}".rstrip()
    yield "quality_modifiers:"
    for modifier in template.file.quality_modifiers:
        yield f"  - {modifier}"
    yield "placeholders:"
    for name, said in sorted(_placeholders(template).items()):
        yield f"  {name}: {json.dumps(said, ensure_ascii=False)}"


def _sentences(template: Template) -> list[str]:
    """The base prompt in sentences, with an empty one between two paragraphs."""
    paragraphs = (_END_OF_SENTENCE.split(" ".join(part.split())) for part in template.file.base_prompt.split("\n\n"))
    found: list[str] = []
    for paragraph in paragraphs:
        found += ["", *paragraph] if found else paragraph
    return found


def _placeholders(template: Template) -> dict[str, dict[str, Any]]:
    return {name: one.model_dump(exclude_defaults=True) for name, one in template.placeholders.items()}
