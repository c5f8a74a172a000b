"""CPU and memory of the system's processes, their children included."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class Usage:
    """`cpu` in seconds since the process began, `rss` and `pss` in bytes (pss counts shared memory once)."""

    cpu: float
    rss: int
    pss: int


def usage(pids: Mapping[str, int]) -> dict[str, Usage]:
    """What each named process and its children have used; without the supervisor, which here is the bench itself."""
    return {name: _usage(pid) for name, pid in pids.items() if name != "supervisor"}


def _usage(pid: int) -> Usage:
    root = psutil.Process(pid)
    cpu, rss, pss = 0.0, 0, 0
    for process in [root, *root.children(recursive=True)]:
        try:
            times, memory = process.cpu_times(), process.memory_full_info()
        except psutil.NoSuchProcess:
            continue
        # Children that ended are counted in their parent's.
        cpu += times.user + times.system + times.children_user + times.children_system
        rss, pss = rss + memory.rss, pss + memory.pss
    return Usage(cpu, rss, pss)


def speed() -> dict[str, float]:
    """How fast this machine is just now: seconds for ten million additions, milliseconds for a flushed write of 4 kB.

    Figures of two runs compare only where these do.
    """
    began, total = time.perf_counter(), 0
    for number in range(10_000_000):
        total += number
    loop = time.perf_counter() - began
    with tempfile.TemporaryFile() as file:
        began = time.perf_counter()
        for _ in range(50):
            os.write(file.fileno(), bytes(4096))
            os.fsync(file.fileno())
        flush = (time.perf_counter() - began) / 50
    return {"ten_million_additions_s": round(loop, 2), "flushed_write_ms": round(flush * 1000, 2)}


def cpu_ms(before: Mapping[str, Usage], after: Mapping[str, Usage], jobs: int) -> dict[str, float]:
    """CPU milliseconds per job by process, and their sum as `all`."""
    each = {name: round((after[name].cpu - before[name].cpu) * 1000 / jobs, 3) for name in before}
    return {**each, "all": round(sum(each.values()), 3)}
