"""YAML that people write, read into a model; what is wrong is said with the line and the key it stands at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from chassis.errors import StartError

M = TypeVar("M", bound=BaseModel)


def read_yaml(raw: bytes, cls: type[M], *, place: str) -> M:
    """What the file at `place` says, given its bytes. Raises `StartError` with a sentence for each fault in it."""
    try:
        return cls.model_validate(yaml.safe_load(raw))
    except yaml.YAMLError as error:
        raise StartError([f"{place}: {_not_yaml(error)}"]) from error
    except ValidationError as error:
        tree = yaml.compose(raw, yaml.SafeLoader)
        raise StartError([f"{place}: {_in_words(tree, problem)}" for problem in error.errors()]) from error


def _not_yaml(error: yaml.YAMLError) -> str:
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return f"is not YAML: {' '.join(str(error).split())}"
    said = ", ".join(filter(None, (error.context, error.problem)))
    return f"line {error.problem_mark.line + 1}: is not YAML: {said}"


def _in_words(tree: Any, problem: Any) -> str:
    key = ".".join(map(str, problem["loc"])) or "file"
    *_, node = _down(tree, problem["loc"])
    line = node.start_mark.line + 1 if node is not None else 1
    return f"line {line}: {key}: {problem['msg'].removeprefix('Value error, ')}"


def _down(node: Any, path: tuple[int | str, ...]) -> Iterator[Any]:
    """The nodes on the way to `path`, as far as there are any; of an entry in a mapping its key, then its value."""
    yield node
    for step in path:
        if isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            node = node.value[step]
        elif isinstance(node, yaml.MappingNode) and (entry := _entry(node, str(step))):
            yield entry[0]
            node = entry[1]
            continue
        else:
            return
        yield node


def _entry(node: yaml.MappingNode, key: str) -> tuple[Any, Any] | None:
    return next((entry for entry in node.value if entry[0].value == key), None)
