"""The validator of the Khronos Group, who wrote glTF, over the models that the system makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.outside.made import SEED, WAIT_S, Made, orders
from tests.outside.tools import node
from tests.worker_models import CUBE, cube

pytestmark = [pytest.mark.outside, pytest.mark.timeout(480)]

MODEL = "model_3d glb"
WAYS = ("made here", "of somebody else, without places for a texture")
WARNING = 1
"""Errors are 0, hints and remarks 2 and 3."""


def report_on(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = node("validate.mjs", {"path": str(path)}, timeout=60)
    return found


def test_the_validator_finds_neither_error_nor_warning_in_a_model(made: Made) -> None:
    issues = report_on(made.file(MODEL))["issues"]

    assert not issues["truncated"]
    assert [issue for issue in issues["messages"] if issue["severity"] <= WARNING] == []


@pytest.fixture(scope="module", params=WAYS)
def retextured(made: Made, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A model in new looks."""
    folder = tmp_path_factory.mktemp("retextured")
    if request.param == WAYS[0]:
        asset_id = made.output(MODEL)["asset_id"]
    else:
        (folder / "given.glb").write_bytes(strangers())
        asset_id = made.client.upload(folder / "given.glb")["id"]
    body = {
        "kind": "model_3d",
        "prompt": "Old bricks",
        "seed": SEED,
        "inputs": [{"role": "model", "asset_id": asset_id}],
    }
    job = made.client.wait(made.client.create_job(body)["id"], timeout=WAIT_S)
    assert job["status"] == "completed", job["error"]
    [output] = job["items"][0]["outputs"]
    made.client.download(output["url"], folder / "made.glb", sha256=output["sha256"])
    return folder / "made.glb"


def strangers() -> bytes:
    model = cube()
    [primitive] = model.document["meshes"][0]["primitives"]
    primitive["attributes"]["NORMAL"] = model.accessor(CUBE / np.sqrt(3, dtype=np.float32))
    return model.file()


def test_the_validator_finds_neither_error_nor_warning_in_a_model_in_new_looks(retextured: Path) -> None:
    report = report_on(retextured)

    assert [issue for issue in report["issues"]["messages"] if issue["severity"] <= WARNING] == []
    assert report["info"]["hasTextures"]
    assert {resource["storage"] for resource in report["info"]["resources"]} <= {"glb", "buffer-view"}


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
