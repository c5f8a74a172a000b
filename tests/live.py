"""A plugin of pytest, registered in the root conftest: one running system for all tests that look from outside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import httpx

    from tests.collector import Collector
    from tests.running import Live


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    """Where the running system sends its spans."""
    from tests.collector import Collector

    listening = Collector()
    listening.start()
    yield listening
    listening.stop()


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Live]:
    """The whole system, started when the first test asks for it, ended with the session."""
    from tests.running import start, stop

    running = start(tmp_path_factory.mktemp("live"), collector.endpoint)
    yield running
    stop(running)


@pytest.fixture
async def owner(live: Live) -> AsyncIterator[httpx.AsyncClient]:
    """Plain HTTP to the gateway with the system's own key."""
    async with live.client() as client:
        yield client


@pytest.fixture
async def stranger(live: Live) -> AsyncIterator[httpx.AsyncClient]:
    """Plain HTTP to the gateway, or wherever an address leads, without any key."""
    import httpx

    async with httpx.AsyncClient(
        base_url=live.info.gateway, timeout=30, trust_env=False, follow_redirects=True
    ) as client:
        yield client
