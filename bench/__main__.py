"""`python -m bench [--quick | --kinds]`: runs the system by itself, prints one JSON object; progress goes to stderr."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import measures
from bench.kinds import each_kind
from bench.processes import speed, usage
from stack.state import StackInfo
from stack.system import System

ERR = Console(stderr=True, highlight=False)
SETTINGS = {
    "PROVIDER_WORKER_PROVIDERS": "sandbox",
    "PROVIDER_WORKER_SANDBOX_INSTANT": "true",
    "PROVIDER_WORKER_IMAGES_PER_TENANT": "256",
    "PROVIDER_WORKER_HANDS": "256",
    "BACKLOT_LOG_LEVEL": "WARNING",
}
MAKING = {"PROVIDER_WORKER_PROVIDERS": "sandbox", "BACKLOT_LOG_LEVEL": "WARNING"}
"""The sandbox as it is: what it makes is real, and looked at."""


async def main(*, quick: bool, kinds: bool) -> dict[str, Any]:
    """All figures of one run."""
    scale = 0.1 if quick else 1.0
    with tempfile.TemporaryDirectory(prefix="backlot-bench-") as home:
        began = time.perf_counter()
        system = System(Path(home), port=0, env=MAKING if kinds else SETTINGS)
        async with system:
            started = time.perf_counter() - began
            ERR.print(f"ready in {started:.1f} s")
            if kinds:
                found = {"kinds": await asyncio.to_thread(each_kind, system.info)}
            else:
                found = await _measure(system.info, scale)
    return {
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "load_before": LOAD_BEFORE,
        "machine": MACHINE,
        "start_up_s": round(started, 1),
        **found,
    }


MACHINE = speed()
LOAD_BEFORE = [round(value, 1) for value in os.getloadavg()]


async def _measure(info: StackInfo, scale: float) -> dict[str, Any]:
    singles, manifests = int(6000 * scale), int(600 * scale)
    plan: dict[str, Callable[[], Awaitable[Any]]] = {
        # A cold JVM and empty tables are not how the system runs: the first jobs only warm it.
        "warm_up": lambda: measures.end_to_end(info, jobs=int(2000 * scale), count=1),
        "single_image_jobs": lambda: measures.end_to_end(info, jobs=singles, count=1),
        "jobs_of_ten_items": lambda: measures.end_to_end(info, jobs=manifests, count=10),
        "idle": lambda: _idle(info),
        "overhead": lambda: measures.overhead(info, jobs=int(200 * scale)),
        "filling": lambda: measures.fill(info, jobs=int(100_000 * scale)),
        "reading": lambda: measures.reading(info, requests=int(2000 * scale)),
        # Last, because it leaves a backlog behind.
        "acceptance": lambda: measures.acceptance(info, requests=int(20_000 * scale)),
    }
    found = {}
    for name, measure in plan.items():
        began = time.perf_counter()
        found[name] = await measure()
        ERR.print(f"{name}: {time.perf_counter() - began:.1f} s")
    found.pop("warm_up")
    return found


async def _idle(info: StackInfo) -> dict[str, Any]:
    before = {name: used.cpu for name, used in usage(info.processes).items()}
    await asyncio.sleep(10)
    after = {name: used.cpu for name, used in usage(info.processes).items()}
    busy = {name: round((after[name] - before[name]) * 10, 2) for name in before}
    return {"cpu_percent": busy, **measures.memory(info)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure the whole system; prints JSON.")
    parser.add_argument("--quick", action="store_true", help="a tenth of the load, for a first look")
    parser.add_argument("--kinds", action="store_true", help="one thing of each kind, and how long it takes")
    chosen = parser.parse_args()
    figures = asyncio.run(main(quick=chosen.quick, kinds=chosen.kinds))
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")
