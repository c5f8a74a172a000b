"""Background loops and group commit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from chassis.group_commit import GroupCommit
from chassis.loops import Backoff, forever, sleep_until
from chassis.metrics import REGISTRY


async def run_until(stopping: asyncio.Event, loop: asyncio.Task[None]) -> None:
    async with asyncio.timeout(5):
        await stopping.wait()
        await loop


async def test_a_loop_that_has_work_runs_again_at_once() -> None:
    stopping, rounds = asyncio.Event(), 0

    async def step() -> bool:
        nonlocal rounds
        rounds += 1
        if rounds == 50:
            stopping.set()
        return True

    await run_until(stopping, asyncio.create_task(forever("busy", step, idle=3600, stopping=stopping)))
    assert rounds == 50


async def test_a_loop_that_fails_is_counted_and_goes_on() -> None:
    stopping, rounds = asyncio.Event(), 0

    async def step() -> bool:
        nonlocal rounds
        rounds += 1
        if rounds == 1:
            raise ValueError("the first round fails")
        stopping.set()
        return False

    await run_until(stopping, asyncio.create_task(forever("stumbling", step, idle=3600, stopping=stopping)))
    assert rounds == 2
    assert REGISTRY.get_sample_value("backlot_loop_failures_total", {"loop": "stumbling"}) == 1


async def test_an_idle_loop_is_woken_by_its_event() -> None:
    stopping, wake, rounds = asyncio.Event(), asyncio.Event(), 0
    idle = asyncio.Event()

    async def step() -> bool:
        nonlocal rounds
        rounds += 1
        idle.set()
        if rounds == 2:
            stopping.set()
        return False

    loop = asyncio.create_task(forever("sleeping", step, idle=3600, wake=wake, stopping=stopping))
    await idle.wait()
    wake.set()
    await run_until(stopping, loop)
    assert rounds == 2


async def test_a_stop_lets_the_step_that_has_begun_finish() -> None:
    stopping, begun, finished = asyncio.Event(), asyncio.Event(), False

    async def step() -> bool:
        nonlocal finished
        begun.set()
        await stopping.wait()
        await asyncio.sleep(0)
        finished = True
        return True

    loop = asyncio.create_task(forever("careful", step, idle=1, stopping=stopping))
    await begun.wait()
    stopping.set()
    await asyncio.wait_for(loop, 5)
    assert finished


def test_waits_grow_to_a_limit_and_begin_anew_after_a_success() -> None:
    backoff = Backoff(first=0.1, longest=2.0)
    waits = [backoff.next() for _ in range(30)]
    assert 0.05 <= waits[0] <= 0.1
    assert all(1.0 <= wait <= 2.0 for wait in waits[6:])
    backoff.reset()
    assert backoff.next() <= 0.1


async def test_a_wait_ends_at_the_first_of_its_events() -> None:
    early, late = asyncio.Event(), asyncio.Event()
    asyncio.get_running_loop().call_soon(early.set)
    assert await sleep_until(60, late, early)
    assert not await sleep_until(0.001, late)


async def test_what_comes_while_a_group_is_flushed_shares_the_next_flush() -> None:
    groups: list[list[int]] = []
    gate = asyncio.Event()

    async def flush(items: Sequence[int]) -> Sequence[int | Exception]:
        groups.append(list(items))
        await gate.wait()
        return [item * 10 for item in items]

    commit: GroupCommit[int, int] = GroupCommit(flush)
    first = asyncio.create_task(commit.submit(1))
    await asyncio.sleep(0)
    others = [asyncio.create_task(commit.submit(n)) for n in (2, 3, 4)]
    await asyncio.sleep(0)
    gate.set()
    assert await asyncio.gather(first, *others) == [10, 20, 30, 40]
    assert groups[0] == [1]
    assert groups[1] == [2, 3, 4]


async def test_a_group_is_never_larger_than_its_limit() -> None:
    sizes: list[int] = []

    async def flush(items: Sequence[int]) -> Sequence[int | Exception]:
        sizes.append(len(items))
        return list(items)

    commit: GroupCommit[int, int] = GroupCommit(flush, limit=3)
    await asyncio.gather(*(commit.submit(n) for n in range(10)))
    assert sum(sizes) == 10
    assert max(sizes) == 3


async def test_one_refused_item_does_not_harm_the_others_of_its_group() -> None:
    async def flush(items: Sequence[int]) -> Sequence[int | Exception]:
        return [ValueError("odd") if item % 2 else item for item in items]

    commit: GroupCommit[int, int] = GroupCommit(flush)
    answers = await asyncio.gather(*(commit.submit(n) for n in range(4)), return_exceptions=True)
    assert answers[0] == 0
    assert answers[2] == 2
    assert isinstance(answers[1], ValueError)


async def test_a_failed_flush_fails_its_group_and_the_next_one_works() -> None:
    calls = 0

    async def flush(items: Sequence[int]) -> Sequence[int | Exception]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise OSError("the database is away")
        return list(items)

    commit: GroupCommit[int, int] = GroupCommit(flush)
    with pytest.raises(OSError, match="away"):
        await commit.submit(1)
    assert await commit.submit(2) == 2


async def test_who_stops_waiting_does_not_disturb_the_rest() -> None:
    gate = asyncio.Event()

    async def flush(items: Sequence[int]) -> Sequence[int | Exception]:
        await gate.wait()
        return list(items)

    commit: GroupCommit[int, int] = GroupCommit(flush)
    impatient, patient = asyncio.create_task(commit.submit(1)), asyncio.create_task(commit.submit(2))
    await asyncio.sleep(0)
    impatient.cancel()
    gate.set()
    assert await patient == 2
    await commit.drain()
