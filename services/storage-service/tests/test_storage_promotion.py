"""Handed-over bytes become assets: once, whole, under the right name, whatever is repeated or killed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from chassis.ids import uuid7
from objects import FolderStore, Promoted, Promotion, StorageError, StorageFull
from schemas.assets import AssetStored, AssetStoreFailed
from schemas.generations import GenerationSettled
from schemas.parts import Billing, ErrorCode
from stack.testing import PostgresServer
from storage_service.arrivals import Arrival, Refused
from storage_service.promotion import RETRY_S, Pace, Promoter
from storage_service.store import arrivals
from tests.storage_house import (
    ORIGIN,
    PICTURE,
    STRANGER,
    TENANT,
    TOO_WIDE,
    TRACE,
    USER,
    House,
    asset_context,
    completed,
    event,
    house_in,
    lineage,
    migrated_database,
)

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[str]:
    yield from migrated_database(postgres_server)


@pytest.fixture
async def house(database: str, tmp_path: Path) -> AsyncIterator[House]:
    async with house_in(database, tmp_path / "objects") as house:
        yield house


async def test_an_output_becomes_an_asset_with_bytes_name_and_address(house: House) -> None:
    heard = completed([await house.stage()], visibility="public", run="spring")
    await house.hear(heard)
    await house.store_all()
    [said] = await house.said()
    assert isinstance(said, AssetStored)
    assert house.blob().read_bytes() == PICTURE
    assert said.logical_name == f"{TENANT}/spring/thumbnail/hero.png"
    assert said.url == f"{ORIGIN}/asset/{said.asset_id}?v=1"
    assert (said.version, said.revision, said.role, said.is_public, said.late) == (1, 1, "primary", True, False)
    assert (said.job_id, said.item, said.attempt, said.output) == (heard.subject, 1, 1, 0)
    assert (said.user_id, said.file_size, said.mime, said.width, said.height) == (
        USER,
        len(PICTURE),
        "image/png",
        1280,
        720,
    )


async def test_the_trace_of_the_job_goes_on(house: House) -> None:
    await house.kept()
    [row] = await house.sql("SELECT headers FROM outbox")
    assert json.loads(row["headers"])["traceparent"] == TRACE


async def test_hearing_the_same_thing_again_changes_nothing(house: House) -> None:
    first = completed([await house.stage()])
    again = event(first.data)
    await house.hear(first, again)
    await house.store_all()
    await house.hear(again)
    await house.store_all()
    assert len(await house.said()) == 1
    assert len(await house.sql("SELECT id FROM assets")) == 1


async def test_two_saves_of_the_same_content_at_the_same_time_keep_one_copy(house: House) -> None:
    heard = [completed([await house.stage()]) for _ in range(20)]
    await house.hear(*heard)
    promoters = [house.promoting(most=3) for _ in range(4)]
    while any(await asyncio.gather(*(promoter.step() for promoter in promoters))):
        pass
    said = await house.said(AssetStored)
    assert len(said) == 20
    assert {one.sha256 for one in said} == set(house.blobs())
    assert len(house.blobs()) == 1
    assert len(await house.sql("SELECT sha256 FROM blobs")) == 1


async def test_the_same_content_of_another_tenant_is_kept_apart(house: House) -> None:
    await house.kept()
    await house.kept(tenant=STRANGER)
    assert house.blob(tenant=TENANT).exists()
    assert house.blob(tenant=STRANGER).exists()
    assert not house.blob(tenant=TENANT).samefile(house.blob(tenant=STRANGER))


async def test_a_new_job_at_the_same_path_makes_a_new_version_and_keeps_the_old_one(house: House) -> None:
    old = await house.kept(b"first", path="heroes/main.png", name="heroes/main.png")
    new = await house.kept(b"second", path="heroes/main.png", name="heroes/main.png")
    said = await house.said(AssetStored)
    assert [(one.logical_name, one.version) for one in said] == [
        (f"{TENANT}/heroes/main.png", 1),
        (f"{TENANT}/heroes/main.png", 2),
    ]
    assert old != new
    [alias] = await house.sql("SELECT asset_id, version FROM aliases")
    assert (alias["asset_id"], alias["version"]) == (new, 2)
    assert house.blob(b"first").exists()
    assert house.blob(b"second").exists()


async def test_versions_of_one_path_are_counted_one_by_one_in_a_batch(house: House) -> None:
    contents = [str(number).encode() for number in range(5)]
    heard = [completed([await house.stage(content)], path="a.png", name="a.png") for content in contents]
    await house.hear(*heard)
    await house.store_all()
    assert sorted(one.version for one in await house.said(AssetStored)) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "one after the other"])
async def test_two_items_of_a_job_never_take_each_others_name(house: House, together: bool) -> None:
    job = uuid7()
    for item in (1, 2, 3):
        await house.hear(completed([await house.stage(str(item).encode())], job=job, item=item, name="twin.png"))
        if not together:
            await house.store_all()
    await house.store_all()
    names = {one.logical_name.rpartition("/")[2] for one in await house.said(AssetStored)}
    assert names == {"twin.png", "twin_2.png", "twin_3.png"}


async def test_every_output_of_an_attempt_is_stored_under_a_name_of_its_own(house: House) -> None:
    outputs = [
        await house.stage(b"whole", number=0),
        await house.stage(b"small", number=1, role="thumbnail"),
        await house.stage(b"other", number=2, role="variant"),
    ]
    await house.hear(completed(outputs))
    await house.store_all()
    said = sorted(await house.said(AssetStored), key=lambda one: one.output)
    assert [(one.output, one.role, one.logical_name.rpartition("/")[2]) for one in said] == [
        (0, "primary", "hero.png"),
        (1, "thumbnail", "hero_thumbnail.png"),
        (2, "variant", "hero_variant_2.png"),
    ]


async def test_a_late_output_is_private_and_takes_no_name(house: House) -> None:
    await house.kept(path="main.png", name="main.png")
    settled = GenerationSettled(
        job_id=uuid7(),
        item=1,
        attempt=2,
        billing=Billing(state="final", amount_micros=1),
        evidence="the provider's bill",
        late_outputs=[await house.stage(b"late")],
        logical_name="main.png",
        lineage=lineage(),
        asset_context=asset_context(visibility="public", path="main.png"),
    )
    async with house.engine.begin() as conn:
        await house.ears.on_settled(conn, [event(settled)])
    await house.store_all()
    late = (await house.said(AssetStored))[-1]
    assert (late.late, late.is_public, late.version) == (True, False, 1)
    assert late.logical_name == f"{TENANT}/main_late_2.png"
    assert late.url == f"{ORIGIN}/asset/{late.asset_id}"


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"sha256": "ab" * 32}, ErrorCode.CORRUPT_OUTPUT),
        ({"sha256": "../../etc/passwd"}, ErrorCode.CORRUPT_OUTPUT),
        ({"size": 3}, ErrorCode.CORRUPT_OUTPUT),
        ({"size": 0}, ErrorCode.CORRUPT_OUTPUT),
        ({"staged_key": f"staging/{TENANT}/../../secret"}, ErrorCode.STORAGE_ERROR),
        ({"staged_key": "/etc/passwd"}, ErrorCode.STORAGE_ERROR),
        ({"staged_key": f"staging/{STRANGER}/{uuid7()}/1"}, ErrorCode.STORAGE_ERROR),
        ({"staged_key": f"blobs/{TENANT}/ab/" + "ab" * 32}, ErrorCode.STORAGE_ERROR),
    ],
    ids=["another hash", "no hash", "another size", "no bytes", "traversal", "absolute", "foreign", "a blob"],
)
async def test_what_is_not_what_was_made_is_refused_and_not_kept(
    house: House, wrong: dict[str, Any], code: ErrorCode
) -> None:
    heard = completed([await house.stage(**wrong)])
    await house.hear(heard)
    await house.store_all()
    [said] = await house.said()
    assert isinstance(said, AssetStoreFailed)
    assert (said.code, said.job_id, said.item, said.attempt, said.output) == (code, heard.subject, 1, 1, 0)
    assert await house.sql("SELECT id FROM assets") == []


async def test_one_bad_output_does_not_hold_up_the_others(house: House) -> None:
    bad = completed([await house.stage(sha256="ab" * 32)])
    good = [completed([await house.stage(str(number).encode())]) for number in range(5)]
    await house.hear(*good[:3], bad, *good[3:])
    await house.store_all()
    assert {one.job_id for one in await house.said(AssetStored)} == {one.subject for one in good}
    assert [one.job_id for one in await house.said(AssetStoreFailed)] == [bad.subject]


async def test_bytes_that_are_not_there_are_looked_for_three_times_more_and_then_given_up(house: House) -> None:
    heard = completed([await house.stage(staged_key=f"staging/{TENANT}/{uuid7()}/1")])
    await house.hear(heard)
    for _ in RETRY_S:
        await house.store_all()
        assert await house.said() == []
        await house.make_due()
    await house.store_all()
    [said] = await house.said()
    assert (said.code, said.message) == (ErrorCode.STORAGE_ERROR, "the staged bytes are not there")


async def test_bytes_that_come_late_through_a_shared_folder_are_stored(house: House) -> None:
    output = await house.stage()
    staged = house.root / output.staged_key
    away = house.root / "away"
    staged.rename(away)
    await house.hear(completed([output]))
    await house.store_all()
    away.rename(staged)
    await house.make_due()
    await house.store_all()
    assert len(await house.said(AssetStored)) == 1


async def test_staged_bytes_that_are_gone_are_no_loss_when_they_were_promoted(house: House) -> None:
    output = await house.stage()
    await house.kept()
    (house.root / output.staged_key).unlink()
    await house.hear(completed([output]))
    await house.store_all()
    assert len(await house.said(AssetStored)) == 2


async def test_of_outputs_that_wait_the_oldest_are_stored_first(house: House) -> None:
    heard = [completed([await house.stage()], name=f"{number}.png") for number in range(3)]
    for one in heard:
        await house.hear(one)
    longest_due = "UPDATE arrivals SET due_at = arrived_at - interval '1 day' WHERE job_id = :job"
    await house.sql(longest_due, job=heard[2].subject)
    claimed = [await house.shelf.claim(most=1, most_bytes=1 << 30, lease_s=60) for _ in heard]
    assert [one.key.job_id for [one] in claimed] == [one.subject for one in heard]


async def test_the_staged_bytes_stay_until_the_worker_is_done_with_them(house: House) -> None:
    output = await house.stage()
    await house.hear(completed([output]))
    await house.store_all()
    await house.sweeper.sweep_blobs()
    await house.sweeper.sweep_temporary()
    assert (house.root / output.staged_key).read_bytes() == PICTURE


async def test_who_lost_his_lease_writes_nothing(house: House) -> None:
    await house.hear(completed([await house.stage()]))
    [slow] = await house.shelf.claim(most=10, most_bytes=1 << 30, lease_s=10)
    await house.make_due()
    [fast] = await house.shelf.claim(most=10, most_bytes=1 << 30, lease_s=10)
    assert (slow.epoch, fast.epoch) == (1, 2)
    await house.shelf.finish([Refused(slow, ErrorCode.STORAGE_ERROR, "too slow")])
    assert await house.said() == []
    await house.make_due()
    await house.store_all()
    assert [type(one) for one in await house.said()] == [AssetStored]


async def test_a_leased_arrival_is_left_alone_until_its_lease_runs_out(house: House) -> None:
    await house.hear(completed([await house.stage()]))
    claimed = await house.shelf.claim(most=10, most_bytes=1 << 30, lease_s=60)
    assert await house.shelf.claim(most=10, most_bytes=1 << 30, lease_s=60) == []
    await house.shelf.renew(claimed, 600)
    [row] = await house.sql("SELECT due_at > now() + interval '500 s' AS renewed FROM arrivals")
    assert row["renewed"]
    await house.make_due()
    assert len(await house.shelf.claim(most=10, most_bytes=1 << 30, lease_s=60)) == 1


async def test_a_lease_lasts_as_long_as_the_files_are_at_work(house: House) -> None:
    store = SlowStore(house)
    await house.hear(completed([await house.stage()]))
    await Promoter(house.shelf, store, Pace(lease_s=3)).step()
    assert store.taken_meanwhile == []
    assert len(await house.said(AssetStored)) == 1


class SlowStore(FolderStore):
    """Promotes only when the lease would long have run out, and tries to take the arrivals meanwhile."""

    def __init__(self, house: House) -> None:
        super().__init__(house.root)
        self._house = house
        self.taken_meanwhile: list[Arrival] = []

    async def promote_many(
        self, promotions: Sequence[Promotion], *, verify: bool = False
    ) -> list[Promoted | StorageError]:
        late = asyncio.get_running_loop().time() + 3.6
        while asyncio.get_running_loop().time() < late:
            self.taken_meanwhile += await self._house.shelf.claim(most=10, most_bytes=1 << 30, lease_s=600)
        return await super().promote_many(promotions, verify=verify)


async def test_who_claims_does_not_wait_for_others_who_claim(house: House) -> None:
    await house.hear(completed([await house.stage(b"a")]), completed([await house.stage(b"b")]))
    async with house.engine.begin() as conn, asyncio.timeout(5):
        first = await arrivals.claim(conn, most=1, most_bytes=1 << 30, lease_s=10)
        second = await house.shelf.claim(most=10, most_bytes=1 << 30, lease_s=10)
    assert len(first) == len(second) == 1
    assert first[0].key != second[0].key


async def test_a_claim_takes_only_so_many_bytes_but_always_something(house: House) -> None:
    outputs = [await house.stage(bytes([number]) * 1000) for number in range(4)]
    await house.hear(*(completed([output]) for output in outputs))
    assert len(await house.shelf.claim(most=10, most_bytes=2500, lease_s=600)) == 3
    assert len(await house.shelf.claim(most=10, most_bytes=1, lease_s=600)) == 1


async def test_what_the_database_does_not_take_is_refused_alone(house: House) -> None:
    bad = completed([await house.stage(b"wide", width=TOO_WIDE)])
    good = [completed([await house.stage(str(number).encode())]) for number in range(3)]
    await house.hear(good[0], bad, *good[1:])
    await house.store_all()
    assert {one.job_id for one in await house.said(AssetStored)} == {one.subject for one in good}
    [failed] = await house.said(AssetStoreFailed)
    assert (failed.job_id, failed.code) == (bad.subject, ErrorCode.STORAGE_ERROR)


async def test_a_full_disk_fails_at_once_and_loses_nothing(house: House) -> None:
    output = await house.stage()
    await house.hear(completed([output]))
    await Promoter(house.shelf, FullStore(house.root), Pace()).step()
    [said] = await house.said()
    assert (said.code, said.message) == (ErrorCode.STORAGE_ERROR, "the object store is full")
    assert (house.root / output.staged_key).read_bytes() == PICTURE
    await house.make_due()
    assert not await house.promoter.step()


class FullStore(FolderStore):
    """A disk without space for one name more."""

    async def promote_many(
        self, promotions: Sequence[Promotion], *, verify: bool = False
    ) -> list[Promoted | StorageError]:
        return [StorageFull(promotion.blob_key, "No space left on device") for promotion in promotions]


async def test_an_attempt_without_outputs_does_not_leave_its_job_waiting(house: House) -> None:
    heard = completed([])
    await house.hear(heard)
    [said] = await house.said()
    assert (said.job_id, said.output, said.code) == (heard.subject, 0, ErrorCode.CORRUPT_OUTPUT)


async def test_an_event_that_is_set_aside_fails_every_output_it_named(house: House) -> None:
    heard = completed([await house.stage(number=0), await house.stage(number=1, role="variant")])
    async with house.engine.begin() as conn:
        await house.ears.on_poison(conn, heard, ValueError("whatever it was"))
    assert [(one.job_id, one.output, one.code) for one in await house.said(AssetStoreFailed)] == [
        (heard.subject, 0, ErrorCode.STORAGE_ERROR),
        (heard.subject, 1, ErrorCode.STORAGE_ERROR),
    ]
    [row] = await house.sql("SELECT headers FROM outbox LIMIT 1")
    assert json.loads(row["headers"])["traceparent"] == TRACE


async def test_a_late_output_without_its_context_is_poison(house: House) -> None:
    settled = GenerationSettled(
        job_id=uuid7(),
        item=1,
        attempt=1,
        billing=Billing(state="none"),
        evidence="the provider's bill",
        late_outputs=[await house.stage()],
    )
    with pytest.raises(ValueError, match="context"):
        async with house.engine.begin() as conn:
            await house.ears.on_settled(conn, [event(settled)])
    async with house.engine.begin() as conn:
        await house.ears.on_poison(conn, event(settled), ValueError())
    assert [one.job_id for one in await house.said(AssetStoreFailed)] == [settled.job_id]
