"""The items of a manifest, read from a file of the user's: YAML, JSON or CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from backlot.errors import BacklotClientError
from chassis.yaml_file import StrictLoader, yaml_fault

TEXTS = ("group", "name", "prompt", "negative_prompt")
NUMBERS = ("width", "height", "seed")
_TOLD = 10
"""At most so many faults are told at once."""


class WrongItems(BacklotClientError):
    """A file that does not say what is to be made."""


def read_items(path: Path) -> list[dict[str, Any]]:
    """The items as a manifest takes them: a list, or a list under `items`; of CSV, a row under the names of columns.

    Raises `WrongItems` with the numbers of the items and what is wrong with them.
    """
    reads = _READS.get(path.suffix.lower())
    if reads is None:
        raise WrongItems(f"{path} is none of .yaml, .json and .csv")
    try:
        told = reads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise WrongItems(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, csv.Error, RecursionError) as error:
        raise WrongItems(f"{path} cannot be read: {error}") from error
    # Whatever else stands beside the items would be passed over.
    items = told["items"] if isinstance(told, dict) and set(told) == {"items"} else told
    # Without items a manifest makes its own: nobody who gives a file means that.
    if not isinstance(items, list) or not items:
        raise WrongItems(f"{path} is no list of items, nor has one under `items` and nothing beside it")
    faults = [fault for number, item in enumerate(items, start=1) for fault in _faults(number, item)]
    if faults:
        more = [f"and {len(faults) - _TOLD} more"] if len(faults) > _TOLD else []
        raise WrongItems(f"{path}: {'; '.join((*faults[:_TOLD], *more))}")
    return [{name: value for name, value in item.items() if value is not None} for item in items]


def _yaml(text: str) -> Any:
    try:
        return StrictLoader(text).get_single_data()
    except yaml.YAMLError as error:
        raise ValueError(str(yaml_fault(error))) from error


def _json(text: str) -> Any:
    def once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError(f"of {', '.join(name for name, _ in pairs)} one is there twice")
        return found

    return json.loads(text, object_pairs_hook=once_each)


def _csv(text: str) -> list[dict[str, Any]]:
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    columns = next(rows, [])
    if len(set(columns)) < len(columns):
        raise ValueError(f"of the columns {', '.join(columns)} one is there twice")
    return [_row(number, columns, cells) for number, cells in enumerate((row for row in rows if row), start=1)]


_READS: Mapping[str, Callable[[str], Any]] = {".yaml": _yaml, ".yml": _yaml, ".json": _json, ".csv": _csv}


def _row(number: int, columns: Sequence[str], cells: Sequence[str]) -> dict[str, Any]:
    if len(cells) > len(columns):
        raise ValueError(f"item {number} has more cells than there are columns")
    # A cell that was left empty says nothing, and an item without a prompt is blank.
    given = {column: cell for column, cell in zip(columns, cells, strict=False) if cell}
    return {column: _number(cell) if column in NUMBERS else cell for column, cell in given.items()}


def _number(cell: str) -> int | str:
    try:
        return int(cell)
    except ValueError:
        return cell


def _faults(number: int, item: Any) -> Iterator[str]:
    if not isinstance(item, Mapping):
        yield f"item {number} has no names in it"
        return
    for name, value in item.items():
        if name not in {*TEXTS, *NUMBERS}:
            yield f"item {number}: there is no {name!r}, only {', '.join((*TEXTS, *NUMBERS))}"
        elif name in TEXTS and not isinstance(value, str | None):
            yield f"item {number}: {name} is no text: {value!r}; put it in quotes"
        elif name in NUMBERS and value is not None and type(value) is not int:
            yield f"item {number}: {name} is no whole number: {value!r}"
    if item.get("name") is None:
        yield f"item {number} has no name"
