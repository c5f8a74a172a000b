"""YAML that people write, read into a model; what is wrong is said with the line and the key it stands at."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from chassis.errors import StartError

M = TypeVar("M", bound=BaseModel)

Place = tuple[int | str, ...]
"""Where in a file: the keys, and the numbers of list entries, on the way there."""

Fault = tuple[Place, str]


@dataclass(frozen=True, slots=True)
class YamlFault:
    """One thing that is wrong, and where; of what is no YAML at all not even a line may be known."""

    line: int | None
    place: Place
    words: str

    def __str__(self) -> str:
        line = "" if self.line is None else f"line {self.line}"
        return ": ".join(filter(None, (line, ".".join(map(str, self.place)), self.words)))


class BrokenYaml(StartError):
    """A file that cannot be used, with everything that is wrong with it."""

    def __init__(self, name: str, faults: Sequence[YamlFault]) -> None:
        super().__init__([f"{name}: {fault}" for fault in faults])
        self.faults = tuple(faults)


def read_yaml(raw: bytes, cls: type[M], *, place: str, faults: Callable[[M], Iterable[Fault]] = lambda found: ()) -> M:
    """What the file at `place` says, given its bytes. Raises `BrokenYaml` with every fault in it.

    `faults` finds those that the model cannot see.
    """
    try:
        loader = StrictLoader(raw)
        tree = loader.get_single_node()
        said = loader.construct_document(tree) if tree is not None else None
        if not isinstance(said, Mapping):
            raise BrokenYaml(place, [YamlFault(1, (), f"there has to be a mapping of {', '.join(cls.model_fields)}")])
        found = cls.model_validate(said)
        problems = [_located(tree, *fault) for fault in faults(found)]
    except yaml.YAMLError as error:
        raise BrokenYaml(place, [yaml_fault(error)]) from error
    except RecursionError as error:
        raise BrokenYaml(place, [YamlFault(None, (), "is nested too deeply")]) from error
    except ValidationError as error:
        problems = [_located(tree, *_fault(cls, problem)) for problem in error.errors()]
    if problems:
        raise BrokenYaml(place, problems)
    return found


class StrictLoader(yaml.SafeLoader):
    """Reads what is safe, and raises `YAMLError` for a key that is there twice: YAML would keep the last in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key has to be a word", key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} is here twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def yaml_fault(error: yaml.YAMLError) -> YamlFault:
    """What a loader has to say of a text, in one line."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return YamlFault(None, (), f"is not YAML: {' '.join(str(error).split())}")
    said = ", ".join(filter(None, (error.context, error.problem)))
    what = "" if isinstance(error, yaml.constructor.ConstructorError) else "is not YAML: "
    return YamlFault(error.problem_mark.line + 1, (), f"{what}{said}")


def _located(tree: Any, place: Place, words: str) -> YamlFault:
    *_, node = _down(tree, place)
    return YamlFault(node.start_mark.line + 1 if node is not None else 1, place, words)


def _fault(cls: type[BaseModel], problem: Any) -> Fault:
    place, words = problem["loc"], problem["msg"].removeprefix("Value error, ")
    known = ", ".join(keys_at(cls, place[:-1]))
    if problem["type"] == "extra_forbidden" and known:
        words = f"is none of {known}"
    elif problem["type"] == "tuple_type":
        words = "has to be a list"
    elif problem["type"] == "too_long":
        words = f"has to have at most {problem['ctx']['max_length']} entries"
    return place, words


def keys_at(cls: Any, place: Place) -> Collection[str]:
    """The keys that may stand at `place` of a file that a model of `cls` is read from; none where it is no mapping."""
    for step in place:
        if isinstance(cls, type) and issubclass(cls, BaseModel):
            cls = cls.model_fields[str(step)].annotation if step in cls.model_fields else None
        else:
            # Of a list, a mapping or an optional value, what it is of.
            cls = next((one for one in reversed(get_args(cls)) if isinstance(one, type)), None)
        inner = [one for one in get_args(cls) if isinstance(one, type) and issubclass(one, BaseModel)]
        if type(None) in get_args(cls) and inner:
            cls = inner[0]
    return cls.model_fields if isinstance(cls, type) and issubclass(cls, BaseModel) else ()


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
