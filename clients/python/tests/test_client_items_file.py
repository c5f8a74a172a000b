"""The items of a manifest as users write them down: what is taken as it is meant, and what is told instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backlot.items_file import WrongItems, read_items

ITEMS = [
    {"group": "characters", "name": "old fox", "prompt": "a fox, grey\nand wise", "width": 640, "height": 360},
    {"group": "props", "name": "lantern", "negative_prompt": "text", "seed": 7},
]
YAML = """
- group: characters
  name: old fox
  prompt: "a fox, grey\\nand wise"
  width: 640
  height: 360
- {group: props, name: lantern, prompt: null, negative_prompt: text, seed: 7}
"""
JSON = """{"items": [
  {"group": "characters", "name": "old fox", "prompt": "a fox, grey\\nand wise", "width": 640, "height": 360},
  {"group": "props", "name": "lantern", "negative_prompt": "text", "seed": 7}]}"""
CSV = """group,name,prompt,negative_prompt,width,height,seed
characters,old fox,"a fox, grey
and wise",,640,360,

props,lantern,,text,,,7
"""


def items_in(folder: Path, name: str, text: str) -> list[dict[str, Any]]:
    (folder / name).write_text(text, encoding="utf-8", newline="")
    return read_items(folder / name)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("items.yaml", YAML),
        ("items.yml", "items:" + YAML.replace("\n", "\n  ")),
        ("items.json", JSON),
        ("items.csv", CSV),
        ("ITEMS.CSV", "\ufeff" + CSV.replace("\n", "\r\n").replace("grey\r\n", "grey\n")),
    ],
    ids=["yaml", "yaml under items", "json", "csv", "csv of a spreadsheet"],
)
def test_items_are_the_same_whatever_they_are_written_in(tmp_path: Path, name: str, text: str) -> None:
    assert items_in(tmp_path, name, text) == ITEMS


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("items.txt", "", "is none of .yaml, .json and .csv"),
        ("items.yaml", "", "is no list of items"),
        ("items.csv", "group,name,prompt\n", "is no list of items"),
        ("items.json", "[]", "is no list of items"),
        ("items.yaml", "atmosphere: dark\nitems: [{name: a}]", "nothing beside it"),
        ("items.yaml", "- name: a\n- name: [", "cannot be read: line 2: is not YAML: while parsing a flow node"),
        ("items.yaml", "!!python/object/apply:os.system [ls]", "cannot be read"),
        ("items.json", "{", "cannot be read"),
        ("items.csv", 'name,prompt\na,"b', "cannot be read"),
        ("items.csv", "name,prompt\na,b\nc,d,e", "item 2 has more cells than there are columns"),
        ("items.yaml", "- name: a\n- name: b\n  name: c", "line 3: name is here twice"),
        ("items.json", '[{"name": "a", "name": "b"}]', "of name, name one is there twice"),
        ("items.csv", "name,name,prompt\na,b,c", "of the columns name, name, prompt one is there twice"),
        ("items.yaml", "- a fox", "item 1 has no names in it"),
        ("items.yaml", "[{name: a}, {prompt: b}]", "item 2 has no name"),
        ("items.csv", "group;name;prompt\na;b;c", "item 1: there is no 'group;name;prompt', only group, name"),
        ("items.yaml", "[{name: no, prompt: a}]", "item 1: name is no text: False; put it in quotes"),
        ("items.yaml", "[{name: a, width: true}]", "item 1: width is no whole number: True"),
        ("items.csv", "name,width\na,wide", "item 1: width is no whole number: 'wide'"),
    ],
)
def test_a_file_that_is_not_understood_says_where(tmp_path: Path, name: str, text: str, words: str) -> None:
    with pytest.raises(WrongItems) as caught:
        items_in(tmp_path, name, text)
    assert words in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)


def test_all_that_is_wrong_is_told_at_once_up_to_ten_faults(tmp_path: Path) -> None:
    with pytest.raises(WrongItems) as caught:
        items_in(tmp_path, "items.yaml", "[{name: no, size: 3}, {name: b}, {prompt: c}]")
    first, second, third = str(caught.value).removeprefix(f"{tmp_path / 'items.yaml'}: ").split("; ", 2)
    assert first == "item 1: name is no text: False"
    assert second.startswith("put it in quotes")
    assert third.startswith("item 1: there is no 'size'")
    assert third.endswith("; item 3 has no name")
    with pytest.raises(WrongItems, match=r"item 10 has no name; and 2 more$"):
        items_in(tmp_path, "many.yaml", "- prompt: a\n" * 12)


def test_a_file_that_cannot_be_read_is_told_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    for name in ("nowhere.yaml", "binary.csv"):
        with pytest.raises(WrongItems, match="cannot be read"):
            read_items(tmp_path / name)
