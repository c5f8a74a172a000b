"""The child processes: what they may use, what happens when one ends, and that none outlives its owner."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from io import BytesIO
from multiprocessing import spawn
from pathlib import Path

import psutil
import pytest
from PIL import Image

from media import Checker, Children, ChildrenFailed, CorruptOutput, Facts, FinishedMedia, Limits, Reason, Wanted
from media.marks import marked
from media.tests.media_files import glb, png, sound, video

GENEROUS = Limits(memory=1 << 30, cpu_s=20)


def long_sound() -> bytes:
    """An MP3 of 57 minutes in 14 MB, as long as sounds may be: the same frame again and again, and 5 s of decoding."""
    data = sound(1.0, "MP3", rate=48_000)
    frame = data[data.index(b"\xff\xfb", 800) :]
    length = frame.index(b"\xff\xfb", 4)
    return frame[:length] * 142_000


def finishing(source: bytes | Path) -> tuple[bytes | Path, Wanted]:
    return source, Wanted("png", 20, 10)


@pytest.fixture
async def checker() -> AsyncIterator[Checker]:
    opened = Checker()
    yield opened
    await opened.close()


@pytest.fixture
async def children() -> AsyncIterator[Children]:
    opened = Children(workers=1, limits=GENEROUS)
    yield opened
    await opened.close()


def leave() -> None:
    os._exit(3)


def spin() -> None:
    while True:
        pass


def allocate(size: int) -> int:
    return len(bytearray(size))


def write(path: str) -> None:
    with open(path, "wb") as file:
        file.write(b"x")


def open_sockets() -> int:
    process = psutil.Process()
    return len(process.net_connections(kind="inet"))


def speak() -> None:
    for stream in (1, 2):
        os.write(stream, b"Illegal Audio-MPEG-Header")


def pid() -> int:
    return os.getpid()


async def test_media_is_checked_from_a_file_and_from_bytes(checker: Checker, tmp_path: Path) -> None:
    path = tmp_path / "picture"
    path.write_bytes(png(20, 10))
    facts = Facts("image/png", len(png(20, 10)), width=20, height=10)
    assert await checker.check(path) == await checker.check(png(20, 10)) == facts
    with pytest.raises(CorruptOutput, match="zero bytes"):
        await checker.check(b"")
    with pytest.raises(FileNotFoundError):
        await checker.check(tmp_path / "nothing")


async def test_every_kind_is_checked_in_a_child(checker: Checker) -> None:
    for data, mime in ((sound(1.0), "audio/wav"), (video(), "video/mp4"), (glb(), "model/gltf-binary")):
        assert (await checker.check(data)).mime == mime


async def test_what_decoders_write_does_not_reach_the_log(
    children: Children, capfd: pytest.CaptureFixture[str]
) -> None:
    await children.run(30, speak)
    assert capfd.readouterr() == ("", "")


async def test_pictures_are_finished_in_groups_and_each_has_its_own_outcome(checker: Checker, tmp_path: Path) -> None:
    path = tmp_path / "picture"
    path.write_bytes(png(20, 10))
    group = [finishing(path), finishing(b""), finishing(png(20, 10)), finishing(tmp_path / "nothing")]
    first, second, third, fourth = await checker.finish_pictures(group)
    assert isinstance(first, FinishedMedia)
    assert first == third
    assert first.facts == Facts("image/png", len(marked(png(20, 10), "image/png")), width=20, height=10)
    assert isinstance(second, CorruptOutput)
    assert second.reason is Reason.EMPTY
    assert isinstance(fourth, FileNotFoundError)
    assert await checker.finish_pictures([]) == []


async def test_many_groups_at_once_all_come_back(checker: Checker) -> None:
    outcomes = await asyncio.gather(*(checker.finish_pictures([finishing(png(20, 10))] * 50) for _ in range(20)))
    assert all(isinstance(outcome, FinishedMedia) for outcomes_of_one in outcomes for outcome in outcomes_of_one)


async def test_a_picture_that_burns_the_cpu_is_refused_and_its_neighbours_pass() -> None:
    checker = Checker(limits=Limits(memory=1 << 30, cpu_s=1))
    good = finishing(png(20, 10))
    outcomes = await checker.finish_pictures([good, (png(8000, 5000), Wanted("webp", 4096, 4096)), good])
    await checker.close()
    assert isinstance(outcomes[1], CorruptOutput)
    assert "limits" in str(outcomes[1])
    assert isinstance(outcomes[0], FinishedMedia)
    assert outcomes[0] == outcomes[2]


async def test_a_picture_that_needs_more_memory_than_allowed_is_refused() -> None:
    checker = Checker(limits=Limits(memory=200 << 20, cpu_s=20))
    file = BytesIO()
    Image.new("L", (6300, 6300)).convert("RGBA").save(file, "png")
    with pytest.raises(CorruptOutput):
        await checker.check(file.getvalue())
    assert (await checker.check(png(20, 10))).width == 20
    await checker.close()


async def test_what_takes_too_long_is_refused_and_pictures_are_finished_meanwhile() -> None:
    checker = Checker(limits=Limits(memory=1 << 30, cpu_s=1))
    slow = asyncio.create_task(checker.check(long_sound()))
    assert isinstance((await checker.finish_pictures([finishing(png(20, 10))]))[0], FinishedMedia)
    assert not slow.done()
    with pytest.raises(CorruptOutput, match="limits"):
        await slow
    await checker.close()


async def test_where_no_child_can_start_no_picture_is_blamed() -> None:
    python = spawn.get_executable()
    spawn.set_executable(shutil.which("false") or "false")
    checker = Checker()
    try:
        with pytest.raises(ChildrenFailed):
            await checker.check(png(20, 10))
    finally:
        spawn.set_executable(python)
        await checker.close()


async def test_a_dead_child_is_reported_and_replaced(children: Children) -> None:
    with pytest.raises(ChildrenFailed, match="died in leave"):
        await children.run(30, leave)
    assert await children.run(30, pid) > 0


async def test_a_child_that_takes_too_long_is_ended(children: Children) -> None:
    first = await children.run(30, pid)
    with pytest.raises(ChildrenFailed, match="longer than"):
        await children.run(0.2, spin)
    await asyncio.to_thread(psutil.wait_procs, [p for p in [_process(first)] if p], timeout=10)
    assert not psutil.pid_exists(first)
    assert await children.run(30, pid) != first


def _process(number: int) -> psutil.Process | None:
    try:
        return psutil.Process(number)
    except psutil.NoSuchProcess:
        return None


async def test_cpu_and_memory_of_a_child_end_at_their_limits(tmp_path: Path) -> None:
    children = Children(workers=1, limits=Limits(memory=500 << 20, cpu_s=1))
    with pytest.raises(ChildrenFailed, match="died in spin"):
        await children.run(60, spin)
    with pytest.raises(ChildrenFailed, match="memory"):
        await children.run(30, allocate, 600 << 20)
    assert await children.run(30, allocate, 50 << 20) == 50 << 20
    with pytest.raises(OSError, match="too large"):
        await children.run(30, write, str(tmp_path / "file"))
    await children.close()


async def test_the_cpu_limit_is_for_each_call_and_not_for_the_childs_life() -> None:
    children = Children(workers=1, limits=Limits(memory=1 << 30, cpu_s=1))
    pids = {await children.run(30, burn, 0.5) for _ in range(6)}
    await children.close()
    assert len(pids) == 1


def burn(seconds: float) -> int:
    start = time.process_time()
    while time.process_time() - start < seconds:
        pass
    return os.getpid()


async def test_a_child_inherits_no_socket(children: Children) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        os.set_inheritable(server.fileno(), True)
        assert await children.run(30, open_sockets) == 0


async def test_children_are_replaced_after_so_many_calls() -> None:
    children = Children(workers=1, recycle_after=3)
    pids = [await children.run(30, pid) for _ in range(7)]
    await children.close()
    assert len(set(pids)) == 3
    assert len(set(pids[:3])) == 1


# Backtracks for years inside one call of C, which lets no other thread of Python run.
DEAF = "re.compile('(a+)+b').match, 'a' * 64"


@pytest.mark.parametrize("work", ["time.sleep, 60", DEAF], ids=["waits", "keeps the interpreter"])
def test_children_end_when_their_owner_is_killed(work: str) -> None:
    program = (
        "import asyncio, os, re, time\n"
        "from media import Children, Limits\n"
        "async def main():\n"
        "    children = Children(workers=2, limits=Limits(1 << 30, 60))\n"
        "    pids = await asyncio.gather(*(children.run(30, os.getpid) for _ in range(2)))\n"
        f"    busy = [asyncio.create_task(children.run(60, {work})) for _ in range(2)]\n"
        "    await asyncio.sleep(0)\n"
        "    print(*pids, flush=True)\n"
        "    await asyncio.gather(*busy)\n"
        "if __name__ == '__main__':\n"
        "    asyncio.run(main())\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    children = [psutil.Process(int(pid)) for pid in set(owner.stdout.readline().split())]
    while work == DEAF and any(child.cpu_percent(0.1) < 5 for child in children):
        pass  # not at it yet
    helpers = psutil.Process(owner.pid).children(recursive=True)
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait(10)
    owner.stdout.close()
    gone, _ = psutil.wait_procs({*children, *helpers}, timeout=10)
    assert set(children) <= set(helpers)
    assert set(gone) == set(helpers)


def test_a_child_whose_owner_died_before_it_was_ready_ends_at_once() -> None:
    program = "import os; from media.children import _die_with; _die_with(os.getpid()); print('lives')"
    orphan = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (orphan.returncode, orphan.stdout, orphan.stderr) == (1, "", "")
