"""The one conftest: fixtures for every test come from stack/testing.py, the running system from tests/live.py."""

from __future__ import annotations

pytest_plugins = ["stack.testing", "tests.live"]
