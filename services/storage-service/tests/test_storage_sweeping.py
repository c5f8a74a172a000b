"""Only what nothing points at is deleted, and never under the hands of somebody who is about to point at it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from schemas.assets import AssetStored
from stack.testing import PostgresServer
from storage_service.ownership import Viewer
from storage_service.sweeping import MARK_S
from tests.storage_house import PICTURE, STRANGER, TENANT, TOO_WIDE, USER, House, completed, house_in, migrated_database

pytestmark = pytest.mark.integration

OWNER = Viewer(TENANT, USER)


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[str]:
    yield from migrated_database(postgres_server)


@pytest.fixture
async def house(database: str, tmp_path: Path) -> AsyncIterator[House]:
    async with house_in(database, tmp_path / "objects") as house:
        yield house


async def an_hour_later(house: House) -> None:
    await house.sql("UPDATE blobs SET unused_since = unused_since - interval '61 minutes'")


async def test_bytes_of_a_deleted_asset_go_after_the_grace_and_not_before(house: House) -> None:
    await house.catalog.delete(OWNER, await house.kept())
    assert not await house.sweeper.sweep_blobs()
    assert house.blob().exists()
    await an_hour_later(house)
    assert await house.sweeper.sweep_blobs()
    assert not house.blob().exists()
    assert await house.sql("SELECT sha256 FROM blobs") == []


async def test_bytes_that_another_asset_of_the_tenant_has_stay(house: House) -> None:
    first = await house.kept()
    await house.kept()
    await house.catalog.delete(OWNER, first)
    await an_hour_later(house)
    assert not await house.sweeper.sweep_blobs()
    assert house.blob().read_bytes() == PICTURE


async def test_the_same_bytes_of_another_tenant_keep_nobody_elses(house: House) -> None:
    asset = await house.kept()
    await house.kept(tenant=STRANGER)
    await house.catalog.delete(OWNER, asset)
    await an_hour_later(house)
    await house.sweeper.sweep_blobs()
    assert not house.blob().exists()
    assert house.blob(tenant=STRANGER).read_bytes() == PICTURE


async def test_nothing_is_cleaned_up_while_an_asset_points_at_it(house: House) -> None:
    """R126."""
    await house.kept()
    await house.kept(path="a.png", name="a.png")
    await house.sql("UPDATE blobs SET created_at = now() - interval '1 year'")
    assert not await house.sweeper.sweep_blobs()
    assert house.blob().exists()


async def test_bytes_that_come_again_within_the_grace_stay(house: House) -> None:
    await house.catalog.delete(OWNER, await house.kept())
    await house.kept()
    await an_hour_later(house)
    assert not await house.sweeper.sweep_blobs()
    assert house.blob().exists()


async def test_bytes_that_an_asset_points_at_stay_whatever_their_row_says(house: House) -> None:
    """A deletion and a new asset of the same bytes may cross, and leave the note that nobody uses them."""
    await house.kept()
    await house.sql("UPDATE blobs SET unused_since = now() - interval '2 hours'")
    assert not await house.sweeper.sweep_blobs()
    assert house.blob().exists()


async def test_bytes_that_wait_to_become_an_asset_are_not_swept(house: House) -> None:
    await house.catalog.delete(OWNER, await house.kept())
    await an_hour_later(house)
    await house.hear(completed([await house.stage()]))
    assert not await house.sweeper.sweep_blobs()
    await house.store_all()
    assert house.blob().exists()


async def test_nothing_is_promoted_onto_bytes_that_are_being_deleted(house: House) -> None:
    await house.catalog.delete(OWNER, await house.kept())
    await an_hour_later(house)
    doomed = await house.shelf.doom(grace_s=3600, mark_s=MARK_S, most=10)
    await house.hear(completed([await house.stage()]))
    assert not await house.promoter.step()
    house.blob().unlink()
    await house.shelf.forget(doomed)
    assert await house.promoter.step()
    assert house.blob().read_bytes() == PICTURE
    assert len(await house.said(AssetStored)) == 2


async def test_bytes_that_were_asked_for_before_the_mark_was_seen_are_spared(house: House) -> None:
    await house.catalog.delete(OWNER, await house.kept())
    await house.sql("UPDATE blobs SET doomed_until = now() - interval '1 s'")
    await house.hear(completed([await house.stage()]))
    assert await house.shelf.doom(grace_s=3600, mark_s=MARK_S, most=10) == []
    await house.store_all()
    assert house.blob().exists()
    assert [row["doomed_until"] for row in await house.sql("SELECT doomed_until FROM blobs")] == [None]


async def test_what_a_dead_sweeper_left_is_finished_by_the_next(house: House) -> None:
    await house.catalog.delete(OWNER, await house.kept())
    await an_hour_later(house)
    await house.shelf.doom(grace_s=3600, mark_s=MARK_S, most=10)
    assert not await house.sweeper.sweep_blobs()
    await house.sql("UPDATE blobs SET doomed_until = now() - interval '1 s'")
    assert await house.sweeper.sweep_blobs()
    assert not house.blob().exists()


async def test_promoted_bytes_that_were_refused_in_the_end_are_swept(house: House) -> None:
    await house.hear(completed([await house.stage(width=TOO_WIDE)]))
    await house.store_all()
    assert house.blob().exists()
    await an_hour_later(house)
    assert await house.sweeper.sweep_blobs()
    assert not house.blob().exists()
