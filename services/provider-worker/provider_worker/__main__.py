"""Start provider-worker: `python -m provider_worker`; `... bills` lists and settles open bills."""

from __future__ import annotations

import asyncio
import sys

from chassis.service import run
from chassis.settings import load
from provider_worker.app import build, operate
from provider_worker.settings import OperatorSettings, Settings

if __name__ == "__main__":
    if sys.argv[1:2] == ["bills"]:
        raise SystemExit(asyncio.run(operate(load(OperatorSettings), sys.argv[2:])))
    run(build, Settings)
