"""CPU and memory of the system's processes, their children included."""

from __future__ import annotations

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


def cpu_ms(before: Mapping[str, Usage], after: Mapping[str, Usage], jobs: int) -> dict[str, float]:
    """CPU milliseconds per job by process, and their sum as `all`."""
    each = {name: round((after[name].cpu - before[name].cpu) * 1000 / jobs, 3) for name in before}
    return {**each, "all": round(sum(each.values()), 3)}
