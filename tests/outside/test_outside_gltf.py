"""The validator of the Khronos Group, who wrote glTF, over the models that the system makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.outside.made import Made, orders
from tests.outside.tools import node

pytestmark = [pytest.mark.outside, pytest.mark.timeout(480)]

MODEL = "model_3d glb"
WARNING = 1
"""Errors are 0, hints and remarks 2 and 3."""


def report_on(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = node("validate.mjs", {"path": str(path)}, timeout=60)
    return found


def test_the_validator_finds_neither_error_nor_warning_in_a_model(made: Made) -> None:
    issues = report_on(made.file(MODEL))["issues"]

    assert not issues["truncated"]
    assert [issue for issue in issues["messages"] if issue["severity"] <= WARNING] == []


def test_a_model_has_no_more_triangles_than_was_asked_and_needs_no_other_file(made: Made) -> None:
    about = report_on(made.file(MODEL))["info"]

    assert 0 < about["totalTriangleCount"] <= orders()[MODEL]["max_triangles"]
    assert about["hasTextures"]
    assert {resource["storage"] for resource in about["resources"]} <= {"glb", "buffer-view"}
    assert made.output(MODEL)["flags"] == []


def test_the_validator_sees_a_model_whose_end_is_missing(made: Made, tmp_path: Path) -> None:
    broken = tmp_path / "broken.glb"
    broken.write_bytes(made.file(MODEL).read_bytes()[:-200])

    assert report_on(broken)["issues"]["numErrors"] > 0
