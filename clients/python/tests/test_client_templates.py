"""`backlot templates`, against a gateway that is played: what it asks for, and how answers are shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.played_gateway import Answer, Asked, Types, serving, typing_in

POSTER = {"name": "poster", "version": "v1.1", "kind": "image", "origin": "own", "placeholders": {"subject": {}}}
PREVIEW = {"prompt": "A poster of [b]a fox[/b].\nflat colours", "warnings": ["the kit has no tone"]}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, Any]]]:
    """Address and body of whatever the gateway was asked."""
    found: list[tuple[str, Any]] = []

    def answer(asked: Asked) -> Answer:
        found.append((asked.target, asked.json() if asked.body else None))
        return 200, PREVIEW if asked.method == "POST" else {"items": [POSTER], "total": 9}

    with serving(monkeypatch, answer):
        yield found


@pytest.fixture
def types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Types:
    return partial(typing_in(tmp_path, monkeypatch, capfd), "templates")


def test_templates_are_listed_with_their_slots(types: Types, asked: list[tuple[str, Any]]) -> None:
    status, out, _ = types("--kind", "image")

    assert (status, asked) == (0, [("/api/v1/templates?kind=image&limit=100", None)])
    assert out.splitlines() == [
        "template\tversion\tmakes\torigin\tslots",
        "poster\tv1.1\timage\town\tsubject",
        "1 of 9",
    ]
    assert json.loads(types("--json")[1])["items"] == [POSTER]


def test_a_preview_is_the_prompt_as_it_stands(types: Types, asked: list[tuple[str, Any]]) -> None:
    told = ("--version", "v1.1", "--brand-kit", "k1", "--style-capsule", "c1", "--variable", "stars=5")
    status, out, err = types("preview", "poster", "a fox", *told)

    assert (status, out, err) == (0, f"{PREVIEW['prompt']}\n", "warning: the kit has no tone\n")
    wanted = {"prompt": "a fox", "brand_kit_id": "k1", "style_capsule_id": "c1", "variables": {"stars": "5"}}
    assert asked == [("/api/v1/templates/poster/preview", {**wanted, "template_version": "v1.1"})]
    assert json.loads(types("preview", "poster", "--json")[1]) == PREVIEW


def test_a_name_stays_one_part_of_the_address(types: Types, asked: list[tuple[str, Any]]) -> None:
    types("preview", "../keys?a=b")

    assert [path for path, _ in asked] == ["/api/v1/templates/..%2Fkeys%3Fa%3Db/preview"]


def test_a_slot_without_a_value_is_a_wrong_command_line(types: Types, asked: list[tuple[str, Any]]) -> None:
    status, _, err = types("preview", "poster", "--variable", "stars")

    assert (status, asked, "--variable is like" in err) == (2, [], True)
