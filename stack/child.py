"""A child process that does not outlive its owner."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal as signals
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stack.errors import ServerError

LEASH = Path(__file__).with_name("leash.py")


@dataclass(frozen=True, slots=True)
class Account:
    """The user a child runs as. ``reach``: folders closed to it do not stop it (see stack/leash.py)."""

    uid: int
    gid: int
    reach: bool = False


def own_account() -> Account:
    """Whoever runs this process."""
    return Account(os.geteuid(), os.getegid())


class Child:
    """A started process. Its output is appended to ``log``; a signal tells it when the thread that started it ends.

    The kernel ties that signal to the thread: start children from a thread that lives as long as they should, which
    is the main one.
    """

    def __init__(
        self,
        arguments: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        account: Account | None = None,
        death_signal: signals.Signals = signals.SIGKILL,
        inherit: Sequence[int] = (),
        cwd: Path | None = None,
    ) -> None:
        who = account or own_account()
        leash = [sys.executable, "-I", "-S", LEASH, os.getpid(), int(death_signal), who.uid, who.gid, int(who.reach)]
        self.name = Path(arguments[0]).name
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [str(part) for part in (*leash, *arguments)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=None if env is None else dict(env),
                cwd=cwd,
                start_new_session=True,
                pass_fds=[descriptor for descriptor in inherit if descriptor >= 0],
            )
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """Exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    async def wait(self) -> int:
        """Its exit status, as soon as it has ended."""
        while (status := self._process.poll()) is None:
            await _exited(self.pid)
        return status

    def signal(self, number: signals.Signals) -> None:
        """Send a signal; nothing happens when it has ended."""
        if self._process.poll() is None:
            self._process.send_signal(number)

    async def stop(self, number: signals.Signals, grace: float) -> int:
        """Ask it to end, kill it after ``grace`` seconds; its own children go with it. Returns the exit status."""
        self.signal(number)
        try:
            status = await asyncio.wait_for(self.wait(), grace)
        except TimeoutError:
            self.signal(signals.SIGKILL)
            status = await self.wait()
        self.sweep()
        return status

    def sweep(self) -> None:
        """Kill what is left of its session after it has ended: a killed server cannot take its own children along."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signals.SIGKILL)


async def _exited(pid: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    try:
        loop.add_reader(descriptor, ended.set)
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def run_to_end(
    arguments: Sequence[str | Path],
    *,
    log: Path,
    account: Account | None = None,
    inherit: Sequence[int] = (),
    timeout: float = 120.0,
) -> None:
    """Run a program that ends by itself; ServerError with the end of ``log`` when it fails or takes too long."""
    child = Child(arguments, log=log, account=account, inherit=inherit)
    try:
        status = await asyncio.wait_for(child.wait(), timeout)
    except TimeoutError:
        raise ServerError(f"{child.name} did not end within {timeout:.0f} s:\n{tail(log)}") from None
    finally:
        await child.stop(signals.SIGKILL, 5)
    if status != 0:
        raise ServerError(f"{child.name} ended with status {status}:\n{tail(log)}")


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log file, for an error message."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 16_384))
            return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-lines:])
    except OSError:
        return f"({log} cannot be read)"
