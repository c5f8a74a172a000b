"""Outputs that were fetched again: another try at what could not be kept, and nothing to what was."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.assets import AssetStored, AssetStoreFailed
from schemas.cloudevents import CloudEvent
from schemas.events import GenerationCompleted, GenerationSettled
from schemas.parts import Billing, Output
from stack.testing import PostgresServer
from tests.storage_house import (
    STRANGER,
    TENANT,
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


async def broken(house: House) -> CloudEvent[GenerationCompleted]:
    """An output that could not be kept, because its bytes were not what was said of them."""
    heard = completed([await house.stage(b"torn", sha256="ab" * 32)], visibility="public")
    await house.hear(heard)
    await house.store_all()
    assert len(await house.said(AssetStoreFailed)) == 1
    return heard


async def hear_again(house: House, heard: Any, *late: Output, tenant: Any = TENANT) -> None:
    settled = GenerationSettled(
        job_id=heard.data.job_id,
        item=heard.data.item,
        attempt=heard.data.attempt,
        billing=Billing(state="final", amount_micros=1),
        evidence="the paid result was fetched again",
        late_outputs=list(late),
        logical_name="hero.png",
        lineage=lineage(),
        asset_context=asset_context(visibility="public"),
        redownload=1,
    )
    async with house.engine.begin() as conn:
        await house.ears.on_settled(conn, [event(settled, tenant=tenant)])
    await house.store_all()


async def test_an_output_that_could_not_be_kept_is_kept_once_it_was_fetched_again(house: House) -> None:
    heard = await broken(house)
    await hear_again(house, heard, await house.stage(b"whole"))
    [said] = await house.said(AssetStored)
    assert (said.job_id, said.output, said.late, said.is_public) == (heard.subject, 0, True, False)
    assert house.blob(b"whole").read_bytes() == b"whole"


async def test_a_late_output_that_can_not_be_kept_either_is_told_as_late(house: House) -> None:
    heard = await broken(house)
    await hear_again(house, heard, await house.stage(b"torn again", sha256="cd" * 32))
    assert [said.late for said in await house.said(AssetStoreFailed)] == [False, True]


async def test_an_output_that_is_kept_stays_as_it_is_whatever_is_fetched_again(house: House) -> None:
    heard = completed([await house.stage(b"first")])
    await house.hear(heard)
    await house.store_all()
    await hear_again(house, heard, await house.stage(b"second"))
    assert len(await house.said(AssetStored)) == 1
    assert not house.blob(b"second").exists()


async def test_nobody_brings_back_the_output_of_another_tenant(house: House) -> None:
    heard = await broken(house)
    await hear_again(house, heard, await house.stage(b"whole"), tenant=STRANGER)
    assert not await house.said(AssetStored)
