"""An adapter of anybody's own goes through our suite, and is told what is wrong with it in words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chassis.errors import StartError
from provider_worker.adapters.interface import MediaKind
from provider_worker.contract.from_routes import cases_of
from provider_worker.route_file import read_routes
from simulator.environment import environment
from simulator.wires import WIRES

PAINTER = Path(__file__).parents[3] / "docs" / "how-to" / "painter"
ORIGIN = "http://127.0.0.1:1"
TOLD = environment(WIRES, ORIGIN)
WITHOUT_PYTEST = "import sys, runpy; sys.modules['pytest_timeout'] = None; runpy.run_module('{}', run_name='__main__')"
BREAKS = {
    # An answer that was lost is said to have been refused, so that the engine would pay again.
    "own=own)": "own=True)",
    # The seconds that were asked for are forgotten.
    "raise raised": "raised.retry_after = None\n    raise raised",
}


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with a package `painter`: an adapter, its wire, its routes."""
    (tmp_path / "painter").mkdir()
    for file in PAINTER.glob("*.*"):
        (tmp_path / "painter" / file.name).write_text(file.read_text())
    return tmp_path


def said_of(own: Path, name: str = "painter", *more: str) -> subprocess.CompletedProcess[str]:
    """What the command says, asked in a folder that has nothing to do with ours."""
    command = [sys.executable, "-P", "-m", "provider_worker.contract", name, *(more or wired(own))]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(own), *filter(None, [os.environ.get("PYTHONPATH")])])}
    return subprocess.run(command, cwd=own, env=env, capture_output=True, text=True, timeout=200, check=False)


def wired(own: Path) -> list[str]:
    return ["--routes", str(own / "painter" / "routes.yaml"), "--wire", "painter.wire"]


def results_of(said: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(said.stdout)["results"]


def test_an_adapter_of_ones_own_passes_all_that_ours_pass(own: Path) -> None:
    said = said_of(own)
    assert [result for result in results_of(said) if not result["passed"]] == []
    assert len(results_of(said)) > 30
    assert said.returncode == 0


def test_a_broken_adapter_fails_where_it_is_broken_and_the_reason_can_be_read(own: Path) -> None:
    adapter = own / "painter" / "adapter.py"
    text = adapter.read_text()
    for right, wrong in BREAKS.items():
        assert right in text
        text = text.replace(right, wrong)
    adapter.write_text(text)

    said = said_of(own)
    failed = {
        (result["test"], result["about"]): result["reason"] for result in results_of(said) if not result["passed"]
    }

    assert said.returncode == 1
    assert set(failed) == {
        ("the delay a provider asks for is read", "painter"),
        ("an answer that was lost leaves the outcome open", "painter-http502:foreign"),
    }
    assert (
        "assert REJECTED is UNKNOWN"
        in failed["an answer that was lost leaves the outcome open", "painter-http502:foreign"]
    )
    assert "Obtained: None" in failed["the delay a provider asks for is read", "painter"]


def test_what_an_adapter_raises_is_told_with_its_place(own: Path) -> None:
    adapter = own / "painter" / "adapter.py"
    adapter.write_text(adapter.read_text().replace('number(body, "price_usd")', 'body["price"]'))
    [reason] = {result["reason"] for result in results_of(said_of(own)) if "real media" in result["test"]}
    assert reason.startswith("KeyError: 'price'\n")
    assert "painter/adapter.py:" in reason


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "PAINTER_API_KEY is not set: no wire of the simulator has it"),
        (
            {"PAINTER_API_KEY": "k"},
            "the base_url of painter leads to https://api.painter.example, not to the simulator",
        ),
    ],
)
def test_a_provider_that_no_wire_stands_in_for_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], said: str
) -> None:
    monkeypatch.syspath_prepend(PAINTER.parent)
    with pytest.raises(StartError, match=said):
        cases_of("painter", PAINTER / "routes.yaml", {**TOLD, **changes}, ORIGIN)


def test_what_cannot_be_tested_is_told_in_words(own: Path) -> None:
    unknown, alone = said_of(own, "nobody"), said_of(own, "painter", "--wire", "painter.nothing")
    assert (unknown.returncode, alone.returncode) == (2, 2)
    assert unknown.stderr.startswith("there is no provider nobody; there are: ")
    assert alone.stderr == "there is no wire painter.nothing: No module named 'painter.nothing'\n"


def test_without_what_tests_take_it_is_said_how_to_get_it(own: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_PYTEST.format("provider_worker.contract"), "fal"]
    said = subprocess.run(command, cwd=own, capture_output=True, text=True, timeout=60, check=False)
    assert said.returncode == 2
    assert "the suite needs pytest_timeout: install them with `pip install 'backlot[dev]'`" in said.stderr
    assert "make setup-dev" in said.stderr


@pytest.mark.parametrize("name", [name for name, found in read_routes(environ=TOLD).configs.items() if found.base_url])
def test_each_provider_of_ours_can_be_named(name: str) -> None:
    cases = cases_of(name, None, TOLD, ORIGIN)
    assert cases
    for case in cases:
        assert case.path.startswith("/")
        assert ("width" in case.asked) is (case.asked["kind"] in {MediaKind.IMAGE, MediaKind.VIDEO})
