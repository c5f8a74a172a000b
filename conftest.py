"""The one conftest. Fixtures come from stack/testing.py, simulator/testing.py, tests/live.py: the system, and
tests/outside/made.py: what it made."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from xdist.scheduler import LoadFileScheduling

# No test spends anybody's money, whatever keys are in the environment.
os.environ["PROVIDER_WORKER_PROVIDERS"] = "sandbox"

pytest_plugins = ["stack.testing", "tests.live", "tests.outside.made", "simulator.testing"]

# Outside of test files pytest leaves asserts as they are, and a failure would not say what it compared.
pytest.register_assert_rewrite("provider_worker.contract.suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fire-jobs", type=int, default=60, help="jobs in tests/faults/test_faults_providers.py")


class ByFile(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """Shares tests out among processes: a file stays with one, which makes what the file's fixtures hold but once."""

    def _split_scope(self, nodeid: str) -> str:
        # They look at one running system, of which every process would start its own, and keep it to the end.
        return "tests/e2e" if nodeid.startswith(("tests/e2e/", "tests/outside/")) else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    # In the order of `testpaths`, where what takes longest comes first: at the end everybody would wait for it.
    config.option.loadscopereorder = False
    return ByFile(config, log)


@pytest.fixture(autouse=True, scope="module")
def _logging_as_it_was() -> Iterator[None]:
    """A file of tests that sets logging up does it for itself alone."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    configured, config = structlog.is_configured(), structlog.get_config()
    yield
    structlog.reset_defaults()
    if configured:
        structlog.configure(**config)
    root.handlers[:], root.level = handlers, level
