"""Start: `python -m cost_ledger`."""

from __future__ import annotations

from chassis.service import run
from cost_ledger.app import build
from cost_ledger.settings import Settings

if __name__ == "__main__":
    run(build, Settings)
