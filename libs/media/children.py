"""CPU work in child processes: started when first needed, limited, replaced when they break, gone with their owner."""

from __future__ import annotations

import asyncio
import ctypes
import multiprocessing
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import wait
from typing import ParamSpec, TypeVar

from media.errors import ChildrenFailed

P = ParamSpec("P")
R = TypeVar("R")

_SPAWN = multiprocessing.get_context("spawn")
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Limits:
    """What a child may use: bytes of address space, and seconds of CPU for each call."""

    memory: int
    cpu_s: int


class Children:
    """A pool of at most `workers` processes that share no socket and no file with their owner.

    `limits` is for work on bytes of others: such children can neither write files nor start processes. After
    `recycle_after` calls the pool is replaced, so that no leak grows for ever. Belongs to one event loop.
    """

    def __init__(self, *, workers: int, limits: Limits | None = None, recycle_after: int = 20_000) -> None:
        self._workers = workers
        self._limits = limits
        self._recycle_after = recycle_after
        self._calls = 0
        self._pool: ProcessPoolExecutor | None = None
        self._free = asyncio.Semaphore(workers)

    async def run(self, timeout: float, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What `work` returns or raises in a child; both must be picklable.

        Raises `ChildrenFailed` when a child dies, meets its limits or takes more than `timeout` seconds. It takes the
        calls beside it with it.
        """
        cpu_s = self._limits.cpu_s if self._limits else None
        async with self._free:  # a call that waits for a child is not on the clock
            pool = self._ready()
            try:
                future = pool.submit(_call, cpu_s, partial(work, *args, **kwargs))
                return await asyncio.wait_for(asyncio.wrap_future(future), timeout)
            except BrokenProcessPool:
                self._retire(pool)
                raise ChildrenFailed(f"a child process died in {work.__name__}") from None
            except MemoryError:  # what it still holds would fail the next call
                self._retire(pool)
                raise ChildrenFailed(f"{work.__name__} needs more memory than allowed") from None
            except TimeoutError:
                self._retire(pool)
                raise ChildrenFailed(f"{work.__name__} took longer than {timeout} s") from None

    def _ready(self) -> ProcessPoolExecutor:
        if self._pool is not None and self._calls >= self._recycle_after:
            self._pool.shutdown(wait=False)
            self._pool = None
        if self._pool is None:
            self._calls = 0
            self._pool = ProcessPoolExecutor(
                self._workers, mp_context=_SPAWN, initializer=_prepare, initargs=(self._limits,)
            )
        self._calls += 1
        return self._pool

    def _retire(self, pool: ProcessPoolExecutor) -> None:
        if self._pool is pool:
            self._pool = None
        _end(pool)

    async def close(self) -> None:
        """End the processes; what is still running in them is lost."""
        if self._pool is not None:
            pool, self._pool = self._pool, None
            await asyncio.to_thread(_end, pool)


def _end(pool: ProcessPoolExecutor) -> None:
    processes = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        with suppress(ValueError):  # already reaped
            process.kill()


def _prepare(limits: Limits | None) -> None:
    owner = multiprocessing.parent_process()
    if owner is not None:
        _die_with(owner.pid or 0)
        threading.Thread(target=_end_with, args=(owner.sentinel,), daemon=True).start()
    if limits is not None:
        # A library that starts threads when it is loaded would fail where no process may be started.
        os.environ["OPENBLAS_NUM_THREADS"] = "1"
        _silence()
        _lower(resource.RLIMIT_AS, limits.memory)
        _lower(resource.RLIMIT_FSIZE, 0)
        _lower(resource.RLIMIT_CORE, 0)
        _lower(resource.RLIMIT_NPROC, 0)


def _silence() -> None:
    """Decoders write what they think of foreign bytes to the standard streams, which are the service's log."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)


def _die_with(owner: int) -> None:
    """Where the kernel can, it ends this process with its owner, also while C code lets no thread of Python run."""
    if sys.platform != "linux":
        return
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"prctl: {os.strerror(code)}")
    if os.getppid() != owner:  # it died before the line above, and its signal was never sent
        os._exit(1)


def _end_with(sentinel: int) -> None:
    """A killed owner cannot end its children, and each child keeps the others' work queue open."""
    wait([sentinel])
    os._exit(1)


def _lower(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))


def _call(cpu_s: int | None, work: Callable[[], R]) -> R:
    if cpu_s is not None:
        allow_cpu(cpu_s)
    return work()


def allow_cpu(seconds: int) -> None:
    """Let this process use so much more CPU from now on; past it the kernel ends it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + 1 + seconds, hard))
