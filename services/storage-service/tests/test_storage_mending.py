"""Bytes that were damaged after they were kept are not lost for ever."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from chassis.metrics import REGISTRY
from schemas.assets import AssetStored
from stack.testing import PostgresServer
from tests.storage_house import PICTURE, House, house_in, migrated_database

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[str]:
    yield from migrated_database(postgres_server)


@pytest.fixture
async def house(database: str, tmp_path: Path) -> AsyncIterator[House]:
    async with house_in(database, tmp_path / "objects") as house:
        yield house


def mended() -> float:
    return REGISTRY.get_sample_value("backlot_blobs_mended_total") or 0


@pytest.mark.parametrize("damaged", [PICTURE[:-1], b"\0" + PICTURE[1:]])
async def test_a_damaged_blob_is_mended_by_the_same_content_made_again(house: House, damaged: bytes) -> None:
    await house.kept()
    house.blob().unlink()
    house.blob().write_bytes(damaged)
    before = mended()
    await house.kept()
    assert house.blob().read_bytes() == PICTURE
    assert len(await house.said(AssetStored)) == 2
    assert mended() == before + 1
    [told] = [line for line in house.logs if line["event"] == "blob_mended"]
    assert (told["log_level"], told["sha256"]) == ("warning", house.blob().name)
