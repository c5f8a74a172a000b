"""Resuming between provider-worker and storage-service: two databases, one object store, internal HTTP, no Kafka."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from pydantic import SecretStr

from chassis.http import InternalClient, make_app
from chassis.ids import uuid7
from provider_worker.engine.presence import present_in
from schemas.events import GenerationCompleted, GenerationQuoted, GenerationSkipped, PromptsPrepared
from schemas.parts import AssetContext, Kind, PreparedItem
from stack.testing import PostgresServer
from storage_service.http.names import name_routes
from storage_service.ownership import Viewer
from storage_service.presence import Presence
from tests.storage_house import House, house_in, migrated_database
from tests.worker_builders import PRICE, TENANT, USER, Home, Painter, Worker, envelope, home_at, item, said

pytestmark = pytest.mark.integration

SECRET = "a secret for the tests alone"
ITEMS = range(1, 23)
COLLEAGUE, STRANGER = uuid7(), uuid7()


@dataclass
class Pair:
    """A worker and the storage-service that it asks."""

    home: Home
    here: Worker
    house: House
    painter: Painter
    stored: int = 0

    async def run(
        self, items: Sequence[int], *, resume: bool, user: UUID = USER, tenant: UUID = TENANT, **changes: Any
    ) -> Outcome:
        """One manifest, from its prompts until all that was made is stored."""
        paid = sum(self.painter.bill.values())
        job = manifest(items, resume=resume, user=user, **changes)
        await self.here.hear(envelope(job, tenant_id=tenant))
        await self.here.plan()
        await self.here.finish()
        made = [event for event in await said(self.home.engine) if isinstance(event.data, GenerationCompleted)]
        await self.house.hear(*made[self.stored :])
        self.stored = len(made)
        await self.house.store_all()
        told = [event for event in await self.home.said() if event.job_id == job.job_id]
        return Outcome(
            skipped={event.item: event.asset_id for event in told if isinstance(event, GenerationSkipped)},
            warnings=[word for event in told if isinstance(event, GenerationSkipped) for word in event.warnings],
            quoted=[each.number for event in told if isinstance(event, GenerationQuoted) for each in event.items],
            paid=sum(self.painter.bill.values()) - paid,
        )

    async def assets(self) -> dict[str, tuple[UUID, int]]:
        """Behind each logical name: the newest asset, and its version."""
        rows = await self.house.sql("SELECT path, asset_id, version FROM aliases ORDER BY path")
        return {row["path"]: (row["asset_id"], row["version"]) for row in rows}


@dataclass
class Outcome:
    """What became of a manifest; `paid` in micro-units."""

    skipped: dict[int, UUID]
    warnings: list[str]
    quoted: list[int]
    paid: int


def name(number: int) -> str:
    return f"channels/films/projects/one/assets/props/thing_{number}.png"


def manifest(numbers: Sequence[int], *, resume: bool, user: UUID, **changes: Any) -> PromptsPrepared:
    items: list[PreparedItem] = [item(number, logical_name=name(number), **changes) for number in numbers]
    context = AssetContext(user_id=user, kind=Kind.IMAGE, channel="films", project="one")
    return PromptsPrepared(job_id=uuid7(), items=items, asset_context=context, resume=resume)


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[str]:
    yield from migrated_database(postgres_server)


@asynccontextmanager
async def asking(house: House) -> AsyncIterator[InternalClient]:
    """What asks the real routes of storage-service."""
    app = make_app(title="internal", public=False)
    app.include_router(name_routes(Presence(house.catalog, house.inspector), SecretStr(SECRET)))
    client = InternalClient("storage-service", "http://storage", SECRET, transport=httpx.ASGITransport(app))
    yield client
    await client.stop()


@pytest.fixture
async def pair(database: str, database_url: str, tmp_path: Path) -> AsyncIterator[Pair]:
    async with (
        home_at(database_url, tmp_path) as home,
        house_in(database, tmp_path / "objects") as house,
        asking(house) as storage,
    ):
        painter = Painter()
        yield Pair(home, home.worker(painter, present=present_in(storage)), house, painter)


async def test_with_twelve_of_twenty_two_stored_ten_are_made_and_only_those_are_paid(pair: Pair) -> None:
    """R89; and a run after that makes nothing."""
    first = await pair.run(ITEMS[:12], resume=True)
    assert (first.skipped, first.quoted, first.paid) == ({}, list(ITEMS[:12]), 12 * PRICE)

    second = await pair.run(ITEMS, resume=True)
    assets = await pair.assets()
    assert second.skipped == {number: assets[f"{TENANT}/{name(number)}"][0] for number in ITEMS[:12]}
    assert (second.quoted, second.paid) == (list(ITEMS[12:]), 10 * PRICE)
    assert sorted(assets) == sorted(f"{TENANT}/{name(number)}" for number in ITEMS)

    third = await pair.run(ITEMS, resume=True)
    assert third.skipped == {number: assets[f"{TENANT}/{name(number)}"][0] for number in ITEMS}
    assert (third.quoted, third.paid, third.warnings) == ([], 0, [])
    assert await pair.assets() == assets


async def test_what_is_there_and_is_not_what_is_asked_for_now_is_kept_with_a_word(pair: Pair) -> None:
    await pair.run([1], resume=True)

    larger = await pair.run([1], resume=True, width=128, height=64)
    other = await pair.run([1], resume=True, prompt="a blue fox", prompt_sha256="q" * 64)

    assert (larger.paid, larger.warnings) == (0, ["what is there is 64x32, not 128x64"])
    assert (other.paid, other.warnings) == (0, ["what is there was made with another prompt"])


async def test_without_resume_everything_is_made_again_behind_the_same_names(pair: Pair) -> None:
    """R25: no second file beside the first one, a new version behind it, both runs paid."""
    for version in (1, 2):
        ran = await pair.run(ITEMS, resume=False)
        assert (ran.skipped, ran.quoted, ran.paid) == ({}, list(ITEMS), 22 * PRICE)
        found = {path: behind[1] for path, behind in (await pair.assets()).items()}
        assert found == {f"{TENANT}/{name(number)}": version for number in ITEMS}
    resumed = await pair.run([1], resume=True)
    assert resumed.skipped == {1: (await pair.assets())[f"{TENANT}/{name(1)}"][0]}


async def test_what_is_damaged_is_made_again_and_then_it_is_there(pair: Pair) -> None:
    """R88."""
    await pair.run([1], resume=True)
    [path] = [path for path in (pair.house.root / "blobs").rglob("*") if path.is_file()]
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-1])
    again = await pair.run([1], resume=True)
    assert (again.skipped, again.quoted, again.paid) == ({}, [1], PRICE)
    assert path.read_bytes() == content
    assert list((await pair.run([1], resume=True)).skipped) == [1]


async def test_what_was_deleted_is_made_again(pair: Pair) -> None:
    await pair.run([1, 2], resume=True)
    asset, _ = (await pair.assets())[f"{TENANT}/{name(1)}"]
    await pair.house.catalog.delete(Viewer(TENANT, USER), asset)
    again = await pair.run([1, 2], resume=True)
    assert (list(again.skipped), again.quoted, again.paid) == ([2], [1], PRICE)


@pytest.mark.parametrize("who", [{"user": COLLEAGUE}, {"tenant": STRANGER}], ids=["colleague", "other tenant"])
async def test_what_is_private_to_somebody_else_is_neither_named_nor_taken(pair: Pair, who: dict[str, Any]) -> None:
    mine = await pair.run([1], resume=True)
    theirs = await pair.run([1], resume=True, **who)
    assert (mine.quoted, theirs.skipped, theirs.quoted, theirs.paid) == ([1], {}, [1], PRICE)
    assert list((await pair.run([1], resume=True, **who)).skipped) == [1]
    assert list((await pair.run([1], resume=True)).skipped) == [1], "nobody pays in turns"
