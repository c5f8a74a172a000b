"""One owner per folder: a lock that its children inherit, so that it is free only when the last of them is gone."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import time
from pathlib import Path

import psutil

from stack.errors import FolderHeldError

LOCK_FILE = ".owner.lock"
DYING_SECONDS = 0.5  # a process that was just killed is seen for another moment


class FolderLock:
    """Exclusive use of a folder (``flock`` on a file in it).

    Pass ``descriptor`` to every child. When the owner is killed, its children die after it; until the last of them
    has closed its files the lock stays taken, so whoever gets it knows that nothing of the earlier owner is left.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.descriptor = -1
        self._taken = False

    @property
    def is_ours(self) -> bool:
        """Whether this object holds the lock."""
        return self._taken

    async def acquire(self, *, patience: float = 30.0) -> None:
        """Take the lock; FolderHeldError while its holder lives, or if its children do after ``patience`` seconds."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.descriptor = os.open(self.folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            await self._take(patience)
        except BaseException:
            self.release()
            raise
        self._taken = True
        me = {"pid": os.getpid(), "started": psutil.Process().create_time()}
        os.truncate(self.descriptor, 0)
        os.pwrite(self.descriptor, json.dumps(me).encode(), 0)

    async def _take(self, patience: float) -> None:
        began = time.monotonic()
        while True:
            try:
                fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._give_up_or_go_on(time.monotonic() - began, patience)
                await asyncio.sleep(0.05)
            else:
                return

    def _give_up_or_go_on(self, waited: float, patience: float) -> None:
        if waited > DYING_SECONDS and (pid := holder(self.folder)) is not None:
            raise _held_by(self.folder, pid)
        if waited > patience:
            raise FolderHeldError(
                f"{self.folder} is in use by processes that an earlier owner left behind; they have not ended yet."
            )

    def release(self) -> None:
        """Give the folder up; harmless when it is not held."""
        if self.descriptor >= 0:
            if self._taken:
                os.truncate(self.descriptor, 0)
            self._taken = False
            os.close(self.descriptor)
            self.descriptor = -1


def holder(folder: Path) -> int | None:
    """Pid of the living process that took the lock of ``folder`` and has not released it."""
    try:
        noted = json.loads((folder / LOCK_FILE).read_text())
        process = psutil.Process(noted["pid"])
        same = abs(process.create_time() - noted["started"]) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return None
    return process.pid if same else None


def is_held(folder: Path) -> bool:
    """Whether anybody holds ``folder`` right now, its owner or what an owner left behind."""
    try:
        descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def refuse_if_held(folder: Path) -> None:
    """FolderHeldError that names the process, if ``folder`` has a living owner."""
    deadline = time.monotonic() + DYING_SECONDS
    while is_held(folder) and (pid := holder(folder)) is not None:
        if time.monotonic() > deadline:
            raise _held_by(folder, pid)
        time.sleep(0.05)


def _held_by(folder: Path, pid: int) -> FolderHeldError:
    return FolderHeldError(f"{folder} is in use by process {pid} ({_command_of(pid)}).")


def _command_of(pid: int) -> str:
    try:
        return " ".join(psutil.Process(pid).cmdline()[:4]) or "no name"
    except psutil.Error:
        return "ended just now"
