"""Start: `python -m prompt_service`."""

from __future__ import annotations

from chassis.service import run
from prompt_service.app import build
from prompt_service.settings import Settings

if __name__ == "__main__":
    run(build, Settings)
