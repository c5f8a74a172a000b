"""YAML that people write: what is wrong is said with the line and the key it stands at."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict, Field

from chassis.errors import StartError
from chassis.yaml_file import read_yaml


class Shelf(BaseModel):
    model_config = ConfigDict(extra="forbid")

    width: int = Field(gt=0)


class Shop(BaseModel):
    name: str
    shelves: list[Shelf]
    doors: dict[str, Shelf] = {}


WHOLE = """\
name: corner
shelves:
  - width: 3
  - width: 4
doors:
  front: {width: 1}
"""


def faults(text: str) -> list[str]:
    with pytest.raises(StartError) as caught:
        read_yaml(text.encode("latin-1"), Shop, place="shop.yaml")
    return list(caught.value.problems)


def test_a_whole_file_is_read() -> None:
    assert read_yaml(WHOLE.encode(), Shop, place="shop.yaml").shelves[1].width == 4


@pytest.mark.parametrize(
    ("whole", "broken", "said"),
    [
        ("  - width: 4", "  - width: 0", "line 4: shelves.1.width: Input should be greater than 0"),
        ("  - width: 4", "  - depth: 4", "line 4: shelves.1.width: Field required"),
        (
            "front: {width: 1}",
            "front: {width: 1, colour: 2}",
            "line 6: doors.front.colour: is none of width",
        ),
        ("name: corner\n", "", "line 1: name: Field required"),
        ("front: {width: 1}", "front: [", "line 7: is not YAML: while parsing a flow node"),
        ("name: corner", "name: \xe9", "is not YAML: unacceptable character"),
        (WHOLE, "", "line 1: there has to be a mapping of name, shelves, doors"),
        (WHOLE, "- corner", "line 1: there has to be a mapping of name, shelves, doors"),
        ("  - width: 4", "  - width: 4\n    width: 5", "line 5: width is here twice"),
        (WHOLE, "[" * 20_000, "is nested too deeply"),
        (WHOLE, "shelves: []\n? [a, b]\n: c", "line 2: a key has to be a word"),
    ],
)
def test_a_fault_is_named_with_its_line_its_key_and_what_is_allowed(whole: str, broken: str, said: str) -> None:
    assert any(fault.startswith(f"shop.yaml: {said}") for fault in faults(WHOLE.replace(whole, broken)))


def test_what_the_model_cannot_see_is_told_with_its_line_as_well() -> None:
    with pytest.raises(StartError) as caught:
        read_yaml(WHOLE.encode(), Shop, place="shop.yaml", faults=lambda shop: [(("shelves", 1, "width"), "too wide")])
    assert list(caught.value.problems) == ["shop.yaml: line 4: shelves.1.width: too wide"]


def test_all_faults_are_told_each_on_one_line() -> None:
    told = faults(WHOLE.replace("width: 3", "width: no").replace("width: 1", "width: -1"))
    assert [fault.split(": ")[1:3] for fault in told] == [
        ["line 3", "shelves.0.width"],
        ["line 6", "doors.front.width"],
    ]
    assert not any("\n" in fault for fault in told)
