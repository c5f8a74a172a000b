"""A plugin of pytest, registered in the root conftest: one running system for all tests that look at it from outside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.running import Live


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """The whole system, started when the first test asks for it, ended with the session."""
    from tests.running import start, stop

    running = start(tmp_path_factory.mktemp("live"))
    yield running
    stop(running)
