"""One owner per folder, and what a killed owner leaves behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.errors import FolderHeldError
from stack.ownership import FolderLock, holder, is_held

# Takes the lock, starts a child that inherits it, says so and waits.
OWNER = """
import asyncio, subprocess, sys
from pathlib import Path
from stack.ownership import FolderLock

lock = FolderLock(Path(sys.argv[1]))
asyncio.run(lock.acquire())
child = subprocess.Popen(["sleep", "600"], pass_fds=[lock.descriptor])
print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    command = [sys.executable, "-c", OWNER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        yield process, child
        process.kill()
        end(child)


def end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


async def test_a_second_owner_is_refused_and_told_who_the_first_is(
    tmp_path: Path, owner: tuple[subprocess.Popen[str], int]
) -> None:
    with pytest.raises(FolderHeldError, match=rf"in use by process {owner[0].pid} \("):
        await FolderLock(tmp_path).acquire()


async def test_a_folder_whose_owner_was_killed_is_not_free_while_a_child_of_it_lives(
    tmp_path: Path, owner: tuple[subprocess.Popen[str], int]
) -> None:
    owner[0].kill()
    owner[0].wait()

    with pytest.raises(FolderHeldError, match="an earlier owner left"):
        await FolderLock(tmp_path).acquire(patience=0.6)


async def test_a_folder_is_free_when_the_last_child_of_a_killed_owner_is_gone(
    tmp_path: Path, owner: tuple[subprocess.Popen[str], int]
) -> None:
    owner[0].kill()
    owner[0].wait()
    end(owner[1])

    lock = FolderLock(tmp_path)
    await lock.acquire(patience=10)

    assert holder(tmp_path) == os.getpid()
    lock.release()


async def test_a_released_folder_has_no_holder_and_can_be_taken_again(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    await lock.acquire()
    held = is_held(tmp_path)
    lock.release()

    assert held
    assert not is_held(tmp_path)
    assert holder(tmp_path) is None
    await lock.acquire()
    lock.release()


def test_a_folder_nobody_ever_took_is_free(tmp_path: Path) -> None:
    assert not is_held(tmp_path)
    assert holder(tmp_path) is None
