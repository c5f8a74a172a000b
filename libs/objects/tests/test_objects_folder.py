"""What only a folder can do wrong: links planted in it, crashes half way, disks that fail."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import multiprocessing
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from objects import (
    FolderStore,
    InvalidKey,
    ObjectMissing,
    StorageError,
    StorageForbidden,
    StorageFull,
    StorageUnavailable,
    blob_key,
    staged_key,
)
from objects.errors import translated
from objects.tests.staged_keys import key_of

TENANT = "tenant-a"
KEY = key_of(TENANT, "attempt", 0)
SECRET = b"of another tenant"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[FolderStore]:
    opened = FolderStore(tmp_path / "objects")
    yield opened
    await opened.close()


def files_below(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


async def test_an_object_is_one_file_under_its_key(store: FolderStore, tmp_path: Path) -> None:
    await store.put(KEY, b"x", max_bytes=1)
    assert files_below(tmp_path / "objects") == [KEY]
    assert store.local_path(KEY) == (tmp_path / "objects" / KEY).resolve()


async def test_nothing_of_an_attempt_is_left_when_its_bytes_are_deleted(store: FolderStore, tmp_path: Path) -> None:
    folders = []
    for attempt in range(300):
        key = staged_key(TENANT, f"019aa0f0-{attempt:04x}-7000-8000-000000000001", 0)
        await store.put(key, b"x", max_bytes=1)
        await store.delete(key)
        folders.append(sum(path.is_dir() for path in (tmp_path / "objects").rglob("*")))
    assert files_below(tmp_path / "objects") == []
    assert set(folders) == {3}


async def test_a_promotion_copies_no_bytes(store: FolderStore, tmp_path: Path) -> None:
    stored = await store.put(KEY, b"picture", max_bytes=100)
    blob = blob_key(TENANT, stored.sha256)
    await store.promote(KEY, blob, stored.sha256)
    assert (tmp_path / "objects" / KEY).samefile(tmp_path / "objects" / blob)


async def test_without_hard_links_the_bytes_are_copied(
    store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    stored = await store.put(KEY, b"picture", max_bytes=100)
    blob = blob_key(TENANT, stored.sha256)
    assert (await store.promote(KEY, blob, stored.sha256)).created
    assert (tmp_path / "objects" / blob).read_bytes() == b"picture"
    assert files_below(tmp_path / "objects") == sorted([KEY, blob])


@pytest.mark.parametrize("planted", ["staging", f"staging/{TENANT}", str(Path(KEY).parent)])
async def test_no_operation_passes_a_linked_folder(store: FolderStore, tmp_path: Path, planted: str) -> None:
    outside = tmp_path / "outside"
    inner = outside / Path(KEY).relative_to(planted)
    inner.parent.mkdir(parents=True)
    inner.write_bytes(SECRET)
    link = tmp_path / "objects" / planted
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(outside)

    blob = blob_key(TENANT, hashlib.sha256(SECRET).hexdigest())
    for call in (
        lambda: store.put(KEY, b"x", max_bytes=1),
        lambda: anext(store.open(KEY)),
        lambda: store.stat(KEY),
        lambda: store.delete(KEY),
        lambda: store.promote(KEY, blob, blob.rsplit("/", 1)[1]),
    ):
        with pytest.raises(InvalidKey):
            await call()
    assert inner.read_bytes() == SECRET


async def test_a_linked_file_is_neither_read_nor_written_through(store: FolderStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(SECRET)
    path = tmp_path / "objects" / KEY
    path.parent.mkdir(parents=True)
    path.symlink_to(outside)

    with pytest.raises(InvalidKey):
        await anext(store.open(KEY))
    assert not await store.exists(KEY)
    blob = blob_key(TENANT, hashlib.sha256(SECRET).hexdigest())
    with pytest.raises(ObjectMissing):
        await store.promote(KEY, blob, blob.rsplit("/", 1)[1])
    await store.put(KEY, b"ours", max_bytes=10)
    assert outside.read_bytes() == SECRET
    assert path.read_bytes() == b"ours"


async def test_a_pipe_under_a_key_does_not_hang_the_reader(store: FolderStore, tmp_path: Path) -> None:
    path = tmp_path / "objects" / KEY
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    with pytest.raises(ObjectMissing):
        await asyncio.wait_for(anext(store.open(KEY)), 5)


async def test_the_sweep_takes_old_temporary_files_and_nothing_else(store: FolderStore, tmp_path: Path) -> None:
    await store.put(KEY, b"kept", max_bytes=10)
    folder = (tmp_path / "objects" / KEY).parent
    old, young = folder / ".aaaa.tmp", folder / ".bbbb.tmp"
    for path in (old, young):
        path.write_bytes(b"1234567")
    hour_ago = time.time() - 3700
    os.utime(old, (hour_ago, hour_ago))
    os.utime(tmp_path / "objects" / KEY, (hour_ago, hour_ago))

    swept = await store.sweep()
    assert (swept.files, swept.size) == (1, 7)
    assert sorted(path.name for path in folder.iterdir()) == [".bbbb.tmp", Path(KEY).name]


@pytest.mark.parametrize(
    ("code", "kind", "transient"),
    [
        (errno.ENOSPC, StorageFull, False),
        (errno.EDQUOT, StorageFull, False),
        (errno.EACCES, StorageForbidden, False),
        (errno.EROFS, StorageForbidden, False),
        (errno.EIO, StorageUnavailable, True),
        (errno.EAGAIN, StorageUnavailable, True),
        (errno.ENOENT, ObjectMissing, False),
    ],
)
def test_each_failure_of_the_disk_has_its_storage_error(code: int, kind: type[StorageError], transient: bool) -> None:
    error = translated(OSError(code, os.strerror(code)), KEY)
    assert type(error) is kind
    assert error.transient is transient
    assert error.code == "STORAGE_ERROR"
    assert str(error) == f"{KEY}: {os.strerror(code)}"


class FailingCalls:
    """A system call that fails the first `failures` times, and counts."""

    def __init__(self, real: Callable[..., Any], code: int, failures: int) -> None:
        self.real, self.code, self.failures = real, code, failures
        self.calls = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        if self.calls <= self.failures:
            raise OSError(self.code, os.strerror(self.code))
        return self.real(*args, **kwargs)


@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
async def test_a_write_that_fails_for_a_moment_is_done_again(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, call: str
) -> None:
    failing = FailingCalls(getattr(os, call), errno.EIO, failures=3)
    monkeypatch.setattr(os, call, failing)
    stored = await store.put(KEY, b"picture", max_bytes=100)
    assert stored.size == 7
    assert files_below(tmp_path / "objects") == [KEY]


async def test_after_three_repetitions_a_failing_disk_is_reported(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    failing = FailingCalls(os.write, errno.EIO, failures=100)
    monkeypatch.setattr(os, "write", failing)
    with pytest.raises(StorageUnavailable):
        await store.put(KEY, b"picture", max_bytes=100)
    assert failing.calls == 4
    assert files_below(tmp_path / "objects") == []


@pytest.mark.parametrize(("code", "kind"), [(errno.ENOSPC, StorageFull), (errno.EACCES, StorageForbidden)])
async def test_a_full_or_forbidden_disk_is_reported_at_once(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: int, kind: type[StorageError]
) -> None:
    failing = FailingCalls(os.write, code, failures=100)
    monkeypatch.setattr(os, "write", failing)
    with pytest.raises(kind):
        await store.put(KEY, b"picture", max_bytes=100)
    assert failing.calls == 1
    assert files_below(tmp_path / "objects") == []


@pytest.mark.parametrize("links", [True, False])
async def test_who_reads_a_damaged_copy_is_not_disturbed_by_its_replacement(
    store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", FailingCalls(os.link, errno.EXDEV, failures=100))
    stored = await store.put(KEY, b"picture", max_bytes=100)
    blob = tmp_path / "objects" / blob_key(TENANT, stored.sha256)
    blob.parent.mkdir(parents=True)
    blob.write_bytes(b"pict")
    with blob.open("rb") as reader:
        assert (await store.promote(KEY, blob_key(TENANT, stored.sha256), stored.sha256)).mended
        assert reader.read() == b"pict"
    assert blob.read_bytes() == b"picture"
    assert len(list(blob.parent.iterdir())) == 1


async def test_one_bad_object_does_not_spoil_its_group(store: FolderStore, tmp_path: Path) -> None:
    (tmp_path / "objects" / KEY).mkdir(parents=True)
    keys = [KEY, *(key_of(TENANT, f"attempt-{number}", 0) for number in range(20))]
    outcomes = await asyncio.gather(*(store.put(key, b"x", max_bytes=1) for key in keys), return_exceptions=True)
    assert isinstance(outcomes[0], InvalidKey)
    assert not any(isinstance(outcome, BaseException) for outcome in outcomes[1:])


async def test_writers_and_sweepers_of_one_folder_do_not_disturb_each_other(store: FolderStore) -> None:
    async def put_and_delete(number: int) -> None:
        key = key_of(TENANT, "shared", number)
        for _ in range(20):
            await store.put(key, b"x", max_bytes=1)
            assert await store.delete(key)

    await asyncio.gather(*(put_and_delete(number) for number in range(8)))


def promote_the_same(root: str, worker: int, start: Any, results: Any) -> None:
    async def run() -> list[bool]:
        store = FolderStore(Path(root))
        created = []
        for number in range(30):
            key = key_of(TENANT, f"attempt-{worker}-{number}", 0)
            stored = await store.put(key, f"picture {number}".encode(), max_bytes=100)
            outcome = await store.promote(key, blob_key(TENANT, stored.sha256), stored.sha256)
            created.append(outcome.created)
        await store.close()
        return created

    start.wait()
    results.put(asyncio.run(run()))


def test_processes_that_save_the_same_content_keep_one_copy_each(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    start, results = spawn.Event(), spawn.Queue()
    workers = [spawn.Process(target=promote_the_same, args=(str(tmp_path), n, start, results)) for n in range(2)]
    for worker in workers:
        worker.start()
    start.set()
    created = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join(10)
    assert [sum(both) for both in zip(*created, strict=True)] == [1] * 30
    assert len(files_below(tmp_path / "blobs")) == 30


def put_for_ever(root: str, reports: Any) -> None:
    async def run() -> None:
        store = FolderStore(Path(root))
        for number in range(10_000_000):
            stored = await store.put(key_of(TENANT, f"a{number % 50}", number), os.urandom(20_000), max_bytes=20_000)
            reports.send((number, stored.sha256))

    asyncio.run(run())


def test_what_was_reported_before_a_kill_is_whole_and_nothing_else_shows(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    reports, sending = spawn.Pipe(duplex=False)
    child = spawn.Process(target=put_for_ever, args=(str(tmp_path), sending))
    child.start()
    seen = [reports.recv() for _ in range(40)]
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join(10)
    for number, sha256 in seen:
        content = (tmp_path / key_of(TENANT, f"a{number % 50}", number)).read_bytes()
        assert hashlib.sha256(content).hexdigest() == sha256
    visible = [path for path in (tmp_path / "staging").rglob("*") if path.is_file() and not path.name.startswith(".")]
    assert all(path.stat().st_size == 20_000 for path in visible)
