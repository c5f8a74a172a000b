"""What every object store promises. A new store joins by one more entry in STORES."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objects import (
    FolderStore,
    InvalidKey,
    ObjectDamaged,
    ObjectMissing,
    ObjectStore,
    ObjectTooLarge,
    Promoted,
    Promotion,
    blob_key,
    made_key,
)
from objects.tests.staged_keys import key_of

STORES: dict[str, Callable[[Path], ObjectStore]] = {"folder": FolderStore}

MIB = 1 << 20
TENANT = "tenant-a"


@pytest.fixture(params=sorted(STORES))
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ObjectStore]:
    opened = STORES[request.param](tmp_path / "objects")
    yield opened
    await opened.close()


async def pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def everything(store: ObjectStore, key: str, start: int = 0, end: int | None = None) -> bytes:
    return b"".join([chunk async for chunk in store.open(key, start, end)])


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def promotion(staged: str, data: bytes) -> Promotion:
    return Promotion(staged, blob_key(TENANT, sha256(data)), sha256(data))


@pytest.mark.parametrize("size", [0, 1, 5000, 3 * MIB + 17])
async def test_what_is_put_is_read_back_with_its_size_and_hash(store: ObjectStore, size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    data = data[:size]
    sources: list[AsyncIterator[bytes] | bytes] = [data, pieces(data, 70_000)]
    for number, source in enumerate(sources):
        key = key_of(TENANT, "attempt", number)
        stored = await store.put(key, source, max_bytes=4 * MIB)
        assert (stored.size, stored.sha256) == (size, sha256(data))
        assert await everything(store, key) == data
        assert (await store.stat(key)).size == size


async def test_a_second_put_replaces_the_object_as_a_whole(store: ObjectStore) -> None:
    key = key_of(TENANT, "attempt", 0)
    await store.put(key, b"long first content", max_bytes=100)
    await store.put(key, b"short", max_bytes=100)
    assert await everything(store, key) == b"short"


async def test_a_reader_of_the_old_content_is_not_disturbed_by_its_replacement(store: ObjectStore) -> None:
    key = key_of(TENANT, "attempt", 0)
    await store.put(key, b"a" * MIB, max_bytes=MIB)
    reader = store.open(key)
    first = await anext(reader)
    await store.put(key, b"b" * MIB, max_bytes=MIB)
    assert first + b"".join([chunk async for chunk in reader]) == b"a" * MIB


@pytest.mark.parametrize("size", [11, 2 * MIB])
async def test_more_bytes_than_allowed_are_refused_and_nothing_is_kept(store: ObjectStore, size: int) -> None:
    key = key_of(TENANT, "attempt", 0)
    for source in (b"x" * size, pieces(b"x" * size, 1000)):
        with pytest.raises(ObjectTooLarge, match=f"{size - 1} bytes allowed"):
            await store.put(key, source, max_bytes=size - 1)
        assert not await store.exists(key)


async def test_an_endless_stream_is_cut_at_the_cap(store: ObjectStore) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += MIB
            yield bytes(MIB)

    with pytest.raises(ObjectTooLarge):
        await store.put(key_of(TENANT, "attempt", 0), endless(), max_bytes=8 * MIB)
    assert sent <= 9 * MIB


@pytest.mark.parametrize("before", [0, 3 * MIB])
async def test_a_source_that_fails_leaves_nothing_behind(store: ObjectStore, before: int) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield bytes(before)
        raise ConnectionResetError("the provider hung up")

    key = key_of(TENANT, "attempt", 0)
    with pytest.raises(ConnectionResetError):
        await store.put(key, broken(), max_bytes=8 * MIB)
    assert not await store.exists(key)
    assert (await store.sweep(older_than_s=-1)).files == 0


async def test_a_cancelled_upload_leaves_nothing_behind(store: ObjectStore) -> None:
    started = asyncio.Event()

    async def stuck() -> AsyncIterator[bytes]:
        yield bytes(2 * MIB)
        started.set()
        await asyncio.Event().wait()

    key = key_of(TENANT, "attempt", 0)
    upload = asyncio.create_task(store.put(key, stuck(), max_bytes=8 * MIB))
    await started.wait()
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    assert not await store.exists(key)
    assert (await store.sweep(older_than_s=-1)).files == 0


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=600), start=st.integers(0, 700), length=st.none() | st.integers(0, 700))
async def test_a_range_is_the_slice_of_the_bytes(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, start: int, length: int | None
) -> None:
    end = None if length is None else start + length
    for make in STORES.values():
        store = make(tmp_path_factory.getbasetemp() / "ranges")
        key = key_of(TENANT, "ranges", 0)
        await store.put(key, data, max_bytes=600)
        assert await everything(store, key, start, end) == data[start:end]
        await store.close()


async def test_what_is_not_there_is_reported_missing(store: ObjectStore) -> None:
    key = key_of(TENANT, "attempt", 0)
    assert not await store.exists(key)
    assert not await store.delete(key)
    with pytest.raises(ObjectMissing):
        await store.stat(key)
    with pytest.raises(ObjectMissing):
        await everything(store, key)
    with pytest.raises(ObjectMissing):
        await store.promote(key, blob_key(TENANT, sha256(b"")), sha256(b""))


async def test_deleting_many_counts_those_that_were_there(store: ObjectStore) -> None:
    keys = [key_of(TENANT, f"attempt-{number}", 0) for number in range(300)]
    await asyncio.gather(*(store.put(key, b"x", max_bytes=1) for key in keys[:200]))
    assert await store.delete_many(keys) == 200
    assert await store.delete_many(keys) == 0
    assert not await store.exists(keys[0])


async def test_a_staged_object_is_deleted_with_what_was_made_of_it_and_nothing_else(store: ObjectStore) -> None:
    staged, neighbour = key_of(TENANT, "attempt", 1), key_of(TENANT, "attempt", 11)
    made = [made_key(staged, sha256(data)) for data in (b"fitted", b"small")]
    for key in (staged, neighbour, *made):
        await store.put(key, b"x", max_bytes=1)
    missing = key_of(TENANT, "another", 0)
    assert await store.delete_with_made([staged, missing]) == 3
    assert not any([await store.exists(key) for key in (staged, *made)])
    assert await store.exists(neighbour)
    assert await store.delete_with_made([staged, missing]) == 0


async def test_an_object_can_be_put_again_after_its_deletion(store: ObjectStore) -> None:
    key = key_of(TENANT, "attempt", 0)
    for _ in range(3):
        await store.put(key, b"x", max_bytes=1)
        assert await store.delete(key)


async def test_promoted_bytes_live_on_under_their_hash_when_the_staged_ones_are_deleted(store: ObjectStore) -> None:
    staged, data = key_of(TENANT, "attempt", 0), b"picture"
    await store.put(staged, data, max_bytes=100)
    wish = promotion(staged, data)
    assert await store.promote(staged, wish.blob_key, wish.sha256) == Promoted(7, created=True)
    await store.delete(staged)
    assert await everything(store, wish.blob_key) == data


async def test_promotion_may_be_repeated_also_when_the_staged_bytes_are_gone(store: ObjectStore) -> None:
    staged, data = key_of(TENANT, "attempt", 0), b"picture"
    await store.put(staged, data, max_bytes=100)
    wish = promotion(staged, data)
    outcomes = [await store.promote(staged, wish.blob_key, wish.sha256) for _ in range(3)]
    await store.delete(staged)
    outcomes.append(await store.promote(staged, wish.blob_key, wish.sha256))
    assert [outcome.created for outcome in outcomes] == [True, False, False, False]
    assert {outcome.size for outcome in outcomes} == {7}


async def test_of_many_concurrent_saves_of_one_content_exactly_one_creates_it(store: ObjectStore) -> None:
    data = b"the same picture"
    staged = [key_of(TENANT, f"attempt-{number}", 0) for number in range(40)]
    await asyncio.gather(*(store.put(key, data, max_bytes=100) for key in staged))
    wishes = [promotion(key, data) for key in staged]
    outcomes = await asyncio.gather(*(store.promote(w.staged_key, w.blob_key, w.sha256) for w in wishes))
    assert sum(outcome.created for outcome in outcomes) == 1
    assert await everything(store, wishes[0].blob_key) == data


async def test_a_batch_gives_each_promotion_its_own_outcome(store: ObjectStore) -> None:
    good, missing = key_of(TENANT, "good", 0), key_of(TENANT, "missing", 0)
    await store.put(good, b"good", max_bytes=100)
    wrong_name = Promotion(good, blob_key(TENANT, sha256(b"other")), sha256(b"good"))
    outcomes = await store.promote_many([promotion(missing, b"gone"), promotion(good, b"good"), wrong_name])
    assert isinstance(outcomes[0], ObjectMissing)
    assert outcomes[1] == Promoted(4, created=True)
    assert isinstance(outcomes[2], InvalidKey)
    assert await store.promote_many([]) == []


async def test_a_batch_of_hundreds_is_promoted_whole(store: ObjectStore) -> None:
    contents = [f"picture {number}".encode() for number in range(500)]
    staged = [key_of(TENANT, f"attempt-{number}", 0) for number in range(500)]
    await asyncio.gather(*(store.put(key, data, max_bytes=100) for key, data in zip(staged, contents, strict=True)))
    wishes = [promotion(key, data) for key, data in zip(staged, contents, strict=True)]
    outcomes = await store.promote_many(wishes)
    assert all(isinstance(outcome, Promoted) and outcome.created for outcome in outcomes)
    for wish, data in zip(wishes, contents, strict=True):
        assert await everything(store, wish.blob_key) == data


async def test_verification_refuses_bytes_without_the_reported_hash(store: ObjectStore) -> None:
    staged = key_of(TENANT, "attempt", 0)
    await store.put(staged, b"what was stored", max_bytes=100)
    wish = promotion(staged, b"what was reported")
    with pytest.raises(ObjectDamaged):
        await store.promote(staged, wish.blob_key, wish.sha256, verify=True)
    assert not await store.exists(wish.blob_key)
    true = promotion(staged, b"what was stored")
    assert (await store.promote(staged, true.blob_key, true.sha256, verify=True)).created


@pytest.mark.parametrize("verify", [False, True])
async def test_a_kept_copy_of_another_size_is_replaced_by_staged_bytes_that_have_its_hash(
    store: ObjectStore, verify: bool
) -> None:
    staged, data = key_of(TENANT, "attempt", 0), b"picture"
    await store.put(staged, data, max_bytes=100)
    wish = promotion(staged, data)
    await store.put(wish.blob_key, b"pict", max_bytes=100)
    outcome = await store.promote(staged, wish.blob_key, wish.sha256, verify=verify)
    assert outcome == Promoted(7, created=False, mended=True)
    assert await everything(store, wish.blob_key) == data
    again = await store.promote(staged, wish.blob_key, wish.sha256, verify=verify)
    assert again == Promoted(7, created=False)


async def test_a_kept_copy_of_other_bytes_is_replaced_where_hashes_are_compared(store: ObjectStore) -> None:
    staged, data = key_of(TENANT, "attempt", 0), b"picture"
    await store.put(staged, data, max_bytes=100)
    wish = promotion(staged, data)
    await store.put(wish.blob_key, b"pixture", max_bytes=100)
    assert (await store.promote(staged, wish.blob_key, wish.sha256, verify=True)).mended
    assert await everything(store, wish.blob_key) == data


@pytest.mark.parametrize("verify", [False, True])
async def test_nothing_is_replaced_by_staged_bytes_without_the_reported_hash(store: ObjectStore, verify: bool) -> None:
    staged, data = key_of(TENANT, "attempt", 0), b"picture"
    await store.put(staged, b"something else", max_bytes=100)
    wish = promotion(staged, data)
    await store.put(wish.blob_key, data, max_bytes=100)
    with pytest.raises(ObjectDamaged):
        await store.promote(staged, wish.blob_key, wish.sha256, verify=verify)
    assert await everything(store, wish.blob_key) == data


async def test_two_tenants_never_share_a_copy(store: ObjectStore) -> None:
    data = b"a picture that both have"
    staged = key_of("tenant-a", "attempt", 0)
    await store.put(staged, data, max_bytes=100)
    await store.promote(staged, blob_key("tenant-a", sha256(data)), sha256(data))
    assert not await store.exists(blob_key("tenant-b", sha256(data)))


@pytest.mark.parametrize(
    "key", ["../a", "/etc/passwd", "a", "a//b", "a/../b", "a/.b", "a/b\0c", "a/b\n", "", "a/" * 9 + "b"]
)
async def test_a_key_that_is_not_a_plain_relative_path_is_refused_everywhere(store: ObjectStore, key: str) -> None:
    good = blob_key(TENANT, sha256(b""))
    for call in (
        lambda: store.put(key, b"x", max_bytes=1),
        lambda: store.stat(key),
        lambda: store.exists(key),
        lambda: store.delete(key),
        lambda: store.promote(key, good, sha256(b"")),
        lambda: everything(store, key),
    ):
        with pytest.raises(InvalidKey):
            await call()
