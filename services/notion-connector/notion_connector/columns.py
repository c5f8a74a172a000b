"""The columns of the Notion database: their names, how their values are read, and how they are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Notion counts as JavaScript does, in UTF-16 units: https://developers.notion.com/reference/request-limits
TEXT_LIMIT = 2000
_ELLIPSIS = "…"

Value = str | int | float | None
Types = Mapping[str, str]
"""The type of each property of a page, by its name, in Notion's words: `rich_text`, `status`."""


@dataclass(frozen=True, slots=True)
class Columns:
    """What the columns are called: those that are read, and those that are written where the database has them."""

    status: str
    topic: str
    story_direction: str
    channel: str
    project: str
    error_log: str
    job_id: str
    total_cost: str
    generated: str
    skipped: str
    failed: str


@dataclass(frozen=True, slots=True)
class Statuses:
    """The values of the status column: the one that asks, and the three that answer (R20)."""

    ask: str
    generating: str
    ready: str
    error: str

    @property
    def answers(self) -> frozenset[str]:
        """The values that are ours to write."""
        return frozenset({self.generating, self.ready, self.error})


def types_of(page: Mapping[str, Any]) -> dict[str, str]:
    """The type of each property of a page or of a data source."""
    return {str(name): str(about.get("type")) for name, about in page.get("properties", {}).items()}


def text_of(page: Mapping[str, Any], name: str) -> str:
    """What stands in a column of a page, as text; empty where nothing stands, or there is no such column."""
    about = page.get("properties", {}).get(name) or {}
    value = about.get(about.get("type"))
    match value:
        case str():
            return value
        case [*parts]:
            return "".join(str(part.get("plain_text", "")) for part in parts if isinstance(part, Mapping)).strip()
        case {"name": str(chosen)}:
            return chosen
        case {"string": str(computed)}:
            return computed
        case _:
            return ""


def written(types: Types, values: Mapping[str, Value]) -> dict[str, Any]:
    """Property values as Notion takes them, of those columns that the page has and that can hold them."""
    filled = {name: _written(types[name], value) for name, value in values.items() if name in types}
    return {name: value for name, value in filled.items() if value is not None}


def _written(kind: str, value: Value) -> dict[str, Any] | None:
    match kind:
        case "rich_text":
            return {kind: [{"type": "text", "text": {"content": cut(str(value))}}] if value not in (None, "") else []}
        case "status" | "select" if value:
            return {kind: {"name": str(value)}}
        case "number" if not isinstance(value, str):
            return {kind: value}
        case _:
            return None


def cut(text: str, limit: int = TEXT_LIMIT) -> str:
    """`text` within `limit` UTF-16 units, never through the middle of a character."""
    if _units(text) <= limit:
        return text
    kept = text.encode("utf-16-le", "replace")[: 2 * (limit - _units(_ELLIPSIS))]
    return kept.decode("utf-16-le", "ignore") + _ELLIPSIS


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "replace")) // 2
