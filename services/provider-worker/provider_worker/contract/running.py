"""Runs the suite over cases in this process, and keeps what came out."""

from __future__ import annotations

import io
import os
import re
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from chassis.errors import StartError
from provider_worker.contract.case import Case

SUITE = Path(__file__).with_name("suite.py")
LONGEST_REASON, LONGEST_LINE = 6, 200
ENUM = re.compile(r"<\w+\.(\w+): '[^']*'>")
TEST_S = 60
# Whatever else is installed for pytest is not asked: the suite is the same everywhere.
OPTIONS = [
    *("-p", "simulator.testing", "-p", "pytest_asyncio.plugin", "-p", "pytest_timeout", "-p", "no:cacheprovider"),
    *("--noconftest", "--import-mode=importlib", "--tb=short", "-q"),
    *("-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function", "-o", f"timeout={TEST_S}"),
]


@dataclass(frozen=True, slots=True)
class Result:
    """One test of the suite as a sentence, with what it was run for; `reason` where it failed."""

    test: str
    about: str
    passed: bool
    reason: str = ""


@dataclass(slots=True)
class Run:
    """A plugin of pytest: gives the cases to whatever test asks for one, and notes how it ended."""

    cases: Sequence[Case]
    results: list[Result] = field(default_factory=list)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "case" in metafunc.fixturenames:
            metafunc.parametrize("case", self.cases, ids=[case.name for case in self.cases])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.failed:
            name, _, about = report.nodeid.rpartition("::")[2].partition("[")
            sentence = name.removeprefix("test_").replace("_", " ")
            reason = _reason(report.longrepr) if report.failed else ""
            self.results.append(Result(sentence, about.rstrip("]"), not report.failed, reason))


def run(cases: Sequence[Case], wires: Sequence[str]) -> list[Result]:
    """What the suite says of `cases`, against a simulator that speaks `wires` besides its own.

    Raises `StartError` where it could not be run at all.
    """
    noted = Run(cases)
    further = [part for wire in wires for part in ("--simulator-wire", wire)]
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()) as said:
        place = ["-c", os.devnull, "--rootdir", folder, "--basetemp", f"{folder}/tests"]
        status = pytest.main([*OPTIONS, *place, *further, str(SUITE)], plugins=[noted])
    if status not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
        raise StartError([f"the suite could not be run:\n{said.getvalue().strip()}"])
    return noted.results


def _reason(shown: Any) -> str:
    """What a failed test compared, or what was raised and where."""
    crash = getattr(shown, "reprcrash", None)
    if crash is None:
        return str(shown)
    said = ENUM.sub(r"\1", str(crash.message)).splitlines()[:LONGEST_REASON]
    lines = [line if len(line) <= LONGEST_LINE else line[:LONGEST_LINE] + "…" for line in said]
    if Path(crash.path) != SUITE:
        lines.append(f"({crash.path}:{crash.lineno})")
    return "\n".join(lines)
