"""Whether this machine can run the system: one check per thing it needs, each with the command that mends it."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from stack import state
from stack.errors import StackError
from stack.jars import cache_folder, missing, pinned
from stack.java import archive_path, java
from stack.plan import base_port, home_folder, outside_problems, plan_for, ports_in_use
from stack.postgres import programs
from stack.services import OFFSETS

NEEDED_DISK = 2 * 1024**3
NEEDED_MEMORY = 1.5 * 1024**3
SETUP = "make setup"


@dataclass(frozen=True, slots=True)
class Check:
    """``detail`` says what was seen, ``remedy`` what to do where ``ok`` is false, empty where nothing is to be done."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


def checks(home: Path | None = None, *, port: int | None = None, env: Mapping[str, str] | None = None) -> list[Check]:
    """Everything a start needs, looked at without starting anything. Arguments as for ``stack.system.System``."""
    environ = {**os.environ, **(env or {})}
    home = (home or home_folder(environ)).absolute()
    return [
        _system(),
        _python(),
        _program("PostgreSQL", lambda: programs() / "postgres"),
        _program("Java", java),
        _jars(cache_folder(environ)),
        _fast_start(cache_folder(environ)),
        _home(home),
        _disk(home),
        _memory(),
        _addresses(home, port, environ),
    ]


def _system() -> Check:
    library, version = platform.libc_ver()
    seen = f"{platform.system()} {platform.machine()}, {library or 'no glibc'} {version}".strip()
    ok = sys.platform == "linux" and library == "glibc"
    return Check("system", ok, seen, "" if ok else "Use Linux with glibc, or: docker compose up")


def _python() -> Check:
    ok = (3, 11) <= sys.version_info[:2] <= (3, 13)
    remedy = "" if ok else "Install Python 3.11, 3.12 or 3.13, then: make clean setup"
    return Check("python", ok, platform.python_version(), remedy)


def _program(name: str, find: Callable[[], Path]) -> Check:
    try:
        path = find()
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30, check=True).stdout
    except (StackError, OSError, subprocess.SubprocessError) as error:
        return Check(name, False, str(error), SETUP)
    return Check(name, True, said.splitlines()[0])


def _jars(cache: Path) -> Check:
    lacking, all_of_them = len(missing(cache)), len(pinned())
    if lacking:
        detail = f"{lacking} of {all_of_them} jars are not in {cache}; a start fetches them, which needs the network"
        return Check("kafka", False, detail, SETUP)
    return Check("kafka", True, f"{all_of_them} jars in {cache}")


def _fast_start(cache: Path) -> Check:
    try:
        ready = archive_path(cache).exists()
    except (StackError, OSError):
        ready = False
    detail = "Kafka's classes are prepared" if ready else "Kafka's classes are not prepared; it starts, but slower"
    return Check("fast start", True, detail, "" if ready else "python -m stack.prefetch")


def _home(home: Path) -> Check:
    there = _nearest(home)
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        return Check("state folder", False, f"{there} cannot be written", "Set BACKLOT_HOME to a folder you can write.")
    return Check("state folder", True, str(home))


def _disk(home: Path) -> Check:
    there = _nearest(home)
    free = shutil.disk_usage(there).free
    ok = free >= NEEDED_DISK
    remedy = "" if ok else f"Free some space, or set BACKLOT_HOME to a disk with {_gb(NEEDED_DISK)}."
    return Check("disk", ok, f"{_gb(free)} free at {there}", remedy)


def _memory() -> Check:
    free = psutil.virtual_memory().available
    ok = free >= NEEDED_MEMORY
    return Check(
        "memory", ok, f"{_gb(free)} free", "" if ok else f"End something; the system takes {_gb(NEEDED_MEMORY)}."
    )


def _addresses(home: Path, port: int | None, environ: Mapping[str, str]) -> Check:
    if info := state.running(home):
        return Check("ports", True, f"the system runs: {info.gateway}")
    try:
        base = base_port(port, environ)
    except ValueError as error:
        return Check("ports", False, str(error), "unset BACKLOT_PORT")
    plan = plan_for({offset: base + offset for offset in OFFSETS} if base else {}, environ)
    problems = [*ports_in_use(plan), *outside_problems(plan)]
    if problems:
        return Check("ports", False, " ".join(problems), "export BACKLOT_PORT=0")
    return Check("ports", True, f"{base} to {base + OFFSETS[-1]} are free" if base else "free ones are chosen")


def _nearest(home: Path) -> Path:
    """The folder itself, or the first above it that is there."""
    return next(folder for folder in (home, *home.parents) if folder.exists())


def _gb(size: float) -> str:
    return f"{size / 1024**3:.1f} GB"
