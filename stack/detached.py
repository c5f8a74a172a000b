"""The system in the background: start its owner as a daemon, and end whoever owns a state folder."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from stack import state
from stack.child import tail
from stack.errors import ServerError
from stack.ownership import holder, is_held, refuse_if_held
from stack.plan import home_folder, make_home
from stack.state import StackInfo

SUPERVISOR = "supervisor"


def start_detached(
    home: Path | None = None,
    *,
    port: int | None = None,
    env: Mapping[str, str] | None = None,
    wires: Sequence[str] | None = None,
    timeout: float = 300.0,
) -> StackInfo:
    """Start the system in a process of its own that goes on when this one ends; return when everything is ready.

    Arguments as for ``System``. FolderHeldError when it runs already; ServerError with what its owner said if it fails.
    """
    environ = {**os.environ, **(env or {})}
    home = (home or home_folder(environ)).absolute()
    make_home(home)
    refuse_if_held(home)
    log = state.log_file(home, SUPERVISOR)
    state.turn_over(log)
    command = [sys.executable, "-P", "-m", "stack", "--home", str(home)]
    if port is not None:
        command += ["--port", str(port)]
    if wires is not None:
        command += ["--simulator", *(part for wire in wires for part in ("--wire", wire))]
    with log.open("ab") as output:
        said_before = output.tell()
        owner = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environ,
            start_new_session=True,
        )
    try:
        return _wait_until_ready(home, owner, log, said_before, time.monotonic() + timeout)
    except BaseException:
        owner.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            owner.wait(30)
        owner.kill()
        raise


def _wait_until_ready(
    home: Path, owner: subprocess.Popen[bytes], log: Path, said_before: int, deadline: float
) -> StackInfo:
    while time.monotonic() < deadline:
        info = state.running(home)
        if info is not None and info.processes[SUPERVISOR] == owner.pid:
            return info
        if owner.poll() is not None:
            with log.open("rb") as file:
                file.seek(said_before)
                raise ServerError(file.read().decode("utf-8", "replace").strip())
        time.sleep(0.05)
    raise ServerError(f"The system was not ready in time:\n{tail(log)}")


def stop(home: Path | None = None, *, timeout: float = 60.0) -> bool:
    """End the system over ``home``, by force after ``timeout`` s. Returns when all is gone; False: nothing ran."""
    home = (home or home_folder(os.environ)).absolute()
    was_running, pid = is_held(home), holder(home)
    if was_running and pid is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            owner = psutil.Process(pid)
            owner.send_signal(signal.SIGTERM)
            if not _gone(home, owner, timeout):
                owner.kill()
    if not _gone(home, None, timeout):
        raise ServerError(f"Processes of the system over {home} do not end; they are in {home / state.INFO_FILE}.")
    state.remove_info(home)
    return was_running


def _gone(home: Path, owner: psutil.Process | None, timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    while is_held(home) or (owner is not None and _lives(owner)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
