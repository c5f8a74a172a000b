"""What the sandbox keeps: bounded, whole, and handed over at once where making it took long."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from media import Children, ChildrenFailed
from provider_worker.adapters.interface import GenerationRequest, JobRef, MediaKind, Op, ProviderError, Status
from provider_worker.adapters.sandbox import SandboxProvider, SandboxSettings, read_bill
from provider_worker.adapters.sandbox import provider as sandbox_provider
from provider_worker.adapters.sandbox.keeping import Keep
from provider_worker.adapters.sandbox.workshop import Workshop

FILM = GenerationRequest("a", "t", MediaKind.VIDEO, Op.TEXT_TO_VIDEO, "a fox", 64, 48, format="mp4", duration_s=0.5)
IMAGE = GenerationRequest("b", "t", MediaKind.IMAGE, Op.TEXT_TO_IMAGE, "a fox", 64, 48)


class Work:
    """What stands in for child processes: counts calls, and answers when it is let."""

    def __init__(self) -> None:
        self.calls = 0
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.fails = False

    async def run(self, children: Children, timeout: float, work: Any, plan: Mapping[str, Any], *_: Any) -> bytes:
        self.calls += 1
        self.begun.set()
        await self.may_end.wait()
        if self.fails:
            raise ChildrenFailed("a child process died")
        return f"{plan['kind']} {self.calls}".encode()


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    made = Work()

    async def run(children: Children, *args: Any) -> bytes:
        return await made.run(children, *args)

    monkeypatch.setattr(Children, "run", run)
    return made


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[SandboxProvider]:
    opened = SandboxProvider(SandboxSettings(tmp_path))
    yield opened
    await opened.close()


def aged(folder: Path, **ages: int) -> None:
    for name, seconds in ages.items():
        os.utime(folder / name, (1_000_000 - seconds, 1_000_000 - seconds))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def data_of(status: JobRef | Status) -> bytes | None:
    assert isinstance(status, Status)
    return status.artifacts[0].data


async def job_of(provider: SandboxProvider, request: GenerationRequest) -> JobRef:
    found = await provider.find(request, {}, None)  # type: ignore[arg-type]  # it forgets nothing
    assert found is not None
    return found


def test_what_is_kept_is_there_for_whoever_shares_the_folder(tmp_path: Path) -> None:
    Keep(tmp_path / "kept", 100).put("a", b"bytes")
    assert Keep(tmp_path / "kept", 100).get("a") == b"bytes"
    assert Keep(tmp_path / "kept", 100).get("b") is None


def test_where_there_is_no_room_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    keep = Keep(tmp_path, 30)
    for name in "abc":
        keep.put(name, bytes(10))
    aged(tmp_path, a=30, b=20, c=10)
    assert keep.get("a") == bytes(10)
    keep.put("d", bytes(10))
    assert names(tmp_path) == {"a", "c", "d"}
    aged(tmp_path, a=30, c=20, d=10)
    keep.put("a", bytes(10))
    keep.put("e", bytes(20))
    assert names(tmp_path) == {"a", "e"}


def test_what_is_too_large_for_the_folder_is_kept_alone_until_the_next_comes(tmp_path: Path) -> None:
    keep = Keep(tmp_path, 30)
    keep.put("a", bytes(10))
    keep.put("b", bytes(40))
    assert names(tmp_path) == {"b"}
    aged(tmp_path, b=10)
    keep.put("c", bytes(10))
    assert names(tmp_path) == {"c"}


def test_what_a_killed_process_has_left_half_written_is_swept_too(tmp_path: Path) -> None:
    for name in (".old", ".new"):
        (tmp_path / name).write_bytes(bytes(25))
    aged(tmp_path, **{".old": 10})
    Keep(tmp_path, 30).put("a", bytes(10))
    assert names(tmp_path) == {"a", ".new"}


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        Keep(tmp_path, 30).put("a", b"bytes")
    assert names(tmp_path) == set()


def test_many_may_keep_the_same_at_the_same_time(tmp_path: Path) -> None:
    keep = Keep(tmp_path, 50)
    lost = list[str]()

    def use(number: int) -> None:
        for turn in range(40):
            name = str((number + turn) % 9)
            keep.put(name, name.encode() * 10)
            if keep.get(name) not in {None, name.encode() * 10}:
                lost.append(name)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(use, range(4)))
    assert lost == []
    assert len(names(tmp_path)) <= 5


async def test_a_film_that_is_asked_for_again_is_handed_over_as_it_was_made(
    provider: SandboxProvider, work: Work, tmp_path: Path
) -> None:
    work.may_end.set()
    first = data_of(await provider.submit(FILM, provider.plan(FILM)))
    ref = await job_of(provider, FILM)
    other = SandboxProvider(SandboxSettings(tmp_path))
    assert [data_of(await one.poll(ref)) for one in (provider, other)] == [first, first]
    await other.close()
    assert work.calls == 1


async def test_what_is_made_quickly_is_made_again(provider: SandboxProvider, work: Work, tmp_path: Path) -> None:
    work.may_end.set()
    await provider.submit(IMAGE, provider.plan(IMAGE))
    await provider.poll(await job_of(provider, IMAGE))
    assert work.calls == 2
    assert names(tmp_path) - {"bill.sqlite3", "bill.sqlite3-wal", "bill.sqlite3-shm"} == set()


async def test_who_asks_for_a_film_that_is_being_made_is_told_so_and_finds_it_later(
    provider: SandboxProvider, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox_provider, "LONGEST_POLL_S", 0.01)
    waiting = asyncio.create_task(provider.submit(FILM, provider.plan(FILM)))
    await work.begun.wait()
    ref = await job_of(provider, FILM)
    assert await provider.poll(ref) == Status("running", ref.external_id)
    work.may_end.set()
    made = data_of(await waiting)
    monkeypatch.setattr(sandbox_provider, "LONGEST_POLL_S", 60.0)
    assert (data_of(await provider.poll(ref)), work.calls) == (made, 1)


async def test_a_film_is_made_to_its_end_when_nobody_waits_for_it_any_more(
    provider: SandboxProvider, work: Work, tmp_path: Path
) -> None:
    waiting = asyncio.create_task(provider.submit(FILM, provider.plan(FILM)))
    await work.begun.wait()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    ref = await job_of(provider, FILM)
    looks = [asyncio.create_task(provider.poll(ref)) for _ in range(3)]
    await asyncio.sleep(0)
    work.may_end.set()
    assert {data_of(await look) for look in looks} == {b"video 1"}
    assert (work.calls, read_bill(tmp_path).count) == (1, 1)


async def test_a_film_that_came_to_nothing_is_tried_anew(provider: SandboxProvider, work: Work) -> None:
    work.may_end.set()
    work.fails = True
    with pytest.raises(ProviderError, match="a child process died") as caught:
        await provider.submit(FILM, provider.plan(FILM))
    assert caught.value.retryable
    work.fails = False
    assert data_of(await provider.submit(FILM, provider.plan(FILM))) == b"video 2"


async def test_a_film_is_made_though_it_cannot_be_kept(provider: SandboxProvider, work: Work, tmp_path: Path) -> None:
    work.may_end.set()
    (tmp_path / "made").write_text("no folder")
    assert data_of(await provider.submit(FILM, provider.plan(FILM))) == b"video 1"


async def test_who_closes_a_workshop_does_not_wait_for_its_films(tmp_path: Path, work: Work) -> None:
    workshop = Workshop(tmp_path, processes=1)

    async def look() -> Any:
        return None

    waiting = asyncio.create_task(workshop.made({"kind": MediaKind.VIDEO}, look))
    await work.begun.wait()
    await workshop.close()
    [ended] = await asyncio.gather(waiting, return_exceptions=True)
    assert isinstance(ended, asyncio.CancelledError)
