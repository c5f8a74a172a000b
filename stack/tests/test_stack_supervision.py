"""A process that ended is started again; one that does not get ready says why."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack import supervision
from stack.child import Child
from stack.errors import ServerError
from stack.ports import free_ports
from stack.supervision import Keeper, Service, answers_ready, restart_pause

STAND_IN = Path(__file__).with_name("standin_service.py")
MakeService = Callable[..., Service]


@pytest.fixture
async def make_service(tmp_path: Path) -> AsyncIterator[MakeService]:
    made: list[Service] = []

    def make(timeout: float = 20.0, **env: str) -> Service:
        port = free_ports(1)[0]
        service = Service(
            "stand-in",
            [sys.executable, STAND_IN, "STANDIN_"],
            env={**os.environ, "STANDIN_INTERNAL_PORT": str(port), **env},
            internal_port=port,
            log=tmp_path / "stand-in.log",
            timeout=timeout,
        )
        made.append(service)
        return service

    yield make
    for service in made:
        await service.stop()


class Ears:
    """Hears what a keeper tells, and waits for a sentence."""

    def __init__(self) -> None:
        self.sentences: list[str] = []
        self._news = asyncio.Event()

    def __call__(self, sentence: str) -> None:
        self.sentences.append(sentence)
        self._news.set()

    async def hear(self, part: str, *, times: int = 1) -> None:
        async with asyncio.timeout(30):
            while sum(part in sentence for sentence in self.sentences) < times:
                self._news.clear()
                await self._news.wait()


def started(log: Path) -> dict[str, int]:
    """What the stand-in that was started last wrote of itself."""
    note: dict[str, int] = json.loads(log.read_text().splitlines()[-1])
    return note


async def test_a_service_is_ready_when_it_answers_on_its_internal_port(make_service: MakeService) -> None:
    service = make_service()

    await service.run()

    assert service.child.returncode is None
    assert started(service.log)["pid"] == service.child.pid


async def test_a_service_that_ends_before_it_is_ready_is_reported_with_its_last_words(
    make_service: MakeService,
) -> None:
    service = make_service(REFUSE_TO_START="PICTURES_FOLDER is not a folder")

    with pytest.raises(ServerError, match=r"(?s)stand-in ended with status 1:.*PICTURES_FOLDER is not a folder"):
        await service.run()


async def test_a_service_that_never_gets_ready_is_ended_and_reported(make_service: MakeService) -> None:
    service = make_service(timeout=1.0, NEVER_READY="1")

    with pytest.raises(ServerError, match="stand-in was not ready within 1 s"):
        await service.run()

    assert service.child.returncode == 0


async def test_nobody_listening_is_not_ready() -> None:
    assert not await answers_ready(free_ports(1)[0])


async def test_a_killed_service_is_back_under_a_new_pid_and_its_own_children_are_gone(
    make_service: MakeService,
) -> None:
    service, ears, pids = make_service(WITH_A_CHILD="1"), Ears(), []
    await service.run()
    keeper = Keeper("stand-in", service, tell=ears, changed=lambda: pids.append(service.child.pid))
    keeper.keep()
    first, orphan = service.child.pid, psutil.Process(started(service.log)["child"])

    os.kill(first, signal.SIGKILL)
    await ears.hear("ready again")

    assert ears.sentences[0].startswith("stand-in ended (killed by SIGKILL); restarting in 0.")
    assert pids[-1] == service.child.pid != first
    await asyncio.to_thread(psutil.wait_procs, [orphan], timeout=10)
    assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE
    await keeper.stop()
    assert service.child.returncode == 0


async def test_a_service_that_keeps_ending_waits_longer_each_time(make_service: MakeService, tmp_path: Path) -> None:
    obstacle = tmp_path / "obstacle"
    service, ears = make_service(REFUSE_WHILE_THERE_IS=str(obstacle)), Ears()
    await service.run()
    obstacle.touch()
    keeper = Keeper("stand-in", service, tell=ears, changed=lambda: None, chance=random.Random(1))
    keeper.keep()

    service.child.signal(signal.SIGKILL)
    await ears.hear("restarting", times=3)
    await keeper.stop()

    pauses = [float(sentence.split()[-2]) for sentence in ears.sentences if "restarting" in sentence]
    assert pauses == sorted(pauses)
    assert pauses[-1] > pauses[0]


@given(st.integers(min_value=0, max_value=10_000), st.integers())
def test_a_pause_doubles_from_a_fifth_of_a_second_to_half_a_minute_less_up_to_half_by_chance(
    failures: int, seed: int
) -> None:
    longest = min(supervision.LONGEST_PAUSE, supervision.FIRST_PAUSE * 2 ** min(failures, 100))

    assert longest / 2 <= restart_pause(failures, random.Random(seed)) <= longest


async def test_a_process_deaf_to_its_signal_is_killed_when_its_time_is_up(tmp_path: Path) -> None:
    log, port = tmp_path / "deaf.log", free_ports(1)[0]
    env = {**os.environ, "DEAF_TO_SIGTERM": "1", "STANDIN_INTERNAL_PORT": str(port)}
    child = Child([sys.executable, STAND_IN, "STANDIN_"], log=log, env=env)
    while not await answers_ready(port):
        assert child.returncode is None

    began = time.monotonic()
    status = await child.stop(signal.SIGTERM, 0.3)

    assert status == -signal.SIGKILL
    assert 0.3 <= time.monotonic() - began < 5
