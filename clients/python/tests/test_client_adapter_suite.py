"""`backlot providers test`: what a user reads of an adapter that is wrong, and how the command ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BACKLOT = Path(sys.executable).with_name("backlot")
PAINTER = Path(__file__).parents[3] / "docs" / "how-to" / "painter"
# A result that nothing is billed for: the ledger would be told a wrong price.
RIGHT, WRONG = "round(price * 1_000_000)", "0"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with an adapter that has one fault."""
    (tmp_path / "painter").mkdir()
    for file in PAINTER.glob("*.*"):
        text = file.read_text()
        assert file.name != "adapter.py" or RIGHT in text
        (tmp_path / "painter" / file.name).write_text(text.replace(RIGHT, WRONG))
    return tmp_path


def typed(own: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(own), *filter(None, [os.environ.get("PYTHONPATH")])])}
    command = [str(BACKLOT), "providers", "test", *arguments]
    return subprocess.run(command, cwd=own, env=env, capture_output=True, text=True, timeout=200, check=False)


def test_each_test_is_a_row_and_what_failed_is_told_with_its_reason(own: Path) -> None:
    done = typed(own, "painter", "--routes", "painter/routes.yaml", "--wire", "painter.wire")
    rows, _, reasons = done.stdout.partition("\n\n")
    assert done.returncode == 1
    assert "FAILED\t0/1\treal media come as they were planned and cost no more than was quoted" in rows.splitlines()
    assert "ok\t6/6\ta refusal is told by its code and has cost nothing" in rows.splitlines()
    assert reasons.startswith("real media come as they were planned and cost no more than was quoted [painter]\n")
    assert "assert 0 > 0" in reasons
    assert reasons.splitlines()[-1].endswith(" passed, 1 failed")


def test_machines_get_it_as_json(own: Path) -> None:
    done = typed(own, "painter", "--routes", "painter/routes.yaml", "--wire", "painter.wire", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["provider"], told["failed"]) == (1, "painter", 1)
    assert len(told["results"]) == told["passed"] + 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nobody"], "there is no provider nobody; there are: "),
        (["painter", "--routes", "nowhere.yaml"], "nowhere.yaml: cannot be read: "),
        (["painter", "--routes", "painter/routes.yaml"], "PAINTER_API_KEY is not set: no wire of the simulator has it"),
    ],
    ids=["name", "file", "wire"],
)
def test_what_cannot_be_tested_is_told_in_one_sentence(own: Path, arguments: list[str], said: str) -> None:
    done = typed(own, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1
