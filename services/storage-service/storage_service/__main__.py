"""Start storage-service: `python -m storage_service`."""

from __future__ import annotations

from chassis.service import run
from storage_service.app import build
from storage_service.settings import Settings

if __name__ == "__main__":
    run(build, Settings)
