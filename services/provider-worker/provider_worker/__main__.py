"""Start provider-worker: `python -m provider_worker`."""

from __future__ import annotations

from chassis.service import run
from provider_worker.app import build
from provider_worker.settings import Settings

if __name__ == "__main__":
    run(build, Settings)
