"""The one conftest. Fixtures come from stack/testing.py, simulator/testing.py, and tests/live.py: the system."""

from __future__ import annotations

pytest_plugins = ["stack.testing", "tests.live", "simulator.testing"]
