"""Start: `python -m api_gateway`."""

from __future__ import annotations

from api_gateway.app import build
from api_gateway.settings import Settings
from chassis.service import run

if __name__ == "__main__":
    run(build, Settings)
