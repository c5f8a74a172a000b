"""Keeping processes running: a service with its readiness probe, and the loop that restarts whatever ended."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from stack.child import Child, tail
from stack.errors import ServerError, StackError
from stack.ports import LOOPBACK

DRAIN_SECONDS = 20.0
CHECK_SECONDS = 60.0
LISTED = "  - "  # how a service begins each line of what is wrong
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 30.0
SETTLED_SECONDS = 10.0


class Program(Protocol):
    """What can be kept running: Kafka, PostgreSQL, a service."""

    @property
    def child(self) -> Child:
        """Its process, as started last."""
        ...

    async def run(self) -> None:
        """Start its process and return when it is ready; ServerError when it does not get there."""
        ...

    async def stop(self) -> None:
        """End its process in order."""
        ...


class Service:
    """One of our services as a process. Ready when ``GET ready_path`` on its internal port answers 200."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str],
        internal_port: int,
        log: Path,
        ready_path: str = "/readyz",
        inherit: Sequence[int] = (),
        timeout: float = 120.0,
    ) -> None:
        self.name = name
        self.log = log
        self._command = tuple(command)
        self._env = dict(env)
        self._port = internal_port
        self._ready_path = ready_path
        self._inherit = tuple(inherit)
        self._timeout = timeout
        self._child: Child | None = None

    @property
    def child(self) -> Child:
        """The running process; ServerError before it was started."""
        if self._child is None:
            raise ServerError(f"{self.name} has not been started.")
        return self._child

    async def run(self) -> None:
        """Start it, return when it is ready; ServerError with the end of its log when it does not get there."""
        child = self._child = Child(self._command, log=self.log, env=self._env, inherit=self._inherit)
        deadline, pause = time.monotonic() + self._timeout, 0.05
        while not await answers_ready(self._port, self._ready_path):
            if child.returncode is not None:
                raise ServerError(f"{self.name} ended with status {child.returncode}:\n{tail(self.log)}")
            if time.monotonic() > deadline:
                await self.stop()
                raise ServerError(f"{self.name} was not ready within {self._timeout:.0f} s:\n{tail(self.log)}")
            await asyncio.sleep(pause)
            pause = min(0.25, pause * 1.2)

    async def faults(self) -> list[str]:
        """A sentence for everything wrong with its settings and the files they name. It is asked, and not started."""
        with tempfile.TemporaryDirectory() as folder:
            said = Path(folder) / "said"
            child = Child([*self._command, "--check-config"], log=said, env=self._env, inherit=self._inherit)
            try:
                status = await asyncio.wait_for(child.wait(), CHECK_SECONDS)
            except TimeoutError:
                return [f"{self.name}: does not say within {CHECK_SECONDS:.0f} s whether its settings are right."]
            finally:
                await child.stop(signal.SIGKILL, 5)
            if status == 0:
                return []
            lines = said.read_text("utf-8", "replace").splitlines()
            listed = [line.removeprefix(LISTED) for line in lines if line.startswith(LISTED)]
            return [f"{self.name}: {line}" for line in listed or [tail(said)]]

    async def stop(self) -> None:
        """SIGTERM, 20 s to drain, then SIGKILL."""
        if self._child is not None:
            await self._child.stop(signal.SIGTERM, DRAIN_SECONDS)


def service_command(package: str) -> list[str]:
    """The command of a service's package; ``-P`` keeps the folder it is started in from being imported."""
    return [sys.executable, "-P", "-m", package]


async def answers_ready(port: int, path: str = "/readyz") -> bool:
    """Whether ``path`` on this port of this machine answers 200 within two seconds."""
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
                return b" 200 " in await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False


class Keeper:
    """Runs a program for good: whenever its process ends, it is started again after a pause.

    Pauses begin short and double up to half a minute while it keeps ending; once it has been ready for ten seconds
    they begin again. ``tell`` hears sentences, ``changed`` is called when there is a new process.
    """

    def __init__(
        self,
        name: str,
        program: Program,
        *,
        tell: Callable[[str], None],
        changed: Callable[[], None],
        chance: random.Random | None = None,
    ) -> None:
        self.name = name
        self.program = program
        self._tell = tell
        self._changed = changed
        self._chance = chance or random.Random()  # noqa: S311 - spreads restarts, hides nothing
        self._failures = 0
        self._task: asyncio.Task[None] | None = None

    def keep(self) -> None:
        """Watch over the program, which runs already."""
        self._task = asyncio.create_task(self._watch(), name=f"keeper of {self.name}")

    async def stop(self) -> None:
        """Watch no more, and end the program."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.program.stop()

    async def _watch(self) -> None:
        ready_at = time.monotonic()
        while True:
            status = await self.program.child.wait()
            self.program.child.sweep()
            if time.monotonic() - ready_at > SETTLED_SECONDS:
                self._failures = 0
            pause = restart_pause(self._failures, self._chance)
            self._tell(f"{self.name} ended ({describe(status)}); restarting in {pause:.1f} s")
            await asyncio.sleep(pause)
            self._failures += 1
            if await self._restart():
                ready_at = time.monotonic()

    async def _restart(self) -> bool:
        began = time.monotonic()
        restarting = asyncio.create_task(self.program.run())
        try:
            await asyncio.sleep(0)
            self._changed()
            await restarting
        except asyncio.CancelledError:
            restarting.cancel()
            await asyncio.gather(restarting, return_exceptions=True)
            raise
        except (StackError, OSError) as error:
            self._tell(f"{self.name} did not start again: {error}")
            return False
        self._changed()
        self._tell(f"{self.name} ready again in {time.monotonic() - began:.1f} s")
        return True


def restart_pause(failures: int, chance: random.Random) -> float:
    """Seconds to wait before the next start after so many in a row: 0.2, 0.4, 0.8 ... 30, less up to half by chance."""
    return float(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(failures, 20)) * chance.uniform(0.5, 1.0))


def describe(status: int) -> str:
    """An exit status in words."""
    if status >= 0:
        return f"status {status}"
    return f"killed by {signal.Signals(-status).name}"
